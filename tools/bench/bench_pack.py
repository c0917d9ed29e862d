# SPDX-License-Identifier: MIT
"""What a delta costs on a device: heap, time, bytes on the wire.

The images are the firmware of both MicroPythons that are built for the RP2040's tests, so map and
records are those of a real release; for heap and wire they lie inside an image of the simulated
ESP32, as bench_install.py has it.

delta_heap_min_kb      the smallest heap for check and install by a delta over HTTP: 32-bit,
                       library frozen, pure-Python verifier
delta_extra_heap_kb    beyond that of the same install without packs
delta_wire_bytes       both ways without TLS, all metadata and lists included
delta_wire_ratio       of the bytes of the same install without packs
delta_decode_ms        mean of all blocks on an emulated RP2040 with its flash's waits: record
                       in RAM to block in RAM, by what its firmware has frozen
delta_decode_max_ms    of the slowest block
delta_decode_vs_flash  delta_decode_ms against the data sheet's time to erase and program a block
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPO / folder) for folder in ("tools", "host_tests")]

import bench_install  # noqa: E402

import rp2_world  # noqa: E402
import world  # noqa: E402
from mpota.pack import form  # noqa: E402
from mpota.pack.encode import blocks_of, encode  # noqa: E402
from mpota.pack.layout import Layout  # noqa: E402
from rp2040.pico import XIP, Pico  # noqa: E402
from sim import image  # noqa: E402

# W25Q16JV, typical: a sector erased in 45 ms, a page programmed in 0.4 ms; and reading it back.
FLASH_MS = 55

_FIRMWARE = REPO / "build" / "rp2040"
_DATA = "data.bin"
_PIECE = 512
_DEVICE = """
import binascii, gc, hashlib, io, ota_rp2, time
from ota.image.pack import Pack
from ota.image.sources import OldSlot
class Blocks:
    block_size = 4096
    length = {length}
    count = {count}
    def start(self, block): return block * 4096
    def content(self, block): return min(4096, self.length - block * 4096)
buf = memoryview(bytearray(4096))
pack = Pack(io.BytesIO(head), Blocks(), buf, OldSlot(ota_rp2.Boot().running), {base!r})
def one(block, *record):
    gc.collect()
    begin = time.ticks_us()
    pack.build(block, buf, *record)
    took = time.ticks_diff(time.ticks_us(), begin)
    digest = hashlib.sha256(buf[:pack._blocks.content(block)]).digest()
    print(took, binascii.hexlify(digest).decode())
