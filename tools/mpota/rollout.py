# SPDX-License-Identifier: MIT
"""Say which release a channel gets, for whom, and from when (SPEC 4).

Everything here is signed by the online key alone, which can only choose among releases that the
img keys signed.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from tuf.api.metadata import TargetFile

from mpota import names
from mpota.errors import MpotaError
from mpota.keys import Keyring
from mpota.repository import Committed, Repository

EVERYBODY = 10000  # percent in 1/100
_EMPTY = sha256(b"").hexdigest()


@dataclass(frozen=True)
class Change:
    """What to change in a rollout; None leaves it as it is."""

    percent: int | None = None
    groups: list[str] | None = None
    halt: bool | None = None
    not_before: str | None = None  # "" removes it
    retry: bool = False


NO_CHANGE = Change()


@dataclass(frozen=True)
class RolledOut:
    path: str
    custom: dict[str, Any]
    committed: Committed

    def facts(self) -> dict[str, Any]:
        return {
            "rollout": self.path,
            **self.custom,
            "percent": percent(self.custom["percent"]),
            "written": self.committed.written,
            "missing": [asdict(entry) for entry in self.committed.missing],
        }


def percent(hundredths: int) -> float:
    """Return the percentage for people: 5 or 12.5."""
    whole, part = divmod(hundredths, 100)
    return hundredths / 100 if part else whole


def start(
    repository: Repository, path: str, release: str, seq: int, what: Change = NO_CHANGE
) -> dict[str, Any]:
    """Make the rollout target `path` name `release`, for everybody unless `what` says otherwise.

    Returns its custom.
    """
    custom: dict[str, Any] = {
        "release": release,
        "seq": seq,
        "percent": EVERYBODY,
        "salt": secrets.token_hex(8),  # new each time, so the same devices are not always first
        "groups": [],
        "halt": False,
        "attempt": 1,
        **_settings(what),
    }
    put(repository, path, custom)
    return custom


def follow(repository: Repository, release: str, seq: int) -> list[str]:
    """Give rollouts that name `release` under an older `seq` the new one; return their paths.

    Needed when a release is made again: a device insists that rollout and image agree.
    """
    changed = []
    for path, custom in repository.rollouts().items():
        if custom["release"] == release and custom["seq"] != seq:
            put(repository, path, {**custom, "seq": seq})
            changed.append(path)
    return changed


def put(repository: Repository, path: str, custom: dict[str, Any]) -> None:
    target = TargetFile(0, {"sha256": _EMPTY}, path, {"custom": custom})
    repository.role("rollout").signed.targets[path] = target
    repository.touch("rollout")


def change(
    repository: Repository,
    *,
    product: str,
    board: str,
    channel: str,
    version: str | None,
    what: Change,
) -> tuple[str, dict[str, Any]]:
    """Start the rollout of `version`, or with None change the one that there is.

    Returns the path of the rollout target and its new custom; nothing is signed yet.
    """
    path = names.rollout_path(
        names.check_product(product),
        names.check_name("board", board),
        names.check_name("channel", channel),
    )
    old = repository.rollouts().get(path)
    if version is None:
        if old is None:
            raise MpotaError("no rollout yet", path, "name the version to roll out")
        custom = dict(old)
    else:
        custom = _begin(repository, product, board, version, path, old)
    custom.update(_settings(what))
    if what.not_before == "":
        custom.pop("not_before", None)
    if what.retry:
        custom["attempt"] += 1
    put(repository, path, custom)
    return path, custom


def _begin(
    repository: Repository,
    product: str,
    board: str,
    version: str,
    path: str,
    old: dict[str, Any] | None,
) -> dict[str, Any]:
    images = repository.images(product)
    found = [
        (release, image)
        for release, image in images.items()
        if release.rpartition("/")[2] == version and board in image.custom["boards"]
    ]
    if not found:
        raise MpotaError(f"no release {version} for {board}", path, "mpota verify lists them")
    release, image = found[-1]
    seq = image.custom["seq"]
    if old is not None and seq < old["seq"]:
        what = f"older than what the channel has (seq {seq} < {old['seq']})"
        raise MpotaError(what, release, f"devices only go up: mpota release --again {version}")
    if old is not None and old["release"] == release and old["seq"] == seq:
        return dict(old)
    return start(repository, path, release, seq)


def _settings(what: Change) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if what.percent is not None:
        if not 0 <= what.percent <= EVERYBODY:
            raise MpotaError("not a percentage", what.percent / 100, "use 0 to 100")
        changes["percent"] = what.percent
    if what.groups is not None:
        changes["groups"] = [names.check_name("group", group) for group in what.groups]
    if what.halt is not None:
        changes["halt"] = what.halt
    if what.not_before:
        changes["not_before"] = names.time_text(names.parse_time(what.not_before))
    return changes


def roll_out(
    repository: Repository,
    keyring: Keyring,
    now: datetime,
    *,
    product: str,
    board: str,
    channel: str,
    version: str | None,
    what: Change,
) -> RolledOut:
    path, custom = change(
        repository, product=product, board=board, channel=channel, version=version, what=what
    )
    return RolledOut(path, custom, repository.commit(keyring, now))
