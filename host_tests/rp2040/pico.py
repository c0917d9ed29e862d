# SPDX-License-Identifier: MIT
"""Drives an emulated RP2040: a board with crystal, flash and USB cable, honest about both.

    with Pico() as pico:                        # 2 MB of erased flash, off
        pico.write_flash(0, firmware)           # like a programmer; only while it is off, or as
        pico.power_on()                         #  the test likes
        assert pico.exec("print(6 * 7)") == "42\\r\\n"      # MicroPython, through the raw REPL
        pico.power_off()
        image = pico.read_flash()

What the chip does is decided by its own boot ROM: boot2 is checked and run, reset_usb_boot needs a
crystal, a watchdog needs PSM_WDSEL and ticks, flash that is away cannot be read. A mistake that a
chip would answer with garbage raises ChipError, naming the program counter. The same inputs give
the same cycles and the same flash operations.

run() says why it ended, in `Stop.why`:
    "text"      one of `until` came over USB (`Stop.which` says which, `Stop.text` ends with it)
    "uart"      one of `uart` came over UART 0 or 1
    "reset"     the watchdog reset the chip (only with on_reset=True; else it just goes on)
    "bkpt"      BKPT number `Stop.which` was met (only with Pico(bkpt=True); else it faults)
    "cut"       the power failed where cut() said; the chip is off
    "usb-boot"  boot ROM's USB mode, for good; "dead" nothing runs any more; detail says why
    "idle"      it waits, and nothing will happen without input
    "time"      seconds or cycles are up

Power cuts: an operation is one command to the flash (erase of a sector, program of a 256-byte
page). cut(n, kind, seed) arms a cut at operation `counters().operations == n`: kind "before",
"torn" (what is left of it comes from the seed) or "after". record() keeps all operations of one
run, so that hundreds of lives can start from what a cut at each of them would have left.
"""

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

SERVER = Path(__file__).with_name("serve.mjs")
CUTS = ("before", "torn", "after")
XIP = 0x10000000
RAM = 0x20000000


class EmulatorError(Exception):
    """The driver was misused, or the emulator itself failed."""


class ChipError(Exception):
    """The program did what a chip answers with garbage or silence; the text names the place."""


class DeviceError(Exception):
    """Python on the device raised; the text is its traceback."""


class PowerCut(Exception):
    """The power failed in erase() or program(), as cut() said."""


@dataclass(frozen=True)
class Stop:
    """Why a run ended."""

    why: str
    text: str = ""
    which: int = -1
    detail: str = ""
    pc: int = 0


@dataclass(frozen=True)
class Counters:
    """What happened since the Pico was made, over all its power cycles."""

    cycles: int  # that the processor ran
    slept_cycles: int  # that it slept or waited for the flash, at the clock of then
    nanoseconds: int
    instructions: int
    flash_wait_cycles: int  # of cycles: what waits=True adds
    boots: int  # times the boot ROM ran
    power_ups: int
    operations: int  # erases and programs
    erases: int
    programs: int


