# SPDX-License-Identifier: MIT
"""Trials of applications on a simulated ESP32 with stock firmware, a process for each life.

boot.py, main.py and the library are the real ones, in its LittleFS; the watchdog is in real time.
"""

import shutil

import pytest

import app_world
from mpota import library
from sim import image, table
from sim.chip import Board
from sim.flash import Flash
from sim.supervisor import Supervisor

TRIAL_S = 5

OLD = """
from ota.adapters.appdir import Boot
boot = Boot()
print("old runs", boot.running.letter, boot.on_trial)
try:
    open("/tried").close()
except OSError:
    import machine
    open("/tried", "w").close()
    boot.try_next(boot.spare)
    machine.reset()
"""
NEW = """
import machine
from ota.adapters.appdir import Boot
boot = Boot()
print("new runs", boot.running.letter, boot.on_trial)
with open("/data", "a+") as file:
    file.write("x")
    file.seek(0)
    count = len(file.read())
if count < 4:
    machine.soft_reset()
{}
"""


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory, repo):
    """What a device has in its file system, but for tree b."""
    folder = tmp_path_factory.mktemp("device")
    files = {f"lib/{n}": p.read_bytes() for n, p in library.sources(esp32=False).items()}
    made = app_world.world.World(folder / "world", 0, app="display")
    app_world.write_tree(folder / "ota-app/a", {**files, "main.py": OLD.encode()})
    (folder / "ota-state").mkdir()
    config = app_world.json.dumps(made.config(trial_s=TRIAL_S))
    (folder / "ota-state/config.json").write_text(config)
    shutil.rmtree(folder / "world")
    for name in ("boot.py", "main.py"):
        shutil.copy(repo / "boards/app" / name, folder)
    return folder, files


@pytest.fixture
def device(provisioned, micropython, run_micropython, tmp_path):
    """device(end of the new main.py, more files): a Supervisor."""
    folder, files = provisioned

    def make(ends, more=(), old=OLD):
        content = tmp_path / "content"
        shutil.copytree(folder, content)
        app_world.write_tree(content / "ota-app/a", {**files, "main.py": old.encode()})
        new = {**files, "main.py": NEW.format(ends).encode(), **dict(more)}
        app_world.write_tree(content / "ota-app/b", new)
        rows = (*table.FACTORY_4M[:3], (table.DATA, 0x81, 0x200000, 0x100000, "vfs"))
        flash = tmp_path / "flash.bin"
        Board(Flash(0x300000, str(flash))).format(rows, image.build())
        done = run_micropython(micropython, "host_tests/mp/fill_flash.py", flash, content)
        assert done.returncode == 0, done.stderr
        return Supervisor(flash, micropython=micropython)

    return make


def lives(device, last):
    """Let the device live until the old application runs again; return how its lives ended."""
    ends, said = [], []
    for _ in range(12):
        outcome = device.boot()
        ends.append(outcome.kind)
        said += [line for line in outcome.lines if " runs " in line]
        if last in outcome.lines and len(ends) > 1:
            return ends, said
    raise AssertionError((ends, said))


OVER = "old runs a False"
ON_TRIAL = "new runs b True"


@pytest.mark.slow
def test_soft_resets_and_ctrl_c_keep_the_trial_and_the_deadline_ends_it(device):
    ends, said = lives(device("raise KeyboardInterrupt"), OVER)
    assert ends == ["reset", "soft", "soft", "soft", "watchdog", "idle"]
    assert said == [OVER, *[ON_TRIAL] * 4, OVER]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ends", "kind"),
    [("while True: pass", "watchdog"), ("1/0", "reset"), ("machine.deepsleep(1)", "sleep")],
)
def test_bad_application_goes_back(device, ends, kind):
    found, said = lives(device(ends), OVER)
    assert found == ["reset", "soft", "soft", "soft", kind, "idle"]
    assert said[-1] == OVER


@pytest.mark.slow
def test_sleep_instead_of_the_reset_does_not_waste_the_try(device):
    supervisor = device(
        "boot.confirm(); print('kept'); machine.deepsleep(1)",
        old=OLD.replace("machine.reset()", "machine.deepsleep(1)"),
    )
    found = [supervisor.boot() for _ in range(6)]
    assert [each.kind for each in found] == ["sleep", "reset", "soft", "soft", "soft", "sleep"]
    assert "kept" in found[-1].lines


@pytest.mark.slow
def test_library_that_does_not_start_goes_back_at_once(device):
    found, _ = lives(device("", {"lib/ota/__init__.py": b"1/0"}.items()), OVER)
    assert found == ["reset", "reset", "idle"]
