# SPDX-License-Identifier: MIT
"""The story of an update and its loop (`updater`, `watch`, `state`), on a whole device in process.

Every test has a device that runs 1.0.0; the repository offers 2.0.0 to it.
"""

import asyncio
import json
import os
import shutil
from hashlib import sha256

import pytest

import ota.state as state
import world as worlds
from in_process import BLOCKS, LENGTH, Device, Source, build, clone
from mpota import rollout
from mpota.release import block_list
from mpota.repository import open_repository
from ota.adapters.clock import Clock, shift
from ota.errors import (
    ClockError,
    ExpiredError,
    FetchError,
    ImageError,
    SlotError,
    StateError,
    StoreError,
    TrustError,
)
from ota.updater import (
    DECLINED,
    DOWNLOADING,
    NOT_OFFERED,
    READY,
    TROUBLE,
    UP_TO_DATE,
    Event,
)
from sim import image, table
from sim.chip import HardReset
from sim.flash import PowerCut

V1, V2, V3 = build("1.0.0"), build("2.0.0"), build("3.0.0")
UNKNOWN = build("flashed over USB")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = worlds.World(tmp_path_factory.mktemp("world") / "repo", 0x10000)
    made.release("1.0.0", V1)
    made.release("2.0.0", V2)
    return made


@pytest.fixture
def own(world, tmp_path):
    """A copy of the world, to change."""
    return clone(world, tmp_path / "own")


@pytest.fixture
def make(tmp_path, world):
    """make(content=V1, of=world, ...): a Device; each one has folder and flash of its own."""
    made = []

    def make(content=V1, of=world, **changes):
        made.append(Device(tmp_path / f"device{len(made)}", of, content, **changes))
        return made[-1]

    yield make
    for device in made:
        device.close()


@pytest.fixture
def device(make):
    return make()


def run(coroutine):
    return asyncio.run(coroutine)


def spoil(path):
    """Return a Source.spoil that flips a bit in the files whose name ends so."""

    def flip(name, data):
        if not name.endswith(path) or not data:
            return data
        return data[:5] + bytes([data[5] ^ 1]) + data[6:]

    return flip


# The answers


def test_ready_and_the_slot_holds_the_image(device):
    event = device.update()
    assert (event.kind, event.ready, event.offer.seq) == (READY, True, 2)
    assert str(event) == "ready: 2.0.0"
    assert device.spare() == V2
    assert device.reset().runs == "ota_1"


def test_ready_again_until_the_reset_without_a_look_at_the_network(device):
    device.update()
    device.source.requests.clear()
    before = device.flash.ops
    assert device.update().ready
    assert (device.source.requests, device.flash.ops) == ([], before)


def test_ready_is_said_after_a_soft_reset_too(device):
    device.update()
    assert device.start(cause=5).update().ready
    assert device.runs == "ota_0"


def test_every_check_keeps_the_watchdog_of_a_trial_from_biting_later(device):
    device.on_trial().settle()
    fed = []
    device.board.watchdog.on_change = fed.append
    for _ in range(2):
        assert device.update().kind == UP_TO_DATE
    assert len(fed) == 2


def test_up_to_date_after_the_trial(device):
    device.on_trial().settle()
    event = device.update()
    assert (event.kind, event.ready, str(event)) == (UP_TO_DATE, False, "up to date")
    assert device.source.blocks[2:] == []


def test_nothing_but_missing_metadata_is_fetched_when_up_to_date(device):
    device.on_trial().settle()
    device.source.requests.clear()
    device.update()
    assert [path for path, _, _ in device.source.requests] == [
        "metadata/2.root.json",
        "metadata/timestamp.json",
    ]


def test_board_without_a_second_slot(make):
    device = make(rows=table.SMALL_SINGLE)
    with pytest.raises(StateError, match=r"no second slot.*single OTA slot"):
        device.update()
    assert device.settle(False) and device.status()["seq"] == 0


def test_refused_on_trial_and_nothing_is_touched(device):
    device.on_trial()
    before = device.flash.ops
    device.source.requests.clear()
    with pytest.raises(StateError, match="on trial"):
        device.update()
    assert (device.flash.ops, device.source.requests) == (before, [])


# Arguments of the application


def test_progress_counts_every_block(device):
    seen = []
    device.update(progress=lambda *done: seen.append(done))
    assert seen == [(number, BLOCKS) for number in range(1, BLOCKS + 1)]


def test_progress_that_raises_is_a_programming_error_and_closes_everything(device):
    with pytest.raises(ZeroDivisionError):
        device.update(progress=lambda done, total: done / 0)
    assert device.source.opened == device.source.closed
    assert device.update().ready


