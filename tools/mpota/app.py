# SPDX-License-Identifier: MIT
"""An application release: a folder, as the one file and the file list that devices fetch (SPEC 7).

    app.img          the contents of all files, sorted by path (bytewise), one after the other
    app.img.blocks   for each file: u8 length of path | path | u32le size | a digest per block

Blocks never span two files, and the last block of a file is hashed as long as it is. The identity
of an application is SHA-256 of its file list, which covers paths, sizes and contents.

What is wrong with a folder is said here, before anything is signed: every rule of the list that a
device insists on, what cannot run there, and what would shadow the library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mpota.errors import MpotaError

BLOCK = 4096
DIGEST = 32
MAX_LIST = 65536
MAX_PATH = 96
MAX_FILES = 1000
MAX_DEPTH = 8
MAX_TOTAL = 16 << 20

_STEP = re.compile(r"[A-Za-z0-9._-]+")
_LEFTOVERS = re.compile(
    r"\..*|__pycache__|.*\.pyc|.*\.pyo|.*~|#.*#|.*\.sw[op]|.*\.bak|.*\.orig|.*\.tmp"
    r"|Thumbs\.db|desktop\.ini",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Collected:
    files: dict[str, bytes]  # path -> content, sorted by path
    ignored: list[str]  # paths that were left out; a folder ends in "/"


def collect(folder: Path) -> Collected:
    """Read an application's folder, without what editors, Python and systems leave behind."""
    if not folder.is_dir():
        raise MpotaError("not a folder", folder, "name the application's folder")
    files: dict[str, bytes] = {}
    ignored: list[str] = []
    for path in _walk(folder, folder, ignored):
        name = path.relative_to(folder).as_posix()
        try:
            files[name] = path.read_bytes()
        except OSError as error:
            raise MpotaError("cannot read", path, error.strerror or "") from error
    check_files(files, folder)
    return Collected(dict(sorted(files.items())), sorted(ignored))


def _walk(folder: Path, top: Path, ignored: list[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        name = path.relative_to(top).as_posix()
        if _LEFTOVERS.fullmatch(path.name):
            ignored.append(f"{name}/" if path.is_dir() and not path.is_symlink() else name)
        elif path.is_dir():
            if path.is_symlink():  # it may lead round in a circle, or out of what was meant
                raise MpotaError("link to a folder", path, "put the folder itself there")
            yield from _walk(path, top, ignored)
        elif path.is_file():
            yield path
        else:
            raise MpotaError("neither file nor folder", path, "remove it")


def check_files(files: Mapping[str, bytes], where: Path | str) -> None:
    """Raise MpotaError unless these files can be an application's, by the rules of SPEC 7."""
    if not files:
        raise MpotaError("no files", where, "an application has at least a main.py")
    if len(files) > MAX_FILES:
        raise MpotaError(f"{len(files)} files", where, f"devices take at most {MAX_FILES}")
    for path in files:
        check_path(path, where)
    _check_clashes(files, where)
    total = sum(map(len, files.values()))
    if total > MAX_TOTAL:
        raise MpotaError(f"{total} bytes", where, f"devices take at most {MAX_TOTAL}")
    length = len(file_list(files))
    if length > MAX_LIST:
        what = f"file list of {length} bytes, more than {MAX_LIST}"
        raise MpotaError(what, where, "join small files, or shorten their paths")


def check_path(path: str, where: Path | str = "") -> None:
    """Raise MpotaError unless a device would take this path."""
    steps = path.split("/")
    for step in steps:
        if not _STEP.fullmatch(step) or step in (".", ".."):
            shown = Path(where) / path if where else path
            raise MpotaError("not a name for a device's file", shown, "use A-Z a-z 0-9 . _ -")
        if step.startswith(".ota"):
            raise MpotaError("names beginning with .ota are the library's", path, "rename it")
    if len(path) > MAX_PATH:
        raise MpotaError(f"path of {len(path)} characters", path, f"use at most {MAX_PATH}")
    if len(steps) > MAX_DEPTH:
        raise MpotaError(f"path of {len(steps)} steps", path, f"use at most {MAX_DEPTH}")


def _check_clashes(files: Mapping[str, bytes], where: Path | str) -> None:
    """Refuse what a file system that ignores case could not hold."""
    seen: dict[str, str] = {}
    for path in files:
        other = seen.setdefault(path.lower(), path)
        if other != path:
            raise MpotaError(f"{other} and {path} differ only in case", where, "rename one")
    for path in files:
        steps = path.lower().split("/")
        for count in range(1, len(steps)):
            other = seen.get("/".join(steps[:count]), "")
            if other:
                raise MpotaError(f"{other} is a file and the folder of {path}", where, "rename it")


def image(files: Mapping[str, bytes]) -> bytes:
    """Return app.img."""
    return b"".join(files[path] for path in _in_order(files))


def file_list(files: Mapping[str, bytes], digest: int = DIGEST) -> bytes:
    """Return app.img.blocks, with the first `digest` bytes (16 to 32) of each hash."""
    parts = []
    for path in _in_order(files):
        name, data = path.encode("ascii"), files[path]
        parts += [bytes((len(name),)), name, len(data).to_bytes(4, "little")]
        for at in range(0, len(data), BLOCK):
            parts.append(sha256(data[at : at + BLOCK]).digest()[:digest])
    return b"".join(parts)


def identity(listed: bytes) -> str:
    """Return what a device calls the application with this file list."""
    return sha256(listed).hexdigest()


def _in_order(files: Mapping[str, bytes]) -> list[str]:
    return sorted(files, key=str.encode)


def split(listed: bytes, data: bytes, digest: int = DIGEST) -> dict[str, bytes]:
    """Return the files of an app.img again, as its file list says. Nothing is verified here."""
    files: dict[str, bytes] = {}
    at = start = 0
    while at < len(listed):
        end = at + 1 + listed[at]
        path = listed[at + 1 : end].decode("ascii")
        size = int.from_bytes(listed[end : end + 4], "little")
        files[path] = data[start : start + size]
        start += size
        at = end + 4 + -(-size // BLOCK) * digest
    return files
