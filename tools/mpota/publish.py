# SPDX-License-Identifier: MIT
"""Copy the repository to where a web server serves it, so that no client ever sees half of it.

The order makes it so: images and block lists first, then roots, then the documents that
timestamp.json leads to, and timestamp.json last. Every name but that one is written once, so a
client that is in the middle of a check keeps finding what it was told about. A cut in
between leaves files that nothing refers to; publishing again continues.

In the flat layout every "/" in a name is a ".", for servers that have no folders. Which file is
which stays certain: a target's name holds the hash of what is in it.

Nothing is deleted, unless `prune` is asked to: then images of releases that no metadata has named
for some days, more than a device takes over one download. A destination that holds other bytes
under the same name, or a newer timestamp, belongs to another repository or to a newer copy of this
one, and is not touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from tuf.api.metadata import TargetFile, Timestamp

from mpota import files, packs
from mpota.errors import MpotaError
from mpota.repository import Repository, read_document, root_versions
from mpota.sources import flat_name
from mpota.workspace import Workspace

TIMESTAMP = "metadata/timestamp.json"
_HASHED = re.compile(r"(^|\.)[0-9a-f]{64}\.")


@dataclass(frozen=True)
class Published:
    destination: Path
    version: int  # of the timestamp
    written: list[str]  # relative paths, in the order of writing


def publish(
    repository: Repository, destination: Path, *, flat: bool = False, dry_run: bool = False
) -> Published:
    """Bring `destination` up to date. Running it again does nothing, or finishes it."""
    workspace = repository.workspace
    if destination.resolve() == workspace.metadata.parent.resolve():
        raise MpotaError("destination is the working copy", destination, "choose another folder")
    _check_private(workspace, destination)
    files.check_folder(destination)
    timestamp = repository.documents()["timestamp"].signed
    new = _plan_targets(repository) + _plan_metadata(workspace, repository)
    stamp = (TIMESTAMP, (workspace.metadata / "timestamp.json").read_bytes())
    new, (stamp,) = _named(new, flat), _named([stamp], flat)
    _check_destination(destination, timestamp.version, flat)
    written = []
    for relative, data in new:
        path = destination / relative
        if path.exists():
            if path.read_bytes() == data:
                continue
            if not relative.startswith("targets"):  # a target's name has its hash: repair it
                todo = "publish to another folder, or restore this one"
                raise MpotaError("destination holds another repository's file", path, todo)
        _write(path, data, dry_run)
        written.append(relative)
    relative, data = stamp
    path = destination / relative
    if not path.exists() or path.read_bytes() != data:
        _write(path, data, dry_run)
        written.append(relative)
    return Published(destination, timestamp.version, written)


def _check_private(workspace: Workspace, destination: Path) -> None:
    """Refuse to put what everybody may read among what nobody else may."""
    top, there = workspace.folder.resolve(), destination.resolve()
    private = {top / name for name in ("keys", "pending", "tls")}
    if there == top or private & {there, *there.parents}:
        todo = "choose another folder"
        raise MpotaError("destination is where private keys are", destination, todo)


def prune(
    repository: Repository,
    destination: Path,
    now: datetime,
    *,
    days: int,
    flat: bool = False,
    dry_run: bool = False,
) -> list[str]:
    """Remove the files of releases that no metadata has named for `days`; return their paths.

    Call it after `publish`: only then does nobody learn of these releases any more. A device that
    learned of one before goes on with its download for that long. What is no file of a release's
    stays.
    """
    since = (now - timedelta(days=days)).timestamp()
    named = {
        f"targets/{target.get_prefixed_paths()[0]}"
        for role in repository.delegated
        for targets in _recent(repository, role, destination, flat, since)
        for target in targets.values()
    }
    folders = {path.rpartition("/")[0] + "/" for path in named}
    if flat:
        named, folders = set(map(flat_name, named)), set(map(flat_name, folders))
    removed = []
    for path in sorted(destination.glob("targets.*" if flat else "targets/fw/*/*/*/*")):
        relative = path.relative_to(destination).as_posix()
        is_hashed = _HASHED.search(path.name) is not None
        is_kept = relative.startswith(tuple(folders)) and not is_hashed
        if relative in named or is_kept or not path.is_file():
            continue
        removed.append(relative)
        if not dry_run:
            path.unlink()
    return removed


def _recent(
    repository: Repository, role: str, destination: Path, flat: bool, since: float
) -> Iterator[dict[str, TargetFile]]:
    """Yield the targets of a role now, and of each version that could be had there after `since`.

    What counts is when the next version came to the destination, not when it was signed.
    """
    yield repository.role(role).signed.targets
    for document in repository.versions(role):
        name = f"metadata/{document.signed.version}.{role}.json"
        path = destination / (flat_name(name) if flat else name)
        if path.is_file():
            yield document.signed.targets
            if path.stat().st_mtime < since:
                return


def is_current(workspace: Workspace) -> bool:
    """Tell whether `public/`, if there is one, holds the newest that is signed."""
    mine = workspace.metadata / "timestamp.json"
    for name in (TIMESTAMP, flat_name(TIMESTAMP)):
        there = workspace.public / name
        if there.is_file():
            return not mine.is_file() or mine.read_bytes() == there.read_bytes()
    return True


def _named(plan: list[tuple[str, bytes]], flat: bool) -> list[tuple[str, bytes]]:
    """Return the plan under the names of the layout, each once."""
    named: dict[str, bytes] = {}
    for relative, data in plan:
        name = flat_name(relative) if flat else relative
        if named.setdefault(name, data) != data:
            todo = "rename a product, board or version that has a dot in it"
            raise MpotaError("two files would have one name", name, todo)
    return list(named.items())


def _write(path: Path, data: bytes, dry_run: bool) -> None:
    if dry_run:
        return
    try:
        files.write(path, data)
    except OSError as error:
        todo = f"{error.strerror}: correct that, and publish again"
        raise MpotaError("cannot write", path, todo) from error


def _check_destination(destination: Path, version: int, flat: bool) -> None:
    other = destination / (TIMESTAMP if flat else flat_name(TIMESTAMP))
    if other.exists():
        todo = "give another folder, or " + ("leave out --flat" if flat else "give --flat")
        raise MpotaError("destination has the other layout", destination, todo)
    path = destination / (flat_name(TIMESTAMP) if flat else TIMESTAMP)
    if not path.exists():
        return
    there = read_document(path, Timestamp).signed.version
    if there > version:
        what = f"destination has timestamp {there}, this folder only {version}"
        raise MpotaError(what, destination, "publish from the newer copy of the folder")


def _plan_targets(repository: Repository) -> list[tuple[str, bytes]]:
    plan = []
    for role, document in repository.delegated.items():
        if role == "rollout":  # everything that it says is in its custom fields: there is no file
            continue
        for target in document.signed.targets.values():
            relative = target.get_prefixed_paths()[0]
            path = repository.workspace.targets / relative
            try:
                data = path.read_bytes()
            except OSError as error:
                raise MpotaError("cannot read", path, "restore it from a copy") from error
            if sha256(data).hexdigest() != target.hashes["sha256"]:
                raise MpotaError("not the bytes that were signed", path, "restore it from a copy")
            plan.append((f"targets/{relative}", data))
            for pack in packs.paths_of(target):
                path = repository.workspace.targets / pack
                if path.exists():  # without it devices take the image
                    plan.append((f"targets/{pack}", path.read_bytes()))
    return plan


def _plan_metadata(workspace: Workspace, repository: Repository) -> list[tuple[str, bytes]]:
    """Return every root, oldest first, then what the snapshot lists, then the snapshot."""
    plan = []
    for version in root_versions(workspace.metadata):
        name = f"{version}.root.json"
        plan.append((f"metadata/{name}", (workspace.metadata / name).read_bytes()))
    documents = repository.documents()
    for role in [*repository.delegated, "targets", "snapshot"]:
        name = f"{documents[role].signed.version}.{role}.json"
        data = (workspace.metadata / name).read_bytes()
        plan.append((f"metadata/{name}", data))
    return plan