@pytest.mark.parametrize("kind", ["function", "coroutine"])
@pytest.mark.parametrize("answer", [True, False, None])
def test_consent(device, kind, answer):
    asked = []

    def plain(offer):
        asked.append(offer.version)
        return answer

    async def waiting(offer):
        await asyncio.sleep(0)
        return plain(offer)

    event = device.update(consent=plain if kind == "function" else waiting)
    assert asked == ["2.0.0"]
    if answer:
        assert event.ready
    else:
        assert (event.kind, str(event)) == (DECLINED, "declined: no consent")
        assert not device.source.blocks and device.store.open("blocks") is None
        assert device.update().ready


@pytest.mark.parametrize("allowed", range(BLOCKS))
def test_should_continue_stops_before_a_block_and_the_next_call_goes_on(device, allowed):
    left = allowed
    seen = []

    def go():
        nonlocal left
        left -= 1
        return left >= 0

    event = device.update(should_continue=go, progress=lambda *done: seen.append(done))
    assert (event.kind, event.reason, len(seen)) == (DECLINED, ("stopped",), allowed)
    assert device.source.opened == device.source.closed
    assert device.reset().runs == "ota_0"
    assert device.update(progress=lambda *done: seen.append(done)).ready
    assert len(seen) == BLOCKS  # no block came twice
    assert device.spare() == V2


# The rollout


def test_halted(make, own):
    own.roll_out(halt=True)
    device = make(of=own)
    event = device.update()
    assert (event.kind, event.reason) == (NOT_OFFERED, ("halted",))
    assert not device.source.blocks
    own.roll_out(halt=False)
    assert device.update().ready


def test_percent_and_groups(make, own):
    own.roll_out(percent=0, groups=["canary"])
    assert make(of=own).update().reason == ("not this device's turn",)
    assert make(of=own, groups=["canary"]).update().ready
    own.roll_out(percent=10000)
    assert make(of=own).update().ready


def test_not_before(make, own):
    own.roll_out(not_before="2090-01-01T00:00:00Z")
    device = make(of=own)
    assert device.update().reason == ("not before", "2090-01-01T00:00:00Z")
    own.roll_out(not_before=device.now)
    assert device.update().ready


def test_release_for_another_board(make):
    event = make(board="other").update()
    assert event.reason == ("no rollout for this product, board and channel",)


def test_retry_brings_rejected_bytes_again(make, own):
    device = make(of=own)
    assert not device.on_trial().settle(False)
    device.reset()
    assert device.update().reason[0] == "rejected by this device"
    own.roll_out(retry=True)
    device.source.requests.clear()
    assert device.update().ready
    assert not device.source.blocks  # they are in the slot already
    assert device.reset().settle() and device.runs == "ota_1"


# Released again, and the floor


def test_running_bytes_released_again_only_change_their_number(make, own):
    device = make(V2, of=own)
    assert device.update().kind == UP_TO_DATE
    assert device.status()["seq"] == 2
    own.release_again("2.0.0", minseq=2)
    before = device.slots()
    event = device.update()
    assert (event.kind, event.offer.seq) == (UP_TO_DATE, 3)
    assert (device.status()["seq"], device.status()["minseq"]) == (3, 2)
    assert device.slots() == before and not device.source.blocks


def test_image_that_nobody_knows_counts_as_seq_0(make):
    device = make(UNKNOWN)
    assert (device.status()["seq"], device.status()["version"]) == (0, "")
    assert device.update().ready


def test_older_bytes_released_again_go_back(make, own):
    device = make(of=own)
    device.on_trial().settle()
    assert device.runs == "ota_1"
    own.release_again("1.0.0")
    device.source.requests.clear()
    assert device.update().ready
    assert not device.source.blocks  # the slot still holds them
    device.reset().settle()
    assert (device.runs, device.status()["seq"]) == ("ota_0", 3)


def test_older_release_rolled_out_is_refused(make, own, world):
    """The online key alone cannot take a device back: `seq` of rollout and image both count."""
    own.release("3.0.0", V3)
    device = make(of=own)
    device.on_trial().settle()
    repository = open_repository(own.workspace)
    path = "rollout/thermo/devkit/stable"
    for seq, reason in ((2, "older than what runs"), (3, "up to date"), (4, "differ in seq")):
        custom = {**repository.rollouts()[path], "release": "fw/thermo/devkit/2.0.0", "seq": seq}
        rollout.put(repository, path, custom)
        repository.commit(own.keyring(), own.now)
        assert reason in str(device.update())
    assert device.status()["version"] == "3.0.0"


def test_image_below_the_floor_is_refused(make, own):
    """Even to a device that does not know what it runs."""
    device = make(UNKNOWN, of=own)
    memory = state.load(device.store)
    state.save(device.store, dict(memory, minseq=3))
    assert device.update().reason == ("below the floor", 2, 3)


