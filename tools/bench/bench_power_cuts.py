# SPDX-License-Identifier: MIT
"""How many lives with power cuts a device has survived (host_tests/power_cuts.py).

powercut_lives       lives that ended in a cut, on an image of 16 blocks: every operation of
                     every scenario, torn in every way; second cuts at every STEP-th operation
                     of each recovery, or at every one with SOAK=1 (which takes hours)
powercut_lives_real  the same, sampled, on an image of 1.4 MB
powercut_lost        of both: devices that did not boot, booted what nobody signed, or did not
                     arrive where they should
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPO / folder) for folder in ("tools", "host_tests")]

import world  # noqa: E402
from sim import table  # noqa: E402
from sim.flash import TEARS  # noqa: E402

SCENARIOS = ("confirm", "unhealthy", "crash")
SHARES = 8  # processes for each scenario, so that the cores end at about the same time
STEP = 89
REAL_LENGTH = 1_447_440
REAL_SHARES = 97  # of the first cuts, one in so many is tried
REAL_SAMPLES = 2
REAL_STEP = 701
MICROPYPATH = (".frozen", "lib", "boards/esp32", "host_tests", "host_tests/mp")

Job = tuple[Path, str, int, int, int]


def _sweep(job: Job) -> dict[str, Any]:
    folder, scenario, step, share, shares = job
    command = ["build/bin/micropython", "-X", "heapsize=64m", "host_tests/power_cuts.py"]
    arguments = [folder, scenario, ",".join(TEARS), step, share, shares]
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
        raise RuntimeError(f"{scenario}, share {share}: {done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for lost in figures["lost"]:
        print(f"\n  lost in {scenario}: {lost}", end="", file=sys.stderr)
    return figures


def _jobs(small: Path, real: Path, step: int) -> Iterator[Job]:
    # The long ones first.
    for sample in range(REAL_SAMPLES):
        share = (sample * 2 + 1) * REAL_SHARES // (2 * REAL_SAMPLES)
        yield real, SCENARIOS[sample % 2], REAL_STEP, share, REAL_SHARES
    for scenario in SCENARIOS:
        for share in range(SHARES):
            yield small, scenario, step, share, SHARES


def figures() -> dict[str, float]:
    step = 1 if os.environ.get("SOAK") == "1" else STEP
    with tempfile.TemporaryDirectory() as name:
        small, real = Path(name, "small"), Path(name, "real")
        world.two_releases(small, minseq=1)
        world.two_releases(real, rows=table.OTA_4M_VFS, length=REAL_LENGTH, minseq=1)
        jobs = list(_jobs(small, real, step))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            swept = list(zip(jobs, pool.map(_sweep, jobs), strict=True))
    return {
        "powercut_lives": sum(found["lives"] for job, found in swept if job[0] == small),
        "powercut_lives_real": sum(found["lives"] for job, found in swept if job[0] == real),
        "powercut_lost": sum(len(found["lost"]) for _, found in swept),
    }


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
