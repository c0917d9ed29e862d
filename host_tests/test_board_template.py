# SPDX-License-Identifier: MIT
"""examples/board_template: a board outside this project's folders, read by MicroPython's build."""

import os
import shutil
import subprocess

import pytest
from mp_image_tool_esp32.partition_table import PartitionTable

import partitions

ESP32, RP2040 = "MY_ESP32", "MY_RP2040"

FAKE_IDF = """
function(idf_build_set_property)
endfunction()
macro(project name)
    _project(${name} LANGUAGES NONE)
    file(WRITE ${CMAKE_BINARY_DIR}/seen "${IDF_TARGET};${MICROPY_FROZEN_MANIFEST}")
endmacro()
"""

# What the rp2 port and its SDK have defined when a board's file is included.
FAKE_RP2 = """
cmake_minimum_required(VERSION 3.19)
project(micropython C CXX)
set(MICROPY_PORT_DIR %s)
set(CMAKE_OBJCOPY objcopy)
function(pico_set_linker_script)
endfunction()
include(%s/mpconfigboard.cmake)
add_executable(firmware main.c)
file(WRITE ${CMAKE_BINARY_DIR}/seen "${PICO_BOARD};${PICO_FLASH_SIZE_BYTES}")
"""


@pytest.fixture
def copied(repo, tmp_path):
    """copied(name): the board in another place, as the README says, with its CHANGEs made."""

    def make(name):
        folder = tmp_path / "boards" / name
        shutil.copytree(repo / "examples/board_template" / name, folder)
        for file in folder.iterdir():
            text = file.read_text()
            text = text.replace("${CMAKE_CURRENT_LIST_DIR}/../../..", str(repo))
            text = text.replace("$(BOARD_DIR)/../../..", str(repo))
            text = text.replace("../../minimal", str(repo / "examples/minimal"))
            file.write_text(text.replace("../../../boards", str(repo / "boards")))
        return folder

    return make


@pytest.fixture
def cmake(tmp_path):
    """cmake(source, settings): configure; return what was seen, and the build folder."""

    def run(source, **settings):
        build = tmp_path / "build"
        done = subprocess.run(
            ["cmake", "-S", source, "-B", build, *(f"-D{k}={v}" for k, v in settings.items())],
            env={**os.environ, "IDF_PATH": str(tmp_path / "idf")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return (build / "seen").read_text().split(";"), build

    return run


def test_esp32_is_taken_by_micropythons_build(copied, cmake, built, tmp_path):
    (tmp_path / "idf/tools/cmake").mkdir(parents=True)
    (tmp_path / "idf/tools/cmake/project.cmake").write_text(FAKE_IDF)
    board = copied(ESP32)
    seen, build = cmake(
        built("src/micropython/ports/esp32"), MICROPY_BOARD=ESP32, MICROPY_BOARD_DIR=board
    )
    assert seen == ["esp32s3", str(board / "manifest.py")]
    options = (build / "sdkconfig.combined").read_text()
    assert f'PARTITION_TABLE_CUSTOM_FILENAME="{board}/partitions.csv"' in options
    assert "CONFIG_ESPTOOLPY_FLASHSIZE_16MB=y\n" in options
    assert "CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE=y\n" in options


def test_esp32_has_a_sound_table(repo):
    text = (repo / "examples/board_template" / ESP32 / "partitions.csv").read_text()
    rows = partitions.parse(text)
    partitions.check(rows, 16 << 20)
    read = PartitionTable.from_bytes(partitions.build(rows), 16 << 20)
    read.check()
    assert read[-1].offset + read[-1].size == 16 << 20
    assert read.by_name("ota_0").size == 3 << 20  # README: --slot-size 3M


@pytest.mark.parametrize(("variant", "size"), [("", 2 << 20), ("FLASH_4M", 4 << 20)])
def test_rp2040_gets_both_linker_scripts(copied, cmake, built, tmp_path, variant, size):
    board = copied(RP2040)
    source = tmp_path / "port"
    source.mkdir()
    (source / "main.c").write_text("")
    port = built("src/micropython/ports/rp2")
    (source / "CMakeLists.txt").write_text(FAKE_RP2 % (port, board))
    seen, build = cmake(source, MICROPY_BOARD_VARIANT=variant)
    assert seen[0] == "pico"
    assert int(seen[1], 0) == size
    scripts = [(build / f"slot_{slot}.ld").read_text() for slot in "ab"]
    assert scripts[0] != scripts[1]


@pytest.mark.parametrize(("name", "port"), [(ESP32, "esp32"), (RP2040, "rp2")])
def test_the_header_is_one(copied, built, name, port):
    board = copied(name)
    text = subprocess.run(
        [
            *("gcc", "-E", "-dM", "-Werror", "-I", built(f"src/micropython/ports/{port}")),
            board / "mpconfigboard.h",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert '#define MICROPY_HW_BOARD_NAME "My ' in text


@pytest.mark.parametrize(("name", "port"), [(ESP32, "esp32"), (RP2040, "rp2")])
def test_the_manifest_freezes_library_and_application(
    copied, built, repo, name, port, tmp_path, monkeypatch
):
    source = built("src/micropython")
    monkeypatch.syspath_prepend(source / "tools")
    import manifestfile

    reader = manifestfile.ManifestFile(
        manifestfile.MODE_FREEZE,
        {
            "MPY_DIR": str(source),
            "MPY_LIB_DIR": str(tmp_path),
            "PORT_DIR": str(source / "ports" / port),
            "BOARD_DIR": str(copied(name)),
        },
    )
    for package in (  # micropython-lib is in no package
        *("bundle-networking", "aioespnow", "dht", "ds18x20", "neopixel", "onewire"),
        *("umqtt.robust", "umqtt.simple", "upysh"),
    ):
        (tmp_path / "micropython" / package).mkdir(parents=True)
        (tmp_path / "micropython" / package / "manifest.py").write_text("")
    reader.execute(str(tmp_path / "boards" / name / "manifest.py"))
    found = {file.target_path: file.full_path for file in reader.files()}
    assert found["main.py"] == str(repo / "examples/minimal/main.py")
    assert "ota/updater.py" in found
    assert f"ota_{port}.py" in found
    assert found["_boot.py"].startswith(str(repo / "boards"))
