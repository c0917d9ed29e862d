# SPDX-License-Identifier: MIT
"""The trial of a new image (`trial`) and how the parts are joined (`wiring`), in process.

Every test has a device that runs 1.0.0; the repository offers 2.0.0 to it.
"""

import asyncio
import json
import sys
import time

import pytest

import ota
import ota.state as state
import ota.trial as trial
import world as worlds
from in_process import Device, build
from ota.errors import SlotError, StateError, StoreError
from ota.updater import NOT_OFFERED, Updater
from sim import image
from sim.chip import ABORTED, DEEPSLEEP_RESET, PENDING, SOFT_RESET, VALID, Board
from sim.flash import PowerCut

V1, V2 = build("1.0.0"), build("2.0.0")
LONGEST_MS = (1 << 30) - 1  # what a disarmed watchdog is set to


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = worlds.World(tmp_path_factory.mktemp("world") / "repo", 0x10000)
    made.release("1.0.0", V1)
    made.release("2.0.0", V2)
    return made


@pytest.fixture
def device(tmp_path, world):
    made = Device(tmp_path / "device", world, V1)
    yield made
    made.close()


@pytest.fixture
def trying(device):
    return device.on_trial()


def last(device):
    return device.status()["last"]


# The verdict of the application


async def _later(answer):
    await asyncio.sleep(0)
    return answer


@pytest.mark.parametrize("healthy", [lambda: True, lambda: _later(True)], ids=["plain", "async"])
def test_healthy_is_confirmed(trying, healthy):
    assert trying.settle(healthy) is True
    assert trying.board.otadata()[1][1] == VALID and not trying.boot.on_trial
    assert trying.board.watchdog.limit_ms == LONGEST_MS
    assert last(trying) == {"outcome": "confirmed", "version": "2.0.0", "why": ""}
    trying.reset().reset()
    assert trying.runs == "ota_1" and state.load(trying.store)["trial"] is None


def _raise():
    raise OSError(5)


async def _raise_later():
    await asyncio.sleep(0)
    raise OSError(5)


async def _never():
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("healthy", "why"),
    [
        (lambda: False, "health check said no"),
        (lambda: _later(False), "health check said no"),
        (lambda: None, "no health check passed in time"),
        (lambda: _later(None), "no health check passed in time"),
        (_never, "no health check passed in time"),
        (_raise, "health check raised OSError"),
        (_raise_later, "health check raised OSError"),
        (None, "health check raised TypeError"),
    ],
    ids=[
        "no",
        "no, async",
        "none",
        "none, async",
        "never",
        "raises",
        "raises, async",
        "no function",
    ],
)
def test_not_healthy_goes_back(trying, healthy, why):
    settle = trying.updater.settle(healthy, 0.05)
    assert asyncio.run(settle) is False
    assert trying.boot.switch_pending
    assert trying.log == [("rejected", why)]
    assert last(trying) == {"outcome": "rejected", "version": "2.0.0", "why": why}
    trying.reset()
    assert trying.runs == "ota_0" and trying.board.otadata()[1][1] == ABORTED
    assert trying.settle() and last(trying)["why"] == why
    assert trying.update().kind == NOT_OFFERED


def test_none_asks_again_in_a_second(trying):
    answers = [None, True]
    start = time.monotonic()
    assert trying.settle(lambda: answers.pop(0))
    assert answers == [] and time.monotonic() - start >= 1


def test_application_runs_while_it_is_asked(trying):
    done = []

    async def application():
        await asyncio.sleep(0.01)
        done.append(True)

    async def main():
        work = asyncio.create_task(application())
        return await trying.updater.settle(lambda: True if done else None), await work

    assert asyncio.run(main())[0]


def test_time_given_may_be_a_fraction(trying):
    """A watchdog takes whole milliseconds only, and only an image on trial would find out."""
    assert trying.settle(within_s=1.5)
    trying.board.watchdog.arm = None  # not armed by who is not on trial
    assert trying.settle(within_s=1.5)


def test_watchdog_is_armed_a_little_longer_than_the_application_is_asked(trying):
    limits = []
    trying.board.watchdog.on_change = limits.append
    trying.settle(within_s=120)
    assert limits == [130_000, LONGEST_MS]
    assert type(limits[0]) is int


def test_watchdog_goes_on_when_the_image_is_given_up(trying):
    trying.settle(False, within_s=7)
    assert trying.board.watchdog.limit_ms == 17_000


