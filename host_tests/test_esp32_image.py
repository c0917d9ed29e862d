# SPDX-License-Identifier: MIT
"""Espressif's own image reader judges the images that the tests build."""

import pytest
from esptool.bin_image import LoadFirmwareImage

from sim import image, table
from sim.flash import Flash

CHIPS = sorted(image.CHIPS)


def judged(chip, data):
    """Return what esptool reads; it checks magic, segments, checksum and digest places."""
    read = LoadFirmwareImage(chip, data)
    assert read.checksum == read.calculate_checksum()
    assert read.stored_digest == read.calc_digest
    return read


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("length", [4096, 65536 + 16, 1447440])
def test_esptool_accepts_an_image(chip, length):
    data = image.build(chip, length=length, modules={"main.py": "print(1)"}, version="1.2.3")
    read = judged(chip, data)
    assert len(data) == length
    assert read.chip_id == image.CHIPS[chip]
    assert len(read.segments) == 4
    assert read.data_length + 32 == length
    assert image.identity(data) == read.stored_digest.hex()


@pytest.mark.parametrize("chip", CHIPS)
def test_esptool_sees_flash_mapped_segments_where_the_mmu_can_map_them(chip):
    read = judged(chip, image.build(chip, length=200000))
    mapped = [s for s in read.segments if {"DROM", "IROM"} & set(s.get_memory_type(read))]
    assert len(mapped) == 2
    for segment in mapped:
        assert (segment.file_offs + 8 - segment.addr) % 0x10000 == 0


@pytest.mark.parametrize("chip", CHIPS)
def test_combined_firmware(chip):
    app = image.build(chip, length=8192)
    data = image.combined(app, table.build(table.OTA_4M), chip)
    base = {"esp32": 0x1000, "esp32s2": 0x1000, "esp32c3": 0, "esp32s3": 0}[chip]
    judged(chip, data[: 0x8000 - base])
    judged(chip, data[0x10000 - base :])
    assert table.parse(data[0x8000 - base : 0x8C00 - base]) == list(table.OTA_4M)


@pytest.mark.parametrize("at", [24, 40, 5000, 8191])
def test_simulated_bootloader_and_esptool_find_the_same_flip(at):
    data = bytearray(image.build(length=8192))
    data[at] ^= 4
    flash = Flash(0x20000)
    flash.write(0x10000, data)
    with pytest.raises(image.Invalid):
        image.verify(flash.read, 0x10000, 0x10000)
    with pytest.raises(Exception):  # noqa: B017 - esptool has no one class for it
        judged("esp32", bytes(data))
