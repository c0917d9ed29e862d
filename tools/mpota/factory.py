# SPDX-License-Identifier: MIT
"""The UF2 that makes an RP2040 board one that can be updated: bootloader with the owner's keys, a
release in slot A with its record, and a blank record for slot B.

It holds only what was released, so the first image of a device is as signed as every later one.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mpota import bootkeys, names, rp2040
from mpota.errors import MpotaError
from mpota.repository import Repository
from mpota.workspace import KNOWN_BOARDS


@dataclass(frozen=True)
class Factory:
    release: str
    data: bytes  # the UF2
    keys: int  # that the bootloader knows
    flash_size: int
    fs_size: int  # left for files


def make(repository: Repository, product: str, board: str, version: str | None) -> Factory:
    """Return the UF2 of a release of `product` for `board`, the newest one if not told."""
    known = repository.workspace.settings.boards.get(board) or KNOWN_BOARDS.get(board)
    if known is None or known.chip != rp2040.CHIP:
        raise MpotaError("not an RP2040 board", board, "other boards take their maker's tool")
    path = _find(repository, product, board, version)
    image_path = f"{path}/{names.image_name(names.SLOTS[0])}"
    target = repository.role(names.img_role(product)).signed.targets[image_path]
    stored = repository.workspace.targets / target.get_prefixed_paths()[0]
    image = rp2040.read_image(stored)
    if sha256(image.data).hexdigest() != target.hashes["sha256"]:
        raise MpotaError("not the bytes that were signed", stored, "restore it from a copy")
    keys = bootkeys.publics(repository.workspace)
    boot = rp2040.set_keys(bootloader(known.slot), keys)
    info = rp2040.read_info(boot)
    data = rp2040.uf2(rp2040.bundle(boot, image))
    return Factory(path, data, len(keys), info.flash_size, info.fs_size)


def _find(repository: Repository, product: str, board: str, version: str | None) -> str:
    found = [
        path
        for path, image in repository.images(product).items()
        if board in image.custom["boards"]
        and image.custom["chip"] == rp2040.CHIP
        and version in (None, image.custom["version"])
    ]
    if not found:
        todo = "run mpota release first; mpota verify lists what there is"
        what = "no release" if version is None else f"no release {version}"
        raise MpotaError(what, f"{product}/{board}", todo)
    return found[-1]


def bootloader(slot_size: int) -> bytes:
    """Return the bootloader whose slots have this size."""
    here = Path(__file__).resolve().parent
    folders = (here / "_device", here.parents[1] / "boards" / "rp2040" / "boot")
    for path in (path for folder in folders for path in sorted(folder.glob("ota_boot_*.bin"))):
        data = path.read_bytes()
        if rp2040.read_info(data, path).slot_size == slot_size:
            return data
    todo = "make one with boards/rp2040/boot/flash_map.py"
    raise MpotaError("no bootloader with slots of this size", f"{slot_size:#x}", todo)
