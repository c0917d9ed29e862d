# SPDX-License-Identifier: MIT
"""See a repository as a device sees it: the device's own trust code and its own rule decide.

`ota.trust.client` checks metadata, `ota.offer` says what would be offered, `ota.image.blocks`
checks each image against its block list. This module only fetches, asks, and lists the answers:
for a listing it reads the documents that the client has accepted.
"""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import unquote
from urllib.request import Request, urlopen

from mpota import names
from mpota.errors import MpotaError, RefusedError
from mpota.release import BLOCK
from mpota.rollout import EVERYBODY, percent

_TIMEOUT_S = 30
_CHUNK = 4096
_ANY_SLOT = 1 << 31  # this computer has no slot that an image could be too long for


class Source(Protocol):
    """Where the repository is. Nothing that it returns is trusted."""

    @property
    def name(self) -> str:
        """What the user called it."""

    def open(self, path: str) -> io.BufferedIOBase | None:
        """Open a file below the base, or return None: the repository has no such file."""


@dataclass(frozen=True)
class Folder:
    name: str

    def open(self, path: str) -> io.BufferedIOBase | None:
        file = Path(self.name) / unquote(path)
        try:
            return file.open("rb")
        except FileNotFoundError:
            if not Path(self.name).is_dir():
                raise MpotaError("no such folder", self.name, "check the path") from None
            return None
        except OSError as error:
            raise MpotaError("cannot read", file, error.strerror or "") from error


@dataclass(frozen=True)
class Web:
    name: str
    context: ssl.SSLContext

    def open(self, path: str) -> io.BufferedIOBase | None:
        url = self.name.rstrip("/") + "/" + path
        try:
            answer = urlopen(Request(url), timeout=_TIMEOUT_S, context=self.context)
        except HTTPError as error:
            if error.code in (403, 404):
                return None
            raise MpotaError(f"server answers {error.code}", url, "look at its log") from error
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise MpotaError(f"cannot fetch ({reason})", url, "is it served? --ca?") from error
        assert isinstance(answer, io.BufferedIOBase)
        return answer


def open_source(where: str, ca: Path | None) -> Source:
    """Return the folder or the web server that `where` names."""
    if "://" not in where:
        return Folder(where)
    if not where.startswith("https://"):
        raise MpotaError("not an https URL", where, "write it like https://host/path/")
    context = ssl.create_default_context()
    if ca is not None:
        from mpota.devtls import to_der

        context.load_verify_locations(cadata=to_der(ca))
    return Web(where, context)


@dataclass(frozen=True)
class Role:
    name: str
    version: int
    expires: str


@dataclass(frozen=True)
class SeenRelease:
    """What is signed about a release. The fields are as they were found, of any type."""

    path: str
    version: Any
    seq: Any
    minseq: Any
    chip: Any
    slot: Any  # that the image is for; None: any
    length: int
    problem: str  # "" if its files are whole


@dataclass(frozen=True)
class SeenRollout:
    """What is signed about a rollout. The fields are as they were found, of any type."""

    path: str
    release: Any
    seq: Any
    percent: Any
    groups: Any
    halt: Any
    not_before: Any
    problem: str  # "" if a device whose turn it is would follow it, else the device's reason


@dataclass
class Seen:
    roles: list[Role] = field(default_factory=list)
    releases: list[SeenRelease] = field(default_factory=list)
    rollouts: list[SeenRollout] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        facts = asdict(self)
        for rollout in facts["rollouts"]:
            if type(rollout["percent"]) is int:
                rollout["percent"] = percent(rollout["percent"])
        return facts


