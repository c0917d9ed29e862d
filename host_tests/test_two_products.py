# SPDX-License-Identifier: MIT
"""An application in two trees, alone and beside the firmware: one story, a state for each.

Every device runs firmware 1.0.0 and application 1.0.0; the repository offers 2.0.0 of both.
"""

import json
import subprocess
import sys
from types import ModuleType

import pytest

import ota
import ota.trial as trial
import world as worlds
from in_process import Device, build, clone
from mpota.repository import open_repository
from ota.adapters import appdir
from ota.errors import FetchError, ImageError, SlotError, StateError, StoreError, TrustError
from ota.updater import DECLINED, NOT_OFFERED, READY, UP_TO_DATE, Updater
from sim import table
from sim.chip import SOFT_RESET, HardReset
from sim.flash import PowerCut

V1, V2, V3 = build("1.0.0"), build("2.0.0"), build("3.0.0")


def app(version):
    return {"main.py": f"# {version}\n" * 700, "lib/x.py": "same = 1\n", "empty": ""}


A1, A2, A3 = app("1.0.0"), app("2.0.0"), app("3.0.0")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = worlds.World(tmp_path_factory.mktemp("world") / "repo", 0x10000, app=worlds.APP)
    made.release("1.0.0", V1)
    made.release("2.0.0", V2)
    made.release_app("1.0.0", A1)
    made.release_app("2.0.0", A2)
    return made


@pytest.fixture
def own(world, tmp_path):
    return clone(world, tmp_path / "own")


@pytest.fixture
def make(tmp_path, world):
    made = []

    def make(content=V1, of=world, app=A1, **changes):
        made.append(Device(tmp_path / f"device{len(made)}", of, content, app=app, **changes))
        return made[-1]

    yield make
    for device in made:
        device.close()


@pytest.fixture
def both(make):
    return make()


@pytest.fixture
def alone(make):
    """A board with stock firmware: nothing but the application can be updated."""
    return make(content=None)


def bring(device):
    """Update, reset, be healthy. Return what was brought."""
    event = device.update()
    assert event.ready
    device.reset()
    assert device.settle()
    return event.product


# The application, as the firmware


def test_application_is_brought_tried_and_kept(alone):
    event = alone.update()
    assert (event.kind, event.product, event.offer.seq) == (READY, "display", 2)
    assert alone.tree("b") == A2 and alone.tree("a") == A1
    alone.reset()
    assert alone.trees.on_trial and alone.trees.running.letter == "b"
    assert alone.settle()
    assert alone.reset().trees.running.letter == "b"
    assert alone.update().kind == UP_TO_DATE
    status = alone.status()
    assert (status["product"], status["kind"], status["version"]) == ("display", "app", "2.0.0")
    assert status["last"]["outcome"] == "confirmed" and status["app"] is None


def test_only_blocks_that_are_missing_travel(alone):
    alone.update()
    paths = [path for path, _, _ in alone.source.requests if path.endswith(("img", "blocks"))]
    assert len(paths) == 2
    assert alone.source.blocks == [(9, 9 + len(A2["main.py"]))]  # lib/x.py comes first, kept


def test_first_application_comes_to_an_empty_board(make):
    device = make(content=None, app={})
    device.app = {**device.facts, "product": "display", "kind": "app", "mpy": None, "arch": ()}
    device.start()
    assert bring(device) == "display"
    assert device.tree("b") == A2


def test_unhealthy_application_goes_back(alone):
    alone.on_tree_trial()
    assert not alone.settle(False)
    assert alone.trees.switch_pending
    assert alone.reset().trees.running.letter == "a"
    assert alone.update().reason == ("rejected by this device", "health check said no")
    assert alone.status()["last"]["outcome"] == "rejected"


def test_settling_again_after_going_back_still_says_so(alone):
    alone.on_tree_trial()
    assert alone.settle(False) is False
    assert alone.settle(True) is False
    assert alone.reset().trees.running.letter == "a"


def test_settling_while_an_update_waits_for_the_reset_goes_on(make, own):
    device = make(content=None, of=own)
    device.on_tree_trial().settle(False)
    device.reset()
    own.release_app("3.0.0", A3)
    assert device.update().ready
    assert device.settle(True) is True


def test_soft_reset_does_not_end_the_trial(alone):
    alone.on_tree_trial()
    alone.start(SOFT_RESET)
    assert alone.trees.on_trial and alone.settle()


