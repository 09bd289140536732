"""A client of a cloud that uses its credential again and again: the task is the
first line on stdin, each further line asks for one call, and each call is
answered by one line: who the cloud says we are, or the error."""

import json
import sys


def converse(prepare):
    use = prepare(json.loads(sys.stdin.readline()))
    say(ready=True)
    while sys.stdin.readline():
        try:
            say(who=use())
        except Exception as err:  # whatever it is, the test wants to see it
            say(error=f"{type(err).__name__}: {err}")


def say(**line):
    print(json.dumps(line), flush=True)
