# SPDX-License-Identifier: MIT
"""`mpota provision`: what a device needs, and what stays the user's."""

import json
import os
import shutil
import subprocess
from dataclasses import replace

import pytest

import cable
from mpota import app, board, cli, devtls, provision
from mpota.errors import MpotaError
from mpota.repository import open_repository
from mpota.workspace import Board, open_workspace
from mpota_world import BOARD, DAY, NOW, PRODUCT, first_root, make, nobody
from sim import table
from sim.flash import TEARS

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
    del library["lib/ota/image/inflate_zlib.py"]  # for CPython
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


# Applications


STUB = b"""def guard(): pass
def run():
    import sys
    exec(open(sys.path[0] + '/main.py').read(), {'__name__': '__main__'})
"""
TREE = {"lib/ota/__init__.py": STUB, "main.py": b"print('hello')\n"}


@pytest.fixture
def for_app(wanted):
    return replace(wanted, product=None, app="panel", tree=TREE)


def test_application_device_gets_tree_list_and_start_scripts(workspace, for_app, tmp_path, repo):
    actions = provision.provision(workspace, tmp_path, for_app)
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {
        "boot.py",
        "main.py",
        *(f"ota-state/{name}" for name in ("config.json", "root.json", "ca.der")),
        *(f"ota-app/a/{name}" for name in (*TREE, ".ota-list")),
    }
    assert (tmp_path / "boot.py").read_bytes() == (repo / "boards/app/boot.py").read_bytes()
    listed = (tmp_path / "ota-app/a/.ota-list").read_bytes()
    assert listed == app.file_list(TREE)
    config = json.loads((tmp_path / "ota-state/config.json").read_bytes())
    assert config["app"] == "panel" and "product" not in config
    written = done(actions, "write")
    assert written[-3:] == ["ota-app/a/.ota-list", "boot.py", "main.py"]
    assert provision.provision(workspace, tmp_path, for_app)[0].path == "ota-app"


def test_application_that_is_there_is_never_replaced(workspace, for_app, tmp_path):
    provision.provision(workspace, tmp_path, for_app)
    other = replace(for_app, tree={**TREE, "main.py": b"print('other')\n"})
    actions = provision.provision(workspace, tmp_path, other, force=True)
    assert done(actions, "keep") == ["ota-app"]
    assert (tmp_path / "ota-app/a/main.py").read_bytes() == TREE["main.py"]


def test_what_an_interrupted_attempt_left_is_no_part_of_the_application(
    workspace, for_app, tmp_path
):
    (tmp_path / "ota-app/a/lib").mkdir(parents=True)
    (tmp_path / "ota-app/a/main.mpy").write_bytes(b"old")
    (tmp_path / "ota-app/a/lib/ota.py").write_bytes(b"old")
    actions = provision.provision(workspace, tmp_path, for_app)
    assert set(done(actions, "remove")) == {"ota-app/a/main.mpy", "ota-app/a/lib/ota.py"}
    order = [action.path for action in actions]
    assert order.index("ota-app/a/lib/ota.py") < order.index("ota-app/a/.ota-list")


@pytest.mark.parametrize("name", ["boot.py", "main.py"])
def test_start_script_of_the_user_is_neither_lost_nor_ignored(workspace, for_app, tmp_path, name):
    (tmp_path / name).write_bytes(b"import mine\n")
    with pytest.raises(MpotaError, match=f"{name} is yours: .*--force"):
        provision.provision(workspace, tmp_path, for_app)
    assert [p.name for p in tmp_path.iterdir()] == [name]  # nothing else was begun
    provision.provision(workspace, tmp_path, for_app, force=True)
    assert (tmp_path / f"{name}.bak").read_bytes() == b"import mine\n"
    assert provision.has_code((tmp_path / name).read_bytes())
    (tmp_path / name).write_bytes(b"import another\n")
    provision.provision(workspace, tmp_path, for_app, force=True)
    assert (tmp_path / f"{name}.bak").read_bytes() == b"import mine\n"


def test_comments_of_a_new_board_are_no_script_of_the_user(workspace, for_app, tmp_path):
    (tmp_path / "boot.py").write_bytes(b"# executed on every boot\n\n  #import webrepl\n")
    provision.provision(workspace, tmp_path, for_app)
    assert b"ota.guard()" in (tmp_path / "boot.py").read_bytes()
    assert not (tmp_path / "boot.py.bak").exists()


def test_start_script_of_an_earlier_version_is_brought_up_to_date(workspace, for_app, tmp_path):
    provision.provision(workspace, tmp_path, for_app)
    new = (tmp_path / "boot.py").read_bytes()
    (tmp_path / "boot.py").write_bytes(b"\n".join(new.splitlines()[:2]) + b"\nold()\n")
    assert done(provision.provision(workspace, tmp_path, for_app), "write") == ["boot.py"]


