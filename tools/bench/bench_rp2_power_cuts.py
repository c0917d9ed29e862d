# SPDX-License-Identifier: MIT
"""How many lives with power cuts an RP2040 has survived (host_tests/rp2_power_cuts.py).

rp2_powercut_lives       lives that ended in a cut: every flash operation of the bootloader, of
                         two installs and of what an application records, not begun and torn in
                         every way; some of them cut again while they recover, with SOAK=1 each
                         four times
rp2_powercut_lives_real  the same, sampled, of whole updates of OTA_PICO as it is built
rp2_powercut_lost        of both: devices that did not boot, booted what nobody signed, or did not
                         arrive where they should
"""

import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("lib", "boards/rp2040", "boards/rp2040/boot", "tools", "host_tests")
sys.path[:0] = [str(REPO / folder) for folder in FOLDERS]

import rp2_power_cuts  # noqa: E402
import rp2_world  # noqa: E402
from rp2040.pico import Pico  # noqa: E402

SHARES = 8  # processes for each scenario, so that the cores end at about the same time
REAL = "real"
REAL_SHARES = 61  # of the first cuts of a real update, two in so many are tried, and cut again
LINKS = [REPO / "build" / "rp2040" / "test" / f"firmware-{slot}.bin" for slot in "ab"]

Job = tuple[str, int, int, int]


def _sweep(job: Job) -> tuple[int, int]:
    """Lives and losses of one share."""
    name, share, shares, second = job
    with Pico() as pico, tempfile.TemporaryDirectory() as folder:
        if name == REAL:
            world = rp2_world.World(folder, LINKS)
            world.release("1.0.0")
            device = rp2_power_cuts.RealDevice(pico, world)
        else:
            device = rp2_power_cuts.Device(pico, REPO, rp2_power_cuts.SCENARIOS[name])
        lost = list(rp2_power_cuts.sweep(device, share=share, shares=shares, second=second))
        for cuts, why in lost:
            print(f"\n  lost in {name}, cuts {cuts}: {why}", end="", file=sys.stderr)
        return device.lives, len(lost)


def figures() -> dict[str, float]:
    # Without SOAK one first cut in eight is cut again, those of the last share.
    soak = os.environ.get("SOAK") == "1"
    jobs = [(REAL, share, REAL_SHARES, 1) for share in (REAL_SHARES // 3, 2 * REAL_SHARES // 3)]
    jobs += [
        (name, share, SHARES, 4 if soak else int(share == SHARES - 1))
        for share in reversed(range(SHARES))
        for name in rp2_power_cuts.SCENARIOS
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        swept = list(zip(jobs, pool.map(_sweep, jobs), strict=True))
    return {
        "rp2_powercut_lives": sum(lives for job, (lives, _) in swept if job[0] != REAL),
        "rp2_powercut_lives_real": sum(lives for job, (lives, _) in swept if job[0] == REAL),
        "rp2_powercut_lost": sum(lost for _, (_, lost) in swept),
    }


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
