# SPDX-License-Identifier: MIT
"""The TUF metadata of one repository: read, changed in memory, signed, and committed.

What counts as *the* repository is what timestamp.json leads to: timestamp -> snapshot -> the
version of every other role. Roots are the one exception, they count as soon as they exist. A
commit writes each new document under a version number of its own and timestamp.json last, so
a cut leaves files that nothing refers to, and the next commit writes over them.

A commit needs the threshold of every role that it changes. If keys are missing, the documents are
put into `pending/` with the signatures that could be made, and `complete` takes them from there
once somebody has added the rest. snapshot and timestamp are never pending: they are made at the
moment of the commit.

TUF 1.0.x, sections 4 and 6; `x-issued` and the roles: docs/SPEC.md 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Union, cast

from securesystemslib.signer import Key
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from mpota import files, names
from mpota.errors import MpotaError
from mpota.keys import Keyring
from mpota.workspace import Workspace

MAX_DOCUMENT = 65536  # bytes: devices refuse a longer one, so it would end their updates
MAX_DELEGATIONS = 8  # each costs every device about 500 bytes of download (SPEC 1)

_ROOT_FILE = re.compile(r"([1-9][0-9]*)\.root\.json")
_ISSUED = "x-issued"
_LONG = timedelta(days=400)  # between two signatures: online ones last a year at most

Document = Union[
    "Metadata[Root]", "Metadata[Targets]", "Metadata[Snapshot]", "Metadata[Timestamp]"
]


@dataclass(frozen=True)
class Missing:
    """A role that has too few signatures, and whose keys could give more."""

    role: str
    needed: int
    keys: tuple[str, ...]  # names from mpota.json, or keyids


@dataclass(frozen=True)
class Committed:
    """What a commit did. With `missing` not empty nothing was published to the repository."""

    written: dict[str, int]  # role -> version
    missing: tuple[Missing, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        return not self.missing


@dataclass
class Repository:
    workspace: Workspace
    root: Metadata[Root]
    targets: Metadata[Targets]
    delegated: dict[str, Metadata[Targets]]
    snapshot: Metadata[Snapshot] | None = None
    timestamp: Metadata[Timestamp] | None = None
    changed: set[str] = field(default_factory=set)

    # Looking

    def role(self, name: str) -> Metadata[Targets]:
        if name not in self.delegated:
            raise MpotaError("no such role in this repository", name, "see mpota verify")
        return self.delegated[name]

    def documents(self) -> dict[str, Document]:
        """Every role that exists, in an order in which a client could read them."""
        found: dict[str, Document] = {"root": self.root}
        if self.timestamp is not None:
            found["timestamp"] = self.timestamp
        if self.snapshot is not None:
            found["snapshot"] = self.snapshot
        found["targets"] = self.targets
        found.update(self.delegated)
        return found

    def images(self, product: str) -> dict[str, TargetFile]:
        """Return the image targets of `product` by release path, oldest `seq` first."""
        targets = self.role(names.img_role(product)).signed.targets
        images = [
            t for t in targets.values() if isinstance(t.custom, dict) and "blocks" in t.custom
        ]
        images.sort(key=lambda target: int(target.custom["seq"]))
        return {image.path.rpartition("/")[0]: image for image in images}

    def versions(self, role: str) -> Iterator[Metadata[Targets]]:
        """Yield a delegated role, newest version first, as far as they are in the folder."""
        yield self.role(role)
        for version in range(self.role(role).signed.version - 1, 0, -1):
            file = self.workspace.metadata / f"{version}.{role}.json"
            if file.exists():
                yield cast("Metadata[Targets]", read_document(file, Targets))

    def history(self, role: str) -> Iterator[dict[str, TargetFile]]:
        """Yield the targets of `versions`."""
        for document in self.versions(role):
            yield document.signed.targets

    def find_releases(self, product: str, version: str) -> dict[str, TargetFile]:
        """Return the image targets of a version, by release path; also those dropped since."""
        found: dict[str, TargetFile] = {}
        for targets in self.history(names.img_role(product)):
            for path, target in targets.items():
                release = path.rpartition("/")[0]
                custom = target.custom
                if release.endswith(f"/{version}") and custom and "blocks" in custom:
                    found.setdefault(release, target)
        return found

    def rollouts(self) -> dict[str, dict[str, Any]]:
        """Return what each rollout target says, by path."""
        return {
            path: dict(target.custom)
            for path, target in sorted(self.role("rollout").signed.targets.items())
        }

    def delegator(self, role: str) -> Root | Targets:
        return self.targets.signed if role in self.delegated else self.root.signed

    def keys_of(self, role: str) -> dict[str, Key]:
        """Return the keys that may sign `role`, by the name that mpota.json gives them."""
        delegator = self.delegator(role)
        keys = {}
        for keyid in delegator.get_delegated_role(role).keyids:
            name = self.workspace.key_name(keyid) or keyid
            keys[name] = delegator.get_key(keyid)
        return keys

    def due(self, role: str) -> datetime:
        """Return when half of what a new signature would last is left."""
        half = timedelta(days=self.workspace.settings.days_of(role)) / 2
        return self.documents()[role].signed.expires - half

    def is_past_half(self, role: str, now: datetime) -> bool:
        return now > self.due(role)

    # Changing

    def touch(self, role: str) -> None:
        """Give `role` a new version in the next commit."""
        self.changed.add(role)

    def commit(self, keyring: Keyring, now: datetime) -> Committed:
        """Sign and write what was touched, or put it into `pending/`.

        Roles past half of their life are signed again as well, as far as the keys that are open
        by then can do it: no further passphrase is asked for.

        A role with a change that waits for signatures cannot be changed again, except rollout,
        whose new version takes the place of the waiting one: a halt must never wait.
        """
        self._check_clock(now)
        odd = tuple(self._odd_clock(now))
        waiting = pending_files(self.workspace)
        for role in self.changed - {"rollout"}:
            check_no_pending(self.workspace, role)
        for role in self._in_order(self.changed):
            self._sign(role, keyring, now)
        others = set(self.documents()) - self.changed - set(waiting) - {"snapshot", "timestamp"}
        for role in self._in_order(others):
            open_keys = [k for k in self.keys_of(role).values() if keyring.is_open(k.keyid)]
            if self.is_past_half(role, now) and len(open_keys) >= self._needed(role):
                self.touch(role)
                self._sign(role, keyring, now)
        done = self._finish(keyring, now)
        if done.is_done and "rollout" in done.written and "rollout" in waiting:
            waiting["rollout"].unlink()
        return replace(done, warnings=odd + done.warnings)

    def complete(self, keyring: Keyring, now: datetime) -> Committed:
        """Take up what waits in `pending/`, add the signatures that can be made, and commit it."""
        self._check_clock(now)
        waiting = pending_files(self.workspace)
        for role, path in waiting.items():
            document = read_document(path)
            current = self.documents().get(role)
            if current is not None and serialize(current) == serialize(document):
                continue  # committed already; a cut came before the file could be removed
            if current is None or document.signed.version != current.signed.version + 1:
                todo = "delete it, and make the change again"
                raise MpotaError("the repository has moved on without this", path, todo)
            self._put(role, document)
            self.touch(role)
            self._add_signatures(role, keyring)
        done = self._finish(keyring, now) if self.changed else Committed({})
        if done.is_done:
            for path in waiting.values():
                path.unlink()
        return done

    def _finish(self, keyring: Keyring, now: datetime) -> Committed:
        warnings = tuple(self._check_lengths())
        missing = [self._missing(role) for role in self._in_order(self.changed)]
        missing += [self._unavailable(role, keyring) for role in ("snapshot", "timestamp")]
        real = tuple(entry for entry in missing if entry is not None)
        if real:
            self._write_pending()
            return Committed({}, real, warnings)
        return Committed(self._write(keyring, now), (), warnings)

    def _check_lengths(self) -> Iterator[str]:
        """Refuse a document that is too long for devices; name those that soon will be."""
        for role in self._in_order(self.changed):
            length = len(serialize(self.documents()[role]))
            todo = "name fewer boards in a release, or lower keep in mpota.json"
            if length > MAX_DOCUMENT:
                what = f"metadata of {length} bytes, and devices take {MAX_DOCUMENT}"
                raise MpotaError(what, role, todo)
            if length > MAX_DOCUMENT * 3 // 4:
                yield f"{role} has {length} bytes, and devices take {MAX_DOCUMENT}: {todo}"

    def _in_order(self, roles: Iterable[str]) -> list[str]:
        """Delegators first: they say which keys the others need."""
        wanted = set(roles)
        return [role for role in self.documents() if role in wanted]

    def _put(self, role: str, document: Document) -> None:
        if role == "root":
            self.root = cast("Metadata[Root]", document)
        elif role == "targets":
            self.targets = cast("Metadata[Targets]", document)
        else:
            self.delegated[role] = cast("Metadata[Targets]", document)

    def _check_clock(self, now: datetime) -> None:
        """A signature dated before an older one could never be accepted by a careful device."""
        for role, document in self.documents().items():
            issued = document.signed.unrecognized_fields.get(_ISSUED)
            if issued is not None and names.parse_time(issued) > now:
                what = f"this computer's clock ({names.time_text(now)}) is before {role}'s"
                raise MpotaError(what, issued, "set the clock")

    def _odd_clock(self, now: datetime) -> Iterator[str]:
        """Tell if the clock is far from when the timestamp was signed, as far as its expiry says.

        Devices take `x-issued` for a time that has surely passed, so a clock that is years ahead
        would make all else that is signed look expired to them, for good.
        """
        if self.timestamp is None:
            return
        life = timedelta(days=self.workspace.settings.days_of("timestamp"))
        signed = self.timestamp.signed.expires - life
        is_early = signed - now > timedelta(days=1)
        if is_early or now - signed > _LONG:
            yield (
                f"it is {names.time_text(now)} by this computer's clock, and the last signature"
                f" seems to be of {names.time_text(signed)}: if the clock is wrong, set it before"
                " you publish"
            )

    def _sign(self, role: str, keyring: Keyring, now: datetime) -> None:
        """Give `role` its next version, dates, and every signature that can be made here."""
        document = self.documents()[role]
        if document.signatures:  # signed before: not a first version
            document.signed.version += 1
        document.signed.expires = now + timedelta(days=self.workspace.settings.days_of(role))
        if role == "root" or role == "targets" or role.startswith("img-"):
            document.signed.unrecognized_fields[_ISSUED] = names.time_text(now)
        document.signatures.clear()
        self._add_signatures(role, keyring)

    def _add_signatures(self, role: str, keyring: Keyring) -> None:
        document = self.documents()[role]
        needed = self._needed(role)
        keys = self.keys_of(role).items()
        for name, key in sorted(keys, key=lambda item: not keyring.is_open(item[1].keyid)):
            if len(document.signatures) >= needed:
                break
            if key.keyid in document.signatures:
                continue
            if keyring.is_open(key.keyid) or keyring.is_at_hand(name):
                signer = keyring.signer(name, key)
                try:
                    document.sign(signer, append=True)
                except UnsignedMetadataError as error:  # a token or a service that failed
                    raise MpotaError(f"cannot sign {role} ({error})", name, "try again") from error

    def _needed(self, role: str) -> int:
        return self.delegator(role).get_delegated_role(role).threshold

    def _missing(self, role: str) -> Missing | None:
        document = self.documents()[role]
        result = self.delegator(role).get_verification_result(
            role, document.signed_bytes, document.signatures
        )
        if result.verified:
            return None
        keys = [self.workspace.key_name(keyid) or keyid for keyid in result.unsigned]
        return Missing(role, result.missing, tuple(keys))

    def _unavailable(self, role: str, keyring: Keyring) -> Missing | None:
        """Like `_missing` for a role that is signed at the end: are its keys here at all?"""
        keys = self.keys_of(role)
        here = [
            name
            for name, key in keys.items()
            if keyring.is_open(key.keyid) or keyring.is_at_hand(name)
        ]
        lacking = self._needed(role) - len(here)
        if lacking <= 0:
            return None
        return Missing(role, lacking, tuple(name for name in keys if name not in here))

    # Writing

    def _write_pending(self) -> None:
        for role in self._in_order(self.changed):
            document = self.documents()[role]
            name = f"{document.signed.version}.{role}.json"
            files.write(self.workspace.pending / name, serialize(document))

    def _write(self, keyring: Keyring, now: datetime) -> dict[str, int]:
        """Write all of it, timestamp.json last. Nothing has changed for anybody before that."""
        snapshot = self.snapshot or Metadata(Snapshot(meta={}))
        timestamp = self.timestamp or Metadata(Timestamp())
        self.snapshot, self.timestamp = snapshot, timestamp
        plan: list[tuple[str, bytes]] = []
        written: dict[str, int] = {}
        for role in self._in_order(self.changed):
            document = self.documents()[role]
            data = serialize(document)
            written[role] = document.signed.version
            plan.append((f"{document.signed.version}.{role}.json", data))
            if role != "root":
                snapshot.signed.meta[f"{role}.json"] = _meta(document.signed.version, data)
        self._sign("snapshot", keyring, now)
        data = serialize(snapshot)
        plan.append((f"{snapshot.signed.version}.snapshot.json", data))
        timestamp.signed.snapshot_meta = _meta(snapshot.signed.version, data)
        self._sign("timestamp", keyring, now)
        plan.append(("timestamp.json", serialize(timestamp)))
        for role in ("snapshot", "timestamp"):
            self._check_signed(role)
            written[role] = self.documents()[role].signed.version
        for name, data in plan:
            files.write(self.workspace.metadata / name, data)
        self.changed.clear()
        return written

    def _check_signed(self, role: str) -> None:
        missing = self._missing(role)
        if missing is not None:
            raise MpotaError("too few signatures", role, f"add {', '.join(missing.keys)}")


def open_repository(workspace: Workspace) -> Repository:
    """Read the repository that timestamp.json leads to, checking what a client would check.

    Dates are not looked at: an expired repository has to be opened to be refreshed.
    """
    folder = workspace.metadata
    root = load_roots(folder)[-1]
    timestamp = cast("Metadata[Timestamp]", read_document(folder / "timestamp.json", Timestamp))
    _check(root.signed, "timestamp", timestamp, folder / "timestamp.json")
    meta = timestamp.signed.snapshot_meta
    path = folder / f"{meta.version}.snapshot.json"
    snapshot = cast("Metadata[Snapshot]", read_document(path, Snapshot, meta))
    _check(root.signed, "snapshot", snapshot, path)
    targets = _read_targets(folder, "targets", snapshot.signed, root.signed)
    delegated = {}
    if targets.signed.delegations is not None:
        for name in targets.signed.delegations.roles or {}:
            delegated[name] = _read_targets(folder, name, snapshot.signed, targets.signed)
    return Repository(workspace, root, targets, delegated, snapshot, timestamp)


def _read_targets(
    folder: Path, role: str, snapshot: Snapshot, delegator: Root | Targets
) -> Metadata[Targets]:
    meta = snapshot.meta.get(f"{role}.json")
    if meta is None:
        raise MpotaError("snapshot does not list the role", role, "restore the folder")
    path = folder / f"{meta.version}.{role}.json"
    document = cast("Metadata[Targets]", read_document(path, Targets, meta))
    _check(delegator, role, document, path)
    return document


def load_roots(folder: Path) -> list[Metadata[Root]]:
    """Return every root from version 1 on, each checked against the one before and itself."""
    versions = root_versions(folder)
    if not versions:
        raise MpotaError("no root metadata", folder, "run mpota init, or restore the folder")
    roots: list[Metadata[Root]] = []
    for version in range(1, versions[-1] + 1):
        path = folder / f"{version}.root.json"
        root = cast("Metadata[Root]", read_document(path, Root))
        _check(roots[-1].signed if roots else root.signed, "root", root, path)
        _check(root.signed, "root", root, path)
        if root.signed.version != version:
            raise MpotaError("root of another version", path, "restore it")
        roots.append(root)
    return roots


def root_versions(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    matches = (_ROOT_FILE.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def read_document(
    path: Path, kind: type[Root | Targets | Snapshot | Timestamp] | None = None,
    meta: MetaFile | None = None,
) -> Document:  # fmt: skip
    try:
        data = path.read_bytes()
        if meta is not None:
            meta.verify_length_and_hashes(data)
        document: Document = Metadata.from_bytes(data)
    except OSError as error:
        raise MpotaError("cannot read", path, "restore the folder from a copy") from error
    except (RepositoryError, DeserializationError) as error:
        raise MpotaError("damaged metadata", path, "restore it from a copy") from error
    if kind is not None and not isinstance(document.signed, kind):
        raise MpotaError("metadata of another kind", path, "restore it from a copy")
    return document


def _check(delegator: Root | Targets, role: str, document: Document, path: Path) -> None:
    try:
        delegator.verify_delegate(role, document.signed_bytes, document.signatures)
    except (RepositoryError, ValueError) as error:
        todo = "restore it from a copy"
        raise MpotaError(f"signatures of {role} do not count", path, todo) from error


def pending_files(workspace: Workspace) -> dict[str, Path]:
    """Return the documents that wait for signatures: role -> file."""
    if not workspace.pending.is_dir():
        return {}
    paths = sorted(path for path in workspace.pending.iterdir() if path.name[:1].isdigit())
    return {path.name.split(".", 1)[1].removesuffix(".json"): path for path in paths}


def check_no_pending(workspace: Workspace, role: str) -> None:
    path = pending_files(workspace).get(role)
    if path is not None:
        todo = "run mpota refresh where the missing keys are, or delete it to give the change up"
        raise MpotaError("a change waits for signatures", path, todo)


def serialize(document: Document) -> bytes:
    """Compact, keys sorted, ASCII: what SPEC 1 promises."""
    return JSONSerializer(compact=True).serialize(document)


def _meta(version: int, data: bytes) -> MetaFile:
    return MetaFile.from_data(version, data, ["sha256"])


@dataclass(frozen=True)
class RoleKeys:
    keys: list[Key]
    threshold: int


def new_repository(
    workspace: Workspace, owner: RoleKeys, img: RoleKeys, online: RoleKeys
) -> Repository:
    """Return the unsigned first version of everything: roles, keys, thresholds, no release.

    `owner` signs root and targets, `img` each img role, `online` the rest.
    """
    check_separation(workspace.settings.profile, owner, img, online)
    roles = [names.img_role(product) for product in workspace.settings.products]
    if len(roles) + 1 > MAX_DELEGATIONS:
        raise MpotaError("too many products", len(roles), f"at most {MAX_DELEGATIONS - 1}")
    root = Root(consistent_snapshot=True)
    for role, signers in (
        ("root", owner), ("targets", owner), ("snapshot", online), ("timestamp", online),
    ):  # fmt: skip
        for key in signers.keys:
            root.add_key(key, role)
        root.roles[role].threshold = signers.threshold
    delegated = {}
    for role in [*roles, "rollout"]:
        signers = online if role == "rollout" else img
        path = "rollout/*/*/*" if role == "rollout" else f"fw/{role.removeprefix('img-')}/*/*/*"
        keyids = [key.keyid for key in signers.keys]
        delegated[role] = DelegatedRole(role, keyids, signers.threshold, True, [path])
    keys = {key.keyid: key for key in [*img.keys, *online.keys]}
    repository = Repository(
        workspace,
        Metadata(root),
        Metadata(Targets(delegations=Delegations(keys, delegated))),
        {role: Metadata(Targets()) for role in delegated},
    )
    for role in repository.documents():
        repository.touch(role)
    return repository


def check_separation(profile: str, owner: RoleKeys, img: RoleKeys, online: RoleKeys) -> None:
    """Refuse keys that would undo the point of the profile.

    An online key that could sign images would make a stolen server a stolen fleet.
    """
    online_ids = {key.keyid for key in online.keys}
    for signers, what in ((owner, "an owner key"), (img, "a release key")):
        ids = [key.keyid for key in signers.keys]
        if online_ids & set(ids):
            raise MpotaError(f"{what} is also the online key", profile, "use separate keys")
        if len(set(ids)) != len(ids):
            raise MpotaError("one key counted twice", what, "use separate keys")
        if not 1 <= signers.threshold <= len(ids):
            raise MpotaError("threshold and number of keys do not fit", what, "")
