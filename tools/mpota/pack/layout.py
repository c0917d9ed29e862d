# SPDX-License-Identifier: MIT
"""What an image is for a pack: which code, and at which addresses its parts run.

It decides how copied references are rewritten. A wrong layout makes a pack larger, never an image
wrong.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mpota.errors import MpotaError

from . import form
from .form import Segment

_ESP_HEADER = 24
_XTENSA = ("esp32", "esp32s2", "esp32s3")
_XTENSA_CODE = 0x40000000  # instructions are above it, data below, on each of these chips
_MCUBOOT_MAGIC = 0x96F3B83D


@dataclass(frozen=True)
class Layout:
    """The code of an image (form.ARCH_…) and the places of its parts."""

    arch: int = form.ARCH_NONE
    segments: tuple[Segment, ...] = ()


PLAIN = Layout()  # files, and chips whose code we know nothing of


def layout_of(image: bytes, chip: str | None) -> Layout:
    """Return the layout of a firmware image, or of an application (no chip)."""
    if chip == "rp2040":
        magic, address = struct.unpack_from("<2I", image.ljust(8, b"\0"))
        if magic != _MCUBOOT_MAGIC:
            raise MpotaError("not an RP2040 image with MCUboot's header", "", "sign it")
        return Layout(form.ARCH_THUMB, (Segment(0, address & ~1, True),))
    if chip in _XTENSA:
        return Layout(form.ARCH_XTENSA, _esp_segments(image))
    return PLAIN


def _esp_segments(image: bytes) -> tuple[Segment, ...]:
    at = _ESP_HEADER
    segments = []
    for _ in range(min(image[1] if len(image) > 1 else 0, form.SEGMENTS_MAX)):
        if at + 8 > len(image):
            raise MpotaError("image is cut short", "", "build or copy it again")
        address, length = struct.unpack_from("<2I", image, at)
        at += 8
        segments.append(Segment(at, address & ~1, address >= _XTENSA_CODE))
        at += length
    return tuple(segments)
