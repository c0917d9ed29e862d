# SPDX-License-Identifier: MIT
"""Cut the power at every operation of whole application updates. Runs under MicroPython.

    micropython host_tests/app_power_cuts.py WORLD FILES SCENARIO TEARS SECOND SHARE SHARES

WORLD is a folder that host_tests/app_world.py made: applications v1 and v2, a repository, what
`mpota provision` writes; also boot.py, if another one than ours is to be judged. FILES is "lfs"
(LittleFS on NOR flash: every erase and program is an operation, torn as sim.flash says) or "fat"
(FAT on a card: every sector, old or new). The device is a stock ESP32 with boards/app/boot.py and
main.py in its root, mounted at "/" as on a board; the library is frozen and reads the repository
from a folder.

For each operation and each way to tear it: cut there, then let the device live on. What must hold,
whatever happened:

    an application starts, and it is byte for byte one that was signed
    without further cuts the device comes to the end of the scenario within a few boots
    the file system loses no space (on FAT: no more than a file's clusters for each cut)

SECOND: how many operations of the recovery are cut too, for each first cut: 0 none, -1 all of
them, n every n-th, at an offset that depends on the first cut. SHARE of SHARES: this process takes
every SHARES-th first cut. Prints one line of JSON.
"""

import asyncio
import gc
import json
import os
import sys
import time

import vfs

HERE = os.getcwd()
vfs.umount("/")
vfs.mount(vfs.VfsPosix(), "/host")
sys.path[:] = [".frozen"] + ["/host" + HERE + "/" + name for name in ("lib", "host_tests")]

from sim import card, chip, disk, image, table  # noqa: E402
from sim.flash import TEARS, Flash, PowerCut  # noqa: E402

_BOOTS = 14  # three tries of an application that ends without a word, twice over
_LITTLEFS_SIZE = 0x80000
_FAT_SIZE = 320 * 1024
_LEAK = 48 * 1024  # of FAT's clusters, for two cuts
_FACTORY = (table.APP, table.FACTORY, 0x10000, 0x10000, "factory")
_FILES = 0x20000


class Scenario:
    """What v2 does when it runs, and which application the device must end up with."""

    def __init__(self, last, does):
        self.last = last
        self.does = does


SCENARIOS = {
    "confirm": Scenario("v2", "healthy"),
    "unhealthy": Scenario("v1", "unhealthy"),
    "raise": Scenario("v1", "raise"),
    "reset": Scenario("v1", "reset"),
}


class _Copy:
    """A module, to be changed."""

    def __init__(self, module):
        for name in dir(module):
            if not name.startswith("__"):
                setattr(self, name, getattr(module, name))


def _nothing_starts(seconds):
    raise AssertionError("no application starts")


