# SPDX-License-Identifier: MIT
"""`mpota release FOLDER`: what an application's folder becomes, and what is refused in it."""

import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess

import pytest

from mpota import app, library, mpycross, names, release
from mpota.cli import main
from mpota.errors import MpotaError
from mpota.repository import open_repository
from mpota.workspace import (
    ARCHITECTURES,
    KNOWN_BOARDS,
    Board,
    add_board,
    known_board,
    open_workspace,
)
from mpota_world import (
    APP,
    APP_FILES,
    APP_IMAGE,
    BOARD,
    NOW,
    Client,
    clone,
    first_root,
    make,
    make_app_release,
    make_both,
    make_release,
    nobody,
    publish_to,
    put_files,
    put_image,
    put_links,
    see,
    wanted,
)
from ota.errors import ImageError
from ota.image.tree import FileList


@pytest.fixture(autouse=True)
def _compiler(monkeypatch, mpy_cross):
    monkeypatch.setenv("MPY_CROSS", str(mpy_cross))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A repository with a firmware and an application, without releases."""
    return make_both(tmp_path_factory.mktemp("both") / "r")


@pytest.fixture
def work(both, tmp_path):
    return clone(both, tmp_path / "r")


def build(folder, archs=("armv6m",), **options):
    return app.build(folder, archs=set(archs), **{"esp32": False, **options})


# The file list


def test_list_is_the_one_of_the_specification():
    big, small = bytes(range(256)) * 20, b"x"
    listed = app.file_list({"b/c.txt": small, "a.py": big, "b/b": b""}, digest=16)
    first, second = (hashlib.sha256(part).digest()[:16] for part in (big[:4096], big[4096:]))
    assert listed == (
        b"\x04a.py" + (5120).to_bytes(4, "little") + first + second
        + b"\x03b/b" + bytes(4)
        + b"\x07b/c.txt\x01\0\0\0" + hashlib.sha256(b"x").digest()[:16]
    )  # fmt: skip
    assert app.identity(listed) == hashlib.sha256(listed).hexdigest()


def test_image_is_the_files_in_the_order_of_the_list():
    assert app.image({"b": b"2", "a/z": b"1", "a.z": b"0"}) == b"012"


@pytest.mark.parametrize("seed", range(5))
def test_device_finds_every_block_of_the_image_in_the_list(seed):
    rand = random.Random(seed)
    sizes = [0, 1, 4095, 4096, 4097, 12288, *(rand.randrange(20000) for _ in range(10))]
    files = {f"d{n % 3}/f{n}": rand.randbytes(size) for n, size in enumerate(sizes)}
    listed, image = app.file_list(files), app.image(files)
    found = FileList(io.BytesIO(listed), len(image))
    assert found.identity == app.identity(listed)
    for block in range(found.count):
        start = found.start(block)
        assert found.matches(block, image[start : start + found.content(block)])
    assert sum(map(found.content, range(found.count))) == len(image)
    assert app.split(listed, image) == dict(sorted(files.items()))


WRONG = {
    "empty name": ["a//b"],
    "dot": ["a/./b"],
    "climbs": ["../b"],
    "absolute": ["/b"],
    "backslash": ["a\\b"],
    "space": ["a b"],
    "not ascii": ["größe.py"],
    "the library's": [".ota-list"],
    "the library's below": ["lib/.otaxy/a"],
    "the library's on FAT": ["lib/.OTA-LIST"],
    "ends in a dot": ["lib./a.py"],
    "long": ["a/" + "b" * 95],
    "deep": ["a/b/c/d/e/f/g/h/i"],
    "case": ["lib/Net.py", "lib/net.py"],
    "case of folders": ["Lib/a.py", "lib/b.py"],
    "file and folder": ["lib", "lib/b.py"],
    "file and folder but for case": ["LIB", "lib/b.py"],
    "no file": [],
    "many": [f"f{n}" for n in range(1001)],
}


@pytest.mark.parametrize("paths", WRONG.values(), ids=WRONG)
def test_paths_that_devices_refuse_are_refused(paths):
    files = dict.fromkeys(paths, b"1")
    with pytest.raises(MpotaError) as said:
        app.check_files(files, "folder")
    assert "devices would refuse it" not in str(said.value), "said by the device, not in words"
    listed = b"".join(
        bytes((len(path.encode()),)) + path.encode() + b"\1\0\0\0" + bytes(32)
        for path in sorted(paths, key=str.encode)
    )
    with pytest.raises(ImageError):
        FileList(io.BytesIO(listed), len(paths))


def test_longest_of_everything_is_taken():
    files = {f"{'a/' * 7}{n:03}{'b' * 79}": b"1" for n in range(400)}
    assert max(map(len, files)) == app.MAX_PATH
    app.check_files(files, "folder")
    app.check_files({f"f{n}": b"1" for n in range(1000)}, "folder")


def test_more_than_devices_hold_is_refused(monkeypatch):
    with pytest.raises(MpotaError, match="more than 65536"):
        app.check_files({f"{n:03}{'b' * 90}": b"1" for n in range(600)}, "folder")
    monkeypatch.setattr(app, "MAX_TOTAL", 100)
    with pytest.raises(MpotaError, match="101 bytes"):
        app.check_files({"main.py": bytes(101)}, "folder")


def test_application_without_a_byte_is_refused():
    with pytest.raises(MpotaError, match="0 bytes"):
        app.check_files({"main.py": b""}, "folder")


def test_paths_that_clash_by_chance_are_refused_before_they_are_signed():
    # Devices compare CRC-32 of paths, 30 bits of it: these two are alike.
    with pytest.raises(MpotaError, match="list with paths that clash"):
        app.check_files({"f18891.py": b"1", "f7106620.py": b"1"}, "folder")


# The folder


LEFTOVERS = [
    "__pycache__/main.cpython-311.pyc", "lib/__pycache__/a.pyc", "old.pyc", ".DS_Store",
    ".git/config", "main.py~", "#main.py#", ".main.py.swp", "a.swp", "main.py.bak", "main.py.orig",
    "lib/.hidden", "Thumbs.db", "x.tmp",
]  # fmt: skip


def test_leftovers_stay_behind_and_are_named(tmp_path):
    put_files(tmp_path, {"main.py": "1", "lib/a.py": "1", **dict.fromkeys(LEFTOVERS, "x")})
    found = app.collect(tmp_path)
    assert list(found.files) == ["lib/a.py", "main.py"]
    named = [path for path in LEFTOVERS if not path.startswith(("__py", "lib/__py", ".git"))]
    assert found.ignored == sorted([*named, "__pycache__/", "lib/__pycache__/", ".git/"])


def test_same_folder_gives_the_same_identity(tmp_path):
    files = {f"d{n}/m{n}.py": f"x = {n}\n" for n in range(20)}
    one = put_files(tmp_path / "one", {"main.py": "1\n", **files})
    other = put_files(tmp_path / "two", dict(reversed([*files.items(), ("main.py", "1\n")])))
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
    lists = [app.file_list(build(folder, to_mpy=True).files) for folder in (one, other)]
    assert lists[0] == lists[1]


def test_link_to_a_file_is_followed_and_to_a_folder_refused(tmp_path):
    folder = put_files(tmp_path / "app", {"main.py": "1"})
    put_files(tmp_path, {"shared/a.py": "shared = 1"})
    (folder / "a.py").symlink_to(tmp_path / "shared" / "a.py")
    assert app.collect(folder).files["a.py"] == b"shared = 1"
    (folder / "lib").symlink_to(tmp_path / "shared")
    with pytest.raises(MpotaError, match="link to a folder"):
        app.collect(folder)


def test_link_to_nothing_and_what_is_no_file_are_refused(tmp_path):
    folder = put_files(tmp_path / "app", {"main.py": "1"})
    (folder / "a.py").symlink_to(tmp_path / "absent")
    with pytest.raises(MpotaError, match="neither file nor folder"):
        app.collect(folder)
    (folder / "a.py").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(MpotaError, match="neither file nor folder"):
        app.collect(folder)


@pytest.mark.parametrize("name", ["a b.py", "größe.txt"])
def test_name_that_no_device_takes_is_said_with_its_path(tmp_path, name):
    folder = put_files(tmp_path, {"main.py": "1", f"lib/{name}": "1"})
    with pytest.raises(MpotaError, match="not a name for a device's file") as said:
        app.collect(folder)
    assert name.partition(" ")[0][:2] in str(said.value)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"app.py": "1"}, "no main.py"),
        ({"main.mpy": "1"}, "devices run that file, not main.mpy"),
        ({"main.py": "1", "ota/x.py": "1"}, "would shadow the library"),
        ({"main.py": "1", "ota.py": "1"}, "would shadow the library"),
        ({"main.py": "1", "ota.mpy": "1"}, "would shadow the library"),
        ({"main.py": "1", "lib/ota.py": "1"}, "would shadow the library"),
    ],
)
def test_application_that_could_not_run_or_update_again_is_refused(tmp_path, files, words):
    with pytest.raises(MpotaError, match=words):
        build(put_files(tmp_path, files))


def test_odd_files_are_pointed_out(tmp_path, mpy_cross):
    code = mpycross.translate([str(mpy_cross)], b"x = 1\n", "a.py")
    folder = put_files(tmp_path, {"main.py": "1", "boot.py": "1", "a.py": "1", "a.mpy": code})
    said = build(folder).warnings
    assert (
        len(said) == 3 and "boot.py will not be run" in said[0] and "a.mpy will not be" in said[1]
    )


def test_application_that_never_settles_is_pointed_out(tmp_path):
    silent = put_files(tmp_path / "one", {"main.py": "1", "notes.txt": "settle"})
    assert [text for text in build(silent).warnings if "calls settle" in text]
    good = {"main.py": "import work", "work.py": "import ota\nota.settle(lambda: True)\n"}
    assert build(put_files(tmp_path / "two", good)).warnings == []


@pytest.mark.parametrize("name", ["ota-repo", "lib/keep"])
def test_private_keys_of_a_working_folder_stay_at_home(tmp_path, name):
    folder = put_files(tmp_path / "app", {"main.py": "1"})
    make(folder / name)
    found = app.collect(folder)
    assert list(found.files) == ["main.py"] and found.ignored == [f"{name}/"]


def test_working_folder_is_no_application(tmp_path):
    put_files(make(tmp_path / "r").folder, {"main.py": "1"})
    with pytest.raises(MpotaError, match="working folder, with private keys"):
        app.collect(tmp_path / "r")


def test_private_key_in_an_application_is_pointed_out(tmp_path):
    key = "-----BEGIN EC PRIVATE KEY-----\n"
    folder = put_files(tmp_path, {"main.py": "'settle'", "client.key": key})
    (said,) = build(folder).warnings
    assert "client.key is a private key" in said


# What it is compiled from and to


def native(mpy_cross, arch):
    source = b"import micropython\n@micropython.native\ndef f():\n    return 1\n"
    return mpycross.translate([str(mpy_cross)], source, "n.py", arch=arch)


def test_python_that_no_device_could_compile_is_refused(tmp_path):
    folder = put_files(tmp_path, {"main.py": "1", "lib/bad.py": "x = 1\n\ndef f(:\n"})
    with pytest.raises(MpotaError) as said:
        build(folder)
    assert str(said.value).startswith(f"SyntaxError: invalid syntax: {folder}/lib/bad.py:3; ")
    assert "--no-check" in str(said.value)
    assert "lib/bad.py" in build(folder, check=False).files


def test_code_for_the_machine_is_taken_where_it_can_run(tmp_path):
    viper = "import micropython\n@micropython.viper\ndef f(x: int) -> int:\n    return x\n"
    thumb = "import micropython\n@micropython.asm_thumb\ndef f():\n    nop()\n"
    folder = put_files(tmp_path, {"main.py": "1", "v.py": viper, "t.py": thumb})
    for archs in (["xtensawin"], ["armv6m", "xtensawin"], [""]):
        assert {"v.py", "t.py"} <= set(build(folder, archs).files)
    built = build(folder, ["xtensawin"], to_mpy=True)
    assert {"v.mpy", "t.py"} <= set(built.files), "what cannot be compiled stays source"
    assert built.custom["arch"] == "xtensawin"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda code: b"", "not a .mpy file"),
        (lambda code: b"X" + code[1:], "not a .mpy file"),
        (lambda code: bytes((77, 5)) + code[2:], "version 5.3: "),
        (lambda code: bytes((77, 6, code[2] & ~3 | 1)) + code[3:], "version 6.1: "),
        (lambda code: code[:3] + b"\x3f" + code[4:], "integers of 63 bits"),
    ],
)
def test_mpy_that_no_device_loads_is_refused(tmp_path, mpy_cross, change, words):
    folder = put_files(tmp_path, {"main.py": "1", "n.mpy": change(native(mpy_cross, "armv6m"))})
    with pytest.raises(MpotaError, match=words):
        build(folder)


def test_native_code_has_to_be_for_every_board(tmp_path, mpy_cross):
    arm, xtensa = native(mpy_cross, "armv6m"), native(mpy_cross, "xtensawin")
    folder = put_files(tmp_path / "one", {"main.py": "1", "n.mpy": arm})
    assert build(folder).custom["arch"] == "armv6m"
    assert build(folder, [""]).custom["arch"] == "armv6m"
    for archs in (["xtensawin"], ["armv6m", "xtensawin"]):
        with pytest.raises(MpotaError, match="mpy for armv6m, but the release is for xtensawin"):
            build(folder, archs)
    folder = put_files(tmp_path / "two", {"main.py": "1", "n.mpy": arm, "o.mpy": xtensa})
    with pytest.raises(MpotaError, match="mpy for xtensawin, but the release is for armv6m"):
        build(folder, [""])


def test_library_travels_compiled_with_the_boards_verifier(tmp_path):
    folder = put_files(tmp_path, {"main.py": "'settle'"})
    built = build(folder)
    assert {"lib/ota/__init__.mpy", "lib/ota/image/tree.mpy"} <= set(built.files)
    assert built.files["lib/ota_ed25519.mpy"] == library.verifier("armv6m").read_bytes()
    assert built.custom == {"mpy": "6.3", "arch": "armv6m", "library": "0.1.0"}
    assert not built.warnings and "lib/ota_esp32.mpy" not in built.files
    assert "lib/ota_esp32.mpy" in build(folder, ["xtensawin"], esp32=True).files


@pytest.mark.parametrize(
    ("archs", "words"),
    [
        (["armv6m", "xtensawin"], "different architectures"),
        (["armv7emdp"], "none for armv7emdp"),
        ([""], "chip is not known"),
    ],
)
def test_library_without_a_verifier_is_pointed_out(tmp_path, archs, words):
    built = build(put_files(tmp_path, {"main.py": "'settle'"}), archs)
    assert "lib/ota_ed25519.mpy" not in built.files
    assert ("arch" in built.custom) is (archs == ["armv7emdp"])  # other native parts it can have
    assert [words in said for said in built.warnings] == [True]


def test_library_of_ones_own_or_none_is_left_at_that(tmp_path, mpy_cross):
    own = '__version__ = "9.9"\n'
    folder = put_files(tmp_path / "own", {"main.py": "1", "lib/ota/__init__.py": own})
    built = build(folder)
    assert set(built.files) == {"main.py", "lib/ota/__init__.py"}
    assert built.custom == {"library": "9.9"}
    verifier = native(mpy_cross, "armv6m")
    folder = put_files(tmp_path / "verifier", {"main.py": "1", "lib/ota_ed25519.mpy": verifier})
    assert build(folder).files["lib/ota_ed25519.mpy"] == verifier
    bare = put_files(tmp_path / "bare", {"main.py": "1"})
    assert set(build(bare, with_library=False).files) == {"main.py"}
    assert build(bare, with_library=False).custom == {}


def test_without_mpy_cross_all_goes_as_source(tmp_path, monkeypatch):
    monkeypatch.setattr(mpycross, "find", lambda: None)
    folder = put_files(tmp_path, {"main.py": "def settle(:"})
    built = build(folder)
    assert "lib/ota/__init__.py" in built.files
    assert [("not checked" in s, "as source" in s) for s in built.warnings] == [
        (True, False),
        (False, True),
    ]
    with pytest.raises(MpotaError, match="no mpy-cross"):
        build(folder, to_mpy=True)


def test_built_tree_runs_on_micropython(tmp_path, any_micropython):
    text = "import ota, part.shown\nprint(ota.__version__, ota.OtaError, part.shown.where())\n"
    shown = "def where():\n    return __file__\n"
    folder = put_files(tmp_path / "app", {"main.py": text, "part/shown.py": shown})
    tree = put_files(tmp_path / "tree", build(folder, [""], to_mpy=True).files)
    done = subprocess.run(
        [any_micropython, "main.py"],
        cwd=tree,
        env={"MICROPYPATH": ":lib"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"0.1.0 <class 'OtaError'> {tree}/part/shown.mpy\n"
    assert done.stdout == said, done.stderr


# The release


def test_release_says_what_devices_ask_for(work):
    done = make_app_release(work, "1.0", custom={"mpy": "6.3"}, minseq=1)
    target = open_repository(work).images(APP)["fw/panel/board/1.0"]
    listed = app.file_list({**APP_FILES, "version.txt": b"1.0"})
    assert done.release.path == "fw/panel/board/1.0"
    assert target.custom == {
        "kind": "app",
        "boards": [BOARD],
        "version": "1.0",
        "seq": 1,
        "minseq": 1,
        "identity": app.identity(listed),
        "blocks": "fw/panel/board/1.0/app.img.blocks",
        "block": 4096,
        "digest": 32,
        "mpy": "6.3",
    }


def test_both_clients_find_a_release_whole(work, tmp_path):
    make_app_release(work, "1")
    make_release(work, "1")
    publish_to(work, tmp_path / "www")
    client = Client(tmp_path / "www", first_root(work), tmp_path / "client")
    image, listed = (client.download(APP_IMAGE.format("1") + end) for end in ("", ".blocks"))
    assert app.split(listed, image) == dict(sorted({**APP_FILES, "version.txt": b"1"}.items()))
    seen = see(tmp_path / "www", first_root(work))
    assert [(r.path, r.problem) for r in seen.releases] == [
        ("fw/panel/board/1", ""),
        ("fw/sensor/board/1", ""),
    ]
    assert [(r.path, r.problem) for r in seen.rollouts] == [
        ("rollout/panel/board/stable", ""),
        ("rollout/sensor/board/stable", ""),
    ]


def test_numbers_of_products_do_not_touch(work):
    make_release(work, "1")
    make_release(work, "2")
    assert make_app_release(work, "1").release.custom["seq"] == 1
    assert make_app_release(work, "2").release.custom["seq"] == 2
    with pytest.raises(MpotaError, match="minseq falls"):
        make_app_release(work, "3", minseq=-1)


def test_version_is_released_once(work):
    make_app_release(work, "1")
    with pytest.raises(MpotaError, match="released already"):
        make_app_release(work, "1", files={"main.py": b"other"})


def test_same_application_again_is_pointed_out(work):
    make_app_release(work, "1", files=APP_FILES)
    done = make_app_release(work, "2", files=APP_FILES)
    assert "the same application as fw/panel/board/1" in done.release.warnings[0]


@pytest.mark.parametrize("lie", ["image", "list", "identity", "no main"])
def test_application_that_is_not_its_list_is_seen(work, lie, tmp_path):
    repository = open_repository(work)
    files = {"app.py" if lie == "no main" else "main.py": b"1" * 5000}
    what = wanted("1", product=APP)
    made = release.prepare_app(repository, what, release.Tree(files, {}))
    part = made.parts[0]
    if lie == "image":
        part = release.Part(part.name, b"2" + part.image[1:], part.blocks, part.custom)
    elif lie == "list":
        part = release.Part(part.name, part.image, part.blocks[:-1], part.custom)
    elif lie == "identity":
        part.custom["identity"] = "0" * 64
    made = release.Release(made.path, (part,))
    release.publish_release(repository, made, what, work.keyring(nobody), NOW)
    problem = see(work.metadata.parent, first_root(work)).releases[0].problem
    words = {
        "image": "block 0 is not what the file list says",
        "list": "file list ends early",
        "identity": "identity is not that of the file list",
        "no main": "no main.py in it",
    }
    assert problem == words[lie]


def test_again_gives_the_old_bytes_a_new_number(work):
    first = make_app_release(work, "1", custom={"mpy": "6.3", "library": "0.1.0"})
    for number in range(2, 8):  # so many that the first one is in old metadata only
        make_app_release(work, str(number))
    assert "fw/panel/board/1" not in open_repository(work).images(APP)
    what = wanted("1", product=APP, boards=[])
    again = release.prepare_again(open_repository(work), what)
    old, new = first.release.parts[0], again.parts[0]
    assert (new.image, new.blocks) == (old.image, old.blocks)
    assert new.custom == {**old.custom, "seq": 8}


def test_again_takes_further_boards(work):
    make_app_release(work, "1", custom={"arch": "xtensawin"})
    what = wanted("1", product=APP, boards=["new"])
    assert release.prepare_again(open_repository(work), what).custom["boards"] == [BOARD, "new"]
    what = wanted("1", product=APP, boards=["RPI_PICO_W"])
    with pytest.raises(MpotaError, match="native code for xtensawin, but RPI_PICO_W is armv6m"):
        release.prepare_again(open_repository(work), what)


def test_again_of_a_version_that_is_two_asks_which(work):
    make_app_release(work, "1", boards=["one"])
    make_app_release(work, "1", boards=["two"], files={"main.py": b"two"})
    repository = open_repository(work)
    with pytest.raises(MpotaError, match="released apart for several boards"):
        release.prepare_again(repository, wanted("1", product=APP, boards=[]))
    two = release.prepare_again(repository, wanted("1", product=APP, boards=["two"]))
    assert (two.path, two.image) == ("fw/panel/two/1", b"two")
    with pytest.raises(MpotaError, match="was never released"):
        release.prepare_again(repository, wanted("2", product=APP, boards=[]))


# The command


@pytest.fixture
def here(both, tmp_path, monkeypatch):
    clone(both, tmp_path / "ota-repo")
    put_files(tmp_path / "app", {"main.py": "print('hello')\n", "lib/net.py": "x = 1\n"})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *line):
    assert main([*line, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def said(capsys, *line):
    assert main([*line]) != 0
    return capsys.readouterr().err


def test_folder_is_an_application_for_all_boards(here, capsys):
    done = run(capsys, "release", "app", "--version", "1.0.0", "--percent", "5")
    assert done["release"] == "fw/panel/board/1.0.0" and done["kind"] == "app"
    assert done["boards"] == ["board", "other"]
    assert done["rollouts"] == ["rollout/panel/board/stable", "rollout/panel/other/stable"]
    target = open_repository(open_workspace(here / "ota-repo")).images(APP)["fw/panel/board/1.0.0"]
    assert target.custom["library"] == "0.1.0" and "arch" not in target.custom
    changed = run(capsys, "rollout", "--percent", "50")
    assert changed["paths"] == done["rollouts"] and changed["percent"] == 50
    started = run(capsys, "rollout", "1.0.0", "--channel", "beta")
    assert started["paths"] == ["rollout/panel/board/beta", "rollout/panel/other/beta"]


def test_options_of_a_release_reach_its_metadata(here, capsys):
    line = "release app --version 1 --board RPI_PICO_W --firmware 3-9 --minseq 1 --compile"
    assert main(line.split()) == 0
    assert "no release of sensor has a seq that it would run on" in capsys.readouterr().err
    workspace = open_workspace(here / "ota-repo")
    custom = open_repository(workspace).images(APP)["fw/panel/RPI_PICO_W/1"].custom
    assert custom["firmware"] == {"product": "sensor", "min": 3, "max": 9}
    assert (custom["arch"], custom["minseq"], custom["mpy"]) == ("armv6m", 1, "6.3")
    make_release(workspace, "1", now=names.utc_now(), seq=4)
    assert main("release app --version 2 --firmware 4 --no-library".split()) == 0
    assert "seq that it would run on" not in capsys.readouterr().err
    custom = open_repository(workspace).images(APP)["fw/panel/board/2"].custom
    assert custom["firmware"] == {"product": "sensor", "min": 4}
    assert "mpy" not in custom and "library" not in custom


def test_boards_with_the_library_frozen_in_get_none(here, capsys):
    line = "release app --version {} --dry-run --board OTA_PICO_W --board {}".split()
    bare = run(capsys, *line[:3], "1", *line[4:-1], "OTA_ESP32")
    full = run(capsys, *line[:3], "1", *line[4:-1], "RPI_PICO_W")
    assert bare["length"] < 100 < 40000 < full["length"]


def test_dry_run_of_a_folder_signs_nothing(here, capsys):
    before = sorted((here / "ota-repo" / "repository").rglob("*"))
    done = run(capsys, "release", "app", "--version", "1", "--dry-run")
    assert done["dry_run"] and done["seq"] == 1
    after = sorted((here / "ota-repo" / "repository").rglob("*"))
    assert [path for path in after if path.is_file()] == [p for p in before if p.is_file()]


def test_left_out_files_are_named_with_v(here, capsys):
    put_files(here / "app", {".hidden": "1"})
    assert main("release app --version 1 --dry-run -v".split()) == 0
    assert "left out .hidden" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("release app app --version 1", "an application is one folder"),
        ("release app --version 1 --slot-size 2M", "--slot-size does not go with a folder"),
        ("release app --version 1 --no-frozen", "--frozen does not go with a folder"),
        ("release app --version 1 --mpy 6.3", "--mpy does not go with a folder"),
        ("release main.bin --version 1 --compile", "--compile does not go with an image"),
        ("release --again 1 --firmware 3", "--firmware does not go with --again"),
        ("release app --version 1 --firmware 3-2", "without a release in it"),
        ("release app --version 1 --firmware x", "not a range of seq"),
        ("release app --version 1 --product sensor", "not a product of kind app: sensor"),
        ("release main.bin --version 1 --product panel", "not a product of kind firmware: panel"),
        ("release absent --version 1", "cannot read: absent"),
        ("release --again 7", "was never released"),
    ],
)
def test_what_makes_no_sense_is_one_line(here, capsys, line, words):
    (here / "main.bin").write_bytes(b"")
    assert words in said(capsys, *line.split())


def test_version_of_two_products_asks_which(here, capsys):
    workspace = open_workspace(here / "ota-repo")
    make_release(workspace, "1")
    make_app_release(workspace, "1")
    for line in (["release", "--again", "1"], ["rollout", "1"], ["rollout", "--halt"]):
        assert "give --product" in said(capsys, *line)
    assert run(capsys, "release", "--again", "1", "--product", APP)["seq"] == 2
    assert run(capsys, "rollout", "--halt", "--product", "sensor")["halt"] is True


@pytest.mark.parametrize(("board", "count"), [("ESP32_GENERIC", 1), ("RPI_PICO_W", 2)])
def test_firmware_for_a_board_without_slots_is_refused_in_words(here, capsys, board, count):
    images = [str(path) for path in put_links(here)] if count == 2 else [str(put_image(here))]
    workspace = open_workspace(here / "ota-repo")
    with workspace.lock():
        add_board(workspace, board, known_board(board))
    line = ["release", *images, "--version", "1", "--board", board]
    assert f"only its applications are updated: {board}" in said(capsys, *line)
    assert open_workspace(here / "ota-repo").settings.boot_keys == {}


def test_repository_without_boards_waits_for_one(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = make(tmp_path / "ota-repo", boards={}, products=["firmware"], apps=["app"])
    put_files(tmp_path / "app", {"main.py": "1"})
    assert "no board is known yet" in said(capsys, "release", "app", "--version", "1")
    with workspace.lock():
        add_board(workspace, "RPI_PICO_W", known_board("RPI_PICO_W"))
    assert run(capsys, "release", "app", "--version", "1")["boards"] == ["RPI_PICO_W"]


def test_board_is_added_once_and_never_changed(tmp_path):
    workspace = make(tmp_path / "r", boards={})
    added = add_board(workspace, "new", Board("esp32", 0x10000))
    assert open_workspace(tmp_path / "r").settings.boards == added.settings.boards
    assert add_board(added, "new", Board("rp2040")).settings == added.settings
    assert open_workspace(tmp_path / "r").settings == added.settings
    with pytest.raises(MpotaError, match="not a name for a board"):
        add_board(workspace, "a/b", Board())


@pytest.mark.parametrize(
    ("name", "chip", "arch"),
    [
        ("RPI_PICO", "rp2040", "armv6m"),
        ("RPI_PICO_W", "rp2040", "armv6m"),
        ("RPI_PICO2_W", "rp2350", "armv7emsp"),
        ("ESP32_GENERIC", "esp32", "xtensawin"),
        ("ESP32_GENERIC-SPIRAM", "esp32", "xtensawin"),
        ("ESP32_GENERIC_S3", "esp32s3", "xtensawin"),
        ("ESP32_GENERIC_C3", "esp32c3", "rv32imc"),
    ],
)
def test_stock_boards_are_known_by_name(name, chip, arch):
    assert (known_board(name).chip, known_board(name).arch) == (chip, arch)
    assert known_board(name).slot == 0


def test_slots_of_our_boards_are_those_of_their_tables(repo):
    for name, board in KNOWN_BOARDS.items():
        if name.startswith("OTA_ESP32"):
            table = repo / f"boards/esp32/partitions-{'8m' if 'FLASH_8M' in name else '4m'}.csv"
            rows = [re.split(r",\s*", row) for row in table.read_text().splitlines()]
            assert [int(row[4], 0) for row in rows if row[0] in ("ota_0", "ota_1")] == [
                board.slot,
                board.slot,
            ]


def test_unknown_boards_are_unknown():
    for name in ("MY_BOARD", "RPI_PICO3", "RPI_PICO2-RISCV", "ESP32_GENERICS"):
        assert known_board(name) is None


def test_settings_of_earlier_versions_are_read(tmp_path):
    workspace = make(tmp_path / "r")
    path = tmp_path / "r" / "mpota.json"
    raw = json.loads(path.read_text())
    raw["products"] = list(raw["products"])
    path.write_text(json.dumps(raw))
    assert open_workspace(tmp_path / "r").settings == workspace.settings
    raw["products"] = {"sensor": "fridge"}
    path.write_text(json.dumps(raw))
    with pytest.raises(MpotaError, match="bad settings"):
        open_workspace(tmp_path / "r")


def test_library_is_found_where_the_package_is_installed(tmp_path, repo, monkeypatch):
    shutil.copytree(repo / "lib/ed25519/armv6m_6.3", tmp_path / "_device/ed25519/armv6m_6.3")
    monkeypatch.setattr(library, "_HERE", tmp_path)
    assert library.verifier("armv6m").is_relative_to(tmp_path)
    assert library.verifier("x86") is None


def test_wheel_has_the_verifier_of_every_chip(repo):
    text = (repo / "pyproject.toml").read_text()
    for arch in sorted(set(ARCHITECTURES.values())):
        assert library.verifier(arch).is_relative_to(repo / "lib" / "ed25519")
        assert f'"mpota/_device/ed25519/{arch}_6.3"' in text
