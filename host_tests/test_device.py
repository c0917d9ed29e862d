# SPDX-License-Identifier: MIT
"""A simulated board as a process of real MicroPython: what ends a life, and what outlives it."""

import time

import pytest

from sim import image, table
from sim.chip import ABORTED, NEW, PENDING, VALID, Board, entry
from sim.flash import TEARS, Flash
from sim.supervisor import DeviceError, Supervisor


@pytest.fixture
def device(tmp_path, micropython, repo):
    """device(**frozen files): a Supervisor of a board whose first slot holds these."""

    def make(main="", boot=None, second=None, records=(None, None)):
        path = tmp_path / "flash"
        board = Board(Flash(table.SMALL_SIZE, str(path)))
        files = {"main.py": main}
        if boot is not None:
            files["boot.py"] = boot
        board.format(table.SMALL, image.build(modules=files))
        if second is not None:
            board.put("ota_1", image.build(modules={"main.py": second}, version="2"))
        board.set_otadata(*records)
        made = Supervisor(
            path, micropython=micropython, frozen=[repo / "lib", repo / "boards" / "esp32"]
        )
        made.board = board
        return made

    return make


def otadata(device):
    return device.board.otadata()


def test_runs_the_python_of_the_slot(device):
    board = device("print('first')", second="print('second')", records=(entry(2, VALID), None))
    outcome = board.boot()
    assert (outcome.kind, outcome.running, outcome.lines) == ("idle", "ota_1", ["second"])


def test_library_finds_its_board(device):
    main = "import ota.wiring; b = ota.wiring.board(); print(b.chip, b.spare.size)"
    assert device(main).boot().lines == ["esp32 65536"]


def test_file_system_runs_what_is_not_frozen(device):
    board = device("open('/boot.py', 'w').write('print(1)')")
    board.boot()
    assert board.boot().lines == []  # written, but never closed: not there
    board = device("with open('/boot.py', 'w') as f: f.write('print(1)')")
    board.boot()
    assert board.boot().lines == ["1"]


@pytest.mark.parametrize("main", ["1 +", "raise ValueError('broken')", "import nothing"])
def test_broken_main_ends_at_the_repl(device, main):
    outcome = device(main).boot()
    assert outcome.kind == "idle"
    assert "Error" in outcome.console


def test_broken_boot_leaves_main_out(device):
    outcome = device("print('main')", boot="raise ValueError").boot()
    assert "ValueError" in outcome.console
    assert "main" not in outcome.lines


def test_reset_causes(device):
    board = device("import machine; print(machine.reset_cause()); machine.reset()")
    assert [board.boot().lines[-1] for _ in range(3)] == ["1", "2", "2"]
    board.power_off()
    assert board.boot().lines == ["1"]


def test_reset_cannot_be_caught_by_an_application(device):
    outcome = device(
        "import machine\ntry:\n  machine.reset()\nexcept Exception:\n  print(1)"
    ).boot()
    assert (outcome.kind, outcome.lines) == ("reset", [])


def test_panic(device):
    main = "from esp32 import Partition as P\nP(P.RUNNING).ioctl(6, 0)"
    assert device(main).boot().kind == "panic"


@pytest.mark.parametrize(
    "end",
    [
        "while True: pass",
        "1 +",
        "raise KeyboardInterrupt",
        "",
        "import socket; s = socket.socket(); s.bind(socket.getaddrinfo('127.0.0.1', 0)[0][-1]);"
        " s.listen(1); s.accept()",
        "import asyncio; asyncio.run(asyncio.sleep(100))",
    ],
    ids=["loop", "syntax", "ctrl-c", "repl", "socket", "asyncio"],
)
def test_watchdog_cannot_be_escaped(device, end):
    board = device(end, boot="import machine; machine.WDT(timeout=300)")
    start = time.monotonic()
    assert board.boot(timeout=20).kind == "watchdog"
    assert 0.3 <= time.monotonic() - start < 10
    cause = "import machine; print(machine.reset_cause())"
    board.board.put("ota_0", image.build(modules={"main.py": cause}))
    assert board.boot().lines == ["3"]


