# SPDX-License-Identifier: MIT
"""See a repository as a device sees it: the device's own trust code and its own rule decide.

`ota.trust.client` checks metadata, `ota.offer` says what would be offered, `ota.image.blocks`
checks each image against its block list. This module only fetches, asks, and lists the answers:
for a listing it reads the documents that the client has accepted.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from mpota import app, names, packs
from mpota.errors import RefusedError
from mpota.rollout import EVERYBODY, percent
from mpota.sources import Source

_CHUNK = 4096
_PACK = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,95}")  # as ota.offer has it
_ANY_SLOT = 1 << 31  # this computer has no slot that an image could be too long for


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


@dataclass(frozen=True)
class SeenSettings:
    """What is signed about where devices look for updates."""

    path: str
    seq: Any
    urls: list[str]
    problem: str  # "" if a device could read them


@dataclass
class Seen:
    roles: list[Role] = field(default_factory=list)
    releases: list[SeenRelease] = field(default_factory=list)
    rollouts: list[SeenRollout] = field(default_factory=list)
    settings: list[SeenSettings] = field(default_factory=list)
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
            elif isinstance(custom, dict) and custom.get("kind") == "settings":
                seen.settings.append(_settings(device, source, path))
    seen.settings.sort(key=lambda settings: settings.path)
    seen.releases.sort(key=lambda release: (release.path.split("/")[1], release.seq))
    for release in seen.releases:
        if release.problem:
            seen.problems.append(f"{release.path}: {release.problem}")
    for rollout in seen.rollouts:
        if rollout.problem:
            seen.problems.append(f"{rollout.path}: {rollout.problem}")
    for settings in seen.settings:
        if settings.problem:
            seen.problems.append(f"{settings.path}: {settings.problem}")
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
    problem = _check_contents(image, *contents)
    return problem or _check_packs(device, source, image, contents[1])


def _check_packs(device: _Device, source: Source, image: Any, listed: bytes) -> str:
    """Build an image from each of its packs; return what is wrong with one of them, or ""."""
    named = image.custom.get("packs", {})
    if not isinstance(named, dict):
        return "packs that devices would not ask for"
    for base, name in named.items():
        if not isinstance(name, str) or not _PACK.fullmatch(name):
            return "packs that devices would not ask for"
        folder = image.path.rpartition("/")[0]
        body = source.open(f"targets/{folder}/{name}")
        if body is None:
            return f"pack {name} is missing"
        with body:
            pack = body.read(2 * image.length + 65536)
        old = None
        if base:
            old = _find_base(device, source, image.path.split("/")[1], base)
            if old is None:
                continue  # it is for those who still run what is no longer offered
        problem = packs.check(image, listed, pack, base, old)
        if problem:
            return f"pack {name}: {problem}"
    return ""


def _find_base(device: _Device, source: Source, product: str, base: str) -> bytes | None:
    """Return the image whose identity begins so."""
    signed = json.loads(device.documents[names.img_role(product)])["signed"]["targets"]
    for path, entry in signed.items():
        if str((entry.get("custom") or {}).get("identity", "")).startswith(base):
            target = device.follow(device.client.find(path))
            return target and _read_target(source, target)
    return None


def _check_contents(image: Any, data: bytes, listed: bytes) -> str:
    """Compare an image with its list."""
    from ota.errors import ImageError

    check = _check_app if image.custom.get("kind") == "app" else _check_blocks
    try:
        return check(image, data, listed)
    except ImageError as error:
        return " ".join(str(fact) for fact in error.args)


def _check_blocks(image: Any, data: bytes, listed: bytes) -> str:
    """Compare a firmware with its block list, or raise ImageError as a device would."""
    from ota.image.blocks import BlockList

    size = image.custom["block"]
    digests = BlockList(io.BytesIO(listed), image.length, size, image.custom["digest"])
    for block in range(digests.count):
        content = data[block * size :][:size].ljust(size, b"\xff")
        if not digests.matches(block, content):
            return f"block {block} is not what the block list says"
    return ""


def _check_app(image: Any, data: bytes, listed: bytes) -> str:
    """Compare an application with its file list, or raise ImageError as a device would."""
    from ota.image.tree import FileList

    custom = image.custom
    files = FileList(io.BytesIO(listed), image.length, custom["block"], custom["digest"])
    for block in range(files.count):
        start = files.start(block)
        if not files.matches(block, data[start : start + files.content(block)]):
            return f"block {block} is not what the file list says"
    if files.identity != custom.get("identity"):
        return "identity is not that of the file list"
    if "main.py" not in app.split(listed, data, custom["digest"]):
        return "no main.py in it"
    return ""


def _settings(device: _Device, source: Source, path: str) -> SeenSettings:
    from ota.errors import TrustError
    from ota.settings import parse

    target = device.follow(device.client.find(path))
    if target is None:
        return SeenSettings(path, None, [], "its role may not name it")
    seq = target.custom.get("seq")
    data = _read_target(source, target)
    if data is None:
        return SeenSettings(path, seq, [], "is missing")
    if len(data) != target.length or sha256(data).hexdigest() != target.hashes["sha256"]:
        return SeenSettings(path, seq, [], "is not what was signed")
    try:
        urls, _ = parse(io.BytesIO(data))
    except TrustError as error:
        return SeenSettings(path, seq, [], " ".join(str(fact) for fact in error.args))
    return SeenSettings(path, seq, urls, "" if type(seq) is int else "has no number")


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


def _image_names(device: _Device, rollout: Any) -> dict[str, str | None]:
    """Return the names under which devices look for the image of a rollout, and for which slot.

    A device with two slots that are not alike asks for one of them, and which one changes with
    every update: if there is an image for one of them, there have to be both.
    """
    release = rollout.custom.get("release")
    slots: dict[str, str | None] = {names.image_name(slot): slot for slot in names.SLOTS}
    alone: dict[str, str | None] = {names.APP_IMAGE: None}
    for found in (alone, slots):
        for name in found:
            if device.follow(device.client.find(f"{release}/{name}")):
                return found
    return {names.IMAGE_NAME: None}


def _fit(facts: dict[str, Any], custom: dict[str, Any], *, app: bool) -> None:
    """Make `facts` those of a device that can run what `custom` says."""
    facts["chip"] = custom.get("chip")
    if app:
        facts.update(kind="app", chip=None, mpy=custom.get("mpy"), arch=[custom.get("arch")])
        firmware = custom.get("firmware")
        if isinstance(firmware, dict):
            facts["firmware"] = [firmware.get("product"), firmware.get("min")]


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
        for name, slot in _image_names(device, rollout).items():
            facts["slot"] = slot
            wanted, attempt = offer.wanted(facts, memory, 0, name, time, rollout)
            image = device.follow(device.client.find(wanted))
            if image is not None and image.custom:
                _fit(facts, image.custom, app=name == names.APP_IMAGE)
            offer.fits(facts, memory, 0, _ANY_SLOT, custom["seq"], attempt, image)
    except offer.NotOffered as reason:
        return " ".join(str(fact) for fact in reason.args)
    return ""
