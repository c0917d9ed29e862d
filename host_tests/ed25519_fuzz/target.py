# SPDX-License-Identifier: MIT
"""Builds target.c around the verifier in lib/ed25519, and feeds it."""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent.parent / "lib" / "ed25519"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror")
SANITIZERS = ("-g", "-fsanitize=address,undefined,bounds-strict", "-fno-sanitize-recover=all")
PORTABLE = "-DOTA_ED25519_PORTABLE"
END = b"\xff" * 4
NEW = 2


class Crash(Exception):
    """The process ended before it answered; the argument is what it said."""


def build(
    program: Path, flags: Sequence[str] = (), *, coverage: bool = False, sources: Path = SOURCES
) -> Path:
    """Compile the verifier in `sources` with these flags into `program`; return its path.

    `coverage`: of the field arithmetic none is taken, it has no decisions worth their time.
    """
    ours = [HERE / "target.c", *([HERE / "coverage.c"] if coverage else [])]
    # So that a block has the same address in every run.
    fixed = ["-fno-pie", "-DCOVERAGE"] if coverage else []
    objects = []
    for source in (*ours, *sorted(sources.glob("*.c"))):
        traced = coverage and source not in ours and not source.stem.startswith("field")
        trace = ["-fsanitize-coverage=trace-pc,trace-cmp"] if traced else []
        objects.append(program.with_name(f"{program.name}-{source.stem}.o"))
        options = [*WARNINGS, *flags, *fixed, *trace, f"-I{sources}"]
        subprocess.run(["gcc", *options, "-c", source, "-o", objects[-1]], check=True)
    subprocess.run(
        ["gcc", *flags, *(["-no-pie"] if coverage else []), *objects, "-o", program], check=True
    )
    return program


def frame(key: bytes, signature: bytes, pieces: Iterable[bytes]) -> bytes:
    parts = [key, signature]
    for piece in pieces:
        parts += (len(piece).to_bytes(4, "little"), piece)
    return b"".join((*parts, END))


class Target:
    """A running target: `send()` frames, then `receive()` as many answers."""

    def __init__(self, program: Path):
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def send(self, frames: bytes) -> None:
        try:
            self._pipe(self._process.stdin).write(frames)
            self._pipe(self._process.stdin).flush()
        except BrokenPipeError:
            pass  # `receive` tells why

    def receive(self, count: int) -> bytes:
        answers = self._pipe(self._process.stdout).read(count)
        if len(answers) < count:
            self._process.wait()
            error = self._pipe(self._process.stderr).read().decode(errors="replace")
            raise Crash(len(answers), self._process.returncode, error)
        return answers

    def judge(self, key: bytes, message: bytes, signature: bytes) -> bool:
        self.send(frame(key, signature, (message,)))
        return bool(self.receive(1)[0] & 1)

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe
