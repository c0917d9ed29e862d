# SPDX-License-Identifier: MIT
"""A simulated device that stays on, with its serial line on a TCP port or a pty.

    with Desk(flash, micropython=..., build="ESP32_GENERIC") as desk:
        mpota provision desk.port

Its lives are processes (`sim/device.py`), one after the other: resets begin the next one, a power
cut ends it until `power_on`. What it says goes to whoever has the port open, and into `console`.
The watchdog is real time, as in `sim/supervisor.py`.
"""

import os
import select
import signal
import socket
import subprocess
import threading
import time
import tty
from pathlib import Path

from sim import image, table
from sim.chip import Board
from sim.flash import Flash

_DEVICE = Path(__file__).with_name("sim") / "device.py"
_CAUSES = {10: 2, 12: 2, 13: 4, 15: 5}  # exit status -> machine.reset_cause() of the next life
_INTERRUPT_S = 0.1

STOCK = (*table.FACTORY_4M[:3], (table.DATA, 0x81, 0x200000, 0x100000, "vfs"))


UNSET = 946684800  # what an ESP32's clock shows at power-on: 2000-01-01
XTENSAWIN = 10 << 10 | 3 << 8 | 6  # sys.implementation._mpy of an ESP32: its .mpy 6.3


def esp32(micropython, flash, **options):
    """Return the Desk of a stock ESP32."""
    about = {
        "build": "ESP32_GENERIC",
        "machine": "Generic ESP32 module with ESP32",
        "mpy": XTENSAWIN,
        "pty": True,
    }
    return Desk(flash, micropython=micropython, **{**about, **options})


def make_flash(path, rows=STOCK, **image_arguments):
    """Write the flash of a board that was never used into a file: firmware, no file system."""
    rows = list(rows)
    size = max(row[2] + row[3] for row in rows)
    board = Board(Flash(size, str(path)))
    board.format(rows, image.build(**image_arguments))
    return path


