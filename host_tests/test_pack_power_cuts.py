# SPDX-License-Identifier: MIT
"""Installs by a delta alone, cut at flash operations (see power_cuts.py).

The repository holds neither the image nor a compressed pack, so a device that was thrown back to
them would be lost. `make bench` takes every operation.
"""

import json

import pytest

import pack_world
from sim.flash import TEARS

SHARES = 16


@pytest.mark.slow
def test_no_cut_loses_an_install_by_delta(run_micropython, micropython, tmp_path, soak):
    pack_world.two_releases(tmp_path / "repo", only=("delta",))
    done = run_micropython(
        micropython,
        "host_tests/power_cuts.py",
        tmp_path / "repo",
        "confirm",
        ",".join(TEARS),
        "401" if soak else "0",
        "3",
        "1" if soak else str(SHARES),
        heap="32m",
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["lost"] == [] and figures["operations"] > 100
    assert figures["lives"] >= figures["operations"] // SHARES * len(TEARS)
