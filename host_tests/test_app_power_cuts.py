# SPDX-License-Identifier: MIT
"""Whole application updates, cut at operations of LittleFS and FAT (see app_power_cuts.py)."""

import json
import shutil

import pytest

import app_world
from sim.flash import TEARS

# One first cut in so many is tried, and every how many operations of its recovery are cut again;
# `make soak` and `make bench` take more.
SHARES = {"lfs": 331, "fat": 53}
SECOND = 151


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "repo"
    app_world.two_releases(folder)
    return folder


@pytest.fixture
def sweep(built, run_micropython):
    def sweep(folder, files, scenario, second=0, share=0, shares=1000, tears=TEARS):
        done = run_micropython(
            built("bin/micropython-usermod"),
            "host_tests/app_power_cuts.py",
            folder,
            files,
            scenario,
            ",".join(tears),
            str(second),
            str(share),
            str(shares),
            heap="32m",
            timeout=3600,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    return sweep


@pytest.mark.slow
@pytest.mark.parametrize("files", ["lfs", "fat"])
@pytest.mark.parametrize("scenario", ["confirm", "unhealthy", "raise", "reset"])
def test_no_cut_loses_the_application(sweep, folder, files, scenario, soak):
    shares, second = (1, 7) if soak else (SHARES[files], SECOND)
    tears = ("before", "after") if files == "fat" else TEARS if soak else ("head", "bits")
    figures = sweep(folder, files, scenario, second, shares // 2, shares, tears)
    assert figures["lost"] == []
    assert figures["operations"] > 150
    first = len(range(shares // 2, figures["operations"], shares))
    assert figures["lives"] == first * len(tears) + figures["seconds"]


def test_the_sweep_sees_wrong_bytes(sweep, folder, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    for image in broken.rglob("*app.img"):
        data = bytearray(image.read_bytes())
        data[-1] ^= 1
        image.write_bytes(data)
    with pytest.raises(AssertionError, match="ImageError"):
        sweep(broken, "lfs", "confirm")


def boot_py(repo, folder, old, new):
    """Give the device a boot.py that differs from ours."""
    text = (repo / "boards/app/boot.py").read_text()
    assert text.count(old) == 1
    (folder / "boot.py").write_text(text.replace(old, new))


def test_the_sweep_sees_a_try_that_is_not_written_down(sweep, folder, repo, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    boot_py(repo, tmp_path, 'trial = save(tree + "P")', "trial = True")
    with pytest.raises(AssertionError, match=r"ready: 2\.0\.0"):
        sweep(tmp_path, "fat", "reset")


def test_the_sweep_sees_a_tree_that_is_not_whole(sweep, folder, repo, tmp_path):
    """A boot.py that starts what it is told to, whole or not, and prefers b: half of b runs."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    boot_py(repo, tmp_path, '    os.stat(path + "/.ota-list")', '    os.stat(path + "/main.py")')
    text = (tmp_path / "boot.py").read_text().replace('content[:1] or "a"', '"b"')
    (tmp_path / "boot.py").write_text(text)
    figures = sweep(tmp_path, "fat", "confirm", shares=19)
    assert figures["lost"]


def test_record_is_written_though_its_folder_has_names_that_are_none(sweep, folder):
    """A folder of FAT that was growing when the power failed: listing /ota-state raised."""
    tears = ("before", "after")
    figures = sweep(folder, "fat", "confirm", second=131, share=28, tears=tears)
    assert figures["lost"] == []
    assert figures["seconds"]