@pytest.mark.parametrize(
    ("wifi", "what"),
    [(("", "longenough"), "name of a network"), (("x" * 33, "longenough"), "name of a network"),
     (("shop", "short"), "not a Wi-Fi password"), (("shop", "x" * 65), "not a Wi-Fi password")],
)  # fmt: skip
def test_wifi_that_cannot_be_is_refused_without_telling_the_password(
    workspace, for_app, tmp_path, wifi, what
):
    with pytest.raises(MpotaError, match=what) as caught:
        provision.provision(workspace, tmp_path, replace(for_app, wifi=wifi))
    assert wifi[1] not in str(caught.value) and not list(tmp_path.iterdir())


def test_wifi_is_for_the_application_and_in_nothing_that_is_shown(workspace, for_app, tmp_path):
    wifi = replace(for_app, wifi=("shop", "top secret"))
    actions = provision.provision(workspace, tmp_path, wifi)
    told = json.loads((tmp_path / "ota-state/wifi.json").read_bytes())
    assert told == {"ssid": "shop", "password": "top secret"}
    assert "top secret" not in repr(wifi) + repr(actions)
    assert "ota-state/wifi.json" not in done(
        provision.provision(workspace, tmp_path, for_app), "write"
    )


def test_no_space_is_known_before_anything_is_written(workspace, for_app, tmp_path, monkeypatch):
    monkeypatch.setattr(provision.Folder, "free", lambda _: 20000)
    with pytest.raises(MpotaError, match="no space: 36 KB are needed, 19 KB are free"):
        provision.provision(workspace, tmp_path, for_app)
    assert not list(tmp_path.iterdir())


# At a cable


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    return cable.make_flash(tmp_path_factory.mktemp("blank") / "flash")


@pytest.fixture
def desk(blank, tmp_path, micropython):
    shutil.copy(blank, tmp_path / "flash")
    with cable.esp32(micropython, tmp_path / "flash", clock=cable.UNSET) as desk:
        yield desk


@pytest.fixture
def here(workspace, tmp_path, monkeypatch, mpy_cross):
    """A repository with an application product in the current folder."""
    make(tmp_path / "ota-repo", boards={}, apps=["panel"])
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").write_bytes(b"import ota\nprint('hello', ota.status()['kind'])\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPY_CROSS", str(mpy_cross))
    monkeypatch.setenv("MPOTA_WIFI_PASSWORD", "top secret")
    return tmp_path


def run(desk, *words):
    return cli.main(["provision", desk.port, "--app-folder", "app", *words])


def everything(desk):
    """Return all that is on the board's file system."""
    with board.connect(desk.port) as there:
        paths = there.walk("/", 0)
        for folder in ("/lib", "/ota-app", "/ota-state"):
            paths += there.walk(folder, 12)
        return {path: there.read(path) for path in paths}


def test_board_is_provisioned_starts_its_application_and_knows_the_time(here, desk, capsys):
    assert run(desk, "--wifi", "shop") == 0
    out, err = capsys.readouterr()
    assert "possible updates: applications; firmware not" in out and "top secret" not in out + err
    assert out.splitlines()[-1].startswith("next: mpota release ./app --version 1.0.0, then")
    desk.wait("hello app")
    assert b"top secret" not in desk.console
    with board.connect(desk.port) as there:
        assert there.ask("import time\ntell(time.gmtime()[0])") >= 2026
        files = provision.Cable(there).walk("ota-app/a")
    assert "ota-app/a/lib/ota_ed25519.mpy" in files and "ota-app/a/lib/ota/updater.mpy" in files
    assert open_workspace(here / "ota-repo").settings.boards == {"ESP32_GENERIC": Board("esp32")}


def test_dry_run_at_a_cable_shows_all_and_touches_nothing(here, desk, capsys):
    before = everything(desk)
    settings = (here / "ota-repo/mpota.json").read_bytes()
    assert run(desk, "--wifi", "shop", "--dry-run") == 0
    told = capsys.readouterr().err
    assert everything(desk) == before
    assert (here / "ota-repo/mpota.json").read_bytes() == settings
    with board.connect(desk.port) as there:
        assert there.ask("import time\ntell(time.gmtime()[0])") == 2000
    assert run(desk, "--wifi", "shop", "-v") == 0
    really = capsys.readouterr().err
    assert told.count("would write") == really.count("write ") > 40


def test_doing_it_again_at_a_cable_changes_nothing(here, desk, capsys):
    assert run(desk) == 0
    desk.wait("hello")
    before = everything(desk)
    capsys.readouterr()
    assert run(desk) == 0
    out = capsys.readouterr().out
    assert "changed 0 files" in out and "no --wifi" in out
    assert everything(desk) == before


def test_network_that_a_board_knows_is_not_asked_for(here, desk, capsys):
    with board.connect(desk.port) as there:
        there.write("/ota-state/wifi.json", b"{}")
    assert run(desk) == 0
    assert "no --wifi" not in capsys.readouterr().out