def test_nothing_is_asked_when_not_on_trial(device):
    assert device.settle(lambda: 1 / 0)
    assert device.board.watchdog.limit_ms is None
    assert device.flash.ops == device.reset().flash.ops


def test_nothing_is_asked_while_a_switch_waits(device):
    device.update()
    assert device.settle(lambda: 1 / 0) is True
    assert device.boot.switch_pending


def test_settling_again_after_going_back_still_says_so(trying):
    assert trying.settle(False) is False
    assert trying.settle(True) is False
    assert trying.reset().runs == "ota_0"


def test_update_after_going_back_is_ready_for_the_reset(trying):
    trying.settle(False)
    assert trying.update().ready
    assert trying.reset().runs == "ota_0"


def test_cancelled_settle_leaves_the_watchdog_armed(trying):
    async def main():
        task = asyncio.create_task(trying.updater.settle(_never, 60))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert trying.board.watchdog.limit_ms == 70_000 and trying.boot.on_trial
    assert trying.settle()  # and it may be asked again


def test_reset_by_the_health_check_is_not_caught(trying):
    import machine

    from sim.chip import HardReset

    with pytest.raises(HardReset):
        trying.settle(machine.reset)
    assert trying.reset().runs == "ota_0"


# Ends without a word


def test_three_ends_without_a_word_reject_the_image(device):
    for tries in (1, 2, 3):
        device.on_trial()
        assert device.reset().runs == "ota_0"  # power, crash or watchdog
        assert device.settle()
        assert state.load(device.store)["trial"]["tries"] == tries
        assert last(device) == {
            "outcome": "reverted",
            "version": "2.0.0",
            "why": "ended without a word",
        }
    event = device.update()
    assert (event.kind, event.reason[0]) == (NOT_OFFERED, "tried without success")


def test_end_without_a_word_is_told_once(device):
    device.on_trial().reset()
    device.settle()
    memory = state.load(device.store)
    state.save(device.store, dict(memory, last=None))
    assert device.reset().settle() and last(device) is None


def test_second_try_may_succeed(device):
    device.on_trial().reset()
    device.on_trial()
    assert device.settle() and last(device)["outcome"] == "confirmed"
    assert state.load(device.store)["trial"] is None


def test_memory_of_the_trial_lost_on_trial_costs_one_more_trial(trying):
    state.save(trying.store, {**state.load(trying.store), "trial": None})
    assert not trying.settle(False)
    trying.reset()
    assert not trying.on_trial().settle(False)
    trying.reset()
    assert trying.update().kind == NOT_OFFERED


# Flash and store that fail


@pytest.mark.parametrize("when", ["load", "save"])
def test_rejection_that_cannot_be_saved_still_goes_back(trying, when):
    real = getattr(trying.store, when)

    def full(*args):
        raise StoreError("file system", "update", 28)

    setattr(trying.store, when, full)
    assert trying.settle(False) is False
    assert trying.boot.switch_pending
    assert [entry[0] for entry in trying.log] == ["rejection not saved", "rejected"]
    setattr(trying.store, when, real)
    assert trying.reset().runs == "ota_0" and trying.settle()
    assert last(trying)["why"] == "ended without a word"


def test_no_memory_for_the_rejection_still_goes_back(trying, monkeypatch):
    def exhausted(*args):
        raise MemoryError

    monkeypatch.setattr(state, "load", exhausted)
    with pytest.raises(MemoryError):
        trying.settle(False)
    assert trying.boot.switch_pending


def test_full_store_keeps_no_image_from_being_confirmed(trying):
    trying.store.refuses = ("update",)
    assert trying.settle() is True
    assert not trying.boot.on_trial and trying.board.watchdog.limit_ms == LONGEST_MS
    assert trying.log[0][0] == "memory not in line yet"
    trying.store.refuses = ()
    assert trying.reset().settle() and last(trying)["outcome"] == "confirmed"


def test_store_that_cannot_be_read_keeps_no_application_from_running(device):
    def broken(name):
        raise StoreError("file system", name, 5)

    device.store.load = broken
    assert device.settle() is True


def test_spare_block_that_cannot_be_erased_keeps_no_application_from_running(device):
    state.save(device.store, dict(state.load(device.store), minseq=1))
    device.board.put("ota_1", V2)

    def broken(block):
        raise SlotError("flash", block)

    device.boot.spare.erase = broken
    assert device.settle() is True
    assert isinstance(device.log[0][1], SlotError)


