# SPDX-License-Identifier: MIT
"""The contract of every Slot and Boot, held by the RP2040 adapter on an emulated board.

Each call of the contract's tests is one of Python on the device. Images are put into the spare
slot by a programmer, after an erase by the device, which saves a minute for each.
"""

import os
import unittest

import pytest

from mpota import rp2040
from ota import errors
from portable.contract_slot_boot import SlotBootContract
from rp2_world import World, copy_uf2
from rp2040.pico import CUTS, DeviceError, Ended, Pico

pytestmark = pytest.mark.slow

SOAK = os.environ.get("SOAK") == "1"
BEGIN = "import ota_rp2, binascii\nboot = ota_rp2.Boot()\nbuf = bytearray(4096)\n"


class PowerCut(BaseException):
    pass


class Remote:
    """Python on the device."""

    def __init__(self, pico):
        self.pico = pico

    def run(self, code):
        try:
            return self.pico.exec(code).strip()
        except DeviceError as error:
            name, _, text = str(error).strip().splitlines()[-1].partition(":")
            kind = getattr(errors, name, {"ValueError": ValueError}.get(name))
            if kind is None:
                raise
            raise kind(text) from None
        except Ended as ended:
            if ended.stop.why == "cut":
                raise PowerCut from None
            raise


class RemoteSlot:
    block_size = 4096

    def __init__(self, remote, name):
        self._remote = remote
        self._name = name

    @property
    def size(self):
        return int(self._remote.run(f"print(boot.{self._name}.size)"))

    def readinto(self, block, buf, offset=0):
        length = len(buf)
        read = f"boot.{self._name}.readinto({block}, memoryview(buf)[:{length}], {offset})"
        if length > 4096:
            read = f"boot.{self._name}.readinto({block}, bytearray({length}))"
        buf[:] = bytes.fromhex(
            self._remote.run(
                f"{read}\nprint(binascii.hexlify(memoryview(buf)[:{length}]).decode())"
            )
        )

    def erase(self, block):
        self._remote.run(f"boot.{self._name}.erase({block})")

    def program(self, block, data):
        same = len(data) and data == data[:1] * len(data)
        text = f"{bytes(data[:1])!r} * {len(data)}" if same else repr(bytes(data))
        self._remote.run(f"boot.{self._name}.program({block}, {text})")


class RemoteBoot:
    def __init__(self, pico):
        self._remote = Remote(pico)
        self._remote.run(BEGIN)
        self.running = RemoteSlot(self._remote, "running")
        self.spare = RemoteSlot(self._remote, "spare")

    def _name(self, slot):
        return f"boot.{slot._name}"

    @property
    def on_trial(self):
        return self._remote.run("print(boot.on_trial)") == "True"

    @property
    def switch_pending(self):
        return self._remote.run("print(boot.switch_pending)") == "True"

    def identity(self, slot):
        told = self._remote.run(f"print(boot.identity({self._name(slot)}))")
        return None if told == "None" else told

    def check_image(self, head, length):
        head = bytes(head)[:0x108]
        self._remote.run(f"boot.check_image({head!r}, {length})")

    def try_next(self, slot):
        self._remote.run(f"boot.try_next({self._name(slot)})")

    def confirm(self):
        self._remote.run("boot.confirm(); boot.disarm()")

    def revert(self):
        self._remote.run("boot.revert()")


class TestContract(SlotBootContract, unittest.TestCase):
    TEARS = CUTS if SOAK else ("torn",)
    PowerCut = PowerCut

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def board(cls, built, tmp_path_factory):
        links = [built(f"rp2040/test/firmware-{slot}.bin") for slot in "ab"]
        cls.world = World(tmp_path_factory.mktemp("contract"), links)
        cls.image_running = cls.world.release("0.0.1", "s").image
        cls.images = {}
        with Pico(loose=True) as cls.pico:  # one test programs over what is there
            copy_uf2(cls.pico, cls.world.uf2())
            cls.pico.power_on()
            cls.pico.exec("pass")  # the file system is made
            cls.pico.power_off()
            cls.ready = cls.pico.keep_flash()
            yield

    def start(self):
        self.pico.uncut()
        self.pico.power_off()
        self.pico.restore_flash(self.ready)
        self.at = 0  # the slot that runs, as far as images are concerned
        self.hard_reset()

    def hard_reset(self):
        self.pico.power_on()
        try:
            self.boot = RemoteBoot(self.pico)
        except Ended as ended:
            if ended.stop.why == "cut":
                raise PowerCut from None
            raise
        self.at = int(self.boot._remote.run("print(boot.running.number)"))

    def _image(self, number, slot):
        if (number, slot) not in self.images:
            self.images[number, slot] = self.world.image(slot, f"0.0.{number}", "s")
        return self.images[number, slot]

    def image(self, number):
        return self._image(number, 1 - self.at)

    def identity_of(self, data):
        return rp2040.parse_image(bytes(data)).identity

    def write_spare(self, data):
        self.boot.spare.erase(0)
        self.pico.write_flash(self.world.slots[1 - self.at], bytes(data).ljust(0x80000, b"\xff"))

    def operations(self):
        return self.pico.counters().operations

    def cut_at(self, number, tear="before"):
        if number is None:
            self.pico.uncut()
        else:
            self.pico.cut(self.operations() + number, tear, seed=number)

    def sweep(self, prepare, act, judge):
        if SOAK:
            return SlotBootContract.sweep(self, prepare, act, judge)
        # A few cuts, and none in the boot after them, which test_rp2_boot*.py have.
        number, done = 0, False
        while not done:
            self.start()
            prepare()
            self.cut_at(number, self.TEARS[number % len(self.TEARS)])
            try:
                act()
                done = True
            except PowerCut:
                pass
            self.cut_at(None)
            self.hard_reset()
            judge()
            # An install of the whole slot has thousands; its last ones test_rp2_power_cuts cuts.
            number += 1 if number < 2 else 8 if number < 64 else 97
        return number