def test_three_ends_without_a_word_reject_the_application(alone):
    for tries in (1, 2, 3):
        alone.on_tree_trial()
        assert alone.application.load()["trial"]["tries"] == tries
        assert alone.reset().trees.running.letter == "a"
    assert alone.update().reason == ("tried without success", 3)


def test_retry_offers_a_rejected_application_again(make, own):
    device = make(content=None, of=own)
    device.on_tree_trial().settle(False)
    device.reset()
    own.roll_out(product="display", retry=True)
    assert bring(device) == "display"


def test_floor_of_the_application_makes_the_spare_tree_unbootable(make, own):
    own.release_app("3.0.0", A3, minseq=3)
    device = make(content=None, of=own)
    device.on_tree_trial()
    assert device.status()["minseq"] == 0
    device.settle()
    assert device.status()["minseq"] == 3
    assert device.trees.identity(device.trees.spare) is None
    device.application.save({**device.application.load(), "minseq": 4, "images": {}})
    assert device.update().reason == ("below the floor", 3, 4)


def test_older_application_rolled_out_is_refused(make, own):
    own.release_app("3.0.0", A3)
    device = make(content=None, of=own)
    bring(device)
    repository = open_repository(own.workspace)
    path = "rollout/display/devkit/stable"
    custom = {**repository.rollouts()[path], "release": "fw/display/devkit/2.0.0", "seq": 2}
    from mpota import rollout

    rollout.put(repository, path, custom)
    repository.commit(own.keyring(), own.now)
    assert device.update().reason == ("older than what runs", 2, 3)


def test_stopped_and_continued(alone):
    event = alone.update(should_continue=lambda: False)
    assert (event.kind, event.product) == (DECLINED, "display")
    assert alone.update().ready and alone.tree("b") == A2


def test_cut_between_the_trial_and_the_switch(alone):
    def cut(tree):
        raise PowerCut

    alone.trees.try_next = cut
    with pytest.raises(PowerCut):
        alone.update()
    alone.reset()
    assert alone.trees.running.letter == "a" and not alone.trees.switch_pending
    assert bring(alone) == "display"


def test_switch_that_cannot_be_written_is_no_try(alone, monkeypatch):
    def save(boot, tree, letter):
        raise StoreError("file system", 28)

    alone.store.save("tree", b"aV")
    with monkeypatch.context() as broken:
        broken.setattr(appdir.Boot, "_save", save)
        for _ in range(3):
            with pytest.raises(StoreError):
                alone.update()
    assert alone.update().ready
    assert alone.application.load()["trial"]["tries"] == 1


def test_flipped_bit_in_an_application_is_refused(alone):
    def lie(path, data):
        return bytes([data[0] ^ 1]) + data[1:] if path.endswith("app.img") and data else data

    alone.source.spoil = lie
    with pytest.raises(ImageError, match="not what was signed"):
        alone.update()
    assert alone.trees.identity(alone.trees.spare) is None
    alone.source.spoil = None
    assert alone.update().ready


# The file list


IMAGE = "fw/display/devkit/2.0.0/app.img"


def resign(own, change):
    repository = open_repository(own.workspace)
    change(repository.role("img-display").signed.targets)
    repository.touch("img-display")
    repository.commit(own.keyring(), own.now)


def test_file_list_of_another_application(make, own):
    def change(targets):
        targets[IMAGE].unrecognized_fields["custom"]["blocks"] = (
            "fw/display/devkit/1.0.0/app.img.blocks"
        )

    resign(own, change)
    with pytest.raises(TrustError, match="another application"):
        make(content=None, of=own).update()


def test_file_list_that_is_too_long(make, own):
    def change(targets):
        targets[IMAGE + ".blocks"].length = 65537

    resign(own, change)
    device = make(content=None, of=own)
    with pytest.raises(TrustError, match="wrong length"):
        device.update()
    assert not [path for path, _, _ in device.source.requests if path.endswith(".blocks")]


def test_file_list_signed_by_another_product(make, own):
    """Whoever may release the firmware may not say what the application is."""

    def change(targets):
        targets[IMAGE].unrecognized_fields["custom"]["blocks"] = (
            "fw/thermo/devkit/2.0.0/firmware.bin.blocks"
        )

    resign(own, change)
    with pytest.raises(TrustError, match="not signed"):
        make(content=None, of=own).update()


