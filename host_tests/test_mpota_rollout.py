# SPDX-License-Identifier: MIT
"""`mpota rollout`: who gets what, signed by the online key alone."""

import pytest

from mpota import rollout
from mpota.errors import MpotaError
from mpota.repository import open_repository
from mpota.rollout import Change
from mpota_world import (
    BOARD,
    NOW,
    PRODUCT,
    ROLLOUT,
    clone,
    first_root,
    make,
    make_release,
    nobody,
    see,
)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    workspace = make(tmp_path_factory.mktemp("two") / "r")
    make_release(workspace, "1")
    make_release(workspace, "2", channel="beta")
    return workspace


@pytest.fixture
def work(two, tmp_path):
    return clone(two, tmp_path / "r")


def roll(workspace, version=None, channel="stable", **changes):
    done = rollout.roll_out(
        open_repository(workspace),
        workspace.keyring(nobody),
        NOW,
        product=PRODUCT,
        board=BOARD,
        channel=channel,
        version=version,
        what=Change(**changes),
    )
    assert not see(workspace.metadata.parent, first_root(workspace)).problems
    return done.custom


def test_next_version_starts_afresh(work):
    old = roll(work, percent=500, retry=True)
    new = roll(work, "2")
    assert (new["release"], new["seq"], new["percent"]) == ("fw/sensor/board/2", 2, 10000)
    assert new["attempt"] == 1 and new["salt"] != old["salt"]


def test_ramp_keeps_salt_and_attempt(work):
    before = roll(work, retry=True)
    after = roll(work, percent=1250)
    assert after == {**before, "percent": 1250}


def test_same_version_named_again_is_a_change_not_a_start(work):
    before = roll(work, percent=100)
    assert roll(work, "1", halt=True) == {**before, "halt": True}


def test_halt_and_resume(work):
    assert roll(work, halt=True)["halt"] is True
    assert roll(work, percent=100)["halt"] is True
    assert roll(work, halt=False)["halt"] is False


def test_retry_raises_the_attempt(work):
    assert [roll(work, retry=True)["attempt"] for _ in range(3)] == [2, 3, 4]


def test_groups_are_replaced_and_emptied(work):
    assert roll(work, groups=["lab", "roof"])["groups"] == ["lab", "roof"]
    assert roll(work, percent=0)["groups"] == ["lab", "roof"]
    assert roll(work, groups=[])["groups"] == []


def test_not_before_is_set_and_removed(work):
    assert roll(work, not_before="2030-01-31T08:00:00Z")["not_before"] == "2030-01-31T08:00:00Z"
    assert "not_before" not in roll(work, not_before="")


@pytest.mark.parametrize(
    ("match", "change"),
    [
        ("not a UTC time", {"not_before": "tomorrow"}),
        ("not a UTC time", {"not_before": "2030-02-30T00:00:00Z"}),
        ("not a percentage", {"percent": 10001}),
        ("not a percentage", {"percent": -1}),
        ("not a name for a group", {"groups": ["a b"]}),
    ],
)
def test_bad_values_are_refused(work, match, change):
    with pytest.raises(MpotaError, match=match):
        roll(work, **change)


def test_release_that_does_not_exist_is_refused(work):
    with pytest.raises(MpotaError, match="no release 3 for board"):
        roll(work, "3")


def test_channel_without_a_rollout_needs_a_version(work):
    with pytest.raises(MpotaError, match="no rollout yet"):
        roll(work, channel="nightly", percent=1)
    assert roll(work, "1", channel="nightly", percent=1)["seq"] == 1


def test_way_back_is_refused_and_says_how(work):
    roll(work, "2")
    with pytest.raises(MpotaError, match="release --again 1"):
        roll(work, "1")


def test_only_the_online_key_is_needed(work):
    (work.folder / "keys" / "owner.pem").unlink()
    roll(work, percent=100)


def test_offline_documents_are_not_touched(work):
    def read():
        return {
            path.name: path.read_bytes()
            for path in work.metadata.iterdir()
            if path.name.split(".")[1] in ("root", "targets", "img-sensor")
        }

    before = read()
    roll(work, percent=100)
    assert read() == before


def test_rollouts_of_channels_are_independent(work):
    roll(work, channel="beta", percent=0)
    percents = {p: c["percent"] for p, c in open_repository(work).rollouts().items()}
    assert percents == {ROLLOUT.format("stable"): 10000, ROLLOUT.format("beta"): 0}