class _Store:
    """ota.ports.Store in memory."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}
        self._documents: dict[str, _Document] = {}

    def load(self, name: str) -> bytes | None:
        return self._records.get(name)

    def save(self, name: str, data: bytes) -> None:
        self._records[name] = bytes(data)

    def open(self, name: str) -> io.BytesIO | None:
        document = self._documents.get(name)
        return None if document is None else io.BytesIO(document.getvalue())

    def create(self, name: str) -> io.BytesIO:
        self._documents[name] = _Document()
        return self._documents[name]

    def remove(self, name: str) -> None:
        self._documents.pop(name, None)


class _Document(io.BytesIO):
    """Keeps its content when it is closed, like a file."""

    def close(self) -> None:
        pass


class _Device:
    """Drives the device's client over a Source, and remembers what was fetched."""

    def __init__(self, source: Source, root: bytes) -> None:
        from ota.trust.client import Client

        self._source = source
        self.client: Any = Client(_Store(), lambda: io.BytesIO(root))
        self.documents: dict[str, bytes] = {"root": root}  # role -> newest bytes fetched

    def follow(self, work: Generator[Any, Any, Any]) -> Any:
        answer = None
        try:
            while True:
                request = work.send(answer)
                answer = None if request is None else self._fetch(request)
        except StopIteration as end:
            return end.value
        finally:
            work.close()

    def _fetch(self, request: Any) -> bool:
        body = self._source.open("metadata/" + request.file)
        if body is None:
            return False
        seen = bytearray()
        with body:
            while chunk := body.read(_CHUNK):
                request.write(chunk)
                seen += chunk
        role = unquote(request.file).removesuffix(".json")
        number, dot, rest = role.partition(".")
        self.documents[rest if dot and number.isdecimal() else role] = bytes(seen)
        return True


def verify(source: Source, root: bytes, now: datetime) -> Seen:
    """Check everything in `source` against the trusted `root`.

    Raises RefusedError if a device would not accept the metadata. Images that are not what was
    signed, and rollouts that could never be followed, are `problems` of the result.
    """
    from ota.errors import TrustError

    device = _Device(source, root)
    time = names.time_text(now)
    try:
        device.follow(device.client.refresh(time, time))
        delegated = _delegated(device)
        for pattern in delegated.values():  # makes the client read each of these roles
            device.follow(device.client.find(pattern.replace("*", "-")))
        return _list(device, source, list(delegated), time)
    except TrustError as error:
        text = " ".join(str(fact) for fact in error.args)
        kind = type(error).__name__
        raise RefusedError(f"{kind}: {text}", source.name, "a device would refuse this") from error


def _delegated(device: _Device) -> dict[str, str]:
    """Return the delegated roles and one pattern of each."""
    targets = json.loads(device.documents["targets"])["signed"]
    return {r["name"]: r["paths"][0] for r in targets.get("delegations", {}).get("roles", [])}


def _list(device: _Device, source: Source, delegated: list[str], time: str) -> Seen:
    seen = Seen()
    roles = ["root", "timestamp", "snapshot", "targets", *delegated]
    signed = {role: json.loads(device.documents[role])["signed"] for role in roles}
    for role in roles:
        seen.roles.append(Role(role, signed[role]["version"], signed[role]["expires"]))
    for role in delegated:
        for path, target in sorted(signed[role]["targets"].items()):
            custom = target.get("custom")
            if role == "rollout":
                seen.rollouts.append(_rollout(device, path, time))
            elif isinstance(custom, dict) and "blocks" in custom:
                seen.releases.append(_release(device, source, path))
    seen.releases.sort(key=lambda release: (release.path.split("/")[1], release.seq))
    for release in seen.releases:
        if release.problem:
            seen.problems.append(f"{release.path}: {release.problem}")
    for rollout in seen.rollouts:
        if rollout.problem:
            seen.problems.append(f"{rollout.path}: {rollout.problem}")
    return seen


def _release(device: _Device, source: Source, path: str) -> SeenRelease:
    image = device.follow(device.client.find(path))
    if image is None:
        return SeenRelease(path, None, None, None, None, None, 0, "its role may not name it")
    custom = image.custom
    return SeenRelease(
        path=path.rpartition("/")[0],
        version=custom.get("version"),
        seq=custom.get("seq"),
        minseq=custom.get("minseq"),
        chip=custom.get("chip"),
        slot=custom.get("slot"),
        length=image.length,
        problem=_check_files(device, source, image),
    )


