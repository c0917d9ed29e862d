# SPDX-License-Identifier: MIT
"""`mpota verify`: whatever a device would refuse ends with exit code 3."""

import json

import pytest
from securesystemslib.signer import CryptoSigner

from mpota import rollout, sources, verify
from mpota.cli import main
from mpota.errors import MpotaError, RefusedError
from mpota.repository import open_repository, serialize
from mpota_world import (
    DAY,
    NOW,
    ROLLOUT,
    build,
    clone,
    first_root,
    make,
    make_release,
    nobody,
    publish_to,
    see,
)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    workspace = make(tmp_path_factory.mktemp("first") / "r")
    make_release(workspace, "1")
    make_release(workspace, "2", channel="beta", minseq=1)
    return workspace


@pytest.fixture
def work(first, tmp_path):
    return clone(first, tmp_path / "r")


@pytest.fixture
def www(work, tmp_path):
    publish_to(work, tmp_path / "www")
    return tmp_path / "www"


def exit_code(work, www, *more):
    return main(["verify", str(www), "--repo", str(work.folder), *more])


def stored(work, www, version="1"):
    target = open_repository(work).images("sensor")[f"fw/sensor/board/{version}"]
    return www / "targets" / target.get_prefixed_paths()[0]


def test_everything_that_is_there_is_shown(work, www):
    seen = see(www, first_root(work))
    assert [role.name for role in seen.roles] == [
        *("root", "timestamp", "snapshot", "targets", "img-sensor", "rollout"),
    ]
    assert [(r.version, r.seq, r.minseq, r.chip, r.length) for r in seen.releases] == [
        ("1", 1, 0, "esp32", len(build("1"))),
        ("2", 2, 1, "esp32", len(build("2"))),
    ]
    assert [(r.path, r.seq, r.percent, r.halt) for r in seen.rollouts] == [
        (ROLLOUT.format("beta"), 2, 10000, False),
        (ROLLOUT.format("stable"), 1, 10000, False),
    ]
    assert seen.problems == []


def test_good_is_exit_0(work, www):
    assert exit_code(work, www) == 0