class Pico:
    """One board. Everything about it is an argument:

    size        of the flash, a power of two
    seed        of all that is random: RAM at power-on, ring oscillator, weak cells
    timing      "typical" or "worst" of the flash's data sheet
    loose       the flash wraps addresses beyond its end and lets old data be programmed over, in
                silence as a real one; otherwise that is a ChipError
    file_system offset from which old data may be programmed over all the same: LittleFS does so
                after a cut, reads back what came of it, and moves on
    weak        cells that a power cut tore read differently at each power-up until they are
                programmed again or erased, some of them right at first
    usb         is the cable to a host plugged in
    strict      an access to a register that is not modelled is a ChipError; see unknown()
    bkpt        BKPT ends run() instead of faulting
    waits       reading flash takes the time that it takes a chip: 16 KB of cache, clock divider,
                quad or serial; the emulator is slower then
    rom_patience_ms     how long the boot ROM waits for a busy flash
    """

    def __init__(self, **options):
        pipe = subprocess.PIPE
        self._node = subprocess.Popen(["node", SERVER], stdin=pipe, stdout=pipe)
        self.renew(**options)

    def renew(
        self,
        *,
        size=2 << 20,
        seed=1,
        timing="typical",
        loose=False,
        file_system=None,
        weak=False,
        usb=True,
        strict=False,
        bkpt=False,
        waits=False,
        rom_patience_ms=300,
    ):
        """Takes another board, which is quicker than another Pico: off, its flash erased."""
        self.size = size
        self._raw = False
        self._do(
            "new",
            size=size,
            flash={
                "timing": timing,
                "loose": loose,
                "fileSystem": file_system,
                "weak": weak,
                "seed": seed,
            },
            chip={
                "seed": seed,
                "usb": usb,
                "strict": strict,
                "bkpt": bkpt,
                "waits": waits,
                "romPatience": rom_patience_ms * 1e6,
            },
        )

    def close(self):
        """Ends the emulator."""
        self._node.stdin.close()
        self._node.wait()
        self._node.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _do(self, what, **arguments):
        self._node.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        self._node.stdin.flush()
        answer = self._node.stdout.readline()
        if not answer:
            raise EmulatorError("the emulator ended, see its stderr")
        answer = json.loads(answer)
        if "error" in answer:
            if answer["kind"] == "ChipError":
                raise ChipError(answer["error"])
            if answer["kind"] == "PowerCut":
                raise PowerCut
            raise EmulatorError(answer["stack"])
        return answer["ok"]

    # ---- flash

    def write_flash(self, offset, data):
        """Sets bytes of the flash, as a programmer would."""
        self._do("put", offset=offset, data=base64.b64encode(data).decode())

    def read_flash(self, offset=0, length=None):
        """Bytes of the flash."""
        length = self.size - offset if length is None else length
        return base64.b64decode(self._do("get", offset=offset, length=length))

    def erase(self, offset, length=4096):
        """Erases as the chip would: counted; cut() may tear it, which raises PowerCut."""
        self._do("operate", offset=offset, length=length)

    def program(self, offset, page):
        """A program of up to 256 bytes, likewise."""
        self._do("operate", offset=offset, data=base64.b64encode(page).decode())

    def keep_flash(self):
        """Keeps the flash as it is, inside the emulator; returns a number for restore_flash()."""
        return self._do("keep")

    def restore_flash(self, number):
        """Makes the flash what it was."""
        self._do("restore", number=number)

    def forget_flash(self, number):
        """Frees what keep_flash() kept."""
        self._do("forget", number=number)

    def flash_differs(self, number):
        """True when any bit differs from what keep_flash() kept."""
        return self._do("differs", number=number)

    # ---- power

    def power_on(self):
        """Switches on; if it was on, off and on. RAM is noise, the crystal stands still."""
        self._raw = False
        self._do("power", on=True)

    def power_off(self):
        self._raw = False
        self._do("power", on=False)

    def press_run(self):
        """Pulls the RUN pin: all is reset, RAM keeps its content, the flash its power."""
        self._raw = False
        self._do("reset", cause="run")

    def cut(self, operation, kind="before", seed=0):
        """The power fails at this flash operation, see above."""
        if kind not in CUTS:
            raise ValueError(kind)
        self._do("cut", number=operation, kind=kind, seed=seed)

    def uncut(self):
        """Takes back cut()."""
        self._do("uncut")

    # ---- running

    def run(self, *, until=(), uart=(), seconds=None, cycles=None, on_reset=False, take=True):
        """Runs the chip, see above. `seconds` and `cycles` are the chip's own.

        Text that came over USB meanwhile is in the Stop, up to the string found; with take=False
        it is left for the next call.
        """
        if seconds is None and cycles is None:
            seconds = 60
        until = [until] if isinstance(until, str) else list(until)
        uart = [uart] if isinstance(uart, str) else list(uart)
        stop = Stop(
            **self._do(
                "run",
                until=until,
                uart=uart,
                seconds=seconds,
                cycles=cycles,
                on_reset=on_reset,
                take=take,
            )
        )
        if stop.why in ("cut", "reset", "usb-boot", "dead"):
            self._raw = False
        return stop

    def send(self, data):
        """Bytes for the USB serial port; they go as fast as the device takes them."""
        self._do("send", data=base64.b64encode(data).decode())

    # ---- MicroPython

    def repl(self, *, seconds=30):
        """Waits until MicroPython's raw REPL answers."""
        if not self._raw:
            # Twice Ctrl-C ends a program that runs; a prompt may have passed before USB was there.
            self.send(b"\r\x03\x03")
            self._expect(">>> ", seconds)
            self.send(b"\r\x01")
            self._expect("raw REPL; CTRL-B to exit\r\n>", seconds)
            self._raw = True

    def exec(self, code, *, answer=None, seconds=600):
        """Runs Python on the device and returns what it printed, as str of single bytes.

        A line that begins with \\x02 is a request: answer(line) is called with the rest of it and
        returns the bytes to send. The device reads them from sys.stdin.buffer, after
        micropython.kbd_intr(-1) if they may contain \\x03.

        Raises DeviceError when the code raised, Ended when the chip did not get to its end.
        """
        self.repl(seconds=seconds)
        self.send(code.encode() + b"\x04")
        self._expect("OK", seconds)
        printed = ""
        while True:
            stop = self._expect(["\x04", "\x02"], seconds)
            printed += stop.text[:-1]
            if stop.which == 0:
                break
            request = self._expect("\n", seconds).text.strip()
            self.send(answer(request))
        trace = self._expect("\x04", seconds).text[:-1]
        self._expect(">", seconds)
        if trace:
            raise DeviceError(trace)
        return printed

    def begin(self, code):
        """Starts Python on the device and does not wait for it; run() sees what it prints."""
        self.repl()
        self.send(code.encode() + b"\x04")
        self._expect("OK", 10)
        self._raw = False

    def _expect(self, until, seconds):
        stop = self.run(until=until, seconds=seconds)
        if stop.why != "text":
            self._raw = False
            raise Ended(stop, until)
        return stop

    # ---- looking inside

    def counters(self):
        """Counters since this Pico was made."""
        state = self._do("state")
        return Counters(**{name: state[name] for name in Counters.__dataclass_fields__})

    def state(self):
        """Everything that is known, as a dict: state, detail, events, uart, pc, wear, ..."""
        return self._do("state")

    def events(self):
        """Resets and ends so far, in words."""
        return self._do("state")["events"]

    def unknown(self):
        """Accesses to what is not modelled: text -> how often."""
        return self._do("state")["unknown"]

    def uart(self):
        """All that came over UART."""
        return self._do("state")["uart"]

    def memory(self, address, length):
        """Bytes of RAM or mapped flash."""
        return base64.b64decode(self._do("memory", address=address, length=length))

    def poke(self, address, data):
        """Sets bytes of RAM."""
        self._do("poke", address=address, data=base64.b64encode(data).decode())

    def word(self, address):
        """A word of RAM or mapped flash."""
        return int.from_bytes(self.memory(address, 4), "little")

    def jump(self, address, stack=RAM + 0x42000):
        """Goes on at an address, as a debugger would: for programs that lie in RAM."""
        self._do("jump", address=address, stack=stack)

    def registers(self):
        """r0 to r14 and the flags N, Z, C, V as one number of four bits."""
        found = self._do("registers")
        return found["r"], found["apsr"]

    def register(self, address):
        """Reads a register of a peripheral, with the side effects of reading."""
        return self._do("register", address=address)

    # ---- recording

    def record(self):
        """Starts to keep the flash operations from here on; returns a Recording."""
        return Recording(self, self._do("record"))


