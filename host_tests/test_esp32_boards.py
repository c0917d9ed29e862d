# SPDX-License-Identifier: MIT
"""boards/esp32: partition tables, board definitions and what is frozen, judged by others.

No ESP-IDF here, so nothing is compiled. Instead MicroPython's own build files read the boards, up
to where ESP-IDF takes over, MicroPython's manifest reader freezes, and mp-image-tool-esp32 reads
the tables.
"""

import os
import subprocess
import sys
from itertools import product

import pytest
from mp_image_tool_esp32.partition_table import PartitionTable

import partitions
from mpota import esp32
from mpota.workspace import KNOWN_BOARDS
from sim import image, table
from sim.chip import VALID, Board, entry
from sim.flash import Flash

# Lengths of official images: the plain build of 1.27.0, the OTA variant of 1.26.0.
PLAIN, OTA_VARIANT = 1_698_016, 1_447_440
SIZES = {"4m": 4 << 20, "8m": 8 << 20}
BOARDS = {
    "OTA_ESP32": ("esp32", "ESP32_GENERIC"),
    "OTA_ESP32_S3": ("esp32s3", "ESP32_GENERIC_S3"),
    "OTA_ESP32_C3": ("esp32c3", "ESP32_GENERIC_C3"),
}

# Every symbol that a file of boards/esp32 sets, and the Kconfig file of ESP-IDF 5.x, below
# components/, that defines it.
KCONFIG = {
    "BOOTLOADER_APP_ROLLBACK_ENABLE": "bootloader/Kconfig.app_rollback",
    "BOOTLOADER_APP_ANTI_ROLLBACK": "bootloader/Kconfig.app_rollback",
    "BOOTLOADER_APP_SECURE_VERSION": "bootloader/Kconfig.app_rollback",
    "BOOTLOADER_SKIP_VALIDATE_IN_DEEP_SLEEP": "bootloader/Kconfig.projbuild",
    "SECURE_BOOT": "bootloader/Kconfig.projbuild",
    "SECURE_BOOT_V2_ENABLED": "bootloader/Kconfig.projbuild",
    "SECURE_BOOT_BUILD_SIGNED_BINARIES": "bootloader/Kconfig.projbuild",
    "SECURE_SIGNED_APPS_RSA_SCHEME": "bootloader/Kconfig.projbuild",
    "ESP32_REV_MIN_3": "esp_hw_support/port/esp32/Kconfig.hw_support",
    "ESP_SYSTEM_PANIC_PRINT_REBOOT": "esp_system/Kconfig",
    "ESPTOOLPY_FLASHSIZE_4MB": "esptool_py/Kconfig.projbuild",
    "ESPTOOLPY_FLASHSIZE_8MB": "esptool_py/Kconfig.projbuild",
    "PARTITION_TABLE_CUSTOM": "partition_table/Kconfig.projbuild",
    "PARTITION_TABLE_CUSTOM_FILENAME": "partition_table/Kconfig.projbuild",
    "COMPILER_OPTIMIZATION_SIZE": "../Kconfig",
    "COMPILER_OPTIMIZATION_PERF": "../Kconfig",
    "COMPILER_OPTIMIZATION_CHECKS_SILENT": "../Kconfig",
}


@pytest.fixture(scope="module")
def folder(repo):
    return repo / "boards/esp32"


@pytest.fixture(scope="module")
def port(built):
    return built("src/micropython/ports/esp32")


def rows_of(folder, name):
    return partitions.parse((folder / f"partitions-{name}.csv").read_text())


@pytest.fixture(params=SIZES)
def named(request):
    return request.param


# Partition tables


def test_a_reader_of_others_finds_no_fault(folder, named):
    data = partitions.build(rows_of(folder, named))
    read = PartitionTable.from_bytes(data, SIZES[named])
    read.check(app_size=PLAIN)
    assert [(p.type, p.subtype, p.offset, p.size, p.name, p.flags) for p in read] == rows_of(
        folder, named
    )
    assert read[-1].offset + read[-1].size == SIZES[named]  # nothing of the flash is left over


def test_the_readers_of_this_project_agree(folder, named):
    rows = rows_of(folder, named)
    data = partitions.build(rows)
    assert table.parse(data) == [row[:5] for row in rows]
    assert table.build([row[:5] for row in rows]) == data
    read = esp32.parse_table(data)
    assert [(p.type, p.subtype, p.offset, p.size, p.label) for p in read] == [r[:5] for r in rows]