def test_application_for_another_mpy_version_or_core(make, own):
    for custom, reason in (({"mpy": "6.9"}, "mpy"), ({"arch": "rv32imc"}, "arch")):
        own.release_app("3.0." + reason, A3, custom=custom)
        assert make(content=None, of=own).update().reason[:2] == ("not for this device", reason)
    own.release_app("3.1.0", A3, custom={"mpy": "6.3", "arch": "xtensawin"})
    assert make(content=None, of=own).update().ready


# Both


def test_firmware_first_then_the_application(both):
    assert bring(both) == "thermo"
    assert both.tree("b") == {}
    assert bring(both) == "display"
    assert both.update().kind == UP_TO_DATE
    status = both.status()
    assert (status["product"], status["version"]) == ("thermo", "2.0.0")
    assert (status["app"]["product"], status["app"]["version"]) == ("display", "2.0.0")


def test_application_when_the_firmware_is_not_offered(make, own):
    own.roll_out(halt=True)
    device = make(of=own)
    assert bring(device) == "display"
    event = device.update()
    assert (event.kind, event.product, event.reason) == (NOT_OFFERED, "thermo", ("halted",))


def test_answer_says_why_the_application_is_not_offered(make, own):
    own.roll_out(product="display", halt=True)
    device = make(of=own)
    bring(device)
    event = device.update()
    assert (event.kind, event.product, event.reason) == (NOT_OFFERED, "display", ("halted",))


def test_application_waits_while_the_firmware_is_declined(both):
    asked = []
    event = both.update(consent=lambda offer: asked.append((offer.product, offer.kind)))
    assert (event.kind, event.product) == (DECLINED, "thermo")
    assert asked == [("thermo", "firmware")] and both.tree("b") == {}


def test_nothing_is_installed_while_the_firmware_is_on_trial(both):
    both.on_trial()
    before = both.slots()
    with pytest.raises(StateError, match="on trial"):
        both.update()
    assert both.slots() == before and both.tree("b") == {}


def test_nothing_is_installed_while_the_application_is_on_trial(make, own):
    own.roll_out(halt=True)
    device = make(of=own).on_tree_trial()
    own.roll_out(halt=False)
    before = device.slots()
    with pytest.raises(StateError, match="on trial"):
        device.update()
    assert device.slots() == before
    device.settle()
    assert bring(device) == "thermo"


def test_ready_until_the_reset_whichever_waits_for_it(make, own):
    own.roll_out(halt=True)
    device = make(of=own)
    device.update()
    own.roll_out(halt=False)
    before = device.slots()
    event = device.update()
    assert (event.kind, event.product) == (READY, "display")
    assert device.settle(lambda: 1 / 0)  # nobody is asked: nothing is on trial
    assert device.slots() == before


def test_each_is_given_up_alone(both):
    both.on_trial()
    assert not both.settle(False)
    both.reset()
    assert both.runs == "ota_0" and both.status()["last"]["outcome"] == "rejected"
    assert both.status()["app"]["last"] is None
    both.on_tree_trial()
    assert not both.settle(False)
    both.reset()
    assert both.trees.running.letter == "a" and both.runs == "ota_0"
    assert both.status()["app"]["last"]["outcome"] == "rejected"
    assert both.update().kind == NOT_OFFERED


def test_floors_and_numbers_are_the_products_own(make, own):
    own.release("3.0.0", V3, minseq=3)
    device = make(of=own)
    bring(device)
    assert device.status()["minseq"] == 3 and device.status()["app"]["minseq"] == 0
    assert bring(device) == "display"  # number 2, below the floor of the firmware
    assert device.status()["app"]["seq"] == 2 and device.status()["seq"] == 3


def test_watchdog_ends_the_trial_of_the_application(both, tmp_path):
    bring(both)
    both.on_tree_trial()
    trial.guard(both.trees, 60)
    assert both.board.watchdog.limit_ms == 60_000
    assert both.settle()
    assert both.board.watchdog.limit_ms > 86_400_000


@pytest.mark.parametrize("product", ["thermo", "display"])
def test_what_is_wrong_with_one_does_not_keep_the_other_from_its_updates(make, own, product):
    wrong = "firmware.bin" if product == "thermo" else "app.img"
    device = make(of=own)
    if product == "display":
        assert bring(device) == "thermo"
        own.release("3.0.0", V3)
    device.source.spoil = lambda path, data: data[::-1] if path.endswith(wrong) else data
    assert bring(device) != product
    with pytest.raises(ImageError):
        device.update()


