# SPDX-License-Identifier: MIT
"""How many lives with power cuts an RP2040 has survived (host_tests/rp2_power_cuts.py).

rp2_powercut_lives   lives that ended in a cut: every flash operation of the bootloader, of two
                     installs and of what an application records, not begun and torn in every
                     way; some of them cut again while they recover, with SOAK=1 each four times
rp2_powercut_lost    devices that did not boot, booted what nobody signed, or did not arrive
                     where they should
"""

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("lib", "boards/rp2040", "boards/rp2040/boot", "tools", "host_tests")
sys.path[:0] = [str(REPO / folder) for folder in FOLDERS]

import rp2_power_cuts  # noqa: E402
from rp2040.pico import Pico  # noqa: E402

SHARES = 8  # processes for each scenario, so that the cores end at about the same time

Job = tuple[str, int, int]


def _sweep(job: Job) -> tuple[int, int]:
    """Lives and losses of one share."""
    name, share, second = job
    with Pico() as pico:
        device = rp2_power_cuts.Device(pico, REPO, rp2_power_cuts.SCENARIOS[name])
        lost = list(rp2_power_cuts.sweep(device, share=share, shares=SHARES, second=second))
        for cuts, why in lost:
            print(f"\n  lost in {name}, cuts {cuts}: {why}", end="", file=sys.stderr)
        return device.lives, len(lost)


def figures() -> dict[str, float]:
    # Without SOAK one first cut in eight is cut again, those of the last share.
    soak = os.environ.get("SOAK") == "1"
    jobs = [
        (name, share, 4 if soak else int(share == SHARES - 1))
        for share in reversed(range(SHARES))
        for name in rp2_power_cuts.SCENARIOS
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        swept = list(pool.map(_sweep, jobs))
    return {
        "rp2_powercut_lives": sum(lives for lives, _ in swept),
        "rp2_powercut_lost": sum(lost for _, lost in swept),
    }


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
