# SPDX-License-Identifier: MIT
"""What one device did with a repository, as a script that any Python can play again.

    python trust_replay.py SCRIPT.json         prints the outcome of each step

A script is a list of steps: {"do": "new" | "refresh" | "find", "arguments", "answers": [[file,
base64 or null] ...] in the order of the requests}. test_trust.py records one in each of its tests
and compares what MicroPython says (host_tests/test_trust.py).
"""

import json
import sys
from binascii import a2b_base64
from io import BytesIO

from ota.errors import OtaError
from ota.trust.client import Client
from ram_store import RamStore


def drive(work, get):
    """Drive a generator of the client; `get(file)` returns bytes or None: absent."""
    answer = None
    try:
        while True:
            request = work.send(answer)
            if request is None:
                answer = None
                continue
            body = get(request.file)
            answer = body is not None
            if answer:
                for at in range(0, len(body), 100):
                    request.write(body[at : at + 100])
    except StopIteration as end:
        return end.value
    finally:
        work.close()


def outcome(work, get):
    """Drive a generator and return what came out as text."""
    try:
        value = drive(work, get)
    except OtaError as e:
        return type(e).__name__ + ": " + str(e.args[0])
    if value is None or value is True or value is False:
        return str(value)
    return "%s by %s, %d bytes, %s" % (value.path, value.role, value.length, value.file)


def play(script, store):
    client = None
    for step in script:
        arguments = step["arguments"]
        answers = iter(step["answers"])

        def get(file, answers=answers):
            name, body = next(answers)
            if name != file:
                return b"unexpected request"
            return None if body is None else a2b_base64(body)

        if step["do"] == "new":
            root = a2b_base64(arguments[0])
            client = Client(
                store,
                lambda root=root: BytesIO(root),
                root_floor=arguments[1],
                nested=arguments[2],
            )
        elif step["do"] == "damage":
            store.documents[arguments[0]] = bytearray(a2b_base64(arguments[1]))
        elif step["do"] == "refresh":
            print(outcome(client.refresh(arguments[0], arguments[1]), get))
        else:
            print(outcome(client.find(arguments[0]), get))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        play(json.load(file), RamStore())
