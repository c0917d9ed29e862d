# SPDX-License-Identifier: MIT
"""Cut the power at every flash operation of an RP2040's bootloader and of its installs.

The bootloader is the one that users install, run by the emulated chip. Images are a few KB,
signed, and stop at a BKPT whose number is their version; what their application would do then
(confirm or revert, install the next release block by block, ask for a trial) is done by the real
adapter and the real installer under CPython, on the chip's flash. Each erase and each page has a
number.

    device = Device(pico, repo, SCENARIOS["good"])
    device.live([])                              -> operations of a life without a cut
    device.live([(17, "torn", 3), (2, "before", 0)])     cut at operation 17, and at the third
                                                         operation after that

A life ends when nothing is left to do. What must hold, whatever happened:

    it always boots, and what boots is byte for byte an image that the owner signed
    an image that was not confirmed runs once for each time that it was asked for
    at the end the newest good image runs, also after more power-ups

otherwise live() raises Lost. `sweep` goes through the cuts; torn cells are weak: they read
differently at each power-up, some of them right at first, until they are programmed or erased.
"""

import contextlib
import hashlib
import io
import random
import struct
import sys
import types
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

import flash_map
import rp2_boot
import rp2_world
from mpota import rp2040
from ota.image.blocks import BlockList
from ota.image.install import Install
from rp2040.pico import XIP, ChipError, Ended, PowerCut

MAP = flash_map.MAPS["2mb"]
OWNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
SECTOR = 4096
CODE = 2 * SECTOR + 700  # three blocks with header and signature
SLEEP = b"\xfe\xe7"  # b .
ENTRY = 0xC0
BOOTS = 20  # more than any life with two cuts needs
TEARS = (6, 0, 7, 1, 4, 59)  # seeds of torn operations: one for each style of tearing
POWER_UPS = 4  # at the end: time for a weak bit to show


class Lost(Exception):
    """The device is not what it must be."""


@dataclass(frozen=True)
class Scenario:
    """Versions in the order of their release; 1 is what the factory installed."""

    name: str
    versions: tuple[int, ...]
    bad: tuple[int, ...] = ()  # their application reverts
    hangs: tuple[int, ...] = ()  # they hang at their first instruction

    @property
    def last(self):
        return next(v for v in reversed(self.versions) if v not in self.bad + self.hangs)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("good", (1, 2, 3)),
        Scenario("reverts", (1, 2), bad=(2,)),
        Scenario("hangs", (1, 2), hangs=(2,)),
        # A record lasts as long as its image: also when the release after it is no good.
        Scenario("then hangs", (1, 2, 3), hangs=(3,)),
        Scenario("after a bad one", (1, 2, 3), bad=(2,)),
    )
}


class _Board:
    """What both devices do with their cuts."""

    lives = 0  # that ended in a power cut

    def _begin(self, cuts):
        self.pico.power_off()
        self.pico.restore_flash(self.start)
        self._cuts = list(cuts)
        self._arm()

    def _next_life(self):
        self.lives += 1
        self._arm()

    def _arm(self):
        self._begun = self.pico.counters().operations
        if self._cuts:
            operation, kind, seed = self._cuts.pop(0)
            self.pico.cut(self._begun + operation, kind, seed)
        else:
            self.pico.uncut()

    def _done(self):
        """Return the operations since the last cut."""
        return self.pico.counters().operations - self._begun