def test_confirmation_that_fails_leaves_the_watchdog_armed(trying):
    def broken():
        raise SlotError("flash")

    trying.boot.confirm = broken
    with pytest.raises(SlotError):
        trying.settle(within_s=60)
    assert trying.board.watchdog.limit_ms == 70_000
    assert trying.reset().runs == "ota_0"


# Cuts at every operation are in test_power_cuts.py; here each step of the trial, cut by hand.


def test_cut_after_saving_the_rejection_and_before_going_back(trying):
    def cut():
        raise PowerCut

    trying.boot.revert = cut
    with pytest.raises(PowerCut):
        trying.settle(False)
    trying.reset()
    assert trying.runs == "ota_0" and trying.update().kind == NOT_OFFERED


def test_soft_reset_does_not_undo_a_rejection(trying):
    trying.settle(False)
    trying.start(SOFT_RESET)
    assert trying.boot.on_trial and trying.settle() is False
    trying.reset()
    assert trying.runs == "ota_0" and trying.update().kind == NOT_OFFERED


def test_rejected_image_that_is_offered_again_may_be_confirmed(trying):
    trying.settle(False)
    trying.reset()
    memory = state.load(trying.store)
    memory["rejected"] = [[memory["rejected"][0][0], 0, "an earlier attempt"]]
    state.save(trying.store, memory)
    assert trying.on_trial().settle() is True
    assert trying.reset().runs == "ota_1"


def test_two_images_that_crash_do_not_take_turns_for_ever(device):
    memory = state.load(device.store)
    memory["trial"] = {"identity": "another", "attempt": 1, "tries": 1, "told": 1}
    state.save(device.store, memory)
    device.on_trial()
    rejected = state.load(device.store)["rejected"]
    assert rejected == [["another", 1, "ended without a word"]]


# guard, and the watchdog of a trial


def test_guard_arms_on_trial_only(device):
    trial.guard(device.boot, 60)
    assert device.board.watchdog.limit_ms is None
    device.update()
    trial.guard(device.boot, 60)
    assert device.board.watchdog.limit_ms is None  # a switch that waits is no trial
    device.reset()
    trial.guard(device.boot, 60)
    assert device.board.watchdog.limit_ms == 60_000


def test_soft_reset_does_not_begin_the_trial_anew(trying):
    """Or an application that always ends in a soft reset is on trial for ever."""
    trial.guard(trying.boot, 60)
    fed = []
    trying.board.watchdog.on_change = fed.append
    trying.board.cause = SOFT_RESET
    from ota_esp32 import Boot

    trying.boot = Boot()
    trial.guard(trying.boot, 60)
    assert asyncio.run(trial.settle([trying.product], lambda: True, 5, print_nothing))
    assert fed == [LONGEST_MS]  # not one that bites a healthy image


def print_nothing(*facts):
    pass


def test_waking_from_deep_sleep_ends_the_trial(trying):
    """The bootloader does not look at otadata then: a bad image that sleeps would stay."""
    trying.start(DEEPSLEEP_RESET)
    assert trying.boot.on_trial
    trial.guard(trying.boot, 60)
    assert trying.board.watchdog.limit_ms == 1
    trying.start(cause=3)
    assert trying.runs == "ota_0"


def test_deep_sleep_after_the_trial_is_nothing(trying):
    trying.settle()
    trying.start(DEEPSLEEP_RESET)
    trial.guard(trying.boot, 60)
    assert trying.runs == "ota_1" and trying.board.watchdog.limit_ms is None


# wiring


@pytest.fixture
def folder(tmp_path, world, monkeypatch):
    """A provisioned /ota-state; `import ota_esp32` is what this platform has."""
    made = tmp_path / "ota-state"
    made.mkdir()
    (made / "root.json").write_bytes(world.root)
    write(made, world.config(["http://127.0.0.1:9/"]))
    monkeypatch.setattr(sys, "platform", "esp32")
    return made


def write(folder, config):
    (folder / "config.json").write_text(json.dumps(config))


def test_configuration_makes_an_updater(device, folder, world):
    updater = Updater.from_config(str(folder))
    status = updater.status()
    assert status["identity"] == image.identity(V1)
    assert status["utc"] == world.config()["utc"]
    assert ota.status(str(folder)) == status