def _check_files(device: _Device, source: Source, image: Any) -> str:
    """Return what is wrong with an image or its block list, or ""."""
    from ota.errors import ImageError
    from ota.image.blocks import BlockList

    size, digest = image.custom.get("block"), image.custom.get("digest")
    if type(size) is not int or type(digest) is not int or size < 1:
        return "release without a proper block list"
    blocks = device.follow(device.client.find(image.custom["blocks"]))
    if blocks is None or blocks.role != image.role:
        return "block list is not signed"
    contents = []
    for target in (image, blocks):
        data = _read_target(source, target)
        if data is None:
            return f"{target.path} is missing"
        if len(data) != target.length or sha256(data).hexdigest() != target.hashes["sha256"]:
            return f"{target.path} is not what was signed"
        contents.append(data)
    try:
        digests = BlockList(io.BytesIO(contents[1]), image.length, size, digest)
        for block in range(digests.count):
            data = contents[0][block * size :][:size].ljust(size, b"\xff")
            if not digests.matches(block, data):
                return f"block {block} is not what the block list says"
    except ImageError as error:
        return " ".join(str(fact) for fact in error.args)
    return ""


def _read_target(source: Source, target: Any) -> bytes | None:
    body = source.open("targets/" + target.file)
    if body is None:
        return None
    with body:
        return body.read(target.length + 1)


def _rollout(device: _Device, path: str, time: str) -> SeenRollout:
    rollout = device.follow(device.client.find(path))
    custom: dict[str, Any] = {}
    problem = "its role may not say that"
    if rollout is not None and isinstance(rollout.custom, dict):
        custom = dict(rollout.custom)
        problem = _follow(device, path, rollout, time)
    return SeenRollout(
        path=path,
        release=custom.get("release"),
        seq=custom.get("seq"),
        percent=custom.get("percent"),
        groups=custom.get("groups"),
        halt=custom.get("halt"),
        not_before=custom.get("not_before"),
        problem=problem,
    )


def _slots(device: _Device, rollout: Any) -> tuple[str | None, ...]:
    """Return the slots that the release of a rollout has images for; all, if it has one of them.

    A device asks for one of them, and which one changes with every update.
    """
    release = rollout.custom.get("release")
    for slot in names.SLOTS:
        if device.follow(device.client.find(f"{release}/{names.image_name(slot)}")):
            return names.SLOTS
    return (None,)


def _follow(device: _Device, path: str, rollout: Any, time: str) -> str:
    """Ask the device's rule as a device that has no image yet; return its reason against, or "".

    Whose turn it is, and when, is not the question: these fields are taken as if they said now.
    """
    import ota.offer as offer

    _, product, board, channel = path.split("/")
    facts: dict[str, Any] = {
        "product": product,
        "board": board,
        "channel": channel,
        "groups": [],
        "id": b"",
        "kind": "firmware",
        "chip": "",
        "library": "source",
        "block_size": BLOCK,
    }
    memory = {"minseq": 0, "rejected": [], "trial": None}
    custom = rollout.custom
    if custom.get("halt") is True:
        custom["halt"] = False
    if type(custom.get("percent")) is int and 0 <= custom["percent"] <= EVERYBODY:
        custom["percent"] = EVERYBODY
    if type(custom.get("not_before")) is str:
        del custom["not_before"]
    try:
        for slot in _slots(device, rollout):
            facts["slot"] = slot
            name = names.image_name(slot)
            wanted, attempt = offer.wanted(facts, memory, 0, name, time, rollout)
            image = device.follow(device.client.find(wanted))
            if image is not None and image.custom:
                facts["chip"] = image.custom.get("chip")
            offer.fits(facts, memory, 0, _ANY_SLOT, custom["seq"], attempt, image)
    except offer.NotOffered as reason:
        return " ".join(str(fact) for fact in reason.args)
    return ""