class Desk:
    """`options` go to device.py: platform, build, machine, chip, ... `pty`: a pty, not a socket.

    `clock`: Unix time at power-on, None: the host's. `cut`, `tear`: for the first life.
    """

    def __init__(
        self, flash, *, micropython, frozen=(), heap="4m", clock=None, pty=False, **options
    ):
        self.flash = Path(flash)
        self.console = b""
        self.boots = 0
        self.ops = None  # flash operations of the last life
        self.ended = None  # exit status of the last life
        self._command = [str(micropython), "-X", f"heapsize={heap}", str(_DEVICE), str(flash)]
        self._options = {"frozen": ":".join(map(str, frozen)), **options}
        self._clock = clock
        self._child = self._report = self._line = None
        self._thread = None
        self._changed = threading.Condition()
        self._stop_read, self._stop_write = os.pipe()
        self._server = self._slave = None
        if pty:
            self._line, self._slave = os.openpty()
            tty.setraw(self._slave)
            self.port = os.ttyname(self._slave)
        else:
            self._server = socket.create_server(("127.0.0.1", 0))
            self.port = f"socket://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self):
        self.power_on()
        return self

    def __exit__(self, *_):
        self.close()

    def power_on(self, **cut):
        """Begin a life as after power-on; `cut`, `tear`, `seed` as for device.py."""
        self.power_off()
        self._thread = threading.Thread(target=self._live, args=(cut,), daemon=True)
        self._thread.start()

    def power_off(self):
        """End what runs; a line that is open breaks."""
        if self._thread:
            os.write(self._stop_write, b"x")
            self._thread.join()
            os.read(self._stop_read, 1)
            self._thread = None

    def close(self):
        self.power_off()
        for fd in (self._stop_read, self._stop_write):
            os.close(fd)
        if self._server:
            self._server.close()
        else:
            os.close(self._line)
            os.close(self._slave)

    def unplug(self):
        """Break the line; the device goes on."""
        if self._server and self._line is not None:
            self._line.shutdown(socket.SHUT_RDWR)

    def wait(self, text, timeout=30, since=0):
        """Wait until the console has said `text` behind offset `since`; return the console."""
        text = text.encode() if isinstance(text, str) else text
        with self._changed:
            if not self._changed.wait_for(lambda: text in self.console[since:], timeout):
                raise TimeoutError(f"no {text!r} in {self.console[since:][-2000:]}")
            return self.console

    def wait_off(self, timeout=30):
        """Wait until the power is cut."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "still on"

    # In the thread.

    def _live(self, cut):
        cause, running, repl = 1, None, "friendly"
        rtc = None if self._clock is None else (time.time(), self._clock)
        while cause is not None:
            options = {**self._options, **cut, "cause": cause, "repl": repl}
            if cause in (4, 5) and running:
                options["running"] = running
            if rtc:
                options["clock"] = int(rtc[1] + time.time() - rtc[0])
            cut = {}
            life = _Life(self, options)
            status = life.run()
            self.ended = status
            running = life.running
            cause = _CAUSES.get(status, 2 if life.bitten else None)
            cause = 3 if life.bitten else cause
            rtc = (time.time(), life.clock) if life.clock is not None else rtc
            repl = (
                "raw" if status == 15 and b"OK\r\nMPY: soft" in self.console[-400:] else "friendly"
            )
        self._hang_up()

    def _hang_up(self):
        if self._server and self._line is not None:
            self._line.close()
            self._line = None

    def _say(self, data):
        with self._changed:
            self.console += data
            self._changed.notify_all()
        try:
            if self._server and self._line is not None:
                self._line.sendall(data)
            elif not self._server:
                os.write(self._line, data)
        except OSError:
            self._hang_up()


class _Life:
    def __init__(self, desk, options):
        self._desk = desk
        desk.boots += 1
        report, writer = os.pipe()
        words = [str(word) for item in options.items() for word in item]
        self._report = os.fdopen(report, "rb", buffering=0)
        self._process = subprocess.Popen(
            [*desk._command, *words, "report", f"/dev/fd/{writer}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=[writer],
        )
        os.close(writer)
        self._partial = b""
        self._waiting = b""  # for the device's input, which takes what it takes
        self.watchdog = None
        self.bitten = False
        self.running = None
        self.started = False
        self.interrupted = 0.0
        self.interrupt = 3  # the byte that raises KeyboardInterrupt
        self.clock = None

    def run(self):
        desk = self._desk
        process = self._process
        os.set_blocking(process.stdin.fileno(), False)
        out = process.stdout.fileno()
        try:
            while True:
                line = desk._line
                fds = [out, self._report.fileno(), desk._stop_read]
                if self.started and line is not None and not self._waiting:
                    fds.append(line)
                if desk._server:
                    fds.append(desk._server)
                wait = None if self.watchdog is None else max(0, self.watchdog - time.monotonic())
                full = [process.stdin] * bool(self._waiting)
                ready, writable, _ = select.select(fds, full, [], wait)
                if self.watchdog is not None and time.monotonic() >= self.watchdog:
                    self.bitten = True
                    return self._kill()
                if desk._stop_read in ready:
                    return self._kill()
                if self._report.fileno() in ready:
                    self._reported()
                if writable:
                    self._feed()
                if desk._server in ready:
                    desk._hang_up()
                    desk._line = desk._server.accept()[0]
                    desk._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                elif line in ready:
                    self._hear(line)
                if out in ready:
                    data = os.read(out, 65536)
                    if not data:
                        self._reported()
                        return process.wait()
                    desk._say(data)
        finally:
            process.stdin.close()
            process.stdout.close()
            self._report.close()

    def _kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _hear(self, line):
        try:
            data = line.recv(4096) if self._desk._server else os.read(line, 4096)
        except OSError:
            data = b""
        if not data:
            if self._desk._server:
                self._desk._hang_up()
            return
        if self.interrupt == 3 and b"\x03" in data:
            # The unix port ends at a second one that comes before the first has been raised.
            if time.monotonic() > self.interrupted + _INTERRUPT_S:
                self.interrupted = time.monotonic()
                self._process.send_signal(signal.SIGINT)
            data = data[data.rindex(b"\x03") + 1 :]
        self._waiting += data
        self._feed()

    def _feed(self):
        try:
            count = self._process.stdin.write(self._waiting)
        except OSError:
            count = len(self._waiting)
        self._waiting = self._waiting[count or 0 :]

    def _reported(self):
        os.set_blocking(self._report.fileno(), False)
        data = self._report.read(65536) or b""
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            word, value = line.decode().split()
            if word == "watchdog":
                self.watchdog = time.monotonic() + int(value) / 1000
            elif word == "clock":
                self.clock = float(value)
            elif word == "ops":
                self._desk.ops = int(value)
            elif word == "interrupt":
                self.interrupt = int(value)
            elif word == "started":
                self.started = True
            elif word == "running":
                self.running = value