def test_the_command_line(folder, named, tmp_path):
    source, target = folder / f"partitions-{named}.csv", tmp_path / "table.bin"
    done = subprocess.run(
        [sys.executable, folder / "partitions.py", source, target],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == f"{target}: for flash of {SIZES[named] >> 20} MB or more\n"
    assert target.read_bytes() == partitions.build(rows_of(folder, named))


def test_the_start_is_that_of_micropython(folder, named, port):
    # nvs, otadata and phy_init stay where they are when a board comes from the OTA variant.
    upstream = partitions.parse((port / "partitions-4MiB-ota.csv").read_text())
    assert rows_of(folder, named)[:3] == upstream[:3]


def test_slots_of_8_mb_are_those_of_micropython(folder, port):
    tables = ("partitions-8MiBplus-ota.csv", "partitions-16MiB-ota.csv")  # since 1.26, before
    upstream = partitions.parse(
        next(port / name for name in tables if (port / name).exists()).read_text()
    )
    assert [r[:5] for r in rows_of(folder, "8m")[3:5]] == [r[:5] for r in upstream[3:5]]


@pytest.fixture(scope="module")
def frozen_size(repo, mpy_cross, tmp_path_factory):
    """Bytes that `ota` adds to an image, at most: all of it as .mpy, and the verifier."""
    total, out = 16 << 10, tmp_path_factory.mktemp("mpy") / "out.mpy"
    for file in [*(repo / "lib/ota").rglob("*.py"), repo / "boards/esp32/ota_esp32.py"]:
        subprocess.run([mpy_cross, "-march=xtensawin", "-O3", "-o", out, file], check=True)
        total += out.stat().st_size
    return total


def test_todays_firmware_fits_with_ota_in_it(folder, named, frozen_size):
    slot = rows_of(folder, named)[3][3]
    assert slot >= PLAIN + frozen_size  # even without smaller code
    assert slot >= (OTA_VARIANT + frozen_size) * 1.15  # and with it there is room to grow


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("0x1d0000, 0x1c0000", "0x1c0000, 0x1c0000", "overlaps"),
        ("0x1d0000, 0x1c0000", "0x1d1000, 0x1b0000", "0x10000"),
        ("0x1d0000, 0x1c0000", "0x1d0000, 0x1b0000", "of one size"),
        ("0x1d0000, 0x1c0000", "0x1d0000, 0x1c0800", "0x1000"),
        ("0x70000", "0x80000", "behind the flash"),
        ("app,  ota_1", "app,  ota_2", "ota_0, ota_1"),
        ("ota,     0xd000,   0x2000", "ota,     0xd000,   0x1000", "otadata"),
        ("data, nvs", "data, phy", "nvs"),
        ("0x9000,", "0x8000,", "overlaps"),
        ("ota_1,    app", "ota_0,    app", "twice"),
        ("ota_1,    app", "a_label_of_16_ch,    app", "label"),
        ("app,  ota_1", "app,  ota1", "line"),
        ("0x390000", "", "line"),
        ("vfs,      data, fat,     0x390000, 0x70000,", "vfs", "line"),
    ],
)
def test_a_table_that_would_not_boot_is_refused(folder, old, new, why):
    text = (folder / "partitions-4m.csv").read_text()
    assert text.count(old) == 1
    with pytest.raises(partitions.TableError, match=why):
        partitions.check(partitions.parse(text.replace(old, new)), 4 << 20)


def test_a_board_with_this_table_has_a_spare_slot(folder, named):
    board = Board(Flash(SIZES[named]))
    board.format([row[:5] for row in rows_of(folder, named)], image.build())
    with board:
        from ota_esp32 import Boot

        board.power_on()
        boot = Boot()
        assert (boot.lacks, boot.spare.size) == (None, rows_of(folder, named)[4][3])
        assert boot.running.partition.info()[4] == "ota_0"


def test_stock_board_becomes_one_with_two_slots(folder, named, tmp_path):
    """README: official firmware of a board without slots, and our table over its own."""
    stock = image.combined(image.build("esp32s3"), table.build(table.FACTORY_4M), "esp32s3")
    (tmp_path / "stock.bin").write_bytes(stock)
    # What `esptool write-flash --flash-size` makes of the first file on its way into flash.
    subprocess.run(
        [
            *(sys.executable, "-m", "esptool", "--chip", "esp32s3", "merge-bin"),
            *("--output", tmp_path / "flash.bin", "--flash-size", f"{SIZES[named] >> 20}MB"),
            *("0x0", tmp_path / "stock.bin"),
        ],
        check=True,
        capture_output=True,
    )
    flash = Flash(SIZES[named])
    flash.write(0, (tmp_path / "flash.bin").read_bytes())
    flash.write(0x8000, partitions.build(rows_of(folder, named)))
    board = Board(flash, chip="esp32s3")
    with board:
        from ota_esp32 import Boot

        board.power_on()
        boot = Boot()
        assert (boot.lacks, boot.identity(boot.running)) == (None, image.identity(stock))
        assert board.otadata() == [(1, VALID), None]