"""


def _links(variant: str) -> list[bytes]:
    return [(_FIRMWARE / variant / f"firmware-{slot}.bin").read_bytes() for slot in "ab"]


def _upload(pico: Pico, name: str, data: bytes) -> None:
    pico.exec(f"{name} = bytearray({len(data)})")
    for at in range(0, len(data), _PIECE):
        piece = data[at : at + _PIECE]
        pico.exec(f"{name}[{at}:{at + len(piece)}] = {piece!r}")


def _decode() -> dict[str, float]:
    """Build slot B of the newer firmware on a board that runs the older one in slot A."""
    import hashlib

    with tempfile.TemporaryDirectory() as name, Pico(waits=True) as pico:
        links = [_FIRMWARE / "test" / f"firmware-{slot}.bin" for slot in "ab"]
        board = rp2_world.World(Path(name), links)
        board.release("1.0.0")
        rp2_world.copy_uf2(pico, board.uf2())
        pico.power_on()
        pico.repl()
        old = pico.read_flash(board.slots[0], len(board.image(0, "1.0.0")))
        new = board.sign(_links("test-newer")[1], 1)
        layouts = [
            Layout(form.ARCH_THUMB, (form.Segment(0, XIP + slot, True),)) for slot in board.slots
        ]
        base = bytes(range(1, 9))
        blocks = blocks_of(len(new))
        data = encode(old, new, blocks, was=layouts[0], now=layouts[1], base=base)
        head = form.parse(data)
        _upload(pico, "head", data[: head.entries[0].offset])
        pico.exec(_DEVICE.format(length=len(new), count=len(blocks), base=base))
        times = []
        for block, (start, length) in enumerate(blocks):
            entry = head.entries[block]
            record = data[entry.offset :][: entry.length]
            if record:
                pico.exec(f"buf[:{len(record) - 1}] = {record[1:]!r}")
            what = f"{block}, {record[0]}, {len(record) - 1}" if record else f"{block}"
            took, digest = pico.exec(f"one({what})").split()
            if digest != hashlib.sha256(new[start : start + length]).hexdigest():
                raise RuntimeError(f"block {block} does not come out right")
            times.append(int(took) / 1000)
    mean = sum(times) / len(times)
    return {
        "delta_decode_ms": round(mean, 1),
        "delta_decode_max_ms": round(max(times), 1),
        "delta_decode_vs_flash": round(mean / FLASH_MS, 3),
    }


def _in_esp32(firmware: bytes, version: str) -> tuple[bytes, Layout]:
    """Return an image that holds the firmware, and its layout as that firmware's."""
    # References are looked for at offsets that are multiples of 4.
    for pad in range(4):
        made = image.build(version=version, modules={_DATA + "x" * pad: firmware})
        at = made.index(firmware)
        if at % 4 == 0:
            break
    return made, Layout(form.ARCH_THUMB, (form.Segment(at, XIP + 0x8000, True),))


class _Device(bench_install.Device):
    """One that runs a given image."""

    def runs(self, content: bytes) -> "_Device":
        slot = bench_install.SLOT
        running = content.ljust(slot, b"\xff")
        before = b"\xff" * bench_install.BEFORE_SLOTS
        self._flash = before + running + self._flash[len(before) + slot :]
        self.refresh()
        return self


def _install() -> dict[str, float]:
    old, was = _in_esp32(_links("test")[0], "1.0.0")
    new, now = _in_esp32(_links("test-newer")[1], "2.0.0")
    wire, heap = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = bench_install._compile(
            [(bench_install.DEVICES / "install_device.py", "install_device.py")], folder / "script"
        )
        for kind, deltas in (("raw", None), ("delta", 1)):
            made = world.World(folder / kind, bench_install.SLOT)
            made.release("1.0.0", old, frozen=True)
            released = made.release("2.0.0", new, deltas=deltas, frozen=True)
            if deltas:
                _put_pack(made, released, old, new, was, now)
            with bench_install._served(folder / f"web_{kind}", made) as server:
                counter = bench_install.Counter(int(server.http.rstrip("/").rpartition(":")[2]))
                url = f"http://127.0.0.1:{counter.port}/"
                device = _Device(folder / f"device_{kind}", made, url).runs(old)
                device.live()
                wire[kind] = counter.count
                counter.close()
                if device.spare(len(new)) != new:
                    raise RuntimeError("the spare slot does not hold the image")
                device = _Device(folder / f"heap_{kind}", made, server.http).runs(old)
                program = "micropython32-frozen"
                heap[kind] = bench_install._smallest_heap(device, program, (script,))
    return {
        "delta_heap_min_kb": heap["delta"],
        "delta_extra_heap_kb": heap["delta"] - heap["raw"],
        "delta_wire_bytes": wire["delta"],
        "delta_wire_ratio": round(wire["delta"] / wire["raw"], 4),
    }


def _put_pack(made: Any, released: Any, old: bytes, new: bytes, was: Layout, now: Layout) -> None:
    """Put the delta of the firmware in place of that of the image around it."""
    packs = released.release.custom["packs"]
    base = next(key for key in packs if key)
    data = encode(old, new, blocks_of(len(new)), was=was, now=now, base=bytes.fromhex(base))
    (made.repository / "targets" / released.release.path / packs[base]).write_bytes(data)


def figures() -> dict[str, float]:
    return {**_decode(), **_install()}


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
