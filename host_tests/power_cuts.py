# SPDX-License-Identifier: MIT
"""Cut the power at every flash operation of whole updates. Runs under MicroPython.

    micropython host_tests/power_cuts.py WORLD SCENARIO TEARS SECOND SHARE SHARES

WORLD is a folder that host_tests/world.py made: images and a repository. The device is the
simulated ESP32 with a real LittleFS on its flash, the real library, adapter and metadata; the
repository is read by the real folder adapter. Every erase and program has a number: of the
bootloader, of the library's records and documents (through LittleFS), of slots and otadata.

For each number and each way to tear the operation: cut there, then let the device live on. What
must hold, whatever happened:

    it boots                                         (never BootLoop)
    what boots is, byte for byte, an image that was signed or the one from the factory
    without further cuts it comes to the end of the scenario within a few boots

SECOND: how many operations of the recovery are cut too, for each first cut: 0 none, -1 all of
them, n every n-th, at an offset that depends on the first cut. SHARE of SHARES: this process takes
every SHARES-th first cut. Prints one line of JSON.
"""

import asyncio
import gc
import json
import os
import sys

sys.path[:0] = ["lib", "boards/esp32", "host_tests"]

from sim import chip, disk  # noqa: E402
from sim.flash import SECTOR, TEARS, Flash  # noqa: E402

_BOOTS = 14  # three tries of an image that ends without a word, twice over
CRASH = "crash"  # instead of an answer: it resets before anybody can ask


class Scenario:
    """What the new images do when they run, and where the device must end up."""

    def __init__(self, name, last, answers):
        self.name = name
        self.last = last  # the image that runs at the end
        self.answers = answers  # image name -> what its health check answers


SCENARIOS = {
    "confirm": Scenario("confirm", "v2", {"v2": True}),
    "unhealthy": Scenario("unhealthy", "v1", {"v2": False}),
    "crash": Scenario("crash", "v1", {"v2": CRASH}),
}


class StrictFlash(Flash):
    """Fails the test when our code programs flash that is not erased.

    LittleFS may: it finds out by reading back (a torn program can leave the end of a page written
    and its front blank), and moves on to another block.
    """

    file_system = 0  # where it begins

    def program(self, addr, data):
        self.strict = addr < self.file_system
        Flash.program(self, addr, data)