class Device:
    def __init__(self, world, files, scenario, size=_LITTLEFS_SIZE):
        self.world = "/host" + world
        self.scenario = scenario
        self.flash = Flash(_FILES + size)
        self.board = chip.Board(self.flash)
        rows = (_FACTORY, (table.DATA, 0x81, _FILES, size, "vfs"))
        self.board.format(rows, image.build(length=0x4000))
        self.is_fat = files == "fat"
        self.medium = card.Card(_FAT_SIZE) if self.is_fat else self.flash
        self.tears = card.TEARS if self.is_fat else TEARS
        self.signed = {name: self._read_tree(name) for name in ("v1", "v2")}
        self.final = None
        sys.modules["sys"] = _Copy(sys)
        sys.modules["sys"].platform = "esp32"
        sys.modules["time"] = _Copy(time)
        sys.modules["time"].sleep = _nothing_starts  # boot.py waits a minute then
        self.board.install()
        sys.modules["application"] = self  # what both applications call
        self.board.power_on()
        self.medium.power_on()
        self._format()
        self._provision()
        self.usually_free = None
        self.most_lost = 0
        self.start = self.medium.snapshot()

    # The file system

    def _disk(self):
        return card.Disk(self.medium) if self.is_fat else disk.disk()

    def _format(self):
        self.type = vfs.VfsFat if self.is_fat else vfs.VfsLfs2
        self.type.mkfs(self._disk())

    def mount(self):
        vfs.mount(self.type(self._disk()), "/")
        os.chdir("/")

    def unmount(self):
        try:  # noqa: SIM105 - MicroPython has no contextlib
            vfs.umount("/")
        except OSError:
            pass

    def _provision(self):
        self.mount()
        os.mkdir("/ota-state")
        os.mkdir("/ota-app")
        for name in ("config.json", "root.json"):
            copy(self.world + "/" + name, "/ota-state/" + name)
        copy("/host" + HERE + "/boards/app/main.py", "/main.py")
        own = "boot.py" in os.listdir(self.world)
        copy((self.world if own else "/host" + HERE + "/boards/app") + "/boot.py", "/boot.py")
        for path, data in sorted(self.signed["v1"].items()):
            write("/ota-app/a/" + path, data)
        self.unmount()

    def _read_tree(self, name):
        top = self.world + "/" + name + "/"
        return {path: read(top + path) for path in walk(top)}

    # One life

    def program(self):
        """What the port does after a reset: boot.py, then main.py unless that failed."""
        self.mount()
        before = list(sys.path)
        sys.path.insert(0, "")
        try:
            scope = {"__name__": "__main__"}
            for name in ("boot.py", "main.py"):
                exec(compile(read("/" + name), name, "exec"), scope)
        finally:
            sys.path[:] = before

    def run(self, name=None):
        """What main.py of application `name` calls."""
        assert name in (None, self.runs())
        name = self.runs()
        import machine

        import ota
        from ota.adapters.folder import Folder

        does = self.scenario.does if name == "v2" else "healthy"
        if does == "reset":
            machine.reset()
        if does == "raise":
            raise ValueError("as the test wants it")
        fetcher = Folder(self.world + "/repository")
        updater = ota.Updater.from_config(fetcher=fetcher)
        if not asyncio.run(updater.settle(lambda: does == "healthy", within_s=5)):
            machine.reset()
        self.event = asyncio.run(updater.update())
        if self.event.ready:
            machine.reset()
        self.final = name
        found = os.statvfs("/")
        self.free = found[1] * found[3]

    def runs(self):
        """Return the name of the application that boot.py chose; it must be a whole one."""
        path = next(path for path in sys.path if path.startswith("/ota-app/"))
        held = {name: read(path + "/" + name) for name in walk(path + "/")}
        for name, files in self.signed.items():
            if held == files:
                return name
        raise AssertionError("starts something that nobody signed", path, sorted(held))

    def live(self):
        """One life; return how it ended."""
        self.final = end = None
        asyncio.new_event_loop()
        self.medium.power_on()
        try:
            end = self.board.live(self.program)
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001
            # Closing a file that the cut broke raises something else on the way up.
            if self.medium.powered:
                raise AssertionError("ends at the REPL", repr(error))  # noqa: B904
        except BaseException:
            if self.medium.powered:
                raise
        finally:
            self.unmount()
        return end if self.medium.powered else "cut"  # of the board or of its card

    def live_on(self):
        """Let the device live without (further) cuts; check where it arrives."""
        self.medium.cut_at = None
        for _ in range(_BOOTS):
            end = self.live()
            if end == "end":
                break
            assert end is chip.HardReset, end
        assert self.final == self.scenario.last, (self.final, str(self.event))
        assert not self.event.ready
        if self.usually_free is None:
            self.usually_free = self.free
        # LittleFS may have a metadata pair more or less; what a file had is never lost.
        lost = self.usually_free - self.free
        self.most_lost = max(self.most_lost, lost)
        assert lost <= (_LEAK if self.is_fat else 4 * 4096), ("space lost", lost)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    at = path.find("/", 1)
    while at > 0:
        try:  # noqa: SIM105
            os.mkdir(path[:at])
        except OSError:
            pass
        at = path.find("/", at + 1)
    with open(path, "wb") as file:
        file.write(data)


def copy(source, target):
    write(target, read(source))


def walk(top):
    """Return the paths, below `top`, of all files."""
    found = []
    folders = [""]
    for folder in folders:
        for name in os.listdir((top + folder)[:-1]):
            name = folder + name
            if os.stat(top + name)[0] & 0x4000:
                folders.append(name + "/")
            else:
                found.append(name)
    return found


def count_operations(device, snapshot):
    """Return how many operations an uncut run from `snapshot` takes."""
    device.medium.restore(snapshot)
    before = device.medium.ops
    device.live_on()
    return device.medium.ops - before


def cut(device, snapshot, number, tear):
    """Run from `snapshot` up to a cut at operation `number`; return what the medium holds then."""
    medium = device.medium
    medium.restore(snapshot)
    medium.cut_at = medium.ops + number
    medium.tear = tear
    for _ in range(_BOOTS):
        end = device.live()
        if end == "cut":
            return medium.snapshot()
        assert end is chip.HardReset, (end, number)
    raise AssertionError("no operation with this number", number)


def sweep(device, tears, second, share, shares):
    total = count_operations(device, device.start)
    figures = {"operations": total, "lives": 0, "seconds": 0, "space_lost": 0, "lost": []}
    for number in range(share, total, shares):
        for tear in tears:
            try:
                after = cut(device, device.start, number, tear)
                figures["lives"] += 1
                recovery = count_operations(device, after)
                if second:
                    step = 1 if second < 0 else second
                    for again in range(number % step, recovery, step):
                        how = device.tears[(number + again) % len(device.tears)]
                        cut(device, after, again, how)
                        figures["seconds"] += 1
                        figures["lives"] += 1
                        device.live_on()
            except (AssertionError, chip.BootLoop, PowerCut) as error:
                figures["lost"].append([number, tear, repr(error)])
        gc.collect()
    figures["space_lost"] = device.most_lost
    return figures


def main(world, files, scenario, tears, second, share, shares):
    device = Device(world, files, SCENARIOS[scenario])
    wanted = [tear for tear in tears.split(",") if tear in device.tears]
    figures = sweep(device, wanted, int(second), int(share), int(shares))
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
