# SPDX-License-Identifier: MIT
"""`mpota init`: keys that are really locked, and nothing that is ever overwritten."""

import dataclasses
import os
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mpota import files, keys, repository, setup
from mpota.cli import main
from mpota.errors import MpotaError
from mpota.workspace import Board, open_workspace
from mpota_world import (
    BOARDS,
    NEVER,
    NOW,
    PowerCut,
    cut_at,
    first_root,
    make,
    put_links,
    see,
)


def signed(workspace, name):
    return repository.read_document(workspace.metadata / name).signed


def test_solo_has_two_keys_and_who_signs_what(tmp_path):
    workspace = make(tmp_path / "r")
    owner, online = (workspace.settings.keys[name].keyid for name in ("owner", "online"))
    roles = signed(workspace, "1.root.json").roles
    assert {name: (role.keyids, role.threshold) for name, role in roles.items()} == {
        "root": ([owner], 1),
        "targets": ([owner], 1),
        "snapshot": ([online], 1),
        "timestamp": ([online], 1),
    }
    delegated = signed(workspace, "1.targets.json").delegations.roles
    assert {name: (role.keyids, role.threshold) for name, role in delegated.items()} == {
        "img-sensor": ([owner], 1),
        "rollout": ([online], 1),
    }


def test_fleet_needs_two_of_three_offline_keys(tmp_path):
    workspace = make(tmp_path / "r", "fleet")
    assert sorted(workspace.settings.keys) == [
        *("online", "owner-1", "owner-2", "owner-3", "release-1", "release-2", "release-3"),
    ]
    roles = signed(workspace, "1.root.json").roles
    delegated = signed(workspace, "1.targets.json").delegations.roles
    counts = {name: (len(r.keyids), r.threshold) for name, r in {**roles, **delegated}.items()}
    assert counts == {
        "root": (3, 2),
        "targets": (3, 2),
        "snapshot": (1, 1),
        "timestamp": (1, 1),
        "img-sensor": (3, 2),
        "rollout": (1, 1),
    }
    assert not set(delegated["img-sensor"].keyids) & set(roles["root"].keyids)


def test_delegations_are_those_of_the_specification(tmp_path):
    delegated = signed(make(tmp_path / "r"), "1.targets.json").delegations.roles
    assert {n: (r.paths, r.terminating) for n, r in delegated.items()} == {
        "img-sensor": (["fw/sensor/*/*/*"], True),
        "rollout": (["rollout/*/*/*"], True),
    }


def test_issued_is_in_what_offline_keys_sign_and_nowhere_else(tmp_path):
    workspace = make(tmp_path / "r")
    said = {
        path.name: "x-issued" in repository.read_document(path).signed.unrecognized_fields
        for path in workspace.metadata.iterdir()
    }
    assert said == {
        "1.root.json": True,
        "1.targets.json": True,
        "1.img-sensor.json": True,
        "1.rollout.json": False,
        "1.snapshot.json": False,
        "timestamp.json": False,
    }


@pytest.mark.parametrize("profile", ["solo", "fleet"])
def test_device_accepts_a_new_repository(tmp_path, profile):
    workspace = make(tmp_path / "r", profile)
    seen = see(workspace.metadata.parent, first_root(workspace))
    assert len(seen.roles) == 6 and not seen.problems


def test_metadata_is_compact_sorted_ascii(tmp_path):
    for path in make(tmp_path / "r").metadata.iterdir():
        data = path.read_bytes()
        assert data.startswith(b'{"signatures":[{"keyid":')
        assert b": " not in data and b"\n" not in data and data.isascii()


