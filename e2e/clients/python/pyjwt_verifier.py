"""The issuer's tokens as PyJWT verifies them through the key set it publishes."""

import jwt
import requests

from common import step, task

metadata = requests.get(task["issuer"] + "/.well-known/openid-configuration", timeout=10).json()
keys = jwt.PyJWKClient(metadata["jwks_uri"])
rules = {
    "algorithms": ["ES256"],
    "audience": task["audience"],
    "issuer": task["issuer"],
    "options": {"require": ["exp", "iat", "jti", "sub", "client_id"]},
}

key = keys.get_signing_key_from_jwt(task["access_token"])
claims = jwt.decode(task["access_token"], key, **rules)
assert claims["client_id"] == task["service"]["id"]
assert jwt.get_unverified_header(task["access_token"])["typ"] == "at+jwt"
step("an access token is verified")

try:
    jwt.decode(task["access_token"], key, **{**rules, "audience": "https://elsewhere.example.com"})
    raise AssertionError("accepted for another audience")
except jwt.InvalidAudienceError:
    step("not for another audience")