def test_fed_watchdog_lets_live(device):
    main = (
        "import machine, time\nw = machine.WDT(timeout=2000)\n"
        "for _ in range(8):\n  time.sleep_ms(300); w.feed()\nprint('alive'); machine.reset()"
    )
    outcome = device(main).boot()
    assert (outcome.kind, outcome.lines) == ("reset", ["alive"])


def test_soft_reset_keeps_watchdog_and_slot(device):
    main = """
import machine
if machine.reset_cause() == 5:
    while True: pass
machine.WDT(timeout=3000)
machine.soft_reset()
"""
    board = device(second=main, records=(entry(1, VALID), entry(2, NEW)))
    outcome = board.boot()
    assert (outcome.kind, outcome.running) == ("soft", "ota_1")
    assert otadata(board) == [(1, VALID), (2, PENDING)]
    outcome = board.boot()
    assert (outcome.kind, outcome.running) == ("watchdog", "ota_1")
    assert otadata(board) == [(1, VALID), (2, PENDING)]
    assert board.boot().running == "ota_0"
    assert otadata(board) == [(1, VALID), (2, ABORTED)]


def test_deep_sleep_keeps_the_trial(device):
    main = """
import machine
print(machine.reset_cause())
if machine.reset_cause() != 4: machine.deepsleep(50)
"""
    board = device(second=main, records=(entry(1, VALID), entry(2, NEW)))
    outcome = board.run()
    assert (board.boots, outcome.running, outcome.lines) == (2, "ota_1", ["4"])
    assert otadata(board) == [(1, VALID), (2, PENDING)]


def test_adapter_runs_on_the_device(device):
    board = device(
        "from ota_esp32 import Boot; b = Boot(); b.try_next(b.spare)\n"
        "import machine; machine.reset()",
        second="from ota_esp32 import Boot; b = Boot(); print(b.on_trial); b.confirm()",
    )
    assert board.run().lines == ["True"]
    assert otadata(board) == [(1, VALID), (2, VALID)]
    assert board.boot().lines == ["False"]


def test_unconfirmed_on_the_device(device):
    board = device(
        "from ota_esp32 import Boot; b = Boot(); print(b.identity(b.spare)); b.try_next(b.spare)\n"
        "import machine; machine.reset()",
        second="import machine; print('trial'); machine.reset()",
    )
    board.run(until=lambda line: line == "trial")
    assert otadata(board) == [(1, VALID), (2, PENDING)]
    assert board.boot().running == "ota_0"


def test_every_cut_of_a_file_leaves_a_file_system(device):
    board = device("with open('/data', 'w') as f: f.write('x' * 6000)\nprint('done')")
    total = board.boot().ops
    content = board.board.flash.snapshot()
    for number in range(total):
        board.board.flash.restore(content)
        board.board.set_otadata(entry(1, VALID))
        outcome = board.boot(cut=number, tear=TEARS[number % len(TEARS)])
        assert outcome.kind == "cut" or outcome.lines == ["done"]
        assert board.boot().lines == ["done"]


def test_power_at_a_line_and_at_a_time(device):
    board = device("import time\nfor i in range(100):\n  print(i); time.sleep_ms(100)")
    assert board.boot(kill_when=lambda line: line == "3").lines == ["0", "1", "2", "3"]
    assert board.boot(kill_after=0.5).kind == "killed"


def test_clock(device):
    main = (
        "import time, machine; print(time.gmtime()[:3])\n"
        "machine.RTC().datetime((2030, 5, 6, 0, 1, 2, 3, 0)); machine.reset()"
    )
    board = device(main)
    board.clock = board.UNSET
    assert [board.boot().lines[0] for _ in range(2)] == ["(2000, 1, 1)", "(2030, 5, 6)"]
    board.power_off()
    assert board.boot().lines == ["(2000, 1, 1)"]


def test_endless_boots_are_an_error(device):
    with pytest.raises(DeviceError):
        device("import machine; machine.reset()").run(boots=3)


def test_a_life_that_never_ends_is_an_error(device):
    with pytest.raises(DeviceError):
        device("while True: pass").boot(timeout=0.5)


def test_nothing_to_boot(device):
    board = device()
    board.board.flash.wipe(0x10000, 0x20000)
    assert board.boot().kind == "dead"