def test_image_that_is_gone_does_not_keep_the_application_from_its_update(make, own):
    device = make(of=own)
    for path in own.repository.rglob("*firmware.bin"):
        path.unlink()
    assert bring(device) == "display"
    with pytest.raises(FetchError):
        device.update()


def test_worn_slot_does_not_keep_the_application_from_its_update(both, monkeypatch):
    def erase(slot, block):
        raise SlotError("flash")

    monkeypatch.setattr(type(both.boot.spare), "erase", erase)
    assert both.update().product == "display"


def test_lost_network_is_not_asked_again_for_the_application(both):
    def spoil(path, data):
        if path.endswith("firmware.bin"):
            raise FetchError("connection")
        return data

    both.source.spoil = spoil
    with pytest.raises(FetchError):
        both.update()
    assert not any("/display/" in path for path, _, _ in both.source.requests)


# The range of an application


def range_of(least, most=None):
    found = {"product": "thermo", "min": least}
    return {"firmware": found if most is None else {**found, "max": most}}


def test_application_waits_for_its_firmware(make, own):
    own.release_app("3.0.0", A3, custom=range_of(2))
    own.roll_out(halt=True)
    device = make(of=own)
    assert device.update().kind == NOT_OFFERED and device.tree("b") == {}
    own.roll_out(halt=False)
    assert bring(device) == "thermo"
    assert bring(device) == "display"


def test_application_for_an_older_firmware_is_not_offered(make, own):
    own.release_app("3.0.0", A3, custom=range_of(1, 1))
    device = make(of=own)
    bring(device)
    event = device.update()
    assert (event.product, event.reason) == (
        "display",
        ("needs another firmware", "thermo", 1, 1),
    )


def test_application_that_needs_a_firmware_on_a_stock_board(make, own):
    own.release_app("3.0.0", A3, custom=range_of(1))
    assert make(content=None, of=own).update().reason[0] == "needs another firmware"


def test_firmware_that_the_running_application_excludes_is_not_offered(make, own):
    own.release_app("3.0.0", A3, custom=range_of(0, 2))
    own.roll_out(halt=True)
    device = make(of=own)
    assert bring(device) == "display"
    own.roll_out(halt=False)
    own.release("3.0.0", V3)
    event = device.update()
    assert (event.product, event.reason) == (
        "thermo",
        ("the running application needs another firmware", "thermo", 0, 2),
    )
    own.release_app("3.1.0", app("3.1.0"), custom=range_of(0, 3))
    assert bring(device) == "display"
    assert bring(device) == "thermo"


@pytest.mark.parametrize(
    "firmware",
    [
        5,
        "thermo",
        {},
        {"product": "thermo"},
        {"product": "thermo", "min": "1"},
        {"product": 1, "min": 1},
        {"product": "thermo", "min": 1, "max": None},
    ],
)
def test_range_that_is_nonsense_is_no_crash(make, own, firmware):
    def change(targets):
        targets[IMAGE].unrecognized_fields["custom"]["firmware"] = firmware

    resign(own, change)
    event = make(content=None, of=own).update()
    assert event.reason[0] == "malformed release"


# wiring: what config.json and the board say


@pytest.fixture
def folder(both, world, monkeypatch):
    """A provisioned /ota-state beside the trees of `both`."""
    state = both.folder / "state"
    (state / "root.json").write_bytes(world.root)
    write(state, world.config(["http://127.0.0.1:9/"]))
    monkeypatch.setattr(sys, "platform", "esp32")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return state


def choose(device):
    """Do what else boot.py does: put the tree into sys.path."""
    sys.path[:0] = [device.trees.running.path, device.trees.running.path + "/lib"]


def write(folder, config):
    (folder / "config.json").write_text(json.dumps(config))


def without(config, key):
    del config[key]
    return config


def test_configuration_of_both(both, folder):
    status = Updater.from_config(str(folder)).status()
    assert (status["product"], status["app"]["product"]) == ("thermo", "display")
    assert status["app"]["identity"] == both.trees.identity(both.trees.running)
    assert status["urls"] == ["http://127.0.0.1:9/"]