def test_floor_rises_when_the_image_is_confirmed_and_not_before(make, own):
    own.release("3.0.0", V3, minseq=2)
    device = make(of=own)
    device.on_trial()
    assert device.status()["minseq"] == 0
    assert device.spare() == V1  # what a revert would boot
    device.settle()
    assert device.status()["minseq"] == 2
    assert device.boot.identity(device.boot.spare) is None  # seq of 1.0.0: not known, so 0


def test_floor_does_not_rise_when_the_image_is_given_up(make, own):
    own.release("3.0.0", V3, minseq=2)
    device = make(of=own)
    assert not device.on_trial().settle(False)
    assert device.reset().settle() and device.runs == "ota_0"
    assert device.status()["minseq"] == 0


def test_floor_outlives_a_lost_file_system(make, own):
    own.release("3.0.0", V3, minseq=3)
    device = make(V2, of=own)
    device.on_trial().settle()
    wipe(device.folder / "state")
    own.roll_out(halt=True)
    device.reset().update()
    assert device.status()["minseq"] == 3


def test_spare_at_the_floor_stays_bootable(make, own):
    own.release("3.0.0", V3, minseq=1)
    device = make(of=own)
    knows(device, V1, [1, 0, "1.0.0"])
    device.on_trial().settle()
    assert device.status()["minseq"] == 1
    assert device.boot.identity(device.boot.spare) == image.identity(V1)


def test_floor_is_applied_after_a_cut_between_confirming_and_saving(make, own):
    own.release("3.0.0", V3, minseq=2)
    device = make(of=own).on_trial()
    device.boot.confirm()  # and then the power fails
    device.reset()
    assert device.runs == "ota_1" and device.status()["minseq"] == 0
    assert device.settle(lambda: 1 / 0)  # nobody asks: it is confirmed
    assert device.status()["minseq"] == 2
    assert device.boot.identity(device.boot.spare) is None
    assert device.status()["last"]["outcome"] == "confirmed"


def test_floor_is_applied_by_update_to_who_never_settles(make, own):
    own.release("3.0.0", V3, minseq=2)
    device = make(of=own).on_trial()
    device.boot.confirm()
    assert device.reset().update().kind == UP_TO_DATE
    assert device.status()["minseq"] == 2


def test_known_spare_image_is_not_made_unbootable_by_a_download_that_fails(make, own):
    """The spare image is the last resort of the bootloader until the new one takes its place."""
    own.release("3.0.0", V3, minseq=2)
    device = make(V2, of=own)
    knows(device, V2, [2, 0, "2.0.0"])
    device.on_trial().settle()
    assert device.boot.identity(device.boot.spare) == image.identity(V2)
    own.release("4.0.0", build("4.0.0"))
    device.source.spoil = spoil("firmware.bin")
    for _ in range(2):
        with pytest.raises(ImageError):
            device.update()
        assert device.boot.identity(device.boot.spare) == image.identity(V2)


def knows(device, content, facts):
    """Let the device have got this image by an update."""
    memory = state.load(device.store)
    state.save(device.store, dict(memory, images={image.identity(content): facts}))


# What is remembered