def test_blocking_calls(device, folder):
    assert ota.settle(lambda: 1 / 0, 5, str(folder)) is True
    device.update()
    assert ota.update(folder=str(folder)).ready
    device.reset()
    with pytest.raises(ota.StateError, match="on trial"):
        ota.update(folder=str(folder))
    assert ota.settle(lambda: False, 5, str(folder)) is False


@pytest.mark.parametrize("name", ["config.json", "root.json"])
def test_file_that_is_missing_is_named(device, folder, name):
    (folder / name).unlink()
    with pytest.raises(StateError, match=name):
        Updater.from_config(str(folder))


@pytest.mark.parametrize("text", ["", "{", "\x00\xff", "[]", "5", "null", '"text"'])
def test_configuration_that_is_none(device, folder, text):
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StateError, match="configuration is not JSON"):
        Updater.from_config(str(folder))


@pytest.mark.parametrize("key", ["product", "board", "channel", "urls"])
def test_configuration_that_lacks_something_says_what(device, folder, world, key):
    config = world.config(["http://127.0.0.1:9/"])
    del config[key]
    write(folder, config)
    with pytest.raises(StateError, match=key):
        Updater.from_config(str(folder))


def test_firmware_without_a_network_says_so_before_anything_is_kept(
    device, folder, world, monkeypatch
):
    """On a Pico without Wi-Fi: not an ImportError of the first check, after `settle`."""
    monkeypatch.setitem(sys.modules, "socket", None)
    with pytest.raises(StateError, match="give from_config a fetcher"):
        Updater.from_config(str(folder))
    assert Updater.from_config(str(folder), fetcher=object())


def test_configuration_without_an_address(device, folder, world):
    write(folder, world.config([]))
    with pytest.raises(StateError, match="urls"):
        Updater.from_config(str(folder))


@pytest.mark.parametrize("ca", [None, "ca.der"])
def test_https_without_its_ca(device, folder, world, ca):
    config = world.config(["https://127.0.0.1:9/"])
    if ca:
        config["ca"] = ca
    write(folder, config)
    with pytest.raises(StateError, match="ca"):
        Updater.from_config(str(folder))


def test_address_that_is_none(device, folder, world):
    write(folder, world.config(["ftp://127.0.0.1/"]))
    with pytest.raises(StateError, match="url"):
        Updater.from_config(str(folder))


def test_platform_without_a_board(device, folder, monkeypatch):
    monkeypatch.setattr(sys, "platform", "pyboard")
    with pytest.raises(StateError, match="platform"):
        Updater.from_config(str(folder))
    with pytest.raises(StateError, match="platform"):
        ota.guard(str(folder))


def test_stock_firmware_of_an_rp2040_names_what_is_possible(device, folder, monkeypatch):
    monkeypatch.setattr(sys, "platform", "rp2")
    with pytest.raises(StateError, match="only application updates"):
        ota.guard(str(folder))


def test_guard_takes_the_time_of_the_configuration(trying, folder):
    limits = []
    trying.board.watchdog.on_change = limits.append
    ota.guard(str(folder))
    assert limits == [300_000, 60_000]


def test_guard_does_nothing_when_not_on_trial(device, folder):
    ota.guard(str(folder))
    ota.guard("/no/such/folder")
    assert device.board.watchdog.limit_ms is None


@pytest.mark.parametrize("text", ["", "{", "\xff", "[]", "{}", "null"])
def test_guard_arms_with_a_broken_configuration(trying, folder, text):
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    ota.guard(str(folder))
    assert trying.board.watchdog.limit_ms == 300_000


@pytest.mark.parametrize("trial_s", ["60", 0, -5, None, 1.5, True, [60]])
def test_guard_arms_with_a_time_that_is_none(trying, folder, world, trial_s):
    write(folder, world.config(trial_s=trial_s))
    ota.guard(str(folder))
    assert trying.board.watchdog.limit_ms == 300_000


def test_guard_arms_with_a_broken_file_system(trying, folder):
    ota.guard("/no/such/folder")
    assert trying.board.watchdog.limit_ms == 300_000


def test_states_of_the_bootloader_are_those_of_the_chip(trying):
    """What these tests build on."""
    assert [entry[1] for entry in trying.board.otadata()] == [VALID, PENDING]
    assert isinstance(trying.board, Board)