def test_recovery_over_usb_keeps_files_and_forgets_the_rest(folder, named):
    """README: firmware.bin at the bootloader's address, over a board that runs its second slot."""
    rows = [row[:5] for row in rows_of(folder, named)]
    board = Board(Flash(SIZES[named]))
    board.format(rows, image.build(version="1"))
    board.put("ota_1", image.build(version="2"))
    board.set_otadata(entry(1, VALID), entry(2, VALID))
    board.flash.write(board.row("vfs")[2], b"files")
    with board:
        from ota_esp32 import Boot

        board.power_on()
        assert board.running[4] == "ota_1"
        Boot().raise_root_floor(9)
        board.flash.write(0x1000, image.combined(image.build(version="3"), table.build(rows)))
        board.power_on()
        assert (board.running[4], Boot().root_floor) == ("ota_0", 0)
        assert board.peek("vfs", 5) == b"files"


# Board definitions

FAKE_IDF = """
function(idf_build_set_property)
endfunction()
macro(project name)
    _project(${name} LANGUAGES NONE)
    foreach(variable IDF_TARGET USER_C_MODULES MICROPY_FROZEN_MANIFEST)
        file(APPEND ${CMAKE_BINARY_DIR}/seen "${variable}=${${variable}}\\n")
    endforeach()
endmacro()
"""


