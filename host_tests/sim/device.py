# SPDX-License-Identifier: MIT
"""One life of a simulated ESP32, as a process of real MicroPython.

    micropython host_tests/sim/device.py FLASHFILE [OPTION VALUE]...

Power comes on, the bootloader chooses a slot, the "vfs" partition is mounted as "/", and boot.py
and main.py run: from the image in the slot if they are frozen into it, else from the file system.
A frozen _boot.py mounts in the place of the simulator.
As on the chip, an exception prints its trace and ends at the REPL, and one in boot.py leaves out
main.py. The process ends when the life does; its exit status says how (see below). What needs time
from outside (watchdog, power) is the work of `supervisor.py`.

    frozen DIR:DIR   host folders that stand for modules frozen into every firmware
    chip NAME        esp32 (default), esp32c3, ...
    cause N          what machine.reset_cause() answers
    running LABEL    after a deep sleep or soft reset: the partition that stays
    clock SECONDS    Unix time that the RTC shows now; without it that of the host
    cut N, tear T, seed S   cut power in flash operation N of this life
    repl MODE        the REPL is on standard input and output when the program is over; "raw": it
                     begins in raw mode, as after a soft reset from there, and without main.py
    platform NAME, build NAME, machine TEXT, mpy N   what `sys` says (esp32, else the truth)
    report PATH      where watchdog and clock are reported to, a line each:
                     "watchdog MS" (armed or fed, from now on), "clock SECONDS", "ops N",
                     "interrupt N" (as micropython.kbd_intr says), "running LABEL",
                     "started 1" (boot.py comes next), "sleep MS"

`time` counts from 2000, as on the chip.
"""

import os
import sys
import time

import micropython
import vfs

RESET = 10
CUT = 11
PANIC = 12
SLEEP = 13
IDLE = 14
SOFT = 15
DEAD = 16

_EPOCH_2000 = 946684800


class _Rom:
    """The Python that is frozen into the running image, as a read-only file system."""

    def __init__(self, files):
        self._files = files

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def stat(self, path):
        path = path.strip("/")
        if path in self._files:
            return (0x8000, 0, 0, 0, 0, 0, len(self._files[path]), 0, 0, 0)
        if any(name.startswith(path + "/") for name in self._files):
            return (0x4000, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        raise OSError(2)

    def open(self, path, mode):
        import io

        try:
            return io.BytesIO(self._files[path.strip("/")])
        except KeyError:
            raise OSError(2)


class _Time:
    """The module `time` with the board's clock."""

    def __init__(self, board):
        from sim.chip import seconds_of

        for name in dir(time):
            if not name.startswith("__"):
                setattr(self, name, getattr(time, name))
        # An application is `__main__`, as this file is: it may give the name `time` to another.
        now, fields = time.time, time.gmtime
        self.time = lambda: int(now()) + board.clock_offset - _EPOCH_2000
        self.time_ns = lambda: self.time() * 1000000000
        self.gmtime = lambda at=None: fields((self.time() if at is None else at) + _EPOCH_2000)
        self.localtime = self.gmtime
        self.mktime = lambda t: seconds_of(*t[:6]) - _EPOCH_2000


class _Copy:
    """The attributes of another object, to be changed."""

    def __init__(self, other):
        for name in dir(other):
            if not name.startswith("__"):
                setattr(self, name, getattr(other, name))


class _Sys(_Copy):
    """The module `sys` of a board."""

    def __init__(self, options):
        super().__init__(sys)
        self.platform = options.get("platform", "esp32")
        self.implementation = _Copy(sys.implementation)
        for name in ("build", "machine"):
            if name in options:
                setattr(self.implementation, "_" + name, options[name])
        if "mpy" in options:
            self.implementation._mpy = int(options["mpy"])


def _options(words):
    return {words[at]: words[at + 1] for at in range(0, len(words) - 1, 2)}


def _source(rom, name):
    """Return the source of boot.py or main.py, or None."""
    if name in rom:
        return rom[name].decode()
    try:
        with open("/" + name) as file:
            return file.read()
    except OSError as error:
        if error.args[0] not in (2, 19):  # no such file, nothing mounted
            sys.print_exception(error)
        return None


def _run(rom, name, scope, report):
    """Run a start script; return whether the next one may run."""
    source = _source(rom, name)
    if source is None:
        return True
    report("interrupt", 3)  # each script can be interrupted, whatever the one before has said
    try:
        exec(compile(source, name, "exec"), scope)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the interpreter's own
        sys.print_exception(error, sys.stdout)
        return False
    return True


def _start(board, flash, options, report):
    from sim import disk, image
    from sim.chip import PWRON_RESET
    from sim.repl import Repl

    cause = int(options.get("cause", PWRON_RESET))
    board.power_on(cause, options.get("running"))
    for line in board.log:
        print(line)
    report("running", board.running[4])
    board.install()
    rom = image.frozen(flash.read, board.running[2])
    folders = [folder for folder in options.get("frozen", "").split(":") if folder]

    vfs.umount("/")
    vfs.mount(vfs.VfsPosix(), "/host")
    vfs.mount(_Rom(rom), "/rom")
    own = "_boot.py" in rom  # a firmware of ours mounts for itself
    if not own:
        disk.mount("/")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/rom"] + ["/host" + folder for folder in folders] + ["/lib"]
    sys.argv[:] = []
    sys.modules["time"] = _Time(board)
    sys.modules["sys"] = _Sys(options)
    sys.modules["micropython"] = _Copy(micropython)
    sys.modules["micropython"].kbd_intr = lambda byte: report("interrupt", byte)

    scope = {"__name__": "__main__"}
    repl = options.get("repl")
    try:
        report("started", 1)
        if own:
            _run(rom, "_boot.py", scope, report)
        if _run(rom, "boot.py", scope, report) and repl != "raw":
            _run(rom, "main.py", scope, report)
    except KeyboardInterrupt:  # between the two
        pass
    while repl:
        try:
            Repl(scope, repl == "raw").serve()
            break
        except KeyboardInterrupt:  # before it listens
            pass


def main(argv):
    now = time.time  # the name may be another's later
    here = argv[0].rpartition("/")[0] or "."
    sys.path.insert(0, here + "/..")
    from sim.chip import Board, BootLoop, ChipReset, DeepSleep, Panic
    from sim.flash import Flash, PowerCut

    path = argv[1]
    options = _options(argv[2:])
    flash = Flash(os.stat(path)[6], path, int(options.get("seed", 0)))
    if "cut" in options:
        flash.cut_at = int(options["cut"])
        flash.tear = options.get("tear", "before")
    board = Board(flash, chip=options.get("chip", "esp32"))
    if "clock" in options:
        board.clock_offset = int(options["clock"]) - int(now())
    pipe = open(options["report"], "wb", 0) if "report" in options else None

    def report(word, value):
        if pipe:
            pipe.write(b"%s %s\n" % (word.encode(), str(value).encode()))

    board.watchdog.on_change = lambda limit: report("watchdog", limit)
    try:
        _start(board, flash, options, report)
        status = IDLE
    except PowerCut:
        status = CUT
    except BootLoop as error:
        print("boot loop:", error)
        status = DEAD
    except DeepSleep as sleep:
        report("sleep", sleep.args[0])
        status = SLEEP
    except Panic as panic:
        print("abort() was called:", panic)
        status = PANIC
    except ChipReset:
        status = RESET
    except SystemExit:
        status = SOFT
    report("clock", int(now()) + board.clock_offset)
    report("ops", flash.ops)
    return status


sys.exit(main(sys.argv))
