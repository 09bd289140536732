"""How PyJWT judges tokens, as they come: see ../node/verifiers.mjs for what is said."""

import json
import sys

import jwt

task = json.loads(sys.stdin.readline())


def judge(token):
    try:
        jwt.decode(token, task["secret"], algorithms=["HS256"], issuer=task["issuer"],
                   leeway=task["leeway"], options={"verify_aud": False})
    except jwt.PyJWTError as err:
        return str(err)
    return ""


for line in sys.stdin:
    print(json.dumps({"PyJWT": judge(json.loads(line))}), flush=True)