@pytest.fixture
def configure(port, tmp_path):
    """configure(folder of a board, CMake variables): what ESP-IDF would be given, as two dicts."""
    idf = tmp_path / "idf/tools/cmake"
    idf.mkdir(parents=True)
    (idf / "project.cmake").write_text(FAKE_IDF)

    def run(board, **variables):
        build = tmp_path / f"build-{len(list(tmp_path.iterdir()))}"
        settings = {"MICROPY_BOARD": board.name, "MICROPY_BOARD_DIR": board, **variables}
        done = subprocess.run(
            ["cmake", "-S", port, "-B", build, *(f"-D{k}={v}" for k, v in settings.items())],
            env={**os.environ, "IDF_PATH": str(tmp_path / "idf")},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ValueError(done.stderr)
        seen = dict(line.split("=", 1) for line in (build / "seen").read_text().splitlines())
        options = {}
        for line in (build / "sdkconfig.combined").read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                name, value = line.split("=", 1)
                name = name.removeprefix("CONFIG_")
                options.pop(name, None)  # of a choice, the last one that is set counts
                options[name] = value.strip('"')
        return seen, options

    return run


@pytest.mark.parametrize(("board", "variant"), [*product(BOARDS, ["", "FLASH_8M"])])
def test_micropythons_build_takes_the_board(folder, configure, board, variant):
    seen, options = configure(
        folder / board, **({"MICROPY_BOARD_VARIANT": variant} if variant else {})
    )
    assert (seen["IDF_TARGET"] or "esp32") == BOARDS[board][0]
    assert os.path.realpath(seen["USER_C_MODULES"]) == str(
        folder.parents[1] / "lib/ed25519/micropython.cmake"
    )
    assert seen["MICROPY_FROZEN_MANIFEST"] == str(folder / "manifest.py")
    size = "8" if variant else "4"
    assert options["PARTITION_TABLE_CUSTOM_FILENAME"] == str(folder / f"partitions-{size}m.csv")
    set_sizes = [k for k, v in options.items() if k.startswith("ESPTOOLPY_FLASHSIZE") and v == "y"]
    assert set_sizes[-1] == f"ESPTOOLPY_FLASHSIZE_{size}MB"
    assert options["BOOTLOADER_APP_ROLLBACK_ENABLE"] == "y"
    assert options["PARTITION_TABLE_CUSTOM"] == "y"
    assert options.get("COMPILER_OPTIMIZATION_SIZE") == (None if variant else "y")


def test_options_are_taken_by_name(folder, configure):
    _, options = configure(folder / "OTA_ESP32", OTA_OPTIONS="anti_rollback;secure_boot")
    assert options["BOOTLOADER_APP_ANTI_ROLLBACK"] == "y"
    assert options["SECURE_BOOT_V2_ENABLED"] == "y"
    assert options["BOOTLOADER_SKIP_VALIDATE_IN_DEEP_SLEEP"] == "n"
    with pytest.raises(ValueError, match="OTA_OPTIONS"):
        configure(folder / "OTA_ESP32", OTA_OPTIONS="nonsense")


def test_every_option_is_one_of_esp_idf(folder):
    found = set()
    files = [*folder.glob("sdkconfig.*"), folder / "two_slots.cmake"]
    for line in "\n".join(file.read_text() for file in files).splitlines():
        name, assigned, _ = line.strip(' "').removeprefix("CONFIG_").partition("=")
        if assigned and "CONFIG_" in line:
            found |= {name.replace("${OTA_FLASH}", size) for size in ("4MB", "8MB")}
    assert found == set(KCONFIG)


@pytest.mark.parametrize(("board", "size"), [*product(BOARDS, SIZES)])
def test_mpota_knows_the_board(folder, board, size):
    known = KNOWN_BOARDS[board if size == "4m" else board + "-FLASH_8M"]
    assert (known.chip, known.slot) == (BOARDS[board][0], rows_of(folder, size)[3][3])


@pytest.mark.parametrize("board", BOARDS)
def test_the_board_has_a_name_of_its_own(folder, port, board):
    text = subprocess.run(
        ["gcc", "-E", "-dM", "-Werror", "-I", port, folder / board / "mpconfigboard.h"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = [
        line for line in text.splitlines() if line.startswith("#define MICROPY_HW_BOARD_NAME")
    ]
    assert len(names) == 1
    assert "two slots" in names[0]


# What is frozen


@pytest.fixture
def freeze(built, tmp_path, monkeypatch):
    """freeze(manifest): what MicroPython's own reader freezes for it, as {name: path}."""
    source = built("src/micropython")
    monkeypatch.syspath_prepend(source / "tools")
    import manifestfile

    # micropython-lib is in no package: stand-ins with the names that are asked for.
    lib = tmp_path / "lib"
    for name in (
        *("bundle-networking", "aioespnow", "dht", "ds18x20", "neopixel", "onewire"),
        *("umqtt.robust", "umqtt.simple", "upysh"),
    ):
        package = lib / "micropython" / name
        package.mkdir(parents=True)
        stem = name.replace(".", "_").replace("-", "_")
        (package / f"{stem}.py").write_text("")
        (package / "manifest.py").write_text(f'metadata(version="0.1.0")\nmodule("{stem}.py")\n')

    def run(manifest, board="OTA_ESP32"):
        reader = manifestfile.ManifestFile(
            manifestfile.MODE_FREEZE,
            {
                "MPY_DIR": str(source),
                "MPY_LIB_DIR": str(lib),
                "PORT_DIR": str(source / "ports/esp32"),
                "BOARD_DIR": str(board),
            },
        )
        reader.execute(str(manifest))
        found = [(file.target_path, file.full_path) for file in reader.files()]
        assert len(dict(found)) == len(found)  # no name twice
        return dict(found)

    return run


def test_frozen_is_what_micropython_freezes_and_ota(folder, port, freeze, repo):
    ours, theirs = freeze(folder / "manifest.py"), freeze(port / "boards/manifest.py")
    assert set(theirs) - set(ours) == {"inisetup.py"}
    added = {str(path.relative_to(repo / "lib")) for path in (repo / "lib/ota").rglob("*.py")}
    assert set(ours) - set(theirs) == added | {"ota_esp32.py"}
    assert ours["_boot.py"] == str(folder / "_boot.py")


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["xtensawin", "rv32imc"])
def test_all_of_it_can_be_frozen_for_the_chip(folder, built, mpy_cross, freeze, tmp_path, arch):
    """MicroPython's makemanifest and mpy-tool, as its build calls them, make the C of it."""
    freeze(folder / "manifest.py")  # makes the stand-ins for micropython-lib
    source = built("src/micropython")
    (tmp_path / "genhdr").mkdir()
    (tmp_path / "genhdr/qstrdefs.preprocessed.h").write_text(
        'QCFG(BYTES_IN_LEN, (1))\nQCFG(BYTES_IN_HASH, (2))\n"Q(a)"\n'
    )
    places = {
        "MPY_DIR": source,
        "MPY_LIB_DIR": tmp_path / "lib",
        "PORT_DIR": source / "ports/esp32",
        "BOARD_DIR": folder / "OTA_ESP32",
    }
    subprocess.run(
        [
            *(sys.executable, source / "tools/makemanifest.py", "-o", tmp_path / "frozen.c"),
            *(word for name, path in places.items() for word in ("-v", f"{name}={path}")),
            *("-b", tmp_path, f"-f-march={arch}", "--mpy-tool-flags=", folder / "manifest.py"),
        ],
        env={**os.environ, "MICROPY_MPYCROSS": str(mpy_cross)},
        check=True,
        capture_output=True,
    )
    text = (tmp_path / "frozen.c").read_text()
    for name in ("_boot.py", "ota_esp32.py", "ota/updater.py"):
        assert f"// - frozen file name: {name}\n" in text


def test_factory_files_are_frozen_when_named(folder, freeze, tmp_path, monkeypatch):
    (tmp_path / "ota_factory.py").write_text("FILES = {}\n")
    monkeypatch.setenv("OTA_FACTORY", str(tmp_path))
    found = freeze(folder / "manifest.py")
    assert found["ota_factory.py"] == str(tmp_path / "ota_factory.py")