def test_status(device):
    device.clock.uptime_s = 5
    assert device.status() == {
        "product": "thermo",
        "kind": "firmware",
        "version": "",
        "seq": 0,
        "identity": image.identity(V1),
        "on_trial": False,
        "switch_pending": False,
        "boot_keys": None,
        "minseq": 0,
        "utc": device.status()["utc"],
        "verifier": "python",
        "last": None,
        "urls": [],
        "app": None,
    }
    device.update()
    assert device.status()["switch_pending"]
    device.reset()
    status = device.status()
    assert (status["version"], status["seq"], status["on_trial"]) == ("2.0.0", 2, True)
    device.settle()
    assert device.status()["last"] == {"outcome": "confirmed", "version": "2.0.0", "why": ""}


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[1", b"5", b"null", b"[5]", b'"text"'])
def test_record_that_is_not_ours_counts_as_none(device, content):
    device.store.save("update", content)
    device.reset()
    assert device.settle() and device.status()["seq"] == 0
    assert device.update().ready


def test_record_of_a_newer_library_is_kept(device):
    device.store.save("update", json.dumps({"minseq": 1, "of a later version": [1]}).encode())
    assert device.reset().update().ready
    memory = state.load(device.store)
    assert (memory["minseq"], memory["of a later version"]) == (1, [1])


def test_lost_record_costs_memory_but_no_update(device):
    device.on_trial()
    wipe(device.folder / "state")
    device.reset()
    assert device.runs == "ota_0"
    device.reset().update()
    wipe(device.folder / "state")
    device.reset()
    assert device.boot.on_trial and device.settle()
    assert device.status()["seq"] == 0
    assert device.update().kind == UP_TO_DATE and device.status()["seq"] == 2


def wipe(folder):
    for file in folder.iterdir():
        file.unlink()


def test_record_stays_small(make, own):
    device = make(of=own)
    for number in range(3, 12):
        own.release(f"{number}.0.0", build(f"{number}.0.0"))
        device.on_trial().settle(False)
        device.reset()
    memory = state.load(device.store)
    assert len(memory["rejected"]) == 4 and len(memory["images"]) <= 3
    assert len(device.store.load("update")) < 1500


def test_four_rejections_are_remembered(make, own):
    device = make(of=own)
    memory = state.load(device.store)
    for number in range(6):
        state.reject(memory, "image%d" % number, 1, "why")
    assert [entry[0] for entry in memory["rejected"]] == ["image2", "image3", "image4", "image5"]


# The clock


def test_floor_of_time_is_kept_once_a_day(device):
    saved = []
    save = device.store.save
    device.store.save = lambda name, data: (saved.append(name), save(name, data))
    device.update(consent=lambda offer: False)
    first = state.load(device.store)["utc"]
    assert first[:10] == device.now[:10]
    saved.clear()
    day_left = 86400 - (int(first[11:13]) * 3600 + int(first[14:16]) * 60 + int(first[17:19]))
    device.clock.uptime_s = day_left - 1
    device.update(consent=lambda offer: False)
    assert saved == [] and state.load(device.store)["utc"] == first
    device.clock.uptime_s = day_left + 60
    device.update(consent=lambda offer: False)
    assert state.load(device.store)["utc"][:10] > first[:10]
    device.reset()
    assert device.status()["utc"] >= state.load(device.store)["utc"]


def test_claim_of_the_clock_never_enters_the_floor(device):
    device.clock.claims = _after(device.now, days=2)
    device.update(consent=lambda offer: False)
    assert device.status()["utc"] < device.clock.claims
    assert state.load(device.store)["utc"][:10] == device.now[:10]


@pytest.mark.parametrize("claims", ["1970-01-01T00:00:10Z", "2000-01-01T00:00:10Z"])
def test_clock_that_was_never_set_is_no_evidence(device, claims):
    device.clock.claims = claims
    assert device.update().ready


@pytest.mark.parametrize("claims", ["1970-01-01T00:00:10Z", "2000-01-01T00:00:10Z"])
def test_clock_below_the_floor_is_named_before_tls_fails_for_it(device, claims):
    device.source.needs_clock = True
    device.clock.claims = claims
    with pytest.raises(ClockError) as error:
        device.update()
    assert error.value.args[1] == claims
    assert device.source.requests == []
    device.clock.claims = _after(device.now, days=1)
    assert device.update().ready


def needs_clock(device, ntp, claims="2000-01-01T00:00:10Z"):
    device.source.needs_clock = True
    device.clock.claims = claims
    device.clock.ntp = ntp
    return device


def test_ntp_sets_a_clock_that_was_never_set(device):
    needs_clock(device, _after(device.now, days=1))
    assert device.update().ready
    assert device.clock.claims == _after(device.now, days=1)
    assert state.load(device.store)["utc"] < device.clock.claims  # it stays a claim


def test_ntp_is_asked_only_when_somebody_needs_the_time(device):
    device.clock.claims = "2000-01-01T00:00:10Z"
    device.clock.ntp = device.now
    device.update(consent=lambda offer: False)
    assert device.clock.asked == 0
    needs_clock(device, device.now, claims=_after(device.now, days=1))
    device.update(consent=lambda offer: False)
    assert device.clock.asked == 0
    needs_clock(device, _after(device.now, days=1))
    assert device.update().ready and device.clock.asked == 1


def test_ntp_cannot_turn_the_time_back_behind_what_is_certain(device):
    needs_clock(device, "2025-06-01T00:00:00Z")
    with pytest.raises(ClockError, match="behind what is certain"):
        device.update()
    assert device.source.requests == []


@pytest.mark.parametrize("trouble", [None, FetchError("ntp: no answer")])
def test_without_an_answer_of_ntp_the_clock_is_named(device, trouble):
    needs_clock(device, trouble)
    with pytest.raises(ClockError, match="behind what is certain"):
        device.update()
    assert [facts[1] for facts in device.log] == ([trouble] if trouble else [])


def test_forged_ntp_at_2100_does_no_lasting_harm(device):
    needs_clock(device, "2100-01-01T00:00:00Z")
    with pytest.raises(ClockError):
        device.update()
    device.clock.claims = device.now
    assert device.update().ready


def test_forged_ntp_does_not_outlast_its_forger(device):
    needs_clock(device, "2100-01-01T00:00:00Z")
    with pytest.raises(ClockError):
        device.update()
    device.clock.ntp = _after(device.now, days=1)
    assert device.update().ready
    assert device.clock.asked == 2


def test_clock_that_ntp_has_not_set_is_never_given_away(device):
    needs_clock(device, device.now, claims="2100-01-01T00:00:00Z")
    for _ in range(2):
        with pytest.raises(ClockError):
            device.update()
    assert device.clock.asked == 0


def test_clock_asks_the_server_of_the_configuration(monkeypatch):
    async def now(host):
        if host == "broken:x":
            raise ValueError
        return host + " says it is late"

    told = []
    monkeypatch.setattr("ota.adapters.ntp.now", now)
    monkeypatch.setattr("ota.adapters.ntp.set_rtc", told.append)
    assert run(Clock("pool").ask()) is True and told == ["pool says it is late"]
    assert run(Clock().ask()) is False
    with pytest.raises(StateError, match="ntp"):
        run(Clock("broken:x").ask())


def test_clock_at_2100_is_blamed_and_does_no_lasting_harm(device):
    device.clock.claims = "2100-01-01T00:00:00Z"
    with pytest.raises(ClockError):
        device.update()
    device.clock.claims = device.now
    assert device.update().ready


def test_time_that_has_surely_passed_expires_metadata(device):
    device.clock.uptime_s = 30 * 365 * 86400
    with pytest.raises(ExpiredError):
        device.update()


def test_nothing_is_known_of_the_time(make):
    device = make(utc="")
    device.clock.claims = "1970-01-01T00:00:10Z"
    assert device.status()["utc"] == "2025-01-01T00:00:00Z"  # before which this was not written
    assert device.update().ready
    assert device.status()["utc"] >= device.now[:4]  # signed by the offline keys


def _after(utc, days):
    return shift(utc, days * 86400)


# The block list


def lists(device):
    return [path for path, _, _ in device.source.requests if path.endswith(".blocks")]


def test_block_list_is_fetched_once(device):
    device.update(should_continue=lambda: False)
    assert len(lists(device)) == 1
    device.reset().update()
    assert len(lists(device)) == 1


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"\0" + data[1:]]
)
def test_stored_block_list_that_is_damaged_is_fetched_again(device, damage):
    device.update(should_continue=lambda: False)
    file = device.folder / "state" / "blocks"
    file.write_bytes(damage(file.read_bytes()))
    assert device.reset().update().ready
    assert len(lists(device)) == 2


