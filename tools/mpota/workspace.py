# SPDX-License-Identifier: MIT
"""The working folder of whoever releases: settings, private keys, and the repository.

    ota-repo/
      mpota.json            settings, below; no secret
      keys/*.pem            private keys (mode 0600), as far as they are on this computer
      repository/metadata   what is signed, every version of it
      repository/targets    images and block lists, named by their hash
      pending/              documents that still wait for signatures
      tls/                  development CA and server certificate (`publish --serve`)
      public/               where `publish` puts what is served, unless told otherwise
      .lock                 held while a command changes the folder

mpota.json:

    profile    "solo" or "fleet"
    products   names; the first one is meant when none is given
    boards     name -> {"chip", "slot"}: what a release is checked against
    keys       name -> {"uri", "keyid"}: where the private half is
    days       role -> how long a signature on it lasts
    keep       releases that stay in an img role
    boot_keys  name -> {"uri", "public"}: what the bootloader of an RP2040 knows; the first one
               that is at hand signs images
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mpota import files
from mpota.errors import MpotaError

if TYPE_CHECKING:
    from mpota.keys import AskPassphrase, Keyring

DEFAULT_FOLDER = "ota-repo"
SETTINGS = "mpota.json"


@dataclass(frozen=True)
class Board:
    chip: str
    slot: int  # bytes of one OTA slot


# MicroPython's builds that have two OTA slots, named as sys.implementation._build names them; the
# sizes are from the partition tables in its ports/esp32, and from boards/rp2040/boot/flash_map.py.
KNOWN_BOARDS = {
    "ESP32_GENERIC-OTA": Board("esp32", 0x180000),
    "SIL_WESP32": Board("esp32", 0x270000),
    "SIL_MANT1S": Board("esp32", 0x200000),
    "OTA_PICO": Board("rp2040", 0xE8000),
    "OTA_PICO-FLASH_4M": Board("rp2040", 0x158000),
    "OTA_PICO_W": Board("rp2040", 0xE8000),
    "OTA_PICO_W-FLASH_4M": Board("rp2040", 0x158000),
}


@dataclass(frozen=True)
class KeyRef:
    uri: str
    keyid: str


@dataclass(frozen=True)
class BootKey:
    """A key that the bootloader of an RP2040 knows."""

    uri: str
    public: str  # raw Ed25519 key in hex


@dataclass(frozen=True)
class Settings:
    profile: str
    products: list[str]
    boards: dict[str, Board]
    keys: dict[str, KeyRef]
    days: dict[str, int]
    keep: int
    boot_keys: dict[str, BootKey] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes, path: Path) -> Settings:
        try:
            raw = json.loads(data)
            return cls(
                profile=str(raw["profile"]),
                products=[str(name) for name in raw["products"]],
                boards={
                    name: Board(str(board["chip"]), int(board["slot"]))
                    for name, board in raw["boards"].items()
                },
                keys={
                    name: KeyRef(str(key["uri"]), str(key["keyid"]))
                    for name, key in raw["keys"].items()
                },
                days={role: int(days) for role, days in raw["days"].items()},
                keep=int(raw["keep"]),
                boot_keys={
                    name: BootKey(str(key["uri"]), str(key["public"]))
                    for name, key in raw.get("boot_keys", {}).items()
                },
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MpotaError(f"bad settings ({error!r})", path, "correct them by hand") from error

    def days_of(self, role: str) -> int:
        """How long a signature on `role` lasts; all img roles share one number."""
        return self.days["img" if role.startswith("img-") else role]


@dataclass(frozen=True)
class Workspace:
    folder: Path
    settings: Settings

    @property
    def metadata(self) -> Path:
        return self.folder / "repository" / "metadata"

    @property
    def targets(self) -> Path:
        return self.folder / "repository" / "targets"

    @property
    def pending(self) -> Path:
        return self.folder / "pending"

    @property
    def tls(self) -> Path:
        return self.folder / "tls"

    @property
    def public(self) -> Path:
        return self.folder / "public"

    @contextmanager
    def lock(self) -> Iterator[None]:
        with files.locked(self.folder / ".lock"):
            yield

    def keyring(self, ask: AskPassphrase) -> Keyring:
        from mpota.keys import Keyring  # here, so that reading settings stays quick

        uris = {name: key.uri for name, key in self.settings.keys.items()}
        return Keyring(self.folder, uris, ask)

    def key_name(self, keyid: str) -> str | None:
        """Return our name for the key, or None if mpota.json does not know it."""
        for name, key in self.settings.keys.items():
            if key.keyid == keyid:
                return name
        return None

    def product(self, name: str | None) -> str:
        """Return `name`, or the first product, if it is one of ours."""
        if name is None:
            return self.settings.products[0]
        if name not in self.settings.products:
            have = ", ".join(self.settings.products)
            raise MpotaError("no such product", name, f"this repository has: {have}")
        return name

    def board(self, name: str | None) -> str:
        """Return `name`, or the first board of mpota.json."""
        return next(iter(self.settings.boards)) if name is None else name


def open_workspace(folder: Path) -> Workspace:
    path = folder / SETTINGS
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        todo = "run mpota init, or name the folder with --repo"
        raise MpotaError("no repository", folder, todo) from None
    except OSError as error:
        raise MpotaError("cannot read", path, error.strerror or "") from error
    return Workspace(folder, Settings.from_json(data, path))