@pytest.mark.parametrize("passphrase", ["correct horse", None])
def test_private_keys_are_readable_by_their_owner_only(tmp_path, passphrase):
    os.umask(0)
    try:
        workspace = make(tmp_path / "r", passphrase=passphrase)
    finally:
        os.umask(0o022)
    for path in (workspace.folder / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_private_keys_are_really_encrypted(tmp_path):
    workspace = make(tmp_path / "r", passphrase="correct horse")
    for path in (workspace.folder / "keys").iterdir():
        pem = path.read_bytes()
        assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        with pytest.raises(TypeError):
            load_pem_private_key(pem, None)
        with pytest.raises(ValueError):
            load_pem_private_key(pem, b"wrong horse")
        load_pem_private_key(pem, b"correct horse")


def test_openssl_reads_the_keys_and_sees_scrypt(tmp_path):
    keys.make_key(tmp_path / "key.pem", "correct horse")
    command = ["openssl", "pkey", "-in", tmp_path / "key.pem", "-passin", "pass:correct horse"]
    assert b"PRIVATE KEY" in subprocess.run(command, check=True, capture_output=True).stdout
    command = ["openssl", "asn1parse", "-in", tmp_path / "key.pem"]
    parsed = subprocess.run(command, check=True, capture_output=True).stdout
    assert b":scrypt" in parsed and b":aes-256-cbc" in parsed


def test_key_is_never_overwritten(tmp_path):
    keys.make_key(tmp_path / "key.pem", None)
    before = (tmp_path / "key.pem").read_bytes()
    with pytest.raises(MpotaError, match="exists already"):
        keys.make_key(tmp_path / "key.pem", None)
    assert (tmp_path / "key.pem").read_bytes() == before


def test_repository_is_never_overwritten(tmp_path):
    workspace = make(tmp_path / "r")
    before = {path: path.read_bytes() for path in workspace.folder.rglob("*") if path.is_file()}
    with pytest.raises(MpotaError, match="exists already"):
        make(tmp_path / "r")
    assert {p: p.read_bytes() for p in workspace.folder.rglob("*") if p.is_file()} == before


def test_folder_with_anything_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(MpotaError, match="exists already"):
        make(tmp_path)


def test_wrong_passphrase_signs_nothing(tmp_path):
    workspace = make(tmp_path / "r", passphrase="right")
    before = sorted(workspace.metadata.iterdir())
    opened = repository.open_repository(workspace)
    opened.touch("rollout")
    with pytest.raises(MpotaError, match="cannot open key online"):
        opened.commit(workspace.keyring(lambda name: iter(["wrong", "wronger"])), NOW)
    assert sorted(workspace.metadata.iterdir()) == before


def test_second_passphrase_is_tried(tmp_path):
    workspace = make(tmp_path / "r", passphrase="right")
    opened = repository.open_repository(workspace)
    opened.touch("rollout")
    ring = workspace.keyring(lambda name: iter(["wrong", "right"]))
    assert opened.commit(ring, NOW).written["rollout"] == 2


def test_key_file_of_another_repository_is_refused(tmp_path):
    workspace, other = make(tmp_path / "r"), make(tmp_path / "other")
    os.replace(other.folder / "keys/online.pem", workspace.folder / "keys/online.pem")
    opened = repository.open_repository(workspace)
    opened.touch("rollout")
    with pytest.raises(MpotaError, match="wrong key for online"):
        opened.commit(workspace.keyring(lambda name: iter([])), NOW)


def test_unknown_key_scheme_is_one_line(tmp_path):
    workspace = make(tmp_path / "r")
    public = repository.open_repository(workspace).keys_of("rollout")["online"]
    with pytest.raises(MpotaError, match="cannot open key online"):
        keys.load_signer("online", "nowhere:slot", public, workspace.folder, lambda name: iter([]))


@pytest.mark.parametrize("shared", ["owner", "img"])
def test_online_key_may_not_sign_images_or_roots(shared):
    def role_keys(*numbers):
        return repository.RoleKeys([PUBLIC[n] for n in numbers], 1)

    groups = {"owner": role_keys(0), "img": role_keys(1), "online": role_keys(2)}
    repository.check_separation("fleet", **groups)
    groups[shared] = role_keys(2)
    with pytest.raises(MpotaError, match="also the online key"):
        repository.check_separation("fleet", **groups)


def test_one_key_may_not_count_twice():
    twice = repository.RoleKeys([PUBLIC[0], PUBLIC[0]], 2)
    img, online = (repository.RoleKeys([PUBLIC[n]], 1) for n in (1, 2))
    with pytest.raises(MpotaError, match="counted twice"):
        repository.check_separation("fleet", twice, img, online)


@pytest.fixture(autouse=True, scope="module")
def _publics(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    PUBLIC.extend(keys.make_key(folder / f"{n}.pem", None) for n in range(3))


PUBLIC = []


@pytest.mark.parametrize("product", ["a/b", "", "..", "a+b", "ü", "x" * 29, "a b"])
def test_bad_product_name_is_refused(tmp_path, product):
    with pytest.raises(MpotaError, match="not a name for a product"):
        make(tmp_path / "r", products=[product])
    assert not (tmp_path / "r").exists()


def test_at_most_eight_delegations(tmp_path):
    make(tmp_path / "seven", products=[f"p{n}" for n in range(7)])
    with pytest.raises(MpotaError, match="too many products"):
        make(tmp_path / "eight", products=[f"p{n}" for n in range(8)])


def test_cut_anywhere_in_init_leaves_all_or_nothing(tmp_path, soak):
    """Every operation under `make soak`; else one in five, before and after it in turn."""
    number = 0
    while True:
        folder = tmp_path / f"at-{number}" / "r"
        folder.parent.mkdir()
        try:
            with cut_at(number):
                make(folder)
            break
        except PowerCut:
            pass
        if not folder.exists():
            with cut_at(NEVER):
                make(folder)
        seen = see(folder / "repository", first_root(open_workspace(folder)))
        assert len(seen.roles) == 6
        number += 1 if soak else 5
    assert number > 40


def test_lock_keeps_a_second_run_out(tmp_path):
    workspace = make(tmp_path / "r")
    with workspace.lock(), pytest.raises(MpotaError, match="another mpota"), workspace.lock():
        raise AssertionError("two at once")
    with workspace.lock():
        pass


def test_write_keeps_the_old_bytes_until_the_new_ones_are_whole(tmp_path):
    number = 0
    while True:
        path = tmp_path / f"file-{number}"
        path.write_bytes(b"old")
        try:
            with cut_at(number):
                files.write(path, b"brand new")
            break
        except PowerCut:
            assert path.read_bytes() in (b"old", b"brand new")
        files.write(path, b"brand new")
        assert path.read_bytes() == b"brand new"
        number += 1


def test_write_syncs_the_bytes_before_the_name_and_the_name_after(tmp_path):
    with cut_at(NEVER) as began:
        files.write(tmp_path / "file", b"data")
    assert began == ["unlink", "open", "fsync", "replace", "open", "fsync"]


def test_settings_survive_the_round_trip(tmp_path):
    settings = make(tmp_path / "r").settings
    assert settings.boards == BOARDS
    assert settings.days == setup.PROFILES["solo"].days


def test_damaged_settings_are_one_line(tmp_path):
    workspace = make(tmp_path / "r")
    for text in ("", "[]", "{}", '{"profile": 1}'):
        (workspace.folder / "mpota.json").write_text(text)
        with pytest.raises(MpotaError, match="bad settings"):
            open_workspace(workspace.folder)


# The command


@pytest.fixture
def init(tmp_path, monkeypatch, capsys):
    """init(options): the settings of the repository that the command makes, what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*options):
        assert main(["init", "--no-passphrase", *options]) == 0
        return open_workspace(tmp_path / "ota-repo").settings, capsys.readouterr().out

    return run


def test_init_alone_makes_a_firmware_and_an_application_for_boards_to_come(init):
    settings, out = init()
    assert settings.products == {"firmware": "firmware", "app": "app"}
    assert settings.boards == {} and settings.boot_keys == {}
    assert "firmware: firmware\napplications: app\n" in out


def test_init_makes_only_the_products_that_are_named(init):
    settings, _ = init("--app", "panel", "--app", "door")
    assert settings.products == {"panel": "app", "door": "app"}


def test_init_keeps_the_order_of_kinds(init, tmp_path):
    settings, _ = init("--app", "panel", "--product", "sensor", "--board", "OTA_PICO")
    workspace = open_workspace(tmp_path / "ota-repo")
    assert settings.products == {"sensor": "firmware", "panel": "app"}
    assert workspace.product(None, "app") == "panel" and workspace.product(None) == "sensor"
    assert workspace.board(None) == "OTA_PICO" and list(settings.boot_keys)


@pytest.mark.parametrize(
    ("options", "board"),
    [
        ("--board RPI_PICO_W", Board("rp2040", 0)),
        ("--board ESP32_GENERIC-OTA", Board("esp32", 0x180000)),
        ("--board mine --chip esp32c3", Board("esp32c3", 0)),
        ("--board mine --chip esp32c3 --slot-size 1M", Board("esp32c3", 1 << 20)),
        ("--board mine --app panel", Board("", 0)),
        ("--board ESP32_GENERIC --product x --slot-size 1M", Board("esp32", 1 << 20)),
    ],
)
def test_board_for_applications_needs_no_slot(init, options, board):
    settings, _ = init(*options.split())
    assert list(settings.boards.values()) == [board]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--board mine", "board is unknown: mine"),
        ("--board mine --product x", "board is unknown: mine"),
        ("--board ESP32_GENERIC --product x", "board has no known OTA slots: ESP32_GENERIC"),
        ("--app x --app x", "product named twice"),
        ("--app x --product x", "product named twice"),
        ("--app a/b", "not a name for a product"),
    ],
)
def test_init_that_makes_no_sense_is_one_line(tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--no-passphrase", *options.split()]) != 0
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not (tmp_path / "ota-repo").exists()


def test_repository_made_without_an_rp2040_gets_boot_keys_with_its_first_release(
    init, tmp_path, capsys
):
    init()
    paths = [str(path) for path in put_links(tmp_path)]
    line = ["release", *paths, "--version", "1", "--board", "OTA_PICO"]
    assert main([*line, "--dry-run"]) == 1 and "no boot_keys yet" in capsys.readouterr().err
    assert main(line) == 0
    assert "take ota-repo/keys/boot-spare.pem offline now" in capsys.readouterr().err
    workspace = open_workspace(tmp_path / "ota-repo")
    assert list(workspace.settings.boot_keys) == ["boot", "boot-spare"]
    assert main([*line[:4], "2", *line[5:]]) == 0 and "offline" not in capsys.readouterr().err
    # Boards know these keys now: if they are lost, others must not take their place unnoticed.
    settings = dataclasses.replace(workspace.settings, boot_keys={})
    (tmp_path / "ota-repo" / "mpota.json").write_bytes(settings.to_json())
    assert main([*line[:4], "3", *line[5:]]) == 1
    assert "restore it from a copy" in capsys.readouterr().err
