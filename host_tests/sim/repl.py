# SPDX-License-Identifier: MIT
"""The REPL of a board on standard input and output, for the unix port, whose own has no raw mode.

What `pyexec.c` does with control characters, raw paste included. A soft reset is a SystemExit.
"""

import sys

_WINDOW = 128
_RAW = "raw REPL; CTRL-B to exit\r\n>"


class Repl:
    """`rom` is sys.modules and all: what runs here runs in `scope`. `raw`: begin in raw mode."""

    def __init__(self, scope, raw):
        self._scope = scope
        self._raw = raw
        self._in = sys.stdin.buffer
        self._out = sys.stdout

    def serve(self):
        """Answer until a soft reset (SystemExit), or the end of input."""
        asked = False
        source = b""
        while True:
            try:
                if not asked:
                    asked = True
                    self._prompt()
                byte = self._in.read(1)
                if not byte:
                    return
                source = self._take(byte, source)
            except KeyboardInterrupt:
                source = b""

    def _take(self, byte, source):
        """Do what a byte means; return the source so far."""
        if byte in b"\x01\x02":
            self._raw = byte == b"\x01"
            self._prompt()
        elif byte == b"\x03":
            if not self._raw:
                self._prompt()
        elif byte == b"\x04" and not source:
            self._write("OK\r\nMPY: soft reboot\r\n" if self._raw else "MPY: soft reboot\r\n")
            raise SystemExit
        elif byte == b"\x04":
            self._write("OK")
            self._run(source)
        elif byte == b"\x05" and not source and self._raw:
            self._paste()
        else:
            return source + byte if self._raw else b""
        return b""

    def _prompt(self):
        self._write(_RAW if self._raw else "\r\n>>> ")

    def _write(self, text):
        self._out.write(text)

    def _paste(self):
        if self._in.read(2) != b"A\x01":
            return
        self._out.buffer.write(b"R\x01" + bytes((_WINDOW & 0xFF, _WINDOW >> 8)))
        source = []
        left = _WINDOW
        while True:
            byte = self._in.read(1)
            if byte in (b"\x04", b""):
                break
            source.append(byte)
            left -= 1
            if not left:
                left = _WINDOW
                self._write("\x01")
        self._write("\x04")
        self._run(b"".join(source))

    def _run(self, source):
        try:
            exec(compile(source.decode(), "<stdin>", "exec"), self._scope)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the interpreter's own
            self._write("\x04")
            sys.print_exception(error, self._out)
            self._write("\x04>")
        else:
            self._write("\x04\x04>")
