# SPDX-License-Identifier: MIT
"""The packs of a release: how a device gets its images in fewer bytes (SPEC, Packs).

Packs lie beside the image, and the image's `custom["packs"]` names them: the compressed one under
"", a delta under the first 16 hex digits of the identity that it starts from. They are not signed,
and need not be: what a device builds from them it checks like the image. A pack that saves too
little is not kept.
"""

from __future__ import annotations

import io
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import TargetFile

from mpota import files, names
from mpota.errors import MpotaError

if TYPE_CHECKING:
    from mpota.release import Part, Release, Wanted
    from mpota.repository import Repository

SUFFIX = ".pack"
_WORTH = 0.95  # of the image, for the compressed pack
_WORTH_DELTA = 0.8  # of the smallest that there is without it
_BASE = 16  # hex digits of an identity
_ALONE = 1 << 16  # bytes of an image that are packed at once: a second process costs more


@dataclass(frozen=True)
class Made:
    """A pack as `mpota release` tells of it."""

    image: str  # file name
    base: str  # identity, or ""
    version: str  # of the release it starts from, or ""
    length: int
    share: float  # of the image
    kept: bool

    def facts(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Job:
    part: Part
    base: str
    version: str
    old: bytes | None


def add(
    repository: Repository, release: Release, wanted: Wanted
) -> tuple[Release, tuple[Made, ...]]:
    """Make the packs of a release and write them beside where its images will be.

    Returns the release with their names in its custom fields. `wanted.deltas`: from how many
    releases before, newest first; None: no packs at all.
    """
    if wanted.deltas is None:
        return release, ()
    jobs = [job for part in release.parts for job in _jobs(repository, release, part, wanted)]
    made: list[Made] = []
    parts = {part.name: part for part in release.parts}
    best = {part.name: _WORTH * len(part.image) for part in release.parts}
    for job, data in zip(jobs, _pack(jobs), strict=True):
        part = parts[job.part.name]
        most = best[part.name] * (_WORTH_DELTA if job.old else 1)
        kept = data is not None and len(data) <= most
        length = len(data or b"")
        made.append(Made(part.name, job.base, job.version, length, length / len(part.image), kept))
        if not kept or data is None:
            continue
        if not job.old:
            best[part.name] = len(data)
        # The name says what is in it, so that one is never overwritten by another.
        name = f"{part.name}.{sha256(data).hexdigest()[:_BASE]}{SUFFIX}"
        path = repository.workspace.targets / release.path / name
        if not path.exists() or path.read_bytes() != data:
            files.write(path, data)
        packs = {**part.custom.get("packs", {}), job.base[:_BASE]: name}
        parts[part.name] = replace(part, custom={**part.custom, "packs": packs})
    return replace(release, parts=tuple(parts.values())), tuple(made)


def table(made: Sequence[Made]) -> Iterator[str]:
    """Return lines for people about what was made."""
    for pack in made:
        what = f"from {pack.version}" if pack.base else "compressed"
        verdict = "" if pack.kept else "  not worth it"
        name = f"{pack.image} {what}"
        yield f"  {name:40}{pack.length:>12,} bytes{pack.share:>8.1%}{verdict}"


def paths_of(target: TargetFile) -> Iterator[str]:
    """Return the files of an image's packs, below the folder of targets."""
    custom = target.custom if isinstance(target.custom, dict) else {}
    packs = custom.get("packs")
    folder = target.path.rpartition("/")[0]
    for name in packs.values() if isinstance(packs, dict) else ():
        if isinstance(name, str) and name.endswith(SUFFIX) and "/" not in name:
            yield f"{folder}/{name}"


def check(target: Any, listed: bytes, pack: bytes, base: str, old: bytes | None) -> str:
    """Build an image from a pack with the device's own code; return what is wrong, or "".

    `target`: what is signed about the image; `listed`: its list; `base`, `old`: the key of a delta
    in `custom["packs"]` and the image that it starts from; "" and None: a compressed pack.
    """
    from ota.errors import ImageError
    from ota.image.pack import HEADER, Pack, head_size

    try:
        blocks = list_of(target.custom, listed, target.length)
        buf = memoryview(bytearray(blocks.block_size))
        size = head_size(pack[:HEADER].ljust(HEADER))
        head = io.BytesIO(pack[:size])
        built = Pack(head, blocks, buf, old and _Old(old), bytes.fromhex(base))
        for block in range(blocks.count):
            begin, end = built.span(block, block + 1)
            record = pack[begin:end]
            buf[: max(0, len(record) - 1)] = record[1:]
            built.build(block, buf, *((record[0], len(record) - 1) if record else ()))
            whole = bytes(buf[: blocks.content(block)])
            if target.custom.get("kind") != "app":
                whole = whole.ljust(blocks.block_size, b"\xff")
            if not blocks.matches(block, whole):
                return f"block {block} does not come out as it was signed"
    except (ImageError, ValueError) as error:
        return " ".join(str(fact) for fact in error.args)
    return ""


def list_of(custom: dict[str, Any], listed: bytes, length: int) -> Any:
    """Return the device's view of a list: BlockList or FileList."""
    from ota.image.blocks import BlockList
    from ota.image.tree import FileList

    kind = FileList if custom.get("kind") == "app" else BlockList
    return kind(io.BytesIO(listed), length, custom["block"], custom["digest"])


class _Old:
    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self._data = data

    def readinto(self, offset: int, buf: memoryview) -> None:
        buf[:] = self._data[offset : offset + len(buf)]


def _jobs(repository: Repository, release: Release, part: Part, wanted: Wanted) -> Iterator[_Job]:
    """Return what to try for an image: the compressed pack first, then the newest base."""
    yield _Job(part, "", "", None)
    left = wanted.deltas or 0
    seen = {part.custom["identity"]}
    # An RP2040 that is to get the image for one slot runs the image that is linked for the other.
    slot = part.custom.get("slot")
    name = (
        part.name if slot is None else names.image_name(names.SLOTS[1 - names.SLOTS.index(slot)])
    )
    role = repository.role(names.img_role(wanted.product)).signed.targets
    for path, image in reversed(repository.images(wanted.product).items()):
        target = role.get(f"{path}/{name}")
        if not left:
            return
        if target is None or not set(image.custom["boards"]) & set(part.custom["boards"]):
            continue
        left -= 1
        identity = target.custom["identity"]
        if identity in seen:
            continue
        seen.add(identity)
        try:
            old = (repository.workspace.targets / target.get_prefixed_paths()[0]).read_bytes()
        except OSError:
            continue  # whoever runs it takes the compressed pack
        yield _Job(part, identity, target.custom["version"], old)


def _pack(jobs: Sequence[_Job]) -> list[bytes | None]:
    if sum(len(job.part.image) for job in jobs if job.old) < _ALONE:
        return [_encode(job) for job in jobs]
    # Never a fork: the threads that numpy has once it was used here do not live on in one, and who
    # waits for them there waits for ever.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1), mp_context=fresh) as pool:
        return list(pool.map(_encode, jobs))


def _encode(job: _Job) -> bytes | None:
    from mpota.pack.encode import encode
    from mpota.pack.layout import layout_of

    part = job.part
    listed = list_of(part.custom, part.blocks, len(part.image))
    blocks = [(listed.start(block), listed.content(block)) for block in range(listed.count)]
    chip = part.custom.get("chip")
    now = layout_of(part.image, chip)
    try:
        if job.old is None:
            return encode(None, part.image, blocks, now=now)
        was = layout_of(job.old, chip)
        base = bytes.fromhex(job.base)[: _BASE // 2]
        return encode(job.old, part.image, blocks, was=was, now=now, base=base)
    except MpotaError:
        return None  # too many blocks for a pack, or two kinds of chip
