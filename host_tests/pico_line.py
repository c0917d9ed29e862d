# SPDX-License-Identifier: MIT
"""The USB serial port of an emulated RP2040, as a TCP port that mpremote can open.

The chip runs as long as somebody listens: a turn of its own time after the other, and what came
over USB in it goes to the line.
"""

import contextlib
import select
import socket
import threading
import time

_TURN_S = 0.01  # of the chip's time


class PicoLine:
    def __init__(self, pico):
        self._pico = pico
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = f"socket://127.0.0.1:{self._server.getsockname()[1]}"
        self._ends = threading.Event()
        self._error = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()
        self._server.close()
        if self._error:
            raise self._error

    def _run(self):
        try:
            while not self._ends.is_set():
                if select.select([self._server], [], [], 0.05)[0]:
                    line = self._server.accept()[0]
                    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    with line, contextlib.suppress(ConnectionError):  # whoever listened left
                        self._serve(line)
        except Exception as error:  # noqa: BLE001
            self._error = error

    def _serve(self, line):
        wait = 0
        while not self._ends.is_set():
            if select.select([line], [], [], wait)[0]:
                data = line.recv(4096)
                if not data:
                    return
                self._pico.send(data)
            begin = time.monotonic()
            stop = self._pico.run(seconds=_TURN_S)
            if stop.text:
                line.sendall(stop.text.encode("latin-1"))
            # A chip that waits must not run ahead of the host that it waits for.
            wait = max(0, begin + _TURN_S - time.monotonic())
