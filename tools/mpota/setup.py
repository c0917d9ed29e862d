# SPDX-License-Identifier: MIT
"""Make a new repository: folder, keys, first version of every role.

Everything is made in a hidden folder beside the wanted one and renamed at the end, so there is a
whole repository or none. Nothing that exists is ever overwritten.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import SSlibKey

from mpota import files, names
from mpota.errors import MpotaError
from mpota.keys import make_key
from mpota.repository import RoleKeys, new_repository
from mpota.workspace import SETTINGS, Board, BootKey, KeyRef, Settings, Workspace

KEEP = 4  # releases in an img role: enough to look back, few enough for every device's download


@dataclass(frozen=True)
class Profile:
    """Who signs what: (number of keys, threshold) of a group, days that a signature lasts."""

    owner: tuple[int, int]  # root, targets
    img: tuple[int, int] | None  # img roles; None: the owner's keys
    days: dict[str, int]


PROFILES = {
    "solo": Profile(
        owner=(1, 1),
        img=None,
        days={"root": 3650, "targets": 3650, "img": 3650,
              "rollout": 365, "snapshot": 365, "timestamp": 365},
    ),
    "fleet": Profile(
        owner=(3, 2),
        img=(3, 2),
        days={"root": 730, "targets": 365, "img": 365,
              "rollout": 14, "snapshot": 14, "timestamp": 14},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Created:
    folder: Path
    profile: str
    keys: dict[str, Path]


def check_free(folder: Path) -> None:
    """Raise MpotaError if something would be overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MpotaError("exists already", folder, "name another folder with --repo")


def init(
    folder: Path,
    *,
    profile: str,
    products: Sequence[str],
    boards: dict[str, Board],
    passphrase: str | None,
    now: datetime,
    apps: Sequence[str] = (),
) -> Created:
    """Make a repository in `folder`, which must not exist or be empty.

    `products` are firmware, `apps` are applications. With `passphrase` None the private keys are
    not encrypted.
    """
    for product in (*products, *apps):
        names.check_product(product)
    for board in boards:
        names.check_name("board", board)
    kinds = {**dict.fromkeys(products, "firmware"), **dict.fromkeys(apps, "app")}
    if len(kinds) != len(products) + len(apps):
        raise MpotaError("product named twice", ", ".join((*products, *apps)), "name each once")
    check_free(folder)
    files.make_folder(folder.parent)
    building = folder.with_name(f".{folder.name}.new")
    if building.exists():  # left by a cut; nothing in it was ever used
        shutil.rmtree(building)
    building.mkdir()
    keys = _build(building, profile, kinds, boards, passphrase, now)
    if folder.exists():
        folder.rmdir()
    os.replace(building, folder)
    return Created(folder, profile, {name: folder / path for name, path in keys.items()})


def _build(
    folder: Path,
    profile: str,
    products: dict[str, str],
    boards: dict[str, Board],
    passphrase: str | None,
    now: datetime,
) -> dict[str, Path]:
    plan = PROFILES[profile]
    publics: dict[str, SSlibKey] = {}

    def group(name: str, count: int, threshold: int) -> RoleKeys:
        made = []
        for number in range(1, count + 1):
            key = name if count == 1 else f"{name}-{number}"
            publics[key] = make_key(folder / _key_file(key), passphrase)
            made.append(publics[key])
        return RoleKeys(list(made), threshold)

    owner = group("owner", *plan.owner)
    img = owner if plan.img is None else group("release", *plan.img)
    online = group("online", 1, 1)
    settings = Settings(
        profile=profile,
        products=products,
        boards=boards,
        keys={
            name: KeyRef(f"file:{_key_file(name).as_posix()}", key.keyid)
            for name, key in publics.items()
        },
        days=plan.days,
        keep=KEEP,
        boot_keys=_boot_keys(folder, passphrase) if _has_bootloader(boards) else {},
    )
    workspace = Workspace(folder, settings)
    files.make_folder(workspace.targets)
    done = new_repository(workspace, owner, img, online).commit(
        workspace.keyring(lambda _name: iter([passphrase or ""])), now
    )
    assert done.is_done  # all keys were made above
    files.write(folder / ".gitignore", b"/keys/\n/tls/\n/public/\n/.lock\n")
    files.write(folder / SETTINGS, settings.to_json())
    return {name: _key_file(name) for name in (*publics, *settings.boot_keys)}


def add_boot_keys(workspace: Workspace, passphrase: str | None) -> Workspace:
    """Give a repository that was made without an RP2040 board the keys of its bootloader.

    Needs the lock. Raises MpotaError if there are some: boards know them for good.
    """
    if workspace.settings.boot_keys:
        raise MpotaError("has boot_keys", workspace.folder / SETTINGS, "boards know them for good")
    settings = replace(workspace.settings, boot_keys=_boot_keys(workspace.folder, passphrase))
    files.write(workspace.folder / SETTINGS, settings.to_json())
    return Workspace(workspace.folder, settings)


def _has_bootloader(boards: dict[str, Board]) -> bool:
    return any(board.chip == "rp2040" for board in boards.values())


def _boot_keys(folder: Path, passphrase: str | None) -> dict[str, BootKey]:
    """Make the keys that a bootloader gets for good: one to sign with, one to fall back to."""
    made = {}
    for name in ("boot", "boot-spare"):
        public = make_key(folder / _key_file(name), passphrase)
        made[name] = BootKey(f"file:{_key_file(name).as_posix()}", public.keyval["public"])
    return made


def _key_file(name: str) -> Path:
    return Path("keys") / f"{name}.pem"