class Ended(Exception):
    """The chip ended, or time was up, before it said what was waited for. `stop` says how."""

    def __init__(self, stop, wanted):
        super().__init__(f"{stop.why} {stop.detail}, not {wanted!r}: ...{stop.text[-400:]!r}")
        self.stop = stop


class Recording:
    """Flash operations since Pico.record(), each one a place to cut the power at.

    The next record() ends it.
    """

    def __init__(self, pico, number):
        self._pico = pico
        self._number = number

    @property
    def operations(self):
        """[(kind, offset, length)] in their order; kind is "erase" or "program"."""
        return [tuple(one) for one in self._pico._do("recorded", number=self._number)]

    def boot(self, index, kind="before", seed=0):
        """Powers up with the flash as a cut at operation `index` left it.

        Ends the recording: what happens from here on is not kept.
        """
        self._pico.power_off()
        self._pico._do("variant", number=self._number, index=index, kind=kind, seed=seed)
        self._pico.power_on()


def crc32_boot2(data):
    """CRC-32 of the boot ROM: the last word of a boot2 of 256 bytes is that of the other 252."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def with_checksum(boot2):
    """A boot2 of up to 252 bytes, padded and with its checksum."""
    padded = boot2.ljust(252, b"\0")
    if len(padded) != 252:
        raise ValueError(len(boot2))
    return padded + crc32_boot2(padded).to_bytes(4, "little")