def test_block_list_that_is_not_what_was_signed(device):
    device.source.spoil = spoil(".blocks")
    before = device.slots()
    with pytest.raises(ImageError, match="block list"):
        device.update()
    assert device.slots() == before
    device.source.spoil = None
    assert device.update().ready


def test_block_list_that_ends_early(device):
    device.source.spoil = lambda path, data: b"" if path.endswith(".blocks") else data
    with pytest.raises(FetchError, match="ends early"):
        device.update()


def test_no_space_for_the_block_list(device):
    device.store.refuses = ("blocks",)
    with pytest.raises(StoreError):
        device.update()
    assert device.source.opened == device.source.closed
    device.store.refuses = ()
    assert device.update().ready


def resign(own, change):
    """Change the img metadata as `change(targets)` does, sign and publish it."""
    repository = open_repository(own.workspace)
    change(repository.role("img-thermo").signed.targets)
    repository.touch("img-thermo")
    repository.commit(own.keyring(), own.now)


IMAGE = "fw/thermo/devkit/2.0.0/firmware.bin"


def custom_of(targets):
    return targets[IMAGE].unrecognized_fields["custom"]


def test_block_list_of_a_wrong_length(make, own):
    def change(targets):
        targets[IMAGE + ".blocks"].length -= 32

    resign(own, change)
    with pytest.raises(TrustError, match="wrong length"):
        make(of=own).update()


def test_block_list_that_nobody_signed(make, own):
    resign(own, lambda targets: targets.pop(IMAGE + ".blocks"))
    with pytest.raises(TrustError, match="not signed"):
        make(of=own).update()


def test_block_list_signed_by_another_role(make, own):
    """The online role must not say what an image's blocks are."""
    path = "rollout/thermo/devkit/stable"
    resign(own, lambda targets: custom_of(targets).update(blocks=path))
    with pytest.raises(TrustError, match="not signed"):
        make(of=own).update()


