# SPDX-License-Identifier: MIT
"""MicroPython's raw REPL over any line to a device: runs source there, gives back what it prints.

A line is an object with `write(data)` and `read(timeout_s)`, which gives what came, or b"" when
nothing did in that time. `ChildLine` is that of a child process: its standard input and output.
"""

import os
import select
import subprocess
import time


class DeviceError(Exception):
    """What ran on the device raised; the text is its traceback."""


class ChildLine:
    """Standard input and output of a program, which ends with it."""

    def __init__(self, arguments):
        self._child = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def write(self, data):
        self._child.stdin.write(data)

    def read(self, timeout_s):
        source = self._child.stdout.fileno()
        if not select.select([source], [], [], timeout_s)[0]:
            return b""
        data = os.read(source, 65536)
        if not data:
            raise EOFError(f"{self._child.args[0]} ended, status {self._child.wait()}")
        return data

    def close(self):
        self._child.kill()
        self._child.communicate()


class RawRepl:
    def __init__(self, line, timeout_s=60):
        self._line = line
        self._timeout_s = timeout_s
        self._pending = b""
        line.write(b"\r\x03\x01")
        self._until(b"raw REPL; CTRL-B to exit\r\n>")

    def run(self, source):
        """Runs `source` to its end and gives what it printed."""
        self._line.write(source.encode() + b"\x04")
        self._until(b"OK")
        printed = self._until(b"\x04")
        raised = self._until(b"\x04")
        self._until(b">")
        if raised:
            raise DeviceError(raised.decode(errors="replace"))
        return printed.decode(errors="replace").replace("\r\n", "\n")

    def _until(self, mark):
        deadline = time.monotonic() + self._timeout_s
        while mark not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no {mark} from the device, but {self._pending[-400:]}")
            self._pending += self._line.read(left)
        got, _, self._pending = self._pending.partition(mark)
        return got
