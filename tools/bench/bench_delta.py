# SPDX-License-Identifier: MIT
"""How much of a release travels when packs do, for real firmware and a real application.

Everything is counted: the whole pack and the block list with digests of 16 bytes. The firmware is
that of the emulated board with what stock firmware has frozen, signed; the others are measured on
the same files.

delta_bytes             MicroPython 1.25.0 to a newer one, same slot
delta_vs_bsdiff         the same against bsdiff (bz2) of the whole image
delta_vs_heatshrink     against detools with heatshrink, which decodes in constant memory
delta_other_slot_bytes  the same to the image for the other slot, which is what a device does
delta_relink_ratio      one release from slot A to slot B, against the image
delta_small_ratio       one frozen module of 4 KB added, against the image
delta_change_bytes      one function of it changed
delta_app_ratio         an application of 200 KB, its files those of two MicroPython releases
pack_ratio              a full install by the compressed pack against the image
pack_app_ratio          the same for the application
delta_encode_s          to make the first delta, CPU time
"""

import io
import time
from collections.abc import Iterable
from pathlib import Path

import bsdiff4  # type: ignore[import-untyped]
import detools  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpota import rp2040
from mpota.pack import decode, form
from mpota.pack.encode import Block, blocks_of, encode
from mpota.pack.layout import layout_of

REPO = Path(__file__).resolve().parent.parent.parent
_DIGEST = 16
_APPLICATION = 200_000


class _Key:
    """Signs like a key of the owner's; the same each time."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def figures() -> dict[str, float]:
    boot = (REPO / "boards" / "rp2040" / "boot" / "ota_boot_2mb.bin").read_bytes()
    slots = dict(zip("ab", rp2040.read_info(boot).slots, strict=True))

    def image(build: str, slot: str = "a") -> bytes:
        code = (REPO / "build" / "rp2040" / build / f"firmware-{slot}.bin").read_bytes()
        address = rp2040.XIP_BASE + slots[slot]
        return rp2040.make_image(code, address, 1, "1.0.0", _Key())

    old, new = image("plain"), image("plain-newer")
    began = time.process_time()
    delta = _delta(old, new)
    seconds = time.process_time() - began
    patch = io.BytesIO()
    detools.create_patch(io.BytesIO(old), io.BytesIO(new), patch, compression="heatshrink")
    added, changed = image("plain_added"), image("plain_changed")
    before, after = _application("micropython"), _application("micropython-newer")
    blocks = _file_blocks(after)
    before_all, after_all = b"".join(before), b"".join(after)
    return {
        "delta_bytes": delta,
        "delta_vs_bsdiff": round(delta / len(bsdiff4.diff(old, new)), 3),
        "delta_vs_heatshrink": round(delta / len(patch.getvalue()), 3),
        "delta_other_slot_bytes": _delta(old, image("plain-newer", "b")),
        "delta_relink_ratio": round(_delta(old, image("plain", "b")) / len(old), 5),
        "delta_small_ratio": round(_delta(old, added) / len(added), 5),
        "delta_change_bytes": _delta(added, changed),
        "delta_app_ratio": round(_size(before_all, after_all, blocks, None) / len(after_all), 4),
        "pack_ratio": round(_size(b"", new, blocks_of(len(new)), rp2040.CHIP) / len(new), 4),
        "pack_app_ratio": round(_size(b"", after_all, blocks, None) / len(after_all), 4),
        "delta_encode_s": round(seconds, 1),
    }


def _delta(old: bytes, new: bytes) -> int:
    return _size(old, new, blocks_of(len(new)), rp2040.CHIP)


def _size(old: bytes, new: bytes, blocks: list[Block], chip: str | None) -> int:
    """Return the bytes of pack and block list, once the pack gives back the image."""
    pack = encode(
        old or None,
        new,
        blocks,
        was=layout_of(old, chip if old else None),
        now=layout_of(new, chip),
    )
    head = form.parse(pack)
    for index, (start, length) in enumerate(blocks):
        block = decode.decode_block(pack, old, index, (start, length), head)
        if block != new[start : start + length]:
            raise RuntimeError(f"block {index} is wrong")
    return len(pack) + _DIGEST * len(blocks)


def _application(source: str) -> list[bytes]:
    """Return Python files of a MicroPython source, in order of their names, up to 200 KB."""
    root = REPO / "build" / "src" / source
    paths = sorted(
        path for part in ("examples", "extmod", "tools") for path in _python(root / part)
    )
    files = []
    left = _APPLICATION
    for path in paths:
        data = path.read_bytes()
        if data and len(data) <= left:
            files.append(data)
            left -= len(data)
    return files


def _python(folder: Path) -> Iterable[Path]:
    return folder.rglob("*.py")


def _file_blocks(files: list[bytes]) -> list[Block]:
    """Return the blocks of an application: none spans two files."""
    blocks = []
    start = 0
    for data in files:
        blocks += [(start + at, length) for at, length in blocks_of(len(data))]
        start += len(data)
    return blocks
