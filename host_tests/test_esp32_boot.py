# SPDX-License-Identifier: MIT
"""boards/esp32/_boot.py under real MicroPython: it neither loops nor silently destroys files."""

import json
from itertools import count

import pytest

from sim import image, table
from sim.chip import NEW, PENDING, VALID, Board, entry, nvs
from sim.flash import TEARS, Flash
from sim.supervisor import Supervisor

MADE = "no file system: made anew"
VFS = 0x30000
STOCK = (
    (table.DATA, 2, 0x9000, 0x6000, "nvs"),
    (table.APP, table.FACTORY, 0x10000, 0x10000, "factory"),
    (table.DATA, 0x81, 0x20000, 0x60000, "vfs"),
)
MAIN = """
import os
try:
    with open("/kept") as file: print("kept", file.read())
except OSError as error:
    print("none", error.args[0])
"""
WRITE = 'with open("/kept", "w") as file: file.write("it")\nprint("written")'


@pytest.fixture(scope="module")
def source(repo):
    text = (repo / "boards/esp32/_boot.py").read_text()
    # The second look comes two seconds later; test_second_look has them in it.
    assert text.count("time.sleep(2)") == 1
    return text


@pytest.fixture
def device(tmp_path, micropython, repo, source):
    """device(main, ...): a Supervisor of a board whose image has our _boot.py frozen."""

    def make(main=MAIN, second=None, rows=table.SMALL, patient=False):
        boot = source if patient else source.replace("time.sleep(2)", "pass")
        path = tmp_path / "flash"
        board = Board(Flash(table.SMALL_SIZE, str(path)))
        board.format(rows, image.build(modules={"_boot.py": boot, "main.py": main}))
        if second is not None:
            board.put("ota_1", image.build(modules=second, version="2"))
        made = Supervisor(
            path, micropython=micropython, frozen=[repo / "lib", repo / "boards/esp32"]
        )
        made.board = board
        made.boot_py = boot
        return made

    return make


def use(device, main):
    device.board.put("ota_0", image.build(modules={"_boot.py": device.boot_py, "main.py": main}))


def filled(device, **options):
    """A board with a file, which its own firmware wrote."""
    made = device(WRITE, **options)
    assert made.boot().lines == [MADE, "written"]
    use(made, MAIN)
    assert made.boot().lines == ["kept it"]
    return made


def damage(device):
    """Destroy both superblocks; return what lay there."""
    before = bytearray(8192)
    device.board.flash.read(VFS, before)
    device.board.flash.write(VFS, b"\x5a" * 8192)
    return bytes(before)


def is_noted(device):
    storage = nvs.Storage(device.board.flash, 0x9000, 0x4000)
    storage.load()
    try:
        return storage.get_i32(storage.open("ota"), "nofiles") == 1
    except nvs.Error:
        return False


def test_a_new_board_gets_a_file_system(device):
    board = device()
    assert board.boot().lines == [MADE, "none 2"]
    assert board.boot().lines == ["none 2"]


def test_one_failed_mount_resets_and_destroys_nothing(device):
    board = filled(device)
    before = damage(board)
    outcome = board.boot()
    assert (outcome.kind, outcome.lines) == ("reset", [])
    assert is_noted(board)
    board.board.flash.write(VFS, before)
    assert board.boot().lines == ["kept it"]
    assert not is_noted(board)  # two more failures would be needed


def test_two_failed_mounts_make_it_anew_and_say_so(device):
    board = filled(device)
    damage(board)
    assert board.boot().kind == "reset"
    outcome = board.boot()
    assert (outcome.kind, outcome.lines) == ("idle", [MADE, "none 2"])
    assert not is_noted(board)
    assert board.boot().lines == ["none 2"]


def test_second_look_two_seconds_later(device):
    board = filled(device, patient=True)
    damage(board)
    assert board.boot().kind == "reset"
    import time

    start = time.monotonic()
    assert board.boot().lines == [MADE, "none 2"]
    assert time.monotonic() - start > 2


@pytest.mark.parametrize("rows", [table.SMALL_SINGLE, table.SMALL], ids=["no-nvs", "full-nvs"])
def test_without_a_place_for_the_note_nothing_is_made_anew(device, rows):
    board = device(WRITE, rows=rows)
    board.boot()
    use(board, MAIN)
    if rows is table.SMALL:
        storage = nvs.Storage(board.board.flash, 0x9000, 0x4000)
        storage.load()
        for number in count():
            try:
                storage.set_i32(1, f"key{number}", number)
            except nvs.Error:
                break
    start = board.board.row("vfs")[2]
    board.board.flash.write(start, b"\x5a" * 8192)
    for _ in range(3):
        outcome = board.boot()
        assert (outcome.kind, outcome.lines) == ("idle", ["none 19"])
    left = bytearray(8192)
    board.board.flash.read(start, left)
    assert left == b"\x5a" * 8192


