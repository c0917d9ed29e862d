# SPDX-License-Identifier: MIT
"""Speed of an install against the least that could be done: the device of bench_install.

    micropython -c "import speed_device" FOLDER install
    micropython -c "import speed_device" FOLDER floor HOST PORT PATH

The slot is in RAM and does as little as a slot can, so it hides nothing. `install` is timed from
the consent to the end: block list, scan, blocks, trial and switch. `floor` does for each block
what an install cannot do without, in a plain loop on a plain socket: read and hash what the slot
holds; receive, hash, erase, program, read back, hash. Prints milliseconds.
"""

import asyncio
import sys
import time
from binascii import hexlify
from hashlib import sha256

_BLOCK = 4096
_SLOT = 0x180000
_ERASED = b"\xff" * _BLOCK


class Slot:
    size = _SLOT
    block_size = _BLOCK

    def __init__(self):
        self._memory = memoryview(bytearray(_SLOT))

    def readinto(self, block, buf, offset=0):
        at = block * _BLOCK + offset
        buf[:] = self._memory[at : at + len(buf)]

    def erase(self, block):
        at = block * _BLOCK
        self._memory[at : at + _BLOCK] = _ERASED

    def program(self, block, data):
        at = block * _BLOCK
        self._memory[at : at + len(data)] = data

    def identity(self, length):
        return hexlify(self._memory[length - 32 : length]).decode()


class Boot:
    chip = "esp32"
    device_id = b"\x24\x0a\xc4\x00\x00\x01"
    image_name = "firmware.bin"
    slot = None
    counter = root_floor = seq_floor = 0
    boot_keys = lacks = None
    on_trial = False
    switch_pending = False
    length = 0

    def __init__(self):
        self.running = None
        self.spare = Slot()

    def identity(self, slot):
        return slot.identity(self.length) if slot and self.length else None

    def check_image(self, head, length):
        self.length = length

    def raise_root_floor(self, version):
        pass

    def raise_seq_floor(self, seq):
        pass

    def try_next(self, slot):
        self.switch_pending = True

    def disarm(self):
        pass


def install(folder):
    import ota
    import ota.wiring as wiring

    wiring.board = Boot
    updater = ota.Updater.from_config(folder + "/state")
    start = 0

    def consent(offer):
        nonlocal start
        start = time.ticks_us()
        return True

    event = asyncio.run(updater.update(consent=consent))
    passed = time.ticks_diff(time.ticks_us(), start)
    assert event.ready, event
    return passed


def floor(host, port, path):
    import socket

    slot = Slot()
    buf = memoryview(bytearray(_BLOCK))
    start = time.ticks_us()
    s = socket.socket()
    s.connect(socket.getaddrinfo(host, port)[0][-1])
    s.write("GET {} HTTP/1.0\r\n\r\n".format(path).encode())
    while True:
        line = s.readline()
        if line == b"\r\n":
            break
        if line.startswith(b"Content-Length:"):
            left = int(line[15:])
    count = (left + _BLOCK - 1) // _BLOCK
    for block in range(count):
        slot.readinto(block, buf)
        sha256(buf).digest()
    for block in range(count):
        content = min(left, _BLOCK)
        if s.readinto(buf[:content]) != content:
            raise OSError("short")
        left -= content
        sha256(buf).digest()
        slot.erase(block)
        slot.program(block, buf)
        slot.readinto(block, buf)
        sha256(buf).digest()
    return time.ticks_diff(time.ticks_us(), start)


def main(folder, what, *args):
    passed = install(folder) if what == "install" else floor(args[0], int(args[1]), args[2])
    print(passed / 1000)


main(*sys.argv[1:])
