# SPDX-License-Identifier: MIT
"""`mpota refresh`: signs what is due and possible, says the rest."""

import pytest

from mpota import refresh
from mpota.repository import open_repository, pending_files
from mpota_world import DAY, NOW, clone, first_root, make, make_release, nobody, see

ONLINE = {"rollout", "snapshot", "timestamp"}


@pytest.fixture(scope="module")
def solo(tmp_path_factory):
    return make(tmp_path_factory.mktemp("solo") / "r")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return make(tmp_path_factory.mktemp("fleet") / "r", "fleet")


def run(workspace, now, ask=nobody, **changes):
    return refresh.refresh(open_repository(workspace), workspace.keyring(ask), now, **changes)


def states(done):
    return {role.role: role.state for role in done.roles}


def test_nothing_is_signed_in_the_first_half(solo, tmp_path):
    work = clone(solo, tmp_path / "r")
    before = sorted(work.metadata.iterdir())
    assert set(states(run(work, NOW + 180 * DAY)).values()) == {"fresh"}
    assert sorted(work.metadata.iterdir()) == before


def test_online_roles_are_renewed_at_half_life(solo, tmp_path):
    work = clone(solo, tmp_path / "r")
    now = NOW + 190 * DAY
    done = run(work, now)
    assert {role for role, state in states(done).items() if state == "renewed"} == ONLINE
    assert not see(work.metadata.parent, first_root(work), now).problems


def test_offline_keys_are_not_needed_for_online_roles(fleet, tmp_path):
    work = clone(fleet, tmp_path / "r")
    for path in (work.folder / "keys").glob("[or]*-*.pem"):
        path.unlink()
    now = NOW + 8 * DAY
    assert set(run(work, now).committed.written) == ONLINE
    assert not see(work.metadata.parent, first_root(work), now).problems


def test_expired_metadata_is_brought_back(solo, tmp_path):
    work = clone(solo, tmp_path / "r")
    now = NOW + 800 * DAY
    assert set(run(work, now).committed.written) == ONLINE
    assert not see(work.metadata.parent, first_root(work), now).problems


def test_everything_is_renewed_where_all_keys_are(solo, tmp_path):
    work = clone(solo, tmp_path / "r")
    now = NOW + 2000 * DAY
    assert set(states(run(work, now)).values()) == {"renewed"}
    assert not see(work.metadata.parent, first_root(work), now).problems


def test_what_cannot_be_signed_is_named_with_the_reason(fleet, tmp_path):
    work = clone(fleet, tmp_path / "r")
    (work.folder / "keys" / "release-1.pem").unlink()
    (work.folder / "keys" / "release-2.pem").unlink()
    done = run(work, NOW + 200 * DAY)
    role = next(role for role in done.roles if role.role == "img-sensor")
    assert role.state == "due"
    assert "key release-1 is not here" in role.why
    assert states(done)["targets"] == "renewed"
    assert not done.is_expired


def test_expired_role_without_its_key_is_reported(fleet, tmp_path):
    work = clone(fleet, tmp_path / "r")
    for path in (work.folder / "keys").glob("release-*.pem"):
        path.unlink()
    assert run(work, NOW + 400 * DAY).is_expired


def test_online_key_that_is_missing_leaves_all_as_it_was(solo, tmp_path):
    work = clone(solo, tmp_path / "r")
    (work.folder / "keys" / "online.pem").unlink()
    before = sorted(work.metadata.iterdir())
    done = run(work, NOW + 2000 * DAY)
    assert done.is_expired and sorted(work.metadata.iterdir()) == before


def test_passphrase_of_an_offline_key_is_not_needed_for_the_online_roles(tmp_path):
    """cron knows the online key's passphrase only."""
    work = make(tmp_path / "r", passphrase="both")
    keys = {"online": "both", "owner": "not this one"}
    done = run(work, NOW + 2000 * DAY, lambda name: iter([keys[name]]))
    assert set(done.committed.written) == ONLINE
    assert states(done)["root"] == "due"


def test_dry_run_signs_nothing(solo, tmp_path):
    work = clone(solo, tmp_path / "r")
    before = sorted(work.metadata.iterdir())
    done = run(work, NOW + 190 * DAY, dry_run=True)
    assert {role for role, state in states(done).items() if state == "due"} == ONLINE
    assert sorted(work.metadata.iterdir()) == before


def test_root_chain_stays_whole(solo, tmp_path):
    work = clone(solo, tmp_path / "r")
    for years in (6, 12, 18):
        run(work, NOW + years * 365 * DAY)
    assert sorted(p.name for p in work.metadata.glob("*.root.json")) == [
        *(f"{n}.root.json" for n in range(1, 5)),
    ]
    seen = see(work.metadata.parent, first_root(work), NOW + 18 * 365 * DAY)
    assert seen.roles[0].version == 4


def test_change_that_waited_is_finished(fleet, tmp_path):
    work = clone(fleet, tmp_path / "r")
    kept = {path: path.read_bytes() for path in (work.folder / "keys").glob("release-[23].pem")}
    for path in kept:
        path.unlink()
    make_release(work, "1")
    assert not run(work, NOW).committed.is_done
    for path, data in kept.items():
        path.write_bytes(data)
    done = run(work, NOW)
    assert done.committed.written["img-sensor"] == 2
    assert not any(role.why for role in done.roles)
    assert pending_files(work) == {}
    assert [r.seq for r in see(work.metadata.parent, first_root(work)).releases] == [1]


def test_online_roles_are_renewed_while_a_change_waits(fleet, tmp_path):
    work = clone(fleet, tmp_path / "r")
    for path in (work.folder / "keys").glob("release-[23].pem"):
        path.unlink()
    make_release(work, "1")
    now = NOW + 8 * DAY
    done = run(work, now)
    assert set(done.committed.written) == ONLINE
    assert [missing.role for missing in done.committed.missing] == ["img-sensor"]
    assert list(pending_files(work)) == ["img-sensor"]
    assert not see(work.metadata.parent, first_root(work), now).problems


def test_change_finished_before_a_cut_is_cleared_away(fleet, tmp_path):
    work = clone(fleet, tmp_path / "r")
    make_release(work, "1")
    (work.pending).mkdir()
    done = work.metadata / "2.img-sensor.json"
    (work.pending / done.name).write_bytes(done.read_bytes())
    run(work, NOW)
    assert pending_files(work) == {}