class Device:
    def __init__(self, world, scenario, rows, size):
        self.world = world
        self.scenario = scenario
        self.flash = StrictFlash(size)
        self.board = chip.Board(self.flash)
        self.images = {name: read(world + "/" + name + ".bin") for name in ("v1", "v2")}
        self.verdicts = {}
        self.known = {}
        self.board.format(rows, self.images["v1"])
        self.flash.file_system = self.board.row("vfs")[2]
        self.board.power_on()  # the first boot writes otadata
        with self.board:
            disk.mount("/flash")
            os.mkdir("/flash/ota-state")
            for name in ("config.json", "root.json"):
                with open("/flash/ota-state/" + name, "wb") as file:
                    file.write(read(world + "/" + name))
            disk.unmount("/flash")
        self.start = self.flash.snapshot()

    def runs(self):
        """Return the name of the image that the bootloader chose; it must be a whole one."""
        addr, size = self.board.running[2:4]
        key = (addr, self.flash.generation(addr, size))
        if key not in self.known:
            self.known[key] = self._compare(addr)
        return self.known[key]

    def _compare(self, addr):
        held = bytearray(SECTOR)
        for name, image in self.images.items():
            for at in range(0, len(image), SECTOR):
                piece = image[at : at + SECTOR]
                self.flash.read(addr + at, held)
                if held[: len(piece)] != piece:
                    break
            else:
                return name
        raise AssertionError("boots something that nobody signed", addr)

    def program(self):
        """One life: what boot.py and main.py of the README do."""
        name = self.runs()
        disk.mount("/flash", make=False)
        import machine

        import ota.trial as trial
        from ota.adapters.clock import Clock
        from ota.adapters.folder import Folder
        from ota.adapters.store import Store
        from ota.product import Product
        from ota.trust.client import Client
        from ota.updater import Updater
        from ota_esp32 import Boot

        boot = Boot()
        trial.guard(boot, 60)
        config = json.loads(read("/flash/ota-state/config.json"))
        device = {
            "product": config["product"],
            "board": config["board"],
            "channel": config["channel"],
            "groups": [],
            "kind": "firmware",
            "library": "source",
        }
        store = Store("/flash/ota-state")
        root = lambda: open("/flash/ota-state/root.json", "rb")  # noqa: E731, SIM115
        trust = Client(store, root, schemes=self._schemes())
        fetcher = Folder(self.world + "/repository")
        updater = Updater([Product(boot, device, store)], fetcher, store, trust, Clock())
        answer = self.scenario.answers.get(name)
        if answer == CRASH:
            machine.reset()
        if not asyncio.run(updater.settle(lambda: answer, within_s=5)):
            machine.reset()
        self.event = asyncio.run(updater.update())
        if self.event.ready:
            machine.reset()
        self.final = name

    def _schemes(self):
        """The real scheme table, with the verdict on the same bytes computed once."""
        from hashlib import sha256

        from ota.trust.keys import ed25519_scheme

        verdicts = self.verdicts
        schemes = ed25519_scheme()
        keytypes, public_key, verifier = schemes["ed25519"]

        class Remembering:
            def __init__(self, key, signature):
                self._real = verifier(key, signature)
                self._seen = sha256(key + signature)
                self._message = []

            def update(self, data):
                self._message.append(bytes(data))
                self._seen.update(data)

            def ok(self):
                seen = self._seen.digest()
                if seen not in verdicts:
                    for piece in self._message:
                        self._real.update(piece)
                    verdicts[seen] = self._real.ok()
                return verdicts[seen]

        schemes["ed25519"] = (keytypes, public_key, Remembering)
        return schemes

    def live(self):
        """One life; return how it ended."""
        self.final = None
        asyncio.new_event_loop()
        try:
            return self.board.live(self.program)
        finally:
            disk.unmount("/flash")

    def live_on(self):
        """Let the device live without (further) cuts; check where it arrives."""
        self.flash.cut_at = None
        for _ in range(_BOOTS):
            end = self.live()
            if end == "end":
                break
            assert end is chip.HardReset, end
        assert self.final == self.scenario.last, (self.final, str(self.event))
        assert not self.event.ready and self.board.otadata() is not None


def read(path):
    with open(path, "rb") as file:
        return file.read()


def count_operations(device, snapshot):
    """Return how many operations an uncut run from `snapshot` takes."""
    device.flash.restore(snapshot)
    before = device.flash.ops
    device.live_on()
    return device.flash.ops - before


def cut(device, snapshot, number, tear):
    """Run from `snapshot` up to a cut at operation `number`; return what flash holds then."""
    flash = device.flash
    flash.restore(snapshot)
    flash.cut_at = flash.ops + number
    flash.tear = tear
    for _ in range(_BOOTS):
        end = device.live()
        if end == "cut":
            return flash.snapshot()
        assert end is chip.HardReset, (end, number)
    raise AssertionError("no operation with this number", number)


def sweep(device, tears, second, share, shares):
    total = count_operations(device, device.start)
    figures = {"operations": total, "lives": 0, "seconds": 0, "lost": []}
    for number in range(share, total, shares):
        for tear in tears:
            try:
                after = cut(device, device.start, number, tear)
                figures["lives"] += 1
                recovery = count_operations(device, after)
                if second:
                    step = 1 if second < 0 else second
                    for again in range(number % step, recovery, step):
                        how = TEARS[(number + again) % len(TEARS)]
                        cut(device, after, again, how)
                        figures["seconds"] += 1
                        figures["lives"] += 1
                        device.live_on()
            except (AssertionError, chip.BootLoop) as error:
                figures["lost"].append([number, tear, repr(error)])
        gc.collect()
    return figures


def main(world, scenario, tears, second, share, shares):
    rows = [tuple(row) for row in json.loads(read(world + "/table.json"))]
    size = max(row[2] + row[3] for row in rows)
    device = Device(world, SCENARIOS[scenario], rows, size)
    figures = sweep(device, tears.split(","), int(second), int(share), int(shares))
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
