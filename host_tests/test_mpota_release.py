# SPDX-License-Identifier: MIT
"""`mpota release`: what is signed, and everything that is refused before anything is signed."""

import struct
from hashlib import sha256

import pytest
from esptool.bin_image import LoadFirmwareImage
from esptool.targets import CHIP_DEFS

from mpota import esp32, names, release, rollout
from mpota.errors import MpotaError
from mpota.repository import open_repository, pending_files
from mpota.workspace import open_workspace
from mpota_world import (
    BOARD,
    DAY,
    IMAGE,
    NOW,
    ROLLOUT,
    SLOT,
    Client,
    PowerCut,
    build,
    clone,
    cut_at,
    first_root,
    make,
    make_release,
    nobody,
    publish_to,
    put_image,
    see,
    wanted,
)
from sim import image, table


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A repository with one release. Read only: `clone` it to change it."""
    workspace = make(tmp_path_factory.mktemp("first") / "r")
    make_release(workspace, "1")
    return workspace


@pytest.fixture
def work(first, tmp_path):
    return clone(first, tmp_path / "r")


def prepare(workspace, path, version="2", table=None, **changes):
    repository = open_repository(workspace)
    return release.prepare(repository, wanted(version, **changes), path, table)


def write(path, data):
    path.write_bytes(data)
    return path


def flip(data, at):
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


# What is signed


@pytest.mark.parametrize(("version", "warnings"), [("1", 1), ("other", 0)])
def test_the_same_image_again_is_worth_a_word(work, tmp_path, version, warnings):
    made = prepare(work, put_image(tmp_path, version))
    assert len(made.warnings) == warnings
    assert all("the same firmware as fw/sensor/board/1;" in line for line in made.warnings)


def test_round_trip_to_another_client(work, tmp_path):
    publish_to(work, tmp_path / "www")
    client = Client(tmp_path / "www", first_root(work), tmp_path / "client")
    data = build("1")
    path = IMAGE.format("1")
    assert client.download(path) == data
    assert client.download(path + ".blocks") == release.block_list(data)


def test_round_trip_to_a_device(work, tmp_path):
    publish_to(work, tmp_path / "www")
    seen = see(tmp_path / "www", first_root(work))
    assert [(r.path, r.seq, r.problem) for r in seen.releases] == [("fw/sensor/board/1", 1, "")]
    assert [(r.path, r.seq, r.problem) for r in seen.rollouts] == [
        (ROLLOUT.format("stable"), 1, "")
    ]


def test_custom_is_exactly_what_the_specification_says(work):
    target = open_repository(work).images("sensor")["fw/sensor/board/1"]
    data = build("1")
    assert target.custom == {
        "kind": "firmware",
        "boards": [BOARD],
        "chip": "esp32",
        "version": "1",
        "seq": 1,
        "minseq": 0,
        "identity": image.identity(data),
        "mpy": "6.3",
        "frozen": False,
        "blocks": IMAGE.format("1") + ".blocks",
        "block": 4096,
        "digest": 16,
    }
    assert (target.length, target.hashes) == (len(data), {"sha256": sha256(data).hexdigest()})


def test_rollout_custom_is_exactly_what_the_specification_says(work):
    custom = open_repository(work).rollouts()[ROLLOUT.format("stable")]
    bytes.fromhex(custom.pop("salt"))
    assert custom == {
        "release": "fw/sensor/board/1",
        "seq": 1,
        "percent": 10000,
        "groups": [],
        "halt": False,
        "attempt": 1,
    }


@pytest.mark.parametrize("length", [1, 4095, 4096, 4097, 8192])
def test_block_list_fills_the_last_block_with_ff(length):
    data = bytes(range(256)) * 32
    blocks = release.block_list(data[:length], 32)
    assert len(blocks) == -(-length // 4096) * 32
    last = data[:length][len(blocks) // 32 * 4096 - 4096 :]
    assert blocks[-32:] == sha256(last + b"\xff" * (4096 - len(last))).digest()


def test_snapshot_and_timestamp_carry_length_and_hash(work):
    repository = open_repository(work)
    entries = dict(repository.snapshot.signed.meta)
    entries["snapshot.json"] = repository.timestamp.signed.snapshot_meta
    for name, meta in entries.items():
        data = (work.metadata / f"{meta.version}.{name}").read_bytes()
        assert (meta.length, meta.hashes) == (len(data), {"sha256": sha256(data).hexdigest()})


def test_seq_rises_by_one_over_channels_and_boards(work):
    assert make_release(work, "2", channel="beta").release.custom["seq"] == 2
    app = put_image(work.folder, "c3", chip="esp32c3")
    assert make_release(work, "3", app, boards=["other"]).release.custom["seq"] == 3


def test_new_salt_for_each_release(work):
    salts = {make_salt(work, version) for version in ("2", "3", "4")}
    assert len(salts) == 3


def make_salt(workspace, version):
    make_release(workspace, version)
    return open_repository(workspace).rollouts()[ROLLOUT.format("stable")]["salt"]


def test_image_for_several_boards_is_one_release(tmp_path):
    workspace = make(tmp_path / "r")
    boards = {"a": workspace.settings.boards[BOARD], "b": workspace.settings.boards[BOARD]}
    workspace = make(tmp_path / "two", boards=boards)
    done = make_release(workspace, "1", boards=["a", "b"])
    assert list(done.rollouts) == ["rollout/sensor/a/stable", "rollout/sensor/b/stable"]
    assert not see(workspace.metadata.parent, first_root(workspace)).problems


def test_solo_rolls_out_at_once_and_fleet_does_not(tmp_path):
    workspace = make(tmp_path / "fleet", "fleet")
    assert make_release(workspace, "1").rollouts == {}
    assert open_repository(workspace).rollouts() == {}


def test_only_the_last_releases_and_those_rolled_out_are_kept(work):
    for number in range(2, 8):
        make_release(work, str(number), channel="beta")
    kept = [path.rpartition("/")[2] for path in open_repository(work).images("sensor")]
    assert kept == ["1", "4", "5", "6", "7"]  # 1 is what "stable" names
    assert not see(work.metadata.parent, first_root(work)).problems


# --again


def again(workspace, version, **changes):
    repository = open_repository(workspace)
    what = wanted(version, **changes)
    made = release.prepare_again(repository, what)
    return release.publish_release(repository, made, what, workspace.keyring(nobody), NOW)


def test_again_is_the_old_bytes_under_a_new_seq(work):
    make_release(work, "2")
    done = again(work, "1")
    assert done.release.custom["seq"] == 3
    assert done.release.image == build("1")
    repository = open_repository(work)
    assert repository.rollouts()[ROLLOUT.format("stable")]["release"] == "fw/sensor/board/1"
    assert not see(work.metadata.parent, first_root(work)).problems


def test_again_takes_other_channels_of_that_release_along(work):
    make_release(work, "2", channel="beta")
    again(work, "1", channel="beta")
    seqs = {path: custom["seq"] for path, custom in open_repository(work).rollouts().items()}
    assert seqs == {ROLLOUT.format("stable"): 3, ROLLOUT.format("beta"): 3}
    assert not see(work.metadata.parent, first_root(work)).problems


def test_again_finds_a_release_that_left_the_role(work):
    for number in range(2, 8):
        make_release(work, str(number))
    assert "fw/sensor/board/1" not in open_repository(work).images("sensor")
    assert again(work, "1").release.image == build("1")


def test_again_keeps_the_floor(work):
    make_release(work, "2", minseq=2)
    assert again(work, "1").release.custom["minseq"] == 2


def test_again_refuses_what_was_never_released(work):
    with pytest.raises(MpotaError, match="was never released"):
        again(work, "9")


def test_again_refuses_bytes_that_have_changed(work):
    target = open_repository(work).images("sensor")["fw/sensor/board/1"]
    stored = work.targets / target.get_prefixed_paths()[0]
    stored.write_bytes(build("other"))
    with pytest.raises(MpotaError, match="not the bytes that were signed"):
        again(work, "1")


# Refusals


def refused(workspace, match, path, **changes):
    before = sorted(p for p in workspace.folder.rglob("*") if p.is_file())
    with pytest.raises(MpotaError, match=match) as caught:
        prepare(workspace, path, **changes)
    assert "\n" not in str(caught.value)
    assert sorted(p for p in workspace.folder.rglob("*") if p.is_file()) == before


def test_wrong_chip_is_refused(work, tmp_path):
    app = put_image(tmp_path, chip="esp32c3")
    refused(work, "image for esp32c3, but board has an esp32", app)


def test_chip_that_nobody_knows_is_refused(work, tmp_path):
    data = bytearray(build())
    data[12:14] = struct.pack("<H", 77)
    refused(work, "unknown chip", write(tmp_path / "app", bytes(data)))


def test_bootloader_is_refused(work, tmp_path):
    refused(work, "no app descriptor", write(tmp_path / "boot", image.bootloader()))


def test_image_that_fills_the_slot_is_taken_and_a_larger_one_refused(work, tmp_path):
    prepare(work, put_image(tmp_path, length=SLOT))
    refused(work, "is larger than board's slot of 65536", put_image(tmp_path, length=SLOT + 16))


def test_slot_size_of_the_command_line_goes_first(work, tmp_path):
    app = put_image(tmp_path, length=SLOT + 16)
    assert prepare(work, app, slot=2 * SLOT).custom["seq"] == 2
    refused(work, "larger than board's slot of 4096", app, slot=4096)


def test_slot_size_is_read_from_a_partition_table(work, tmp_path):
    tab = write(tmp_path / "table.bin", table.build(table.SMALL))
    prepare(work, put_image(tmp_path, length=SLOT), table=tab)
    unknown = {"boards": ["new"], "chip": "esp32"}
    prepare(work, put_image(tmp_path, length=SLOT), table=tab, **unknown)
    big = put_image(tmp_path, length=SLOT + 16)
    refused(work, "slot of 65536", big, table=tab, **unknown)


def test_table_without_two_slots_is_refused(work, tmp_path):
    tab = write(tmp_path / "table.bin", table.build(table.FACTORY_4M))
    refused(work, "no two OTA slots", put_image(tmp_path), table=tab)


def test_file_that_is_no_partition_table_is_refused(work, tmp_path):
    refused(work, "no partition table", put_image(tmp_path), table=put_image(tmp_path, "t"))


def test_unknown_board_is_refused(work, tmp_path):
    refused(work, "board is unknown", put_image(tmp_path), boards=["nameless"])


def test_no_image_at_all_is_refused(work, tmp_path):
    refused(work, "not an ESP32 image", write(tmp_path / "text", b"print('hello')\n" * 10))
    refused(work, "not an ESP32 image", write(tmp_path / "empty", b""))
    refused(work, "cannot read", tmp_path / "absent")


def test_image_without_its_hash_is_refused(work, tmp_path):
    data = image.build(length=20000, hashed=0)
    refused(work, "no SHA-256 appended", write(tmp_path / "app", data))


def test_every_flipped_byte_is_refused(work, tmp_path):
    """Checksum, hash, header and lengths: nothing slips by, and esptool agrees on the original."""
    data = image.build(length=4096)
    for at in range(0, len(data), 61):
        with pytest.raises(MpotaError):
            esp32.parse_image(flip(data, at), tmp_path)


def test_every_truncation_is_refused(tmp_path):
    data = image.build(length=4096)
    for length in range(0, len(data), 53):
        with pytest.raises(MpotaError):
            esp32.parse_image(data[:length], tmp_path)


def test_wrong_checksum_under_a_right_hash_is_refused(work, tmp_path):
    data = bytearray(build())
    data[-33] ^= 1
    data[-32:] = sha256(data[:-32]).digest()
    refused(work, "checksum of the image is wrong", write(tmp_path / "app", bytes(data)))


def test_wrong_hash_under_a_right_checksum_is_refused(work, tmp_path):
    refused(work, "SHA-256 of the image is wrong", write(tmp_path / "app", flip(build(), 19999)))


def test_filling_behind_the_image_is_cut_off_and_other_data_refused(work, tmp_path):
    assert prepare(work, write(tmp_path / "a", build() + b"\xff" * 5000)).image == build()
    assert prepare(work, write(tmp_path / "b", build() + bytes(5000))).image == build()
    refused(work, "other data follow", write(tmp_path / "c", build() + b"\xff" * 9 + b"more"))


@pytest.mark.parametrize("seq", [-1, 0, 1, 2**31])
def test_seq_that_does_not_rise_is_refused(work, tmp_path, seq):
    refused(work, "seq does not rise", put_image(tmp_path), seq=seq)


def test_seq_may_leave_a_gap(work, tmp_path):
    assert prepare(work, put_image(tmp_path), seq=2**31 - 1).custom["seq"] == 2**31 - 1


def test_minseq_stays_unless_raised_and_never_falls(work, tmp_path):
    make_release(work, "2", minseq=2)
    assert make_release(work, "3").release.custom["minseq"] == 2
    refused(work, "minseq falls below 2", put_image(tmp_path), version="4", minseq=1)


def test_minseq_above_its_own_seq_is_refused(work, tmp_path):
    prepare(work, put_image(tmp_path), minseq=2)
    refused(work, "minseq is above", put_image(tmp_path), minseq=3)


def test_version_is_released_once(work, tmp_path):
    refused(work, "released already", put_image(tmp_path), version="1")


@pytest.mark.parametrize("what", ["version", "channel"])
@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "ä", "x" * 33, "a\n"])
def test_names_that_would_break_a_path_are_refused(work, tmp_path, what, name):
    refused(work, f"not a name for a {what}", put_image(tmp_path), **{what: name})


@pytest.mark.parametrize(
    ("later", "is_odd"), [(-2, True), (0, False), (399, False), (401, True), (4000, True)]
)
def test_clock_far_from_the_last_signature_is_pointed_out(work, later, is_odd):
    repository = open_repository(work)
    repository.touch("rollout")  # has no time of its own that would be compared
    for role in ("root", "targets", "img-sensor"):
        issued = names.time_text(NOW - 9 * DAY)
        repository.documents()[role].signed.unrecognized_fields["x-issued"] = issued
    said = repository.commit(work.keyring(nobody), NOW + later * DAY).warnings
    assert ["if the clock is wrong" in text for text in said] == [True] * is_odd


def test_metadata_that_devices_could_not_take_is_never_written(work, monkeypatch):
    before = sorted(work.metadata.iterdir())
    boards = [f"a-board-with-a-longer-name-{n:05}" for n in range(900)]
    with pytest.raises(MpotaError, match="bytes, and devices take 65536"):
        make_release(work, "2", boards=[BOARD, *boards], chip="esp32", slot=SLOT)
    assert sorted(work.metadata.iterdir()) == before
    done = make_release(work, "2", boards=[BOARD, *boards[:190]], chip="esp32", slot=SLOT)
    assert "and devices take 65536" in done.committed.warnings[0]


def test_clock_before_the_last_signature_is_refused(work):
    with pytest.raises(MpotaError, match="this computer's clock"):
        make_release(work, "2", now=NOW - DAY)


# Combined images, and esptool as the judge


@pytest.mark.parametrize("chip", sorted(image.CHIPS))
def test_esptool_reads_the_same(chip, tmp_path):
    data = build(chip=chip)
    judge = LoadFirmwareImage(chip, data)
    judge.verify()
    ours = esp32.parse_image(data, tmp_path)
    assert ours.chip == chip
    assert (ours.identity, ours.data) == (judge.stored_digest.hex(), data)
    assert judge.stored_digest == judge.calc_digest


def test_esptool_agrees_on_every_chip_id():
    ids = {name: chip.IMAGE_CHIP_ID for name, chip in CHIP_DEFS.items() if name != "esp8266"}
    assert {name: ids[name] for name in esp32.CHIPS.values()} == {
        name: number for number, name in esp32.CHIPS.items()
    }


@pytest.mark.parametrize("rows", ["SMALL", "SMALL_FACTORY", "OTA_4M"])
@pytest.mark.parametrize("chip", sorted(image.CHIPS))
def test_app_is_taken_out_of_a_combined_image(tmp_path, chip, rows):
    app = build(chip=chip)
    whole = image.combined(app, table.build(getattr(table, rows)), chip)
    for filling in (b"", b"\xff" * 4096):
        found, slot = esp32.read_image(write(tmp_path / "firmware.bin", whole + filling))
        assert found.data == app
        assert slot == (0x180000 if rows == "OTA_4M" else 0x10000)


def test_combined_image_without_slots_says_nothing_about_their_size(tmp_path):
    whole = image.combined(build(), table.build(table.FACTORY_4M))
    found, slot = esp32.read_image(write(tmp_path / "firmware.bin", whole))
    assert (found.data, slot) == (build(), None)


def test_slot_of_the_combined_image_counts_if_it_is_smaller(work, tmp_path):
    rows = tuple((*r[:3], 0x2000, r[4]) if r[4][:4] == "ota_" else r for r in table.SMALL_FACTORY)
    fits = image.combined(build(length=0x2000), table.build(rows))
    prepare(work, write(tmp_path / "fits", fits))
    large = image.combined(build(length=0x2010), table.build(rows))
    refused(work, "larger than board's slot of 8192", write(tmp_path / "large", large))


def test_combined_image_without_an_application_is_refused(work, tmp_path):
    whole = image.combined(b"\xff" * 4096, table.build(table.SMALL))
    refused(work, "no application in this combined image", write(tmp_path / "firmware.bin", whole))


def test_app_that_holds_the_magic_of_a_table_by_chance_is_an_app(tmp_path):
    data = bytearray(build(length=0x9000))
    for at in (0x6000, 0x7000, 0x8000):
        data[at : at + 32] = table.build(table.SMALL)[:32]
    assert esp32.combined_table(bytes(data)) is None


# Missing signatures, and cuts


def without(workspace, *keys):
    for key in keys:
        (workspace.folder / "keys" / f"{key}.pem").unlink()
    return workspace


def test_fleet_release_with_too_few_keys_waits_and_says_for_whom(tmp_path):
    whole = make(tmp_path / "whole", "fleet")
    here = without(clone(whole, tmp_path / "here"), "release-2", "release-3")
    before = sorted(here.metadata.iterdir())
    done = make_release(here, "1")
    assert not done.committed.is_done
    missing = [(m.role, m.needed, m.keys) for m in done.committed.missing]
    assert missing == [("img-sensor", 1, ("release-2", "release-3"))]
    assert [path.name for path in pending_files(here).values()] == ["2.img-sensor.json"]
    assert sorted(here.metadata.iterdir()) == before


def test_pending_release_is_finished_where_the_other_key_is(tmp_path):
    whole = make(tmp_path / "whole", "fleet")
    here = without(clone(whole, tmp_path / "here"), "release-2", "release-3")
    make_release(here, "1")
    there = without(clone(here, tmp_path / "there"), "release-1")
    (there.folder / "keys/release-3.pem").write_bytes(
        (whole.folder / "keys/release-3.pem").read_bytes()
    )
    done = open_repository(there).complete(there.keyring(nobody), NOW)
    assert done.is_done and done.written["img-sensor"] == 2
    assert pending_files(there) == {}
    assert [r.seq for r in see(there.metadata.parent, first_root(there)).releases] == [1]


def test_release_without_the_online_key_waits(tmp_path):
    here = without(make(tmp_path / "r", "fleet"), "online")
    done = make_release(here, "1")
    assert {m.role for m in done.committed.missing} == {"snapshot", "timestamp"}
    assert pending_files(here)


def test_nothing_else_is_released_while_something_waits(tmp_path):
    here = without(make(tmp_path / "r", "fleet"), "release-1", "release-2")
    make_release(here, "1")
    with pytest.raises(MpotaError, match="waits for signatures"):
        make_release(here, "2")


def test_solo_release_with_all_keys_lost_but_online_waits(tmp_path):
    here = without(make(tmp_path / "r"), "owner")
    done = make_release(here, "1")
    assert [m.keys for m in done.committed.missing] == [("owner",)]


def test_halt_does_not_wait_for_a_pending_release(tmp_path):
    here = make(tmp_path / "r")
    make_release(here, "1")
    without(here, "owner")
    assert not make_release(here, "2").committed.is_done
    repository = open_repository(here)
    path, custom = rollout.change(
        repository,
        product="sensor",
        board=BOARD,
        channel="stable",
        version=None,
        what=rollout.Change(halt=True),
    )
    assert repository.commit(here.keyring(nobody), NOW).is_done
    assert open_repository(here).rollouts() == {path: custom}
    assert custom["release"] == "fw/sensor/board/1"
    assert list(pending_files(here)) == ["img-sensor"]  # without the rollout that came with it


def test_cut_anywhere_in_release_leaves_a_repository_and_it_can_be_done_again(first, tmp_path):
    root = first_root(first)
    number = 0
    seen_seqs = set()
    while True:
        work = clone(first, tmp_path / f"at-{number}")
        app = put_image(tmp_path, "2")
        try:
            with cut_at(number):
                make_release(work, "2", app)
            break
        except PowerCut:
            pass
        client = Client(work.metadata.parent, root, tmp_path / "client")
        target = client.find(ROLLOUT.format("stable"))
        seq = target.custom["seq"]
        seen_seqs.add(seq)
        assert client.download(IMAGE.format(seq)) == build(str(seq))
        if "fw/sensor/board/2" not in open_repository(work).images("sensor"):
            make_release(work, "2", app)
        seen = see(work.metadata.parent, root)
        assert [r.seq for r in seen.releases] == [1, 2] and not seen.problems
        number += 1
    assert number > 40 and seen_seqs == {1, 2}


def test_release_renews_what_is_past_half_of_its_life(work):
    later = NOW + 365 * 6 * DAY
    written = make_release(work, "2", now=later).committed.written
    assert set(written) == {"root", "targets", "img-sensor", "rollout", "snapshot", "timestamp"}
    assert not see(work.metadata.parent, first_root(work), later).problems


def test_release_renews_nothing_before_that(work):
    written = make_release(work, "2", now=NOW + 100 * DAY).committed.written
    assert set(written) == {"img-sensor", "rollout", "snapshot", "timestamp"}


def test_paths_fit_the_delegations(work):
    repository = open_repository(work)
    delegations = repository.targets.signed.delegations
    for role, document in repository.delegated.items():
        for path in document.signed.targets:
            assert list(delegations.get_roles_for_target(path)) == [(role, True)]


def test_percent_and_names_are_what_a_device_computes_with():
    assert rollout.EVERYBODY == 10000
    assert names.IMAGE_NAME == "firmware.bin"


def test_settings_are_untouched_by_a_release(work):
    assert open_workspace(work.folder).settings == work.settings