def test_block_list_with_another_hash_only_is_an_error_and_no_crash(make, own):
    def change(targets):
        targets[IMAGE + ".blocks"].hashes = {"sha512": "0" * 128}

    resign(own, change)
    device = make(of=own)
    # The file's name has the hash in it.
    for file in own.repository.glob("targets/fw/thermo/devkit/2.0.0/*.blocks"):
        shutil.copy(file, file.with_name("0" * 128 + ".firmware.bin.blocks"))
    with pytest.raises(ImageError):
        device.update()


@pytest.mark.parametrize("custom", [None, [5], "text", {}, 7])
def test_rollout_that_is_nonsense_is_no_crash(make, own, custom):
    """Whoever has stolen the online key can sign anything; the application must not fall."""
    repository = open_repository(own.workspace)
    rollout.put(repository, "rollout/thermo/devkit/stable", custom)
    repository.commit(own.keyring(), own.now)
    device = make(of=own)
    assert device.update().kind == NOT_OFFERED


@pytest.mark.parametrize("key", ["seq", "minseq", "boards", "identity", "blocks", "digest"])
@pytest.mark.parametrize("value", [None, -1, [], {}, "", "ä\n"])
def test_image_that_is_nonsense_is_no_crash(make, own, key, value):
    resign(own, lambda targets: custom_of(targets).update({key: value}))
    device = make(of=own)
    try:
        event = device.update()
    except (TrustError, ImageError):
        assert not device.boot.switch_pending
    else:
        # A floor below nothing is no floor.
        assert event.kind == NOT_OFFERED or (key, value) == ("minseq", -1)


# The image


@pytest.mark.parametrize("block", range(BLOCKS))
def test_flipped_bit_in_a_block_is_refused_before_flash_is_touched(device, block):
    served = []

    def lie(path, data):
        if path.endswith("firmware.bin"):
            served.append(1)
            if data == V2[block * 4096 : block * 4096 + len(data)]:
                return data[:-1] + bytes([data[-1] ^ 0x80])
        return data

    device.source.spoil = lie
    for _ in range(2):
        with pytest.raises(ImageError, match="not what was signed"):
            device.update()
    assert device.boot.identity(device.boot.spare) is None  # nothing to boot there
    assert device.reset().runs == "ota_0"
    device.source.spoil = None
    assert device.update().ready and device.spare() == V2


def test_image_shorter_than_announced(device):
    last = LENGTH % 4096
    device.source.spoil = lambda path, data: data[:-100] if len(data) == last else data
    with pytest.raises(FetchError, match="ends early"):
        device.update()
    assert device.source.opened == device.source.closed
    device.source.spoil = None
    assert device.update().ready


def test_image_that_is_gone(make, own):
    for file in own.repository.glob("targets/fw/thermo/devkit/2.0.0/*.firmware.bin"):
        file.unlink()
    with pytest.raises(FetchError) as error:
        make(of=own).update()
    assert error.value.status == 404


def test_identity_that_the_image_does_not_have(make, own):
    resign(own, lambda targets: custom_of(targets).update(identity="ab" * 32))
    device = make(of=own)
    with pytest.raises(ImageError, match="another image"):
        device.update()
    assert not device.boot.switch_pending
    assert device.reset().runs == "ota_0" and state.load(device.store)["trial"] is None


def test_image_that_the_bootloader_refuses_is_rejected(make, own):
    """Signed, and what was signed; but the checksum of its segments is wrong."""
    broken = V3[:-33] + bytes([V3[-33] ^ 1])
    release_unchecked(own, broken + sha256(broken).digest())
    device = make(of=own)
    with pytest.raises(ImageError, match="bootloader"):
        device.update()
    assert not device.boot.switch_pending
    assert device.update().reason[0] == "rejected by this device"
    assert device.status()["last"]["outcome"] == "rejected"


def release_unchecked(own, content):
    """Put `content` in the place of 2.0.0: mpota itself would refuse to sign it."""
    blocks = block_list(content)
    folder = own.repository / "targets/fw/thermo/devkit/2.0.0"

    def change(targets):
        for path, data in ((IMAGE, content), (IMAGE + ".blocks", blocks)):
            digest = sha256(data).hexdigest()
            targets[path].length = len(data)
            targets[path].hashes = {"sha256": digest}
            (folder / f"{digest}.{path.rpartition('/')[2]}").write_bytes(data)
        custom_of(targets).update(identity=content[-32:].hex())

    resign(own, change)


def test_flash_that_does_not_hold_what_was_written(device):
    program = device.flash.program
    slot = device.boot.spare.address

    def fail(addr, data):
        program(addr, bytes(len(data)) if addr >= slot else data)

    device.flash.program = fail
    with pytest.raises(SlotError):
        device.update()
    device.flash.program = program
    assert device.update().ready and device.spare() == V2


# The switch


