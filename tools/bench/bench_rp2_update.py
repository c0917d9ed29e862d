# SPDX-License-Identifier: MIT
"""An update of the whole firmware on the emulated RP2040, over the serial line.

rp2_erases_per_switch       of a record's sector, for one update
rp2_install_s               of the chip's time: metadata, transfer, check, flash, switch
rp2_install_floor_s         of it, what the flash takes by its data sheet, typically
rp2_install_vs_floor        how much of the time is the flash's
rp2_image_bytes             of one slot
rp2_second_link_bytes       that differ between the images of both slots
rp2_second_link_delta_bytes deflated differences, block by block: what the second link would
                            cost as a delta against the first
"""

import sys
import tempfile
import zlib
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPO / "host_tests")]

from rp2_world import World, copy_uf2  # noqa: E402
from rp2040.pico import Pico  # noqa: E402

# W25Q16JV, typical: a sector erased in 45 ms, a page programmed in 0.4 ms.
_ERASE_S = 0.045
_PROGRAM_S = 0.0004
_BLOCK = 4096


def figures() -> dict[str, float]:
    links = [REPO / "build" / "rp2040" / "test" / f"firmware-{slot}.bin" for slot in "ab"]
    with tempfile.TemporaryDirectory() as folder, Pico() as pico:
        world = World(folder, links)
        world.release("1.0.0")
        copy_uf2(pico, world.uf2())
        pico.power_on()
        world.provision(pico)
        world.release("2.0.0")
        pico.repl()
        before, wear = pico.counters(), pico.state()["wear"]
        told = world.update(pico)
        if told != "ready: 2.0.0":
            raise RuntimeError(told)
        after, worn = pico.counters(), pico.state()["wear"]
    erases = [worn.get(at, 0) - wear.get(at, 0) for at in ("8192", "12288")]
    seconds = (after.nanoseconds - before.nanoseconds) / 1e9
    floor = (after.erases - before.erases) * _ERASE_S
    floor += (after.programs - before.programs) * _PROGRAM_S
    return {
        "rp2_erases_per_switch": sum(erases),
        "rp2_install_s": round(seconds, 2),
        "rp2_install_floor_s": round(floor, 2),
        "rp2_install_vs_floor": round(floor / seconds, 3),
        **_second_link(*(path.read_bytes() for path in links)),
    }


def _second_link(first: bytes, second: bytes) -> dict[str, float]:
    delta = 0
    for at in range(0, len(second), _BLOCK):
        pairs = zip(first[at : at + _BLOCK], second[at : at + _BLOCK], strict=True)
        packer = zlib.compressobj(9, zlib.DEFLATED, -12)
        delta += len(packer.compress(bytes(b - a & 0xFF for a, b in pairs)) + packer.flush())
    return {
        "rp2_image_bytes": len(second),
        "rp2_second_link_bytes": sum(a != b for a, b in zip(first, second, strict=True)),
        "rp2_second_link_delta_bytes": delta,
    }