class Device(_Board):
    """A board with its flash as the factory left it, and the releases that it is to go through."""

    def __init__(self, pico, repo, scenario):
        self.pico = pico
        self.scenario = scenario
        self.images = {}  # (version, slot) -> bytes
        for version in scenario.versions:
            for slot in (0, 1):
                self.images[version, slot] = image(version, slot, hangs=version in scenario.hangs)
        pico.renew(bkpt=True, strict=True, usb=False, weak=True)
        loader = (repo / "boards/rp2040/boot/ota_boot_2mb.bin").read_bytes()
        loader = rp2040.set_keys(loader, [rp2_boot.raw(OWNER)])
        first = rp2040.parse_image(self.images[1, 0])
        for offset, data in rp2040.bundle(loader, first).items():
            pico.write_flash(offset, data)
        # What an older release left behind.
        old = random.Random(7).randbytes(3 * SECTOR)
        pico.write_flash(MAP.slots[1], old)
        self.start = pico.keep_flash()

    def live(self, cuts):
        """Live until nothing is left to do; return the operations since the last cut."""
        pico = self.pico
        self._begin(cuts)
        self.asked = 0  # for trials
        self.tried = 0
        for _ in range(BOOTS):
            pico.power_on()
            version = self._boot()
            if version is None:
                self._next_life()
                continue
            pico.power_off()
            try:
                done = self._application(version)
            except PowerCut:
                self._next_life()
                continue
            if done:
                break
        else:
            raise Lost("does not settle")
        operations = self._done()
        for _ in range(POWER_UPS):
            pico.power_on()
            if self._boot() != self.scenario.last:
                raise Lost("does not stay where it arrived")
        return operations

    def operations(self):
        """[(kind, offset)] of a life without a cut."""
        self.pico.power_off()
        self.pico.restore_flash(self.start)
        recording = self.pico.record()
        self.live([])
        return [(kind, offset) for kind, offset, _ in recording.operations]

    def _boot(self):
        """Run to the application; return its version, or None for a power cut."""
        pico = self.pico
        while True:
            before = self._marks()
            stop = pico.run(seconds=30, on_reset=True)
            if stop.why == "cut":
                return None
            if stop.why == "reset" and self._tried_since(before):
                self._count_trial()
                continue  # a release that hangs
            if stop.why != "bkpt":
                raise Lost(f"{stop.why} {stop.detail}")
            break
        version = stop.which
        self.slot = 0 if stop.pc < XIP + MAP.slots[1] else 1
        image = self.images.get((version, self.slot))
        if image is None or pico.read_flash(MAP.slots[self.slot], len(image)) != image:
            raise Lost(f"boots what nobody signed, in slot {self.slot}")
        if self._tried_since(before):
            self._count_trial()
        return version

    def _marks(self):
        return [self.pico.read_flash(at + flash_map.MARKS_AT, 4) for at in MAP.records]

    def _tried_since(self, before):
        return any(
            old == b"\xff" * 4 and new != old
            for old, new in zip(before, self._marks(), strict=True)
        )

    def _count_trial(self):
        self.tried += 1
        if self.tried > self.asked:
            raise Lost("a trial that nobody asked for")

    def _application(self, version):
        """What the application of the running image does; True when nothing is left to do."""
        with _modules(self.pico, XIP + MAP.slots[self.slot] + 0x100 + ENTRY | 1) as ota_rp2:
            boot = ota_rp2.Boot()
            _prepare(boot)
            if boot.on_trial:
                if version in self.scenario.bad:
                    boot.revert()
                else:
                    boot.confirm()
                return False
            if boot.switch_pending:
                return False
            later = self.scenario.versions[self.scenario.versions.index(version) + 1 :]
            spare = boot._record(boot.spare)
            ended = spare is not None and spare[2][ota_rp2._ABORTED]
            rejected = self.scenario.bad + self.scenario.hangs
            wanted = [v for v in later if not (ended and v in rejected)]
            if not wanted:
                return True
            image = self.images[wanted[0], 1 - self.slot]
            _install(boot, image)
            self.asked += 1
            boot.try_next(boot.spare)
            return False


def _prepare(boot):
    """Where a test of this sweep may spoil the adapter."""


def image(version, slot, *, hangs=False, key=OWNER):
    address = XIP + MAP.slots[slot]
    code = bytearray(rp2_boot.vectors(address))
    code += random.Random(100 * version + slot).randbytes(CODE - len(code))
    code[ENTRY : ENTRY + 2] = SLEEP if hangs else bytes((version, 0xBE))
    return rp2_boot.make_image(address, key, code=bytes(code), counter=version)