def test_flipped_image_byte_is_exit_3(work, www, capsys):
    path = stored(work, www)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(bytes(data))
    assert exit_code(work, www, "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert told["exit"] == 3 and "is not what was signed" in told["problems"][0]
    assert [bool(release["problem"]) for release in told["releases"]] == [True, False]


def test_image_with_a_tail_is_refused(work, www):
    path = stored(work, www)
    path.write_bytes(path.read_bytes() + b"x")
    assert exit_code(work, www) == 3


def test_missing_image_is_refused(work, www):
    stored(work, www, "2").unlink()
    assert "is missing" in see(www, first_root(work)).problems[0]


def test_block_list_that_was_signed_but_is_wrong_is_found(work, www, tmp_path):
    """The signature is good; only hashing the image block by block shows it."""
    repository = open_repository(work)
    target = repository.images("sensor")["fw/sensor/board/1"]
    targets = repository.role("img-sensor").signed.targets
    blocks = targets[target.custom["blocks"]]
    wrong = bytes(blocks.length)
    made = type(blocks).from_data(blocks.path, wrong, ["sha256"])
    targets[blocks.path] = made
    path = work.targets / made.get_prefixed_paths()[0]
    path.write_bytes(wrong)
    repository.touch("img-sensor")
    repository.commit(work.keyring(nobody), NOW)
    publish_to(work, tmp_path / "new")
    problems = see(tmp_path / "new", first_root(work)).problems
    assert problems == ["fw/sensor/board/1: block 0 is not what the block list says"]


@pytest.mark.parametrize("role", ["timestamp", "3.snapshot", "1.targets", "3.img-sensor"])
def test_flipped_metadata_byte_is_exit_3(work, www, role):
    path = www / "metadata" / f"{role}.json"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"version":', b'"version":1', 1))
    assert exit_code(work, www) == 3


def test_expired_metadata_is_exit_3(work, www):
    later = (NOW + 400 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert exit_code(work, www, "--at", later) == 3


def test_another_repositorys_root_is_exit_3(work, www, tmp_path):
    other = make(tmp_path / "other")
    root = other.metadata / "1.root.json"
    assert exit_code(work, www, "--root", str(root)) == 3


def test_rollout_signed_by_a_stranger_is_refused(work, www):
    repository = open_repository(work)
    document = repository.role("rollout")
    document.signatures.clear()
    document.sign(CryptoSigner.generate_ed25519())
    path = www / "metadata" / f"{document.signed.version}.rollout.json"
    path.write_bytes(serialize(document))
    with pytest.raises(RefusedError):
        see(www, first_root(work))


def test_chain_of_roots_is_walked(work, tmp_path):
    repository = open_repository(work)
    for _ in range(3):
        repository.touch("root")
        repository.commit(work.keyring(nobody), NOW)
    publish_to(work, tmp_path / "new")
    assert see(tmp_path / "new", first_root(work)).roles[0].version == 4


def test_gap_in_the_chain_of_roots_is_an_old_root_to_a_device(work, www):
    repository = open_repository(work)
    repository.touch("root")
    repository.commit(work.keyring(nobody), NOW)
    publish_to(work, www)
    (www / "metadata" / "2.root.json").unlink()
    assert see(www, first_root(work)).roles[0].version == 1


@pytest.mark.parametrize(
    "change",
    [
        {"release": "fw/sensor/board/9"},
        {"release": "fw/other/board/1"},
        {"release": 1},
        {"seq": 2},
        {"seq": True},
        {"attempt": "1"},
        {"percent": "all"},
    ],
)
def test_rollout_that_no_device_could_follow_is_a_problem(work, www, change):
    """What a stolen online key, or a slip of a tool, could sign."""
    repository = open_repository(work)
    path = ROLLOUT.format("stable")
    rollout.put(repository, path, {**repository.rollouts()[path], **change})
    repository.commit(work.keyring(nobody), NOW)
    publish_to(work, www)
    problems = see(www, first_root(work)).problems
    assert len(problems) == 1 and problems[0].startswith(path)


@pytest.mark.parametrize(
    "change", [{"halt": True}, {"percent": 0}, {"not_before": "2099-01-01T00:00:00Z"}]
)
def test_rollout_that_only_waits_is_no_problem(work, www, change):
    repository = open_repository(work)
    path = ROLLOUT.format("stable")
    rollout.put(repository, path, {**repository.rollouts()[path], **change})
    repository.commit(work.keyring(nobody), NOW)
    publish_to(work, www)
    assert see(www, first_root(work)).problems == []


def test_rollout_outside_its_paths_is_a_problem(work, www):
    """The online key names a path that belongs to the image role."""
    repository = open_repository(work)
    rollout.put(repository, "fw/sensor/board/3", {"release": "x"})
    repository.commit(work.keyring(nobody), NOW)
    publish_to(work, www)
    assert see(www, first_root(work)).problems == ["fw/sensor/board/3: its role may not say that"]


@pytest.mark.parametrize("what", ["absent folder", "ftp://host/", "http://host/"])
def test_place_that_cannot_be_looked_at_is_exit_1(work, tmp_path, what):
    assert exit_code(work, tmp_path / "x" if " " in what else what) == 1


def test_server_that_is_not_there_is_exit_1(work):
    assert exit_code(work, "https://127.0.0.1:9/") == 1


def test_missing_root_is_exit_1(work, www, tmp_path):
    assert exit_code(work, www, "--root", str(tmp_path / "none")) == 1


def test_empty_folder_is_not_taken_for_a_repository(work, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises((MpotaError, RefusedError)):
        verify.verify(sources.open_source(str(tmp_path / "empty"), None), first_root(work), NOW)
