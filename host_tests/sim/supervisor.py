# SPDX-License-Identifier: MIT
"""The world around a simulated device: power supply, hardware watchdog, reset line, console.

Each life of the device is a process (`device.py`); what outlives it is the flash file. The
supervisor keeps the watchdog in real time and enforces it with SIGKILL, so a device that loops,
waits in a socket or sits at the REPL is reset as a chip would be. CPython, POSIX.

    device = Supervisor(flash_path, micropython=..., frozen=[lib, boards])
    outcome = device.boot()                     # one life
    device.run(until=lambda line: "ready" in line)

How a life ends, `Outcome.kind`:

    reset     machine.reset()                   soft      machine.soft_reset() or sys.exit()
    watchdog  it was not fed in time            sleep     machine.deepsleep(); `sleep_ms`
    panic     abort(), e.g. a write to the running slot
    cut       power failed in the flash operation that was asked for
    killed    power failed at the time, or the line, that was asked for
    idle      the program is over and no watchdog runs: it would sit at the REPL for ever
    dead      the bootloader finds nothing to boot
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

_DEVICE = Path(__file__).with_name("device.py")
_KINDS = {
    10: "reset",
    11: "cut",
    12: "panic",
    13: "sleep",
    14: "idle",
    15: "soft",
    16: "dead",
}
# What machine.reset_cause() answers in the next life.
_CAUSES = {"reset": 2, "panic": 2, "watchdog": 3, "sleep": 4, "soft": 5}
_RTC_AT_POWER_ON = 946684800  # 2000-01-01


class DeviceError(Exception):
    """The simulation itself failed: not a way in which a device's life can end."""


@dataclass
class Outcome:
    """How one life of the device ended."""

    kind: str = ""
    running: str = ""
    ops: int | None = None
    sleep_ms: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def console(self) -> str:
        return "\n".join(self.lines)


