# SPDX-License-Identifier: MIT
"""The simulated NVS against Espressif's own generator of NVS partitions."""

import subprocess
import sys

import pytest

from sim import image, table
from sim.chip import Board, esp32
from sim.flash import Flash

START, SIZE = 0x9000, 0x4000
BLOB = bytes(range(256)) * 5


@pytest.fixture
def board():
    board = Board(Flash(table.SMALL_SIZE))
    board.format(table.SMALL, image.build())
    with board:
        yield board


@pytest.fixture
def generated(tmp_path):
    """What Espressif's tool makes of two namespaces, four numbers and two blobs."""
    rows = ["key,type,encoding,value", "phy,namespace,,", "cal,data,i32,-7"]
    rows += ["ota,namespace,,", "root0,data,i32,7", "root1,data,i32,6", "seq0,data,i32,41"]
    rows += [f"long,data,hex2bin,{BLOB.hex()}", "short,data,hex2bin,0102"]
    (tmp_path / "nvs.csv").write_text("\n".join(rows) + "\n")
    tool = [sys.executable, "-m", "esp_idf_nvs_partition_gen", "generate"]
    done = subprocess.run(
        [*tool, "nvs.csv", "nvs.bin", hex(SIZE), "--outdir", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (tmp_path / "nvs.bin").read_bytes()


def test_reads_what_espressif_wrote(board, generated):
    from ota_esp32 import Boot

    board.flash.write(START, generated)
    board.power_on()
    assert esp32.NVS("phy").get_i32("cal") == -7
    buf = bytearray(2000)
    assert esp32.NVS("ota").get_blob("long", buf) == len(BLOB)
    assert buf[: len(BLOB)] == BLOB
    boot = Boot()
    assert (boot.root_floor, boot.seq_floor) == (7, 41)
    boot.raise_root_floor(8)
    board.reset()
    assert Boot().root_floor == 8
    assert esp32.NVS("ota").get_i32("root0") == 7  # the place of the smaller one was taken


def test_writes_what_espressif_would_have_written(board, generated):
    board.power_on()
    esp32.NVS("phy").set_i32("cal", -7)
    nvs = esp32.NVS("ota")
    for key, value in (("root0", 7), ("root1", 6), ("seq0", 41)):
        nvs.set_i32(key, value)
    nvs.set_blob("long", BLOB)
    nvs.set_blob("short", b"\1\2")
    written = bytearray(SIZE)
    board.flash.read(START, written)
    assert written == generated
