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
    products   name -> kind, "firmware" or "app"; the first one of a kind is meant when none is
               given. A list, as earlier versions wrote it, is of firmware
    boards     name -> {"chip", "slot"}: what a release is checked against; slot 0 where only
               applications are updated. `provision` adds the boards that it meets
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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpota import files, names
from mpota.errors import MpotaError

if TYPE_CHECKING:
    from mpota.keys import AskPassphrase, Keyring

DEFAULT_FOLDER = "ota-repo"
SETTINGS = "mpota.json"


KINDS = ("firmware", "app")


@dataclass(frozen=True)
class Board:
    chip: str = ""  # "" if it is not known
    slot: int = 0  # bytes of one OTA slot; 0: none, only applications are updated

    @property
    def arch(self) -> str:
        """Architecture of native .mpy files for it, as MicroPython names it; "" if not known."""
        return ARCHITECTURES.get(self.chip, "")


# Of MicroPython's native .mpy files, by chip (its py/persistentcode.h and boards).
ARCHITECTURES = {
    "esp32": "xtensawin",
    "esp32s2": "xtensawin",
    "esp32s3": "xtensawin",
    "esp32c2": "rv32imc",
    "esp32c3": "rv32imc",
    "esp32c5": "rv32imc",
    "esp32c6": "rv32imc",
    "esp32p4": "rv32imc",
    "rp2040": "armv6m",
    "rp2350": "armv7emsp",
}

# MicroPython's builds that have two OTA slots, named as sys.implementation._build names them; the
# sizes are from the partition tables in its ports/esp32 and in boards/esp32, and from
# boards/rp2040/boot/flash_map.py.
KNOWN_BOARDS = {
    "ESP32_GENERIC-OTA": Board("esp32", 0x180000),
    "SIL_WESP32": Board("esp32", 0x270000),
    "SIL_MANT1S": Board("esp32", 0x200000),
    "OTA_ESP32": Board("esp32", 0x1C0000),
    "OTA_ESP32-FLASH_8M": Board("esp32", 0x270000),
    "OTA_ESP32_C3": Board("esp32c3", 0x1C0000),
    "OTA_ESP32_C3-FLASH_8M": Board("esp32c3", 0x270000),
    "OTA_ESP32_S3": Board("esp32s3", 0x1C0000),
    "OTA_ESP32_S3-FLASH_8M": Board("esp32s3", 0x270000),
    "OTA_PICO": Board("rp2040", 0xE8000),
    "OTA_PICO-FLASH_4M": Board("rp2040", 0x158000),
    "OTA_PICO_W": Board("rp2040", 0xE8000),
    "OTA_PICO_W-FLASH_4M": Board("rp2040", 0x158000),
}

# Chips of the other builds, whose applications can be updated: by the beginning of their names.
_STOCK_CHIPS = {
    "ESP32_GENERIC_C2": "esp32c2",
    "ESP32_GENERIC_C3": "esp32c3",
    "ESP32_GENERIC_C5": "esp32c5",
    "ESP32_GENERIC_C6": "esp32c6",
    "ESP32_GENERIC_P4": "esp32p4",
    "ESP32_GENERIC_S2": "esp32s2",
    "ESP32_GENERIC_S3": "esp32s3",
    "ESP32_GENERIC": "esp32",
    "RPI_PICO2": "rp2350",
    "RPI_PICO": "rp2040",
}


def has_library(name: str) -> bool:
    """Tell whether the firmware of a board has `ota` frozen in it: all those of boards/ have."""
    return name.startswith("OTA_") and name in KNOWN_BOARDS


def known_board(name: str) -> Board | None:
    """Return what is known about a build of MicroPython by its name alone."""
    if name in KNOWN_BOARDS:
        return KNOWN_BOARDS[name]
    for start, chip in _STOCK_CHIPS.items():
        if name == start or name.startswith((f"{start}_", f"{start}-")):
            return None if "RISCV" in name else Board(chip)  # another architecture, same chip
    return None


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
    products: dict[str, str]  # name -> kind
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
                products=_products(raw["products"]),
                boards={
                    str(name): Board(str(board.get("chip", "")), int(board.get("slot", 0)))
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

    def of_kind(self, kind: str) -> list[str]:
        """Return the products of one kind."""
        return [name for name, its in self.products.items() if its == kind]

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

    def product(self, name: str | None, kind: str | None = None) -> str:
        """Return `name`, or the first product (of this kind), if it is one of ours."""
        products = self.settings.products
        wanted = list(products) if kind is None else self.settings.of_kind(kind)
        if name is None:
            if not wanted:
                todo = "mpota init --app NAME" if kind == "app" else "mpota init --product NAME"
                raise MpotaError(f"no product of kind {kind}", self.folder, f"{todo} makes one")
            return wanted[0]
        if name not in products:
            have = ", ".join(products)
            raise MpotaError("no such product", name, f"this repository has: {have}")
        if name not in wanted:
            raise MpotaError(f"not a product of kind {kind}", name, f"it is {products[name]}")
        return name

    def board(self, name: str | None) -> str:
        """Return `name`, or the first board of mpota.json."""
        if name is not None:
            return name
        if not self.settings.boards:
            todo = "give --board NAME, or run mpota provision with the board plugged in"
            raise MpotaError("no board is known yet", self.folder / SETTINGS, todo)
        return next(iter(self.settings.boards))


def _products(raw: Any) -> dict[str, str]:
    if isinstance(raw, list):
        return {str(name): "firmware" for name in raw}
    products = {str(name): str(kind) for name, kind in raw.items()}
    for kind in products.values():
        if kind not in KINDS:
            raise ValueError(f"product of kind {kind}")
    return products


def add_board(workspace: Workspace, name: str, board: Board) -> Workspace:
    """Write a board into mpota.json, unless it is there; return the workspace as it is then.

    What is there already is never changed: somebody may have put it right by hand. Needs the lock.
    """
    names.check_name("board", name)
    if name in workspace.settings.boards:
        return workspace
    boards = {**workspace.settings.boards, name: board}
    settings = replace(workspace.settings, boards=boards)
    files.write(workspace.folder / SETTINGS, settings.to_json())
    return Workspace(workspace.folder, settings)


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