def test_files_of_the_user_on_a_board_are_kept(here, desk, capsys):
    mine = {"/data.txt": b"mine", "/lib/other.py": b"mine", "/ota-state/own": b"mine"}
    with board.connect(desk.port) as there:
        for path, data in mine.items():
            there.write(path, data)
        there.write("/main.py", b"print('mine')\n")
    assert run(desk) == 1
    assert "main.py is yours" in capsys.readouterr().err
    assert "/boot.py" not in everything(desk)
    assert run(desk, "--force") == 0
    desk.wait("hello")
    now = everything(desk)
    assert {path: now[path] for path in mine} == mine
    assert now["/main.py.bak"] == b"print('mine')\n"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("--board RPI_PICO_W", "wrong board: RPI_PICO_W has chip rp2040: Generic ESP32 module"),
        ("--product sensor", "this board cannot update its firmware: ESP32_GENERIC"),
        ("--url https://h/", "no CA for these URLs"),
        ("--app sensor", "not a product of kind app: sensor"),
    ],
)
def test_what_the_board_cannot_be_is_refused_before_it_is_touched(here, desk, capsys, words, what):
    assert run(desk, *words.split()) in (1, 2)
    assert what in capsys.readouterr().err
    assert not [path for path in everything(desk) if path.startswith("/ota")]


def test_board_of_another_slot_size_is_the_wrong_one(tmp_path, here, micropython, capsys):
    flash = cable.make_flash(tmp_path / "two", table.OTA_8M)
    with cable.esp32(micropython, flash, build="ESP32_GENERIC-OTA") as desk:
        assert run(desk) == 1
    assert "wrong board: ESP32_GENERIC-OTA has slots of 1572864 bytes" in capsys.readouterr().err


def test_board_with_two_slots_gets_library_and_guard(tmp_path, here, micropython, capsys):
    flash = cable.make_flash(tmp_path / "two", table.OTA_4M_VFS)
    with cable.esp32(micropython, flash, build="ESP32_GENERIC-OTA") as desk:
        assert cli.main(["provision", desk.port, "--no-mpy"]) == 0
        assert "possible updates: firmware (slots of 1536 KB)" in capsys.readouterr().out
        files = everything(desk)
    assert files["/boot.py"].startswith(GUARD) and "/lib/ota/updater.py" in files
    assert "/lib/ota_ed25519.mpy" in files and "/main.py" not in files
    assert json.loads(files["/ota-state/config.json"])["product"] == PRODUCT


def test_cable_pulled_between_any_two_writes_leaves_a_board_that_boots(
    workspace, for_app, blank, desk, monkeypatch, soak
):
    """Each file in turn is the last one; then again, from where that left the board."""
    cuts = range(9) if soak else (0, 3, 5, 6, 7, 8)
    for cut in cuts:
        desk.power_off()
        shutil.copy(blank, desk.flash)
        desk.power_on()
        with board.connect(desk.port) as there, monkeypatch.context() as patch:
            count = iter(range(100))
            real = there.write

            def write(path, data, real=real, count=count, cut=cut):
                if next(count) == cut:
                    raise board.BoardError("pulled")
                real(path, data)

            patch.setattr(there, "write", write)
            try:
                provision.provision(workspace, provision.Cable(there), for_app)
                assert cut == 8  # as many files as there are
            except board.BoardError:
                pass
        assert_boots(desk, started=cut >= 8)
        with board.connect(desk.port) as there:
            provision.provision(workspace, provision.Cable(there), for_app)
        assert_boots(desk, started=True)


@pytest.mark.slow
def test_power_cut_anywhere_leaves_a_board_that_boots_and_can_be_provisioned_again(
    workspace, for_app, blank, tmp_path, micropython, soak
):
    """The cable is the board's power: a cut in an erase or program of its flash."""
    shutil.copy(blank, tmp_path / "flash")
    with cable.esp32(micropython, tmp_path / "flash", pty=False) as desk:
        cut_power(workspace, for_app, blank, desk, soak)


def cut_power(workspace, for_app, blank, desk, soak):
    with board.connect(desk.port) as there:
        provision.provision(workspace, provision.Cable(there), for_app)
        there.reset()
    desk.wait("hello")
    total = desk.ops
    assert total > 60
    for cut in range(0, total, 1 if soak else total // 5):
        desk.power_off()
        shutil.copy(blank, desk.flash)
        desk.power_on(cut=cut, tear=TEARS[cut % len(TEARS)], seed=cut)
        try:
            with board.connect(desk.port) as there:
                provision.provision(workspace, provision.Cable(there), for_app)
        except board.BoardError:
            pass
        boot(desk)
        with board.connect(desk.port) as there:
            provision.provision(workspace, provision.Cable(there), for_app)
        assert_boots(desk, started=True)


def assert_boots(desk, started):
    """Reset the board: its application says hello, or nobody does."""
    said = boot(desk)
    assert (b"hello" in said) == started, said


def boot(desk):
    """Switch the board off and on; return what it says, which is no complaint."""
    desk.power_off()
    at = len(desk.console)
    desk.power_on()
    said = desk.wait(">>> ", since=at)[at:]
    assert b"Traceback" not in said, said
    return said