def test_a_trial_that_cannot_read_the_files_loses_the_trial_not_the_files(device, source):
    foreign = source.replace("VfsLfs2(", "VfsFat(")
    assert foreign != source
    board = filled(device, second={"_boot.py": foreign, "main.py": "print('second')"})
    board.board.set_otadata(entry(1, VALID), entry(2, NEW))
    first, then = board.boot(), board.boot()
    assert (first.kind, first.running, first.lines) == ("reset", "ota_1", [])
    assert (then.kind, then.running) == ("idle", "ota_0")
    assert then.lines == ["kept it"]
    assert not is_noted(board)


def test_a_note_of_before_does_not_let_a_trial_destroy_files(device, source):
    foreign = source.replace("VfsLfs2(", "VfsFat(")
    board = filled(device, second={"_boot.py": foreign, "main.py": "print('second')"})
    board.board.power_on()
    with board.board:
        from sim.chip import NVS

        NVS("ota").set_i32("nofiles", 1)
    board.board.set_otadata(entry(1, VALID), entry(2, NEW))
    outcome = board.boot(kill_after=1)
    assert (outcome.running, outcome.lines) == ("ota_1", ["second"])
    assert board.board.otadata() == [(1, VALID), (2, PENDING)]
    assert board.boot().lines == ["kept it"]


def test_the_guard_is_armed_with_the_files_gone(device, source):
    # The configuration is lost with the file system: the deadline is ota's own then.
    main = "import time\ntime.sleep(1)"
    board = filled(device, second={"_boot.py": source, "main.py": main})
    board.board.set_otadata(entry(1, VALID), entry(2, NEW))
    board.board.flash.wipe(VFS, 0x50000)  # blank: made anew at once
    outcome = board.boot(kill_after=1)
    assert outcome.kind == "killed"  # not idle: the watchdog of the trial runs


def test_factory_files_of_the_firmware_are_found(device, source):
    config = {"product": "p", "board": "b", "channel": "stable", "urls": ["https://x.example/"]}
    files = {"root.json": b"{}", "config.json": json.dumps(config).encode()}
    main = "import ota\nprint(type(ota.Updater.from_config(fetcher=1)).__name__)"
    board = device(main)
    modules = {"_boot.py": board.boot_py, "main.py": main, "ota_factory.py": f"FILES = {files!r}"}
    board.board.put("ota_0", image.build(modules=modules))
    assert board.boot().lines == [MADE, "Updater"]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (table.SMALL_SINGLE, "a single OTA slot: see boards/esp32/README.md"),
        (STOCK, "no OTA slots in the partition table: see boards/esp32/README.md"),
    ],
    ids=["single", "stock"],
)
def test_a_board_without_slots_says_so_politely(device, rows, why):
    config = {"product": "p", "board": "b", "channel": "stable", "urls": ["https://x.example/"]}
    main = (
        "import ota\ntry:\n  ota.Updater.from_config(fetcher=1)\n"
        "except ota.StateError as error:\n  print(error.args)"
    )
    board = device(main, rows=rows)
    files = {"root.json": b"{}", "config.json": json.dumps(config).encode()}
    modules = {"_boot.py": board.boot_py, "main.py": main, "ota_factory.py": f"FILES = {files!r}"}
    board.board.put(rows[-2][4], image.build(modules=modules))
    assert board.boot().lines[-1] == str(("no firmware updates on this board", why))


def test_power_cuts_while_the_file_system_is_made_anew(device, soak):
    """Whatever is cut: files are destroyed after two boots that failed, not before, and the board
    ends with a file system."""
    board = filled(device)
    damage(board)
    before = board.board.flash.snapshot()
    for tear in TEARS if soak else ("head",):
        for number in count(0, 1 if soak else 2):
            board.board.flash.restore(before)
            board.power_off()
            first = board.boot(cut=number, tear=tear)
            whole = bytearray(8192)
            board.board.flash.read(VFS, whole)
            assert whole == b"\x5a" * 8192  # the first boot only notes
            second = board.boot(cut=number, tear=tear)
            outcome = board.run(boots=4)
            assert outcome.kind == "idle"
            assert outcome.lines in (["none 2"], [MADE, "none 2"])
            if "cut" not in (first.kind, second.kind):
                break
