# SPDX-License-Identifier: MIT
"""The raw REPL of a board, for the unix port, whose own needs a terminal."""

import sys

print("raw REPL; CTRL-B to exit\r\n>", end="")
while True:
    source = ""
    while not source.endswith("\x04"):
        character = sys.stdin.read(1)
        if not character:
            raise SystemExit
        source += character
    print("OK", end="")
    try:
        exec(source.strip("\r\x01\x03\x04"), globals())
    except Exception as error:
        print("\x04", end="")
        sys.print_exception(error)
        print("\x04>", end="")
    else:
        print("\x04\x04>", end="")
