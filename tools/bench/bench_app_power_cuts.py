# SPDX-License-Identifier: MIT
"""How many lives with power cuts a device with application updates has survived, on LittleFS and
on FAT (host_tests/app_power_cuts.py).

app_powercut_lives  lives that ended in a cut. FAT: every operation of every scenario, and every
                    STEP-th of each recovery. LittleFS: every SHARES-th operation, torn in every
                    way, and every STEP-th of each recovery; with SOAK=1 all of them
app_powercut_lost   of these: devices that started what nobody signed, did not arrive where they
                    should, or had lost space
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

import app_world  # noqa: E402
from sim.flash import TEARS  # noqa: E402

SCENARIOS = ("reset", "confirm", "unhealthy", "raise")
SHARES = 59
STEP = {"lfs": 97, "fat": 131}

Job = tuple[Path, str, str, int, int, int]


def _sweep(job: Job) -> dict[str, Any]:
    folder, files, scenario, step, share, shares = job
    command = [
        "build/bin/micropython-usermod",
        "-X",
        "heapsize=64m",
        "host_tests/app_power_cuts.py",
    ]
    arguments = [folder, files, scenario, ",".join(TEARS), step, share, shares]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=REPO,
        env={**os.environ, "MICROPYPATH": ".frozen"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
    )
    if done.returncode:
        raise RuntimeError(f"{files}, {scenario}, share {share}: {done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for lost in figures["lost"]:
        print(f"\n  lost on {files} in {scenario}: {lost}", end="", file=sys.stderr)
    return figures


def _jobs(folder: Path) -> Iterator[Job]:
    soak = os.environ.get("SOAK") == "1"
    for scenario in SCENARIOS:
        if soak:
            for share in range(SHARES):
                yield folder, "lfs", scenario, 7, share, SHARES
        else:
            yield folder, "lfs", scenario, STEP["lfs"], SHARES // 2, SHARES
        yield folder, "fat", scenario, 7 if soak else STEP["fat"], 0, 1


def figures() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "world")
        app_world.two_releases(folder)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            swept = list(pool.map(_sweep, _jobs(folder)))
    return {
        "app_powercut_lives": sum(found["lives"] for found in swept),
        "app_powercut_lost": sum(len(found["lost"]) for found in swept),
    }


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