class Supervisor:
    """A device with its flash in the file `flash`, and what it needs to be run.

    `clock`: Unix time that the RTC shows after power-on; None: the host's. A chip without battery
    shows 2000: pass UNSET. The RTC runs on over resets and loses a power cut.
    `on_line` gets every line of the console as it comes. `boots` counts lives.
    """

    UNSET = _RTC_AT_POWER_ON

    def __init__(
        self,
        flash: str | os.PathLike[str],
        *,
        micropython: str | os.PathLike[str],
        frozen: Iterable[str | os.PathLike[str]] = (),
        chip: str = "esp32",
        heap: str = "4m",
        clock: int | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.flash = Path(flash).resolve()
        self.micropython = Path(micropython).resolve()
        self.frozen = [Path(folder).resolve() for folder in frozen]
        self.chip = chip
        self.heap = heap
        self.clock = clock
        self.on_line = on_line
        self.boots = 0
        self._last = Outcome()
        self._rtc: tuple[float, float] | None = None  # (host time, RTC) of the last report
        self._watchdog: float | None = None  # when it bites, in time.monotonic()

    def power_off(self) -> None:
        """Let the next boot be a power-on."""
        self._last = Outcome()
        self._rtc = None
        self._watchdog = None

    def boot(
        self,
        *,
        cut: int | None = None,
        tear: str = "before",
        seed: int = 0,
        kill_after: float | None = None,
        kill_when: Callable[[str], object] | None = None,
        timeout: float = 120,
    ) -> Outcome:
        """Run one life and return how it ended.

        Power fails in flash operation `cut`, torn as `tear` and `seed` say; or `kill_after`
        seconds; or when `kill_when(line)` is true for a line of the console. A life longer than
        `timeout` seconds raises DeviceError.
        """
        self.boots += 1
        life = _Life(self._command(cut, tear, seed), self.on_line, kill_when)
        life.watchdog = self._watchdog
        try:
            outcome = life.run(kill_after, timeout)
        finally:
            life.close()
        self._last = outcome
        self._rtc = life.rtc if outcome.kind in _CAUSES else None
        self._watchdog = life.watchdog if outcome.kind == "soft" else None
        return outcome

    def run(
        self,
        until: Callable[[str], object] | None = None,
        *,
        boots: int = 50,
        timeout: float = 120,
    ) -> Outcome:
        """Boot again and again, as a board does, until a line for which `until` is true.

        The device is then switched off. Without such a line: until it is idle or dead. More than
        `boots` lives, or `timeout` seconds in all, raise DeviceError.
        """
        end = time.monotonic() + timeout
        for _ in range(boots):
            outcome = self.boot(kill_when=until, timeout=max(0.1, end - time.monotonic()))
            if outcome.kind in ("killed", "idle", "dead"):
                return outcome
            if outcome.kind == "sleep":
                time.sleep(outcome.sleep_ms / 1000)
        raise DeviceError(f"{boots} boots, and no end; last: {outcome}")

    def _command(self, cut: int | None, tear: str, seed: int) -> list[str]:
        last = self._last
        command = [self.micropython, "-X", f"heapsize={self.heap}", _DEVICE, self.flash]
        options: dict[str, object] = {
            "frozen": ":".join(map(str, self.frozen)),
            "chip": self.chip,
            "cause": _CAUSES.get(last.kind, 1),
        }
        if last.kind in ("sleep", "soft"):
            options["running"] = last.running
        if self._rtc:
            options["clock"] = int(self._rtc[1] + time.time() - self._rtc[0])
        elif self.clock is not None:
            options["clock"] = self.clock
        if cut is not None:
            options |= {"cut": cut, "tear": tear, "seed": seed}
        for name, value in options.items():
            command += [name, value]
        return [str(word) for word in command]


class _Life:
    """The process of one life, its two pipes, and the clock that limits it."""

    def __init__(
        self,
        command: list[str],
        on_line: Callable[[str], None] | None,
        kill_when: Callable[[str], object] | None,
    ) -> None:
        self._on_line = on_line
        self._kill_when = kill_when
        self._outcome = Outcome()
        self._killed: str | None = None
        self.watchdog: float | None = None
        self.rtc: tuple[float, float] | None = None
        report, writer = os.pipe()
        self._report = os.fdopen(report, "rb", buffering=0)
        self._process = subprocess.Popen(
            [*command, "report", f"/dev/fd/{writer}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=[writer],
        )
        os.close(writer)
        self._partial = {"console": b"", "report": b""}

    def run(self, kill_after: float | None, timeout: float) -> Outcome:
        start = time.monotonic()
        power = None if kill_after is None else start + kill_after
        assert self._process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(self._report, selectors.EVENT_READ, "report")
            selector.register(self._process.stdout, selectors.EVENT_READ, "console")
            while selector.get_map():
                self._enforce(power, start + timeout)
                ends = [end for end in (self.watchdog, power, start + timeout) if end is not None]
                wait = max(0.0, min(ends) - time.monotonic()) if not self._killed else None
                for key, _ in selector.select(wait):
                    data = os.read(key.fd, 65536)
                    if data:
                        self._take(key.data, data)
                    else:
                        selector.unregister(key.fileobj)
        status = self._process.wait()
        if self._partial["console"]:
            self._take("console", b"\n")
        outcome = self._outcome
        outcome.kind = self._killed or _KINDS.get(status, "")
        if outcome.kind == "timeout":
            raise DeviceError(f"still running after {timeout} s:\n{outcome.console}")
        if not outcome.kind:
            raise DeviceError(f"status {status}:\n{outcome.console}")
        if outcome.kind == "idle":
            self._sit_at_the_repl(power, start + timeout)
        return outcome

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._report.close()
        assert self._process.stdout
        self._process.stdout.close()

    def _enforce(self, power: float | None, end: float) -> None:
        """Kill the process when its time is over; the first reason counts."""
        now = time.monotonic()
        if self._killed:
            return
        if self.watchdog is not None and now >= self.watchdog:
            self._kill("watchdog")
        elif power is not None and now >= power:
            self._kill("killed")
        elif now >= end:
            self._kill("timeout")

    def _kill(self, why: str) -> None:
        self._killed = why
        self._process.send_signal(signal.SIGKILL)

    def _sit_at_the_repl(self, power: float | None, end: float) -> None:
        """The program is over, the chip is not: only the watchdog or the plug end this."""
        ends = [(at, why) for at, why in ((self.watchdog, "watchdog"), (power, "killed")) if at]
        if not ends:
            return
        at, self._outcome.kind = min(ends)
        if at > end:
            raise DeviceError(f"idle for longer than the test may take:\n{self._outcome.console}")
        time.sleep(max(0.0, at - time.monotonic()))

    def _take(self, source: str, data: bytes) -> None:
        *lines, self._partial[source] = (self._partial[source] + data).split(b"\n")
        for line in lines:
            if source == "report":
                self._reported(*line.decode().split())
            elif self._killed is None or self._killed == "watchdog":
                self._printed(line.decode(errors="replace").rstrip("\r"))

    def _printed(self, line: str) -> None:
        self._outcome.lines.append(line)
        if self._on_line:
            self._on_line(line)
        if self._kill_when and self._kill_when(line):
            self._kill("killed")

    def _reported(self, word: str, value: str) -> None:
        if word == "watchdog":
            self.watchdog = time.monotonic() + int(value) / 1000
        elif word == "clock":
            self.rtc = (time.time(), float(value))
        elif word == "ops":
            self._outcome.ops = int(value)
        elif word == "running":
            self._outcome.running = value
        elif word == "sleep":
            self._outcome.sleep_ms = int(value)