def test_trial_is_saved_before_the_switch(device):
    """Cut between the two: nothing is pending, and the try is counted."""

    def cut(slot):
        raise PowerCut

    device.boot.try_next = cut
    with pytest.raises(PowerCut):
        device.update()
    trial = state.load(device.store)["trial"]
    assert (trial["identity"], trial["attempt"], trial["tries"]) == (image.identity(V2), 1, 1)
    assert device.reset().runs == "ota_0"
    assert device.update().ready
    assert state.load(device.store)["trial"]["tries"] == 2
    assert device.reset().settle()


def test_no_switch_when_the_trial_cannot_be_saved(device):
    save = device.store.save

    def full(name, data):
        if b'"tries"' in data:
            raise StoreError("file system", name, 28)
        save(name, data)

    device.store.save = full
    with pytest.raises(StoreError):
        device.update()
    assert not device.boot.switch_pending
    device.store.save = save
    assert device.update().ready


# Several sources


def test_second_source_when_the_first_one_lies(device, world, own):
    for file in own.repository.glob("targets/fw/thermo/devkit/2.0.0/*.firmware.bin"):
        file.write_bytes(bytes(LENGTH))
    device.source = Source(own.repository, [world.repository])
    device.reset()
    assert device.update().ready
    assert (device.source.skips, device.source.resets) == (0, 1)  # from the first one next time
    assert device.log[0][0] == "turning to another source"


def test_second_source_when_the_metadata_of_the_first_one_is_a_captive_portal(device, world, own):
    (own.repository / "metadata" / "timestamp.json").write_text("<html>Welcome</html>")
    device.source = Source(own.repository, [world.repository])
    assert device.reset().update().ready


def test_all_sources_lie(device, own, tmp_path):
    for file in own.repository.glob("targets/fw/thermo/devkit/2.0.0/*.firmware.bin"):
        file.write_bytes(bytes(LENGTH))
    device.source = Source(own.repository, [own.repository, own.repository])
    device.reset()
    with pytest.raises(ImageError):
        device.update()
    assert len(device.log) == 2


def test_fetcher_is_closed_after_every_update(device, own):
    for how, ends in (
        ({"consent": lambda offer: False}, DECLINED),
        ({"should_continue": lambda: False}, DECLINED),
        ({}, READY),
    ):
        before = device.source.resets
        assert device.update(**how).kind == ends
        assert device.source.resets == before + 1


def test_fetcher_is_closed_after_an_error(device):
    device.source.spoil = spoil("timestamp.json")
    with pytest.raises(TrustError):
        device.update()
    assert device.source.resets == 1 and device.source.opened == device.source.closed


# Cancellation, and two at a time


def turns(count):
    async def wait():
        for _ in range(count):
            await asyncio.sleep(0)

    return wait()


@pytest.mark.parametrize("after", range(0, 60, 3))
def test_cancelled_anywhere_closes_everything_and_the_next_update_works(device, after):
    open_files = _open_files()

    async def main():
        task = asyncio.create_task(device.updater.update())
        await turns(after)
        task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return None

    run(main())
    assert device.source.opened == device.source.closed
    assert _open_files() == open_files
    assert device.update().ready and device.spare() == V2


def _open_files():
    return len(os.listdir("/dev/fd"))


def test_second_update_at_the_same_time_is_refused_and_does_no_harm(device):
    async def main():
        first = asyncio.create_task(device.updater.update())
        await turns(12)
        with pytest.raises(StateError, match="under way"):
            await device.updater.update()
        return await first

    assert run(main()).ready
    assert device.spare() == V2 and device.source.resets == 1


def test_update_while_watch_downloads_is_refused_until_it_is_closed(device):
    async def main():
        watch = device.updater.watch()
        async for event in watch:
            if event.kind == DOWNLOADING:
                break
        with pytest.raises(StateError, match="under way"):
            await device.updater.update()
        watch.close()
        await turns(3)
        assert device.source.opened == device.source.closed
        return await device.updater.update()

    assert run(main()).ready


# watch


@pytest.fixture
def pauses(monkeypatch):
    """Waits of more than no time, which then take none."""
    real = asyncio.sleep
    waited = []

    async def sleep(seconds):
        if seconds:
            waited.append(seconds)
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return waited


def refuse(path, data):
    raise FetchError("connection", 104)


async def take(watch, count):
    events = []
    async for event in watch:
        events.append(event)
        if len(events) == count:
            break
    return events


def test_watch_tells_what_happens(device, pauses):
    events = run(take(device.updater.watch(every_s=600), BLOCKS + 2))
    assert [str(event) for event in events] == [
        "downloading 20 %",
        "downloading 40 %",
        "downloading 60 %",
        "downloading 80 %",
        "downloading 100 %",
        "ready: 2.0.0",
        "ready",
    ]
    assert events[0].offer.version == "2.0.0" and pauses == [600]


