# SPDX-License-Identifier: MIT
"""Files that survive a cut: a name holds the old bytes or the new ones, never a mixture.

`write` puts the bytes into a hidden file beside the target, syncs it, renames it into place and
syncs the folder. What a cut can leave behind is that hidden file; the next write of the same name
replaces it, and nothing reads it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpota.errors import MpotaError

PRIVATE = 0o600
PUBLIC = 0o666  # what the umask leaves of it


def write(path: Path, data: bytes, *, mode: int = PUBLIC) -> None:
    """Make `path` hold `data`, durably and in one step."""
    make_folder(path.parent)
    part = _write_part(path, data, mode)
    os.replace(part, path)
    _sync_folder(path.parent)


def write_new(path: Path, data: bytes, *, mode: int = PUBLIC) -> None:
    """Like `write`, but raise FileExistsError rather than replace anything. Needs the lock."""
    if os.path.lexists(path):
        raise FileExistsError(str(path))
    write(path, data, mode=mode)


def _write_part(path: Path, data: bytes, mode: int) -> Path:
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # left by a cut; its mode may be another
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return part


def make_folder(path: Path) -> None:
    """Create `path` and what is missing above it, durably."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    if sys.platform == "win32":  # a folder cannot be opened there; NTFS journals the rename
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def check_folder(path: Path) -> None:
    """Raise MpotaError if `path` exists and is no folder."""
    if path.exists() and not path.is_dir():
        raise MpotaError("not a folder", path, "name a folder, or a new name")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, or raise MpotaError if another process holds it.

    The lock is the operating system's: it ends with the process, so a crash leaves none behind.
    """
    with open(path, "a+b") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MpotaError(
                "another mpota works in this folder", path.parent, "wait until it has finished"
            ) from None
        yield
