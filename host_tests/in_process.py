# SPDX-License-Identifier: MIT
"""A device in this process: simulated ESP32, real adapter, store, trust and story. CPython.

    device = Device(folder, repository, root, image)   power is on, `image` runs
    event = device.update()                            Updater.update, to its end
    device.reset()                                     machine.reset(): the next life

    device = Device(..., app={"main.py": "..."})       with an application in two trees as well
    device = Device(..., content=None, app={...})      with nothing else

The repository is read by `Source`, a folder that counts, lies and waits as a test wants. What
outlives a life is the flash and the device's folder: `state` is /ota-state there, `ota-app` is
/ota-app. `close` gives `esp32` and `machine` back.
"""

import asyncio
import copy
import gc
import shutil
from io import BytesIO

from mpota import app as applications
from mpota.workspace import open_workspace
from ota.adapters import appdir
from ota.adapters.clock import Clock, shift
from ota.adapters.folder import Folder
from ota.adapters.store import Store
from ota.errors import StoreError
from ota.product import Product
from ota.trust.client import Client
from ota.updater import Updater
from sim import image, table
from sim.chip import SOFT_RESET, Board, HardReset
from sim.flash import Flash

LENGTH = 20000  # of an image: five blocks, the last one not full
BLOCKS = 5


def build(version, length=LENGTH, **changes):
    return image.build(length=length, version=version, **changes)


def clone(world, folder):
    """Return a copy of a World (world.py), to release and roll out something on."""
    made = copy.copy(world)
    made.folder = folder
    shutil.copytree(world.folder, folder)
    made.workspace = open_workspace(folder)
    made.repository = folder / "repository"
    return made


class Source(Folder):
    """A folder whose answers a test can watch, spoil and hold back.

    requests         (path, start, end) of every `open`
    opened, closed   bodies; `resets`: calls of `close`
    spoil(path, data)  returns what is served instead of these bytes of a body
    hold             asyncio.Event: bodies wait for it
    """

    def __init__(self, path, others=()):
        super().__init__(str(path))
        self._paths = [str(path), *map(str, others)]
        self.requests = []
        self.opened = self.closed = self.resets = self.skips = 0
        self.spoil = None
        self.hold = None

    async def open(self, path, start=0, end=None):
        self.requests.append((path, start, end))
        body = await super().open(path, start, end)
        self.opened += 1
        return _Body(self, path, body)

    def skip(self):
        self.skips += 1
        if self.skips == len(self._paths):
            return False
        self._path = self._paths[self.skips]
        return True

    async def close(self):
        self.resets += 1
        self.skips = 0
        self._path = self._paths[0]

    @property
    def blocks(self):
        """Return (start, end) of every request for a part of an image."""
        return [
            (start, end)
            for path, start, end in self.requests
            if path.endswith(("firmware.bin", "app.img"))
        ]


class _Body:
    def __init__(self, source, path, body):
        self._source = source
        self._path = path
        self._body = body
        self.length = body.length

    async def readinto(self, buf):
        await asyncio.sleep(0)
        if self._source.hold:
            await self._source.hold.wait()
        count = await self._body.readinto(buf)
        if self._source.spoil:
            data = self._source.spoil(self._path, bytes(buf[:count]))
            count = len(data)
            buf[:count] = data
        return count

    async def close(self):
        self._source.closed += 1
        await self._body.close()


class Balky(Store):
    """A store that refuses to save the records and make the documents named in `refuses`."""

    refuses = ()

    def save(self, name, data):
        self._check(name)
        super().save(name, data)

    def create(self, name):
        self._check(name)
        return super().create(name)

    def _check(self, name):
        if name in self.refuses:
            raise StoreError("file system", name, 28)


class Hands(Clock):
    """A clock that a test sets: `claims` (UTC), `uptime_s`, and what an NTP server would say.

    ntp      UTC string, an exception, or None: there is no server; `asked` counts
    """

    def __init__(self, claims):
        self.claims = claims
        self.uptime_s = 0
        self.ntp = None
        self.asked = 0

    async def ask(self):
        self.asked += 1
        if isinstance(self.ntp, Exception):
            raise self.ntp
        self.claims = self.ntp or self.claims
        return self.ntp is not None

    def utc(self):
        return self.claims

    def later(self, utc):
        return shift(utc, self.uptime_s)