@pytest.mark.parametrize("platform", ["rp2", "linux", "stm32"])
def test_stock_firmware_takes_applications(both, folder, world, monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    write(folder, without(world.config(["http://127.0.0.1:9/"]), "product"))
    status = Updater.from_config(str(folder)).status()
    assert (status["product"], status["kind"], status["app"]) == ("display", "app", None)
    choose(both)
    ota.guard(str(folder))


@pytest.mark.parametrize("platform", ["rp2", "linux"])
def test_stock_firmware_with_a_firmware_product_says_so(folder, monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(StateError, match="application updates"):
        Updater.from_config(str(folder))


def test_configuration_without_any_product(folder, world):
    config = without(world.config(["http://127.0.0.1:9/"]), "product")
    write(folder, without(config, "app"))
    with pytest.raises(StateError, match="product or app"):
        Updater.from_config(str(folder))


def test_stock_esp32_with_one_slot_takes_applications(make, own, monkeypatch):
    monkeypatch.setattr(sys, "platform", "esp32")
    device = make(content=None, rows=table.SMALL_SINGLE, of=own)
    assert device.boot.spare is None
    assert bring(device) == "display"


def test_guard_arms_for_the_application_too(both, folder):
    bring(both)
    both.on_tree_trial()
    choose(both)
    limits = []
    both.board.watchdog.on_change = limits.append
    ota.guard(str(folder))
    assert limits == [300_000, 60_000]


def test_guard_of_the_firmware_leaves_a_trial_that_boot_py_ends_alone(both, folder):
    """A frozen _boot.py runs before boot.py, which takes this application out of its trial."""
    bring(both)
    both.on_tree_trial()
    ota.guard(str(folder))
    assert both.board.watchdog.limit_ms is None


def test_guard_does_nothing_when_neither_is_on_trial(both, folder):
    ota.guard(str(folder))
    assert both.board.watchdog.limit_ms is None


def test_guard_arms_for_the_application_with_a_broken_configuration(both, folder):
    bring(both)
    both.on_tree_trial()
    choose(both)
    (folder / "config.json").write_text("{")
    ota.guard(str(folder))
    assert both.board.watchdog.limit_ms == 300_000


def test_library_that_is_not_the_applications_own_is_told(both, folder, monkeypatch):
    """A stale one in /lib, or of the other tree, before that of the running tree."""
    log = []
    (both.folder / "ota-app" / "a" / "lib" / "ota").mkdir()
    status = Updater.from_config(str(folder), log=lambda *facts: log.append(facts)).status()
    expected = str(both.folder / "ota-app" / "a" / "lib" / "ota")
    assert status["shadowed"] == expected
    assert log == [("ota is not loaded from where it should be", status["loaded_from"], expected)]
    monkeypatch.setattr("ota.wiring.__file__", expected + "/wiring.py")
    status = Updater.from_config(str(folder)).status()
    assert (status["loaded_from"], status["shadowed"]) == (expected, None)


@pytest.mark.parametrize(
    ("file", "loaded_from", "shadowed"),
    [
        ("ota/wiring.py", "frozen", None),
        ("/lib/ota/wiring.mpy", "/lib/ota", None),
        ("/ota/wiring.mpy", "/ota", "/lib/ota"),
    ],
)
def test_where_the_library_was_loaded_from(both, folder, monkeypatch, file, loaded_from, shadowed):
    monkeypatch.setattr("ota.wiring.__file__", file)
    monkeypatch.setattr(sys.implementation, "_mpy", 0x306, raising=False)
    status = Updater.from_config(str(folder)).status()
    assert (status["loaded_from"], status["shadowed"]) == (loaded_from, shadowed)


# ota.run, main.py of the root


@pytest.fixture
def starts(both, folder, monkeypatch):
    """starts(main): lets the running application have this main.py, and runs it."""
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    monkeypatch.chdir(both.folder)
    path = sys.path

    def starts(main=None):
        monkeypatch.setattr(sys, "path", list(path))
        choose(both)
        if main is not None:
            letter = both.trees.running.letter
            both.write_tree(letter, {**both.tree(letter), "main.py": main})
        try:
            ota.run(str(folder))
        finally:
            monkeypatch.setattr(sys, "path", path)

    return starts


def test_main_of_the_tree_runs_as_main_in_its_folder(both, starts):
    starts("import os\nSEEN = __name__, os.getcwd()")
    seen = sys.modules["__main__"].SEEN
    assert seen == ("__main__", str(both.folder / "ota-app" / "a"))


def test_exception_on_trial_rejects_the_application(make, own, both, starts):
    bring(both)
    own.release_app("3.0.0", {"main.py": "raise ValueError('secret')"})
    both.source._path = both.source._paths[0] = str(own.repository)
    both.on_tree_trial()
    with pytest.raises(HardReset):
        starts()
    both.reset()
    assert both.trees.running.letter == "a" and both.runs == "ota_1"
    why = both.status()["app"]["last"]["why"]
    assert why == "main.py raised ValueError"
    assert both.update().reason == ("rejected by this device", why)


def test_exception_while_the_firmware_is_on_trial_rejects_the_firmware(both, starts):
    both.on_trial()
    with pytest.raises(HardReset):
        starts("1 / 0")
    both.reset()
    assert both.runs == "ota_0" and both.trees.running.letter == "a"
    assert both.status()["last"]["why"] == "main.py raised ZeroDivisionError"


def test_exception_on_trial_goes_back_when_nothing_can_be_saved(both, starts):
    both.on_trial()
    both.store.refuses = ("update",)
    (both.folder / "state" / "config.json").unlink()
    with pytest.raises(HardReset):
        starts("1 / 0")
    assert both.reset().runs == "ota_0"


def test_exception_of_a_kept_application_passes(both, starts):
    with pytest.raises(ZeroDivisionError):
        starts("1 / 0")
    assert both.reset().trees.running.letter == "a"


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
def test_interrupt_on_trial_is_no_verdict(both, starts, error):
    both.on_trial()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        starts(f"raise {error}")
    assert both.start(SOFT_RESET).boot.on_trial


@pytest.fixture
def kept(both):
    """Runs application 2.0.0 in tree b; 1.0.0 is in tree a."""
    bring(both)
    bring(both)
    return both


def test_whole_application_that_raises_does_not_give_way(kept, starts):
    with pytest.raises(ZeroDivisionError):
        starts("1 / 0")
    assert kept.reset().trees.running.letter == "b"


def test_damaged_application_gives_way_to_the_one_before(kept, starts):
    (kept.folder / "ota-app" / "b" / "lib" / "x.py").write_text("1 / 0")
    (kept.folder / "ota-app" / "b" / "main.py").write_text("import nothing_here")
    with pytest.raises(HardReset):
        starts()
    assert kept.reset().trees.running.letter == "a"
    assert kept.status()["app"]["version"] == "1.0.0" or kept.status()["app"]["seq"] == 0
    assert bring(kept) == "display" and kept.tree("b") == A2  # what was damaged comes again


def test_damaged_application_stays_when_the_other_is_damaged_too(kept, starts):
    for letter in "ab":
        (kept.folder / "ota-app" / letter / "main.py").write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        starts()
    assert kept.reset().trees.running.letter == "b"


def test_exception_while_an_update_waits_for_the_reset_passes(both, starts):
    bring(both)
    assert both.update().ready
    with pytest.raises(ZeroDivisionError):
        starts("1 / 0")
    assert both.trees.switch_pending


def test_no_application_to_run(both, starts):
    (both.folder / "ota-app" / "a" / ".ota-list").unlink()
    with pytest.raises(StateError, match="no application"):
        starts()


def test_compiled_main_runs_too(tmp_path, any_micropython, micropython_env, repo, mpy_cross):
    """MicroPython's execfile takes no .mpy: it is imported, and found in the tree first."""
    tree = tmp_path / "ota-app" / "a"
    tree.mkdir(parents=True)
    (tree / "start.py").write_text("import os\nprint(__name__, os.getcwd())")
    subprocess.run([mpy_cross, "-o", tree / "main.mpy", tree / "start.py"], check=True)
    (tree / ".ota-list").write_bytes(b"any")
    (tmp_path / "state").mkdir()
    (tmp_path / "main.py").write_text("print('not this one')")
    program = f"import sys, ota\nsys.path[:0] = ['{tree}', '{tmp_path}']\n"
    done = subprocess.run(
        [any_micropython, "-c", program + f"ota.run('{tmp_path}/state')"],
        env=micropython_env,
        cwd=repo,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["main", str(tree)], done.stderr
