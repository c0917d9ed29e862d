# SPDX-License-Identifier: MIT
"""Whole updates of the simulated ESP32, cut at every flash operation (see power_cuts.py)."""

import json

import pytest

import world
from sim.flash import TEARS

SHARES = 4
# Of the operations one in so many is cut first, and one in so many of a recovery is cut again;
# `make soak` and `make bench` take all of the first and more of the second.
FIRST = 3
SECOND = 401


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Version 1 runs; version 2 raises the floor above it."""
    folder = tmp_path_factory.mktemp("world") / "repo"
    world.two_releases(folder, minseq=1)
    return folder


def sweep(run_micropython, micropython, folder, scenario, second, share, shares=SHARES):
    done = run_micropython(
        micropython,
        "host_tests/power_cuts.py",
        folder,
        scenario,
        ",".join(TEARS),
        str(second),
        str(share),
        str(shares),
        heap="32m",
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("scenario", ["confirm", "unhealthy", "crash"])
def test_no_cut_loses_the_device(run_micropython, micropython, folder, scenario, share, soak):
    first, second = (1, 1) if soak else (FIRST, SECOND)
    shares = SHARES * first
    figures = sweep(run_micropython, micropython, folder, scenario, second, share * first, shares)
    assert figures["lost"] == []
    assert figures["operations"] > 100
    first = len(range(share * first, figures["operations"], shares)) * len(TEARS)
    assert figures["lives"] == first + figures["seconds"]


def test_the_sweep_sees_a_device_that_is_lost(run_micropython, micropython, folder, tmp_path):
    """With a repository whose image is not what was signed, every life must be reported."""
    broken = tmp_path / "broken"
    for source in folder.rglob("*"):
        if source.is_file():
            copy = broken / source.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            content = bytearray(source.read_bytes())
            if source.name.endswith(".firmware.bin"):
                content[5000] ^= 1
            copy.write_bytes(content)
    with pytest.raises(AssertionError, match="ImageError"):
        sweep(run_micropython, micropython, broken, "confirm", 0, 0)