def test_watch_does_nothing_before_and_between_the_questions(device):
    async def main():
        watch = device.updater.watch()
        await turns(100)
        assert device.source.requests == []
        assert str(await watch.__anext__()) == "downloading 20 %"
        requests, before = len(device.source.requests), device.flash.ops
        await turns(100)
        assert (len(device.source.requests), device.flash.ops) == (requests, before)
        return await take(watch, 5)

    assert run(main())[-1].ready


def test_watch_outlives_a_heap_that_was_too_full(device, pauses):
    def spoil(path, data):
        device.source.spoil = None
        raise MemoryError("memory allocation failed")

    device.source.spoil = spoil
    events = run(take(device.updater.watch(), BLOCKS + 2))
    assert str(events[0]) == "MemoryError: memory allocation failed"
    assert events[-1].ready and pauses == [60]


def test_watch_turns_trouble_into_events_and_tries_sooner(device, pauses):
    (device.folder / "nothing").mkdir()
    good, device.source = device.source, Source(device.folder / "nothing")
    device.reset()

    async def main():
        watch = device.updater.watch(every_s=1000)
        events = await take(watch, 7)
        device.source._path = good._path
        return events, await take(watch, BLOCKS + 1)

    events, after = run(main())
    assert {event.kind for event in events} == {TROUBLE}
    assert isinstance(events[0].error, TrustError)
    assert str(events[0]).startswith("TrustError: ")
    assert pauses[:7] == [60, 120, 240, 480, 960, 1000, 1000]
    assert after[-1].ready


def test_watch_begins_with_short_pauses_again_after_success(device, pauses, own):
    device.on_trial().settle()
    device.source.spoil = refuse

    async def main():
        watch = device.updater.watch(every_s=1000)
        await take(watch, 3)
        spoil, device.source.spoil = device.source.spoil, None
        await take(watch, 1)
        device.source.spoil = spoil
        await take(watch, 3)

    run(main())
    assert pauses == [60, 120, 240, 1000, 60, 120]


def test_watch_never_waits_longer_than_it_is_told(device, pauses):
    device.source.spoil = refuse
    run(take(device.updater.watch(every_s=5), 4))
    assert pauses == [5, 5, 5]


@pytest.mark.parametrize("where", ["consent", "should_continue"])
def test_watch_lets_programming_errors_out_and_begins_anew(device, where):
    wrong = True

    def ask(*offer):
        return 1 / 0 if wrong else True

    async def main():
        nonlocal wrong
        watch = device.updater.watch(**{where: ask})
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await watch.__anext__()
        wrong = False
        return await take(watch, BLOCKS + 1)

    assert run(main())[-1].ready


def test_watch_that_is_cancelled_closes_everything(device):
    device.source.hold = None

    async def main():
        watch = device.updater.watch()
        await take(watch, 1)
        device.source.hold = asyncio.Event()
        task = asyncio.create_task(take(watch, 100))
        await turns(10)
        assert device.source.opened > device.source.closed
        task.cancel()
        await turns(10)
        assert task.cancelled() and device.source.opened == device.source.closed
        device.source.hold = None
        return await device.updater.update()

    assert run(main()).ready


def test_watch_and_settle_side_by_side(device, pauses):
    device.on_trial()
    answers = [None, None, None, True]

    async def main():
        settled = asyncio.create_task(device.updater.settle(lambda: answers.pop(0)))
        events = []
        async for event in device.updater.watch(every_s=60):
            events.append(str(event))
            if event.kind == UP_TO_DATE:
                break
        return await settled, events

    settled, events = run(main())
    assert settled and events[-1] == "up to date"
    assert set(events[:-1]) == {"StateError: the running image is on trial: settle it first"}


def test_watch_says_ready_when_settle_gives_up(device, pauses):
    """The application resets for the one reason or the other."""
    device.on_trial()

    async def main():
        assert not await device.updater.settle(lambda: False)
        return await take(device.updater.watch(), 1)

    assert run(main())[0].ready
    assert device.reset().runs == "ota_0"


def test_event_of_an_error_has_its_class_and_facts():
    assert str(Event(TROUBLE, ("text", 5), error=FetchError())) == "FetchError: text 5"


# Cuts of the whole story are in test_power_cuts.py; here the reset in place of each answer.


def test_reset_in_the_middle_of_a_download(device):
    seen = []

    def progress(done, total):
        seen.append(done)
        if done == 2:
            raise HardReset

    with pytest.raises(HardReset):
        device.update(progress=progress)
    assert device.reset().runs == "ota_0"
    assert device.update(progress=lambda done, total: seen.append(done)).ready
    assert seen == [1, 2, 3, 4, 5]