def _install(boot, image):
    """Make the spare slot hold the image, as ota.updater does."""
    padded = image.ljust(-(-len(image) // SECTOR) * SECTOR, b"\xff")
    pieces = [padded[at : at + SECTOR] for at in range(0, len(padded), SECTOR)]
    digests = io.BytesIO(b"".join(hashlib.sha256(piece).digest() for piece in pieces))
    buf = memoryview(bytearray(SECTOR))
    install = Install(boot.spare, BlockList(digests, len(image), SECTOR), buf, boot.check_image)
    for _ in install.scan():
        pass
    while run := install.next_run():
        for block in range(*run):
            buf[:] = pieces[block]
            install.put(block)


class _Registers(dict):
    """machine.mem32: what the adapter reads and writes, no more."""

    def __init__(self, reset):
        super().__init__({0xE000ED08: 0x20000000, 0x20000004: reset})

    def __missing__(self, address):
        return 0


def _block_device(pico):
    base = MAP.records[0]

    class Flash:
        """_rp2.Flash of the board definitions: all that lies behind the bootloader."""

        def __init__(self, *, start=0, len=MAP.flash_size - base):
            self.at = base + start
            self.size = len

        def ioctl(self, what, argument):
            if what == 4:
                return self.size // SECTOR
            if what == 6:
                pico.erase(self.at + argument * SECTOR)
            return 0

        def readblocks(self, block, buf, offset=0):
            at = self.at + block * SECTOR + offset
            memoryview(buf)[:] = pico.read_flash(at, len(buf))

        def writeblocks(self, block, data, offset):
            for at in range(0, len(data), 256):
                pico.program(
                    self.at + block * SECTOR + offset + at, bytes(memoryview(data)[at : at + 256])
                )

    return Flash


def _verify(key, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(bytes(signature), bytes(message))
    except InvalidSignature:
        return False
    return True


@contextlib.contextmanager
def _modules(pico, reset):
    """The adapter, fresh as after a reset, on modules of MicroPython that reach the flash."""
    machine = types.ModuleType("machine")
    machine.mem32 = _Registers(reset)
    machine.unique_id = lambda: b"12345678"
    rp2 = types.ModuleType("_rp2")
    rp2.Flash = _block_device(pico)
    uctypes = types.ModuleType("uctypes")
    uctypes.bytearray_at = lambda address, length: pico.read_flash(address - XIP, length)
    native = types.ModuleType("ota_ed25519")
    native.sha512 = hashlib.sha512
    native.verify = _verify
    lax = types.ModuleType("struct")  # MicroPython's takes a buffer that is longer than it needs
    vars(lax).update(vars(struct), unpack=struct.unpack_from)
    fakes = {"machine": machine, "_rp2": rp2, "uctypes": uctypes}
    fakes |= {"ota_ed25519": native, "struct": lax}
    names = [*fakes, "ota.adapters.wdt_rp2", "ota_rp2"]
    saved = {name: sys.modules.pop(name, None) for name in names}
    sys.modules.update(fakes)
    try:
        import ota_rp2

        yield ota_rp2
    finally:
        for name in names:
            sys.modules.pop(name, None)
            if saved[name] is not None:
                sys.modules[name] = saved[name]


def first_cuts(operations):
    """Each operation, not begun and torn in each way; after the last one, done."""
    for operation in range(operations):
        yield operation, "before", 0
        for seed in TEARS:
            yield operation, "torn", seed
    yield operation, "after", 0


def sweep(device, *, share=0, shares=1, second=0):
    """Yield the cuts of each life that was lost, and why: best nothing.

    Every shares-th of the first cuts, beginning with number `share`. second: after each, how many
    chains with a second cut are tried too, at random operations of the recovery.
    """
    operations = device.live([])
    for number, cut in enumerate(first_cuts(operations)):
        if number % shares != share:
            continue
        dice = random.Random(number)
        chains = [[cut]]
        while chains:
            cuts = chains.pop()
            try:
                recovery = device.live(cuts)
            except (Lost, ChipError) as error:
                yield cuts, str(error)
                continue
            if len(cuts) == 1 and recovery:
                for _ in range(second):
                    kind = dice.choice(("before", "torn", "torn"))
                    chains.append([cut, (dice.randrange(recovery), kind, dice.choice(TEARS))])


class RealDevice(_Board):
    """The same for OTA_PICO as it is built, with its file system: MicroPython, `ota` and the
    repository of rp2_world. It goes from one release to the next. Its life takes seconds.

    Cells are not weak here: LittleFS is not made for that.
    """

    def __init__(self, pico, world, blocks=2):
        """`world` has 1.0.0; `blocks` of the next release are missing in the spare slot."""
        self.pico = pico
        self.world = world
        pico.renew(file_system=MAP.fs)
        rp2_world.copy_uf2(pico, world.uf2("1.0.0"))
        spare = bytearray(world.image(1, "2.0.0", does="g"))
        for block in range(1, blocks):
            at = block * len(spare) // blocks
            spare[at : at + 8] = bytes(8)
        pico.write_flash(world.slots[1], spare)
        pico.power_on()
        world.provision(pico)
        if world.update(pico) != "up to date":
            raise Lost("before any cut")
        world.release("2.0.0")
        pico.power_off()
        self.start = pico.keep_flash()

    def live(self, cuts):
        pico = self.pico
        self._begin(cuts)
        for _ in range(BOOTS):
            try:
                pico.power_on()
                stop = pico.run(until="settled", seconds=30)
                if stop.why != "text":
                    raise Ended(stop, "settled")
                event = self.world.update(pico)
            except Ended as ended:
                if ended.stop.why != "cut":
                    raise Lost(str(ended)) from ended
                self._next_life()
                continue
            if event == "up to date":
                break
            if event != "ready: 2.0.0":
                raise Lost(event)
        else:
            raise Lost("does not settle")
        ask = "import ota_rp2; boot = ota_rp2.Boot(); print(boot.running.number, boot.on_trial)"
        if pico.exec(ask).split() != ["1", "False"]:
            raise Lost("does not run the new release")
        return self._done()