class Device:
    def __init__(self, folder, world, content, source=None, rows=table.SMALL, app=None, **facts):
        self.folder = folder
        # The library collects garbage often, which takes a test longer than all the rest: leave
        # out what pytest and the host tool hold.
        gc.freeze()
        (folder / "state").mkdir(parents=True)
        self.source = source or Source(world.repository)
        self.root = world.root
        self.now = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.facts = {
            "product": "thermo" if content else None,
            "board": "devkit",
            "channel": "stable",
            "groups": [],
            "kind": "firmware",
            "library": "source",
            "utc": self.now,
        }
        self.facts.update(facts)
        self.app = app and {
            **self.facts,
            "product": "display",
            "kind": "app",
            "mpy": "6.3",
            "arch": ("xtensawin",),
        }
        if app:
            self.write_tree("a", app)
        self.clock = Hands(self.now)
        self.store = Balky(str(folder / "state"))
        self.log = []
        self.flash = Flash(table.SMALL_SIZE)
        self.flash.strict = True
        self.board = Board(self.flash)
        self.board.format(rows, content or build("stock"))
        self.start()

    def start(self, cause=1):
        """Boot, and join the parts as wiring.py does."""
        self.board.power_on(cause)
        self.board.install()
        from ota_esp32 import Boot

        self.boot = Boot()
        products = []
        if self.facts["product"]:
            self.product = Product(self.boot, self.facts, self.store)
            products.append(self.product)
        if self.app:
            if cause != SOFT_RESET:
                self._choose_tree()
            folder = str(self.folder)
            self.trees = appdir.Boot(folder + "/ota-app", folder + "/state", self.boot)
            self.application = Product(self.trees, self.app, self.store)
            products.append(self.application)
        self.trust = Client(self.store, self._open_root)
        self.updater = Updater(
            products, self.source, self.store, self.trust, self.clock, self._note
        )
        return self

    def _choose_tree(self):
        """Do what boards/app/boot.py does after a hard reset."""
        record = self.store.load("tree") or b"aV"
        if record[1:] == b"N":
            self.store.save("tree", record[:1] + b"P")
        elif record[1:] == b"P":
            self.store.save("tree", (b"b" if record[:1] == b"a" else b"a") + b"V")

    def write_tree(self, letter, files):
        """Put an application there, whole, as over USB."""
        files = {path: text.encode() for path, text in files.items()}
        for path, data in {**files, ".ota-list": applications.file_list(files)}.items():
            file = self.folder / "ota-app" / letter / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    def tree(self, letter):
        """Return path -> text of what a tree holds."""
        folder = self.folder / "ota-app" / letter
        return {
            str(file.relative_to(folder)): file.read_text()
            for file in folder.rglob("*")
            if file.is_file() and file.name != ".ota-list"
        }

    def reset(self):
        return self.start(HardReset.cause)

    def close(self):
        self.board.uninstall()

    def update(self, **how):
        return asyncio.run(self.updater.update(**how))

    def settle(self, healthy=True, within_s=5):
        """Settle with this function, or with one that gives this answer."""
        function = healthy if callable(healthy) else lambda: healthy
        return asyncio.run(self.updater.settle(function, within_s))

    def on_trial(self, **how):
        """Bring the newest release, and boot it."""
        assert self.update(**how).ready
        self.reset()
        assert self.boot.on_trial
        return self

    def on_tree_trial(self):
        """Bring the newest application, and start it."""
        assert self.update().ready
        self.reset()
        assert self.trees.on_trial
        return self

    @property
    def runs(self):
        return self.board.running[4]

    def spare(self, length=LENGTH):
        """Return what the spare slot holds."""
        held = bytearray(length)
        for at in range(0, length, 4096):
            self.boot.spare.readinto(at // 4096, memoryview(held)[at : at + 4096])
        return bytes(held)

    def slots(self):
        """Return a number that changes when something is written to a slot, or to otadata."""
        rows = [row for row in self.board.rows if row[0] == table.APP or row[4] == "otadata"]
        return sum(self.flash.generation(row[2], row[3]) for row in rows)

    def status(self):
        return self.updater.status()

    def _note(self, *facts):
        self.log.append(facts)

    def _open_root(self):
        return BytesIO(self.root)
