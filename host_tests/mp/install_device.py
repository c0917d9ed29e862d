# SPDX-License-Identifier: MIT
"""One life of a device that checks and installs over HTTP, for tools/bench/bench_install.py.

    micropython -c "import install_device" FOLDER [trace] [cut N] [check]

FOLDER has flash.bin (otadata, then two slots), state/ (what `mpota provision` writes) and takes
trace.txt. Everything but the chip is real: wiring, adapters, `ota_esp32`. The chip is as small as
it can be made, since its Python counts into the heap that is measured.

    trace    write each flash operation and each piece of image that was read to trace.txt
    cut N    power fails in the middle of the N-th flash operation: half of it is done
    check    look for a release and decline it
"""

import asyncio
import struct
import sys
import time
from binascii import crc32

try:
    from micropython import const
except ImportError:

    def const(x):
        return x


_BLOCK = const(4096)
_SLOT = const(0x180000)
_OTA_0 = const(0x10)


class Chip:
    """Stands for the modules `esp32` and `machine`, and for the flash behind them."""

    file = None
    log = None
    ops = 0
    cut = -1

    @staticmethod
    def unique_id():
        return b"\x24\x0a\xc4\x00\x00\x01"


class Partition:
    """Known by its subtype: otadata is 0, the running slot ota_0, the spare one ota_1."""

    RUNNING = _OTA_0
    TYPE_DATA = 1

    def __init__(self, subtype):
        self.subtype = subtype

    @staticmethod
    def find(kind=0, subtype=0):
        return [Partition(subtype)] if subtype in (0, _OTA_0, _OTA_0 + 1) else []

    def info(self):
        return 0, self.subtype, self._seek(0, 0), _SLOT, "", False

    def get_next_update(self):
        return Partition(_OTA_0 + 1)

    def readblocks(self, block, buf, offset=0):
        self._seek(block, offset)
        Chip.file.readinto(buf)

    def writeblocks(self, block, data, offset):
        self._operate("program", block, data)

    def ioctl(self, request, block):
        blank = b"\xff" * 64
        self._operate("erase", block, blank)
        for _ in range(_BLOCK // 64 - 1):
            Chip.file.write(blank)

    def set_boot(self):
        # `ota_esp32` has written sequence 1 into the other sector before the install.
        record = bytearray(b"\xff" * 32)
        struct.pack_into("<I", record, 0, 2)
        struct.pack_into("<II", record, 24, 0, crc32(record[:4], 0xFFFFFFFF))
        Partition(0)._operate("program", 0, record)

    def _operate(self, what, block, data):
        if Chip.log:
            Chip.log.write("{} {} {}\n".format(what, self.subtype, block))
        self._seek(block, 0)
        if Chip.ops == Chip.cut:
            Chip.file.write(memoryview(data)[: len(data) // 2])
            print("cut")
            time.sleep(60)  # until it is killed
        Chip.ops += 1
        Chip.file.write(data)

    def _seek(self, block, offset):
        start = 0x2000 + (self.subtype - _OTA_0) * _SLOT if self.subtype else 0
        Chip.file.seek(start + block * _BLOCK + offset)
        return start


class NVS:
    """Keeps nothing, as one that is full."""

    def __init__(self, namespace):
        pass

    def get_i32(self, key, value=None):
        raise OSError(-0x1102)

    set_i32 = get_i32


Chip.Partition = Partition
Chip.NVS = NVS


class Tracing:
    """A Fetcher that notes how many bytes of the image were read."""

    def __init__(self, fetcher):
        self._fetcher = fetcher
        self.needs_clock = fetcher.needs_clock
        self.skip = fetcher.skip
        self.close = fetcher.close

    async def open(self, path, *span):
        body = await self._fetcher.open(path, *span)
        return TracingBody(body) if path.endswith("firmware.bin") else body


class TracingBody:
    def __init__(self, body):
        self._body = body
        self.close = body.close

    async def readinto(self, buf):
        count = await self._body.readinto(buf)
        Chip.log.write("read 0 {}\n".format(count))
        return count


def main(folder, options):
    Chip.file = open(folder + "/flash.bin", "r+b")
    if "cut" in options:
        Chip.cut = int(options[options.index("cut") + 1])
    sys.modules["esp32"] = sys.modules["machine"] = Chip
    import ota
    import ota.wiring as wiring

    # `sys.platform` of a host cannot be changed.
    wiring.board = lambda: __import__("ota_esp32").Boot()
    updater = ota.Updater.from_config(folder + "/state")
    if "trace" in options:
        Chip.log = open(folder + "/trace.txt", "w")
        updater._fetcher = Tracing(updater._fetcher)
    event = asyncio.run(
        updater.update(consent=(lambda offer: False) if "check" in options else None)
    )
    print(event.kind)


main(sys.argv[1], sys.argv[2:])
