# SPDX-License-Identifier: MIT
"""Heap of the trust client on 32-bit MicroPython, whatever the size of the repository."""

import os
import shutil
import subprocess

import pytest

from repo_sim import Repository, time_text

IMAGE = "fw/demo/board/0/firmware.bin"
ROLLOUT = "rollout/demo/board/stable"


@pytest.fixture(scope="module")
def library(tmp_path_factory, repo, mpy_cross):
    """The library as .mpy: what a heap holds on a board where it is not frozen."""
    folder = tmp_path_factory.mktemp("mpy")
    for source in (repo / "lib").rglob("*.py"):
        out = folder / source.relative_to(repo / "lib").with_suffix(".mpy")
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([mpy_cross, "-O3", "-march=x86", "-o", out, source], check=True)
    return folder


def run(micropython, repo, library, folder, heap, what):
    shutil.rmtree(folder / "state", ignore_errors=True)
    (folder / "state").mkdir()
    return subprocess.run(
        [micropython, "-X", f"heapsize={heap}k", repo / "host_tests" / "trust_heap.py", folder,
         time_text(), what, IMAGE, ROLLOUT],
        env={**os.environ, "MICROPYPATH": f".frozen:{library}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip


def smallest(works):
    low, high = 8, 128
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


# KB of heap for the library from .mpy, a refresh() and two find() with the pure verifier.
# Minima move by 3 KB with the layout of the heap.
LIMIT = 70


@pytest.mark.parametrize("releases, roles", [(1, 2), (150, 2), (1, 12)])
def test_heap_does_not_grow_with_the_repository(
    micropython32, repo, library, tmp_path, releases, roles
):
    simulated = Repository()
    names = ["img-demo", "rollout"] + ["img-%02d" % i for i in range(roles - 2)]
    simulated.delegate(names[0], ["fw/demo/*/*/*"], terminating=True)
    simulated.delegate(names[1], ["rollout/*/*/*"], terminating=True)
    for name in names[2:]:
        simulated.delegate(name, ["fw/" + name + "/*/*/*"], terminating=True)
    for i in range(releases):
        path = IMAGE.replace("0", str(i))
        custom = {"seq": i, "minseq": 0, "identity": "0" * 64, "boards": ["board"]}
        simulated.add_target("img-demo", path, b"image", custom)
    simulated.add_target("rollout", ROLLOUT, b"", {"seq": 1})
    simulated.publish("targets", *names)
    (tmp_path / "metadata").mkdir()
    for name, data in simulated.files.items():
        (tmp_path / "metadata" / name).write_bytes(data)

    done = run(micropython32, repo, library, tmp_path, LIMIT, "pure")
    assert done.returncode == 0, done.stderr
    print(
        "bytes",
        len(simulated.document("img-demo")),
        "smallest heap",
        smallest(
            lambda heap: not run(micropython32, repo, library, tmp_path, heap, "pure").returncode
        ),
    )
