# SPDX-License-Identifier: MIT
"""How many lives with power cuts a device has survived that is updated by a delta alone.

delta_powercut_lives  lives that ended in a cut: every flash operation of an update of the
                      simulated ESP32 (host_tests/power_cuts.py), torn in every way, and of an
                      emulated RP2040's (host_tests/rp2_power_cuts.py) one in RP2_SHARES. The
                      repository holds the delta and nothing that could take its place
delta_powercut_lost   devices that did not boot, booted what nobody signed, or did not arrive
"""

import contextlib
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("lib", "boards/rp2040", "boards/rp2040/boot", "tools", "host_tests")
sys.path[:0] = [str(REPO / folder) for folder in FOLDERS]

import pack_world  # noqa: E402
import rp2_power_cuts  # noqa: E402
from mpota.pack.encode import blocks_of, encode  # noqa: E402
from mpota.pack.layout import layout_of  # noqa: E402
from mpota.release import block_list  # noqa: E402
from ota.image.blocks import BlockList  # noqa: E402
from ota.image.install import Install  # noqa: E402
from ota.image.pack import Pack  # noqa: E402
from ota.image.sources import OldSlot  # noqa: E402
from rp2040.pico import Pico  # noqa: E402
from sim.flash import TEARS  # noqa: E402

SHARES = 8
RP2_SHARES = 3  # of the first cuts, one in so many is tried
SECTOR = 4096
BASE = b"\1" * 8
MICROPYPATH = (".frozen", "lib", "boards/esp32", "host_tests", "host_tests/mp")


def _esp32(folder: Path, share: int) -> dict[str, Any]:
    command = ["build/bin/micropython", "-X", "heapsize=64m", "host_tests/power_cuts.py"]
    arguments = [folder, "confirm", ",".join(TEARS), 0, share, SHARES]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=REPO,
        env={**os.environ, "MICROPYPATH": ":".join(MICROPYPATH)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"share {share}: {done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _install(boot: Any, image: bytes) -> None:
    """In place of rp2_power_cuts._install: every block comes out of a delta's record."""
    length = struct.unpack_from("<I", _running(boot, 32), 12)[0] + 4096
    old = _running(boot, min(length, boot.running.size))
    data = _delta(old, image)
    blocks = BlockList(BytesIO(block_list(image)), len(image), SECTOR)
    buf = memoryview(bytearray(SECTOR))
    pack = Pack(BytesIO(data), blocks, buf, OldSlot(boot.running), BASE)
    install = Install(boot.spare, blocks, buf, boot.check_image, boot.running)
    for _ in install.scan():
        pass
    while True:
        for _ in install.fill():
            pass
        run = install.next_run()
        if run is None:
            return
        for block in range(*run):
            begin, end = pack.span(block, block + 1)
            record = data[begin:end]
            buf[: max(0, len(record) - 1)] = record[1:]
            pack.build(block, buf, *((record[0], len(record) - 1) if record else ()))
            install.put(block)


@cache
def _delta(old: bytes, new: bytes) -> bytes:
    was, now = layout_of(old, "rp2040"), layout_of(new, "rp2040")
    return encode(old, new, blocks_of(len(new)), was=was, now=now, base=BASE)


def _running(boot: Any, length: int) -> bytes:
    held = bytearray(length)
    for at in range(0, length, SECTOR):
        boot.running.readinto(0, memoryview(held)[at : at + SECTOR], at)
    return bytes(held)


@contextlib.contextmanager
def _by_delta() -> Iterator[None]:
    before = rp2_power_cuts._install
    rp2_power_cuts._install = _install
    try:
        yield
    finally:
        rp2_power_cuts._install = before


def _rp2(share: int) -> tuple[int, list[Any]]:
    with Pico() as pico, _by_delta():
        device = rp2_power_cuts.Device(pico, REPO, rp2_power_cuts.SCENARIOS["good"])
        lost = list(rp2_power_cuts.sweep(device, share=share, shares=RP2_SHARES))
        return device.lives, lost


def figures() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name, "repo")
        pack_world.two_releases(folder, only=("delta",))
        swept = list(pool.map(lambda share: _esp32(folder, share), range(SHARES)))
    lives, lost = _rp2(1)
    for what in [entry for found in swept for entry in found["lost"]] + lost:
        print(f"\n  lost: {what}", end="", file=sys.stderr)
    return {
        "delta_powercut_lives": lives + sum(found["lives"] for found in swept),
        "delta_powercut_lost": len(lost) + sum(len(found["lost"]) for found in swept),
    }


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
