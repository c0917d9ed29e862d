# SPDX-License-Identifier: MIT
"""`mpota` for an RP2040: two links make a release, a release makes a UF2, and imgtool agrees."""

import struct
import subprocess
import sys
from hashlib import sha512
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpota import bootkeys, cli, factory, links, names, provision, release, rp2040
from mpota.errors import MpotaError
from mpota.repository import open_repository
from mpota.workspace import KNOWN_BOARDS, open_workspace
from mpota_world import (
    NOW,
    PICO,
    clone,
    first_root,
    link,
    make,
    make_pico,
    make_pico_release,
    nobody,
    publish_to,
    put_links,
    see,
    wanted,
)

SLOT = KNOWN_BOARDS[PICO].slot
SLOTS = (0x8000, 0x8000 + SLOT)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A repository with release 1 for OTA_PICO. Read only: `clone` it to change it."""
    workspace = make_pico(tmp_path_factory.mktemp("first") / "r")
    make_pico_release(workspace, "1")
    return workspace


@pytest.fixture
def work(first, tmp_path):
    return clone(first, tmp_path / "r")


def parts(workspace, version):
    targets = open_repository(workspace).role("img-sensor").signed.targets
    return [targets[f"fw/sensor/{PICO}/{version}/firmware-{slot}.bin"] for slot in "ab"]


def stored(workspace, target):
    return (workspace.targets / target.get_prefixed_paths()[0]).read_bytes()


# Images


def imgtool(*arguments):
    done = subprocess.run(
        [Path(sys.executable).with_name("imgtool"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize("number", [0, 1])
def test_imgtool_makes_the_same_image_byte_for_byte(work, tmp_path, number):
    key = work.folder / "keys" / "boot.pem"
    signer = bootkeys.open_signer(work, nobody)
    address = rp2040.XIP_BASE + SLOTS[number]
    ours = rp2040.make_image(link(number), address, 7, "1.22.333+4444", signer)
    (tmp_path / "in.bin").write_bytes(link(number))
    imgtool(
        *("sign", "--sha", 512, "-k", key, "-H", "0x100", "--pad-header", "-S", SLOT),
        *("--align", 4, "-v", "1.22.333+4444", "-F", address, "-s", 7),
        *(tmp_path / "in.bin", tmp_path / "out.img"),
    )
    assert ours == (tmp_path / "out.img").read_bytes()


def test_imgtool_finds_every_image_of_a_release_whole_and_signed(work, tmp_path):
    key = work.folder / "keys" / "boot.pem"
    for target in parts(work, "1"):
        (tmp_path / "image.img").write_bytes(stored(work, target))
        assert "Image was correctly validated" in imgtool(
            "verify", "-k", key, tmp_path / "image.img"
        )


@pytest.mark.parametrize(
    ("text", "version"),
    [("1.2.3", "1.2.3+0"), ("2", "2.0.0+0"), ("1.2.3+4", "1.2.3+4"),
     ("nightly", "0.0.0+0"), ("256.0.0", "0.0.0+0"), ("1.2.3-rc1", "0.0.0+0")],
)  # fmt: skip
def test_version_in_the_header_is_for_people(work, text, version):
    signer = bootkeys.open_signer(work, nobody)
    made = rp2040.make_image(link(0), rp2040.XIP_BASE + SLOTS[0], 0, text, signer)
    assert rp2040.parse_image(made).version == version


# Releases


def test_custom_is_exactly_what_the_specification_says(work):
    images = [rp2040.parse_image(stored(work, target)) for target in parts(work, "1")]
    for number, target in enumerate(parts(work, "1")):
        assert target.custom == {
            "kind": "firmware",
            "boards": [PICO],
            "chip": "rp2040",
            "version": "1",
            "seq": 1,
            "minseq": 0,
            "identity": images[number].identity,
            "slot": "ab"[number],
            "twin": images[1 - number].identity,
            "mpy": "6.3",
            "frozen": True,
            "blocks": target.path + ".blocks",
            "block": 4096,
            "digest": 16,
        }
        image = images[number]
        assert (image.address, image.counter) == (rp2040.XIP_BASE + SLOTS[number], 0)
        assert image.identity == sha512(image.data[: 0x100 + 9000 + 12]).hexdigest()
        assert rp2040.is_signed(image, bootkeys.publics(work)[:1])


def test_security_counter_is_minseq(work):
    make_pico_release(work, "2", minseq=2)
    assert [rp2040.parse_image(stored(work, t)).counter for t in parts(work, "2")] == [2, 2]


def test_order_of_the_two_links_does_not_matter(work, tmp_path):
    make_pico_release(work, "2", put_links(tmp_path)[::-1])
    images = [stored(work, target) for target in parts(work, "2")]
    assert [rp2040.parse_image(i).address - rp2040.XIP_BASE for i in images] == list(SLOTS)


def test_a_device_sees_both_images(work, tmp_path):
    publish_to(work, tmp_path / "www")
    seen = see(tmp_path / "www", first_root(work))
    assert [(r.slot, r.seq, r.problem) for r in seen.releases] == [("a", 1, ""), ("b", 1, "")]
    assert [(r.seq, r.problem) for r in seen.rollouts] == [(1, "")]


@pytest.mark.parametrize("slot", ["a", "b"])
def test_release_that_lacks_a_slot_is_a_problem(work, tmp_path, slot):
    repository = open_repository(work)
    targets = repository.role("img-sensor").signed.targets
    for path in [path for path in targets if f"-{slot}.bin" in path]:
        del targets[path]
    repository.touch("img-sensor")
    repository.commit(work.keyring(nobody), NOW)
    publish_to(work, tmp_path / "www")
    seen = see(tmp_path / "www", first_root(work))
    assert "no image for this device" in seen.rollouts[0].problem


def test_old_releases_go_with_all_their_files(work):
    for version in "23456":
        make_pico_release(work, version)
    targets = open_repository(work).role("img-sensor").signed.targets
    assert len(targets) == 4 * 4 and not [path for path in targets if "/2/" in path]


def test_the_same_again_is_the_same_code_under_a_new_number(work):
    make_pico_release(work, "2", minseq=2)
    repository = open_repository(work)
    signer = bootkeys.open_signer(work, nobody)
    again = release.prepare_again(repository, wanted("1", boards=[PICO]), signer)
    assert (again.custom["seq"], again.custom["minseq"]) == (3, 2)
    assert [p.custom["slot"] for p in again.parts] == ["a", "b"]
    for number, part in enumerate(again.parts):
        assert rp2040.code_of(part.image, "again") == link(number, "1")
        assert rp2040.parse_image(part.image).counter == 2


def test_the_same_again_without_a_new_floor_is_the_same_image(work):
    signer = bootkeys.open_signer(work, nobody)
    again = release.prepare_again(open_repository(work), wanted("1", boards=[PICO]), signer)
    assert [p.image for p in again.parts] == [stored(work, t) for t in parts(work, "1")]


def refuse(work, paths, words, **changes):
    what = wanted("2", **{"boards": [PICO], **changes})
    signer = bootkeys.open_signer(work, nobody)
    with pytest.raises(MpotaError, match=words):
        release.prepare_slots(open_repository(work), what, paths, signer)


def test_what_is_refused(work, tmp_path):
    good = put_links(tmp_path)
    (tmp_path / "text").write_bytes(b"no firmware" * 100)
    refuse(work, [good[0], good[0]], "not one image for each slot")
    refuse(work, good[:1], "not one image for each slot")
    refuse(work, [good[0], tmp_path / "text"], "not a firmware that is linked for a slot")
    refuse(work, [good[0], tmp_path / "absent"], "cannot read")
    refuse(work, put_links(tmp_path, "5", length=SLOT), "larger than the slot")
    refuse(work, good, "unknown", boards=["mystery"])
    refuse(work, good, "has an esp32", boards=["ESP32_GENERIC-OTA"])
    refuse(work, good, "different addresses", boards=[PICO, f"{PICO}-FLASH_4M"])
    with pytest.raises(MpotaError, match="released already"):
        make_pico_release(work, "1")


def test_image_that_is_signed_already_is_no_link(work, tmp_path):
    path = tmp_path / "signed.bin"
    path.write_bytes(stored(work, parts(work, "1")[0]))
    refuse(work, [path, put_links(tmp_path)[1]], "not a firmware that is linked for a slot")


# What is in a link


@pytest.fixture(scope="module")
def real(built):
    """The two links of the firmware that the tests run on the emulated board."""
    return [built(f"rp2040/test/firmware-{slot}.bin") for slot in "ab"]


def test_links_that_were_built_are_taken(real):
    a, b = (links.read(path.read_bytes(), SLOT, path) for path in real)
    assert (a.slot, b.slot, a.pico_board) == (0, 1, "pico")
    assert {"ota", "ota_rp2", "app"} <= a.modules and links.FACTORY not in a.modules
    links.check_pair(a, b, "")


def test_firmware_for_another_board_is_refused(work, real, tmp_path):
    words = "firmware for pico, but OTA_PICO_W is a pico_w: .*give the firmware of OTA_PICO_W"
    refuse(work, real, words, boards=["OTA_PICO_W"])
    refuse(work, put_links(tmp_path), words, boards=[PICO, "OTA_PICO_W"])
    words = "firmware for pico_w, but OTA_PICO is a pico"
    refuse(work, put_links(tmp_path, board="pico_w"), words)


def test_board_of_ones_own_may_be_any(work, tmp_path):
    what = wanted("2", boards=["mine"], chip="rp2040", slot=SLOT)
    signer = bootkeys.open_signer(work, nobody)
    paths = put_links(tmp_path, board="mine")
    made = release.prepare_slots(open_repository(work), what, paths, signer)
    assert made.path == "fw/sensor/mine/2"


@pytest.mark.parametrize("keep", [0x60, 0xD0, 0x100, 0x8000, -0x1000, -4, -1])
def test_link_that_is_cut_short_is_refused(work, real, tmp_path, keep):
    (tmp_path / "cut").write_bytes(real[0].read_bytes()[:keep])
    refuse(work, [tmp_path / "cut", real[1]], "cut short|not a firmware that|without binary info")


def test_link_that_goes_on_is_refused(work, real, tmp_path):
    (tmp_path / "more").write_bytes(real[1].read_bytes() + bytes(3))
    refuse(work, [real[0], tmp_path / "more"], "3 other bytes follow the firmware")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"modules": ("ota", "ota_factory")}, "ota_factory is in one only"),
        ({"length": 9004}, "9000 and 9004 bytes"),
        ({"texts": ((0x5052, 0x9DA22254, "Nov 23 2026"),)}, "versions, dates or flash sizes"),
    ],
)
def test_links_of_two_builds_are_refused(work, tmp_path, other, words):
    (tmp_path / "other").mkdir()
    a, b = put_links(tmp_path)[0], put_links(tmp_path / "other", **other)[1]
    refuse(work, [a, b], f"links of two different builds .*{words}.*of one build")


def test_links_for_two_boards_are_refused_whatever_the_board(work, tmp_path):
    (tmp_path / "other").mkdir()
    paths = [
        put_links(tmp_path, board="this1")[0],
        put_links(tmp_path / "other", board="that1")[1],
    ]
    words = "two different builds .for this1 and that1"
    refuse(work, paths, words, boards=["mine"], chip="rp2040", slot=SLOT)


def test_link_a_of_the_other_flash_map_is_refused():
    four = 0x158000
    a, b = (
        links.read(link(n, slot_size=four, storage=size), four, "file")
        for n, size in enumerate((0x1FE000, 0x3FE000))
    )
    with pytest.raises(MpotaError, match="flash sizes differ"):
        links.check_pair(a, b, "")


def test_link_b_of_the_other_flash_map_is_named(work, tmp_path):
    words = "linked for the 4 MB map at 0x10160100: .*build it for 2 MB: without BOARD_VARIANT"
    refuse(work, put_links(tmp_path, slot_size=0x158000), words)
    words = "linked for the 2 MB map at 0x100f0100: .*with BOARD_VARIANT=FLASH_4M"
    refuse(work, put_links(tmp_path), words, boards=[f"{PICO}-FLASH_4M"])
    refuse(work, put_links(tmp_path), "give a build for the board's", chip="rp2040", slot=0x100000)


def test_no_byte_of_the_binary_info_can_break_the_reader():
    good = link(0, modules=("ota", "ota_factory"))
    for at in range(0xC0, 0x180):
        for value in (0x00, 0x7F, 0x80, 0xFF, good[at] ^ 1):
            data = good[:at] + bytes((value,)) + good[at + 1 :]
            try:
                links.read(data, SLOT, "file")
            except MpotaError:
                continue


@pytest.mark.parametrize(
    ("at", "word"),
    [(0xC4, 0), (0xC4, 0xFFFFFFFF), (0xC8, 0xFFFFFFFF), (0xC8, 0x10008100), (0xD4, 0),
     (0xD4, 0x1000A425)],
)  # fmt: skip
def test_pointers_out_of_the_file_are_not_followed(at, word):
    data = bytearray(link(0))
    struct.pack_into("<I", data, at, word)
    with pytest.raises(MpotaError, match="cut short or damaged"):
        links.read(bytes(data), SLOT, "file")


@pytest.mark.parametrize("to", [0, 0x10008000, 0x10008100 + 8999, 0x1000A428, 0xFFFFFFFF])
def test_text_that_does_not_end_in_the_file_is_not_read(to):
    good = link(0)
    data = bytearray(good)
    struct.pack_into("<I", data, good.index(struct.pack("<I", 0xB63CFFBB)) + 4, to)
    with pytest.raises(MpotaError, match="cut short or damaged"):
        links.read(bytes(data), SLOT, "file")


def test_firmware_without_a_board_is_refused(work, tmp_path):
    refuse(work, put_links(tmp_path, board=None), "does not say its board")


@pytest.mark.parametrize(("version", "warnings"), [("1", 1), ("other", 0)])
def test_the_same_firmware_again_is_worth_a_word(work, tmp_path, version, warnings):
    made = make_pico_release(work, "2", put_links(tmp_path, version)).release
    assert len(made.warnings) == warnings
    assert all(f"the same firmware as fw/sensor/{PICO}/1;" in line for line in made.warnings)


def test_missing_factory_files_are_worth_a_word(work, tmp_path):
    (tmp_path / "with").mkdir()
    with_factory = put_links(tmp_path / "with", modules=("ota", links.FACTORY))
    assert make_pico_release(work, "2", with_factory).release.warnings == ()
    made = make_pico_release(work, "3", put_links(tmp_path, "3")).release
    assert len(made.warnings) == 1 and "/2 has ota_factory frozen in it" in made.warnings[0]
    assert make_pico_release(work, "4", put_links(tmp_path, "4")).release.warnings == ()


# Keys


def test_repository_for_an_rp2040_has_two_boot_keys(work):
    assert list(work.settings.boot_keys) == ["boot", "boot-spare"]
    assert len(set(bootkeys.publics(work))) == 2
    for name in work.settings.boot_keys:
        path = work.folder / "keys" / f"{name}.pem"
        assert path.stat().st_mode & 0o777 == 0o600


def test_boot_keys_are_encrypted_like_the_others(tmp_path):
    workspace = make_pico(tmp_path / "r", passphrase="secret")
    assert b"ENCRYPTED" in (workspace.folder / "keys" / "boot.pem").read_bytes()[:40]
    asked = []
    signer = bootkeys.open_signer(workspace, lambda name: asked.append(name) or iter(["secret"]))
    assert asked == ["boot"] and signer.public == bootkeys.publics(workspace)[0]


def test_other_repositories_have_none(tmp_path):
    workspace = make(tmp_path / "r")
    assert workspace.settings.boot_keys == {} and not (tmp_path / "r/keys/boot.pem").exists()
    with pytest.raises(MpotaError, match="no boot_keys"):
        bootkeys.open_signer(workspace, nobody)


def test_settings_from_before_there_were_boot_keys_are_read(tmp_path):
    workspace = make(tmp_path / "r")
    path = workspace.folder / "mpota.json"
    path.write_text(path.read_text().replace(',\n  "boot_keys": {}', ""))
    assert open_workspace(workspace.folder).settings.boot_keys == {}


def test_the_spare_key_signs_when_the_first_is_lost(work):
    (work.folder / "keys" / "boot.pem").unlink()
    made = make_pico_release(work, "2").release
    image = rp2040.parse_image(made.image)
    assert rp2040.is_signed(image, bootkeys.publics(work)[1:])
    factory.make(open_repository(work), "sensor", PICO, "2")  # bootloaders know both
    (work.folder / "keys" / "boot-spare.pem").unlink()
    with pytest.raises(MpotaError, match="no private key of the bootloader at hand"):
        make_pico_release(work, "3")


# UF2


def flash_of(uf2):
    """Return what the boot ROM would write: bytes by address."""
    pages = {}
    for at in range(0, len(uf2), 512):
        head = struct.unpack_from("<8I", uf2, at)
        assert head[0] == 0x0A324655 and head[7] == 0xE48BFF56
        assert head[5:7] == (at // 512, len(uf2) // 512)
        pages[head[3] - rp2040.XIP_BASE] = uf2[at + 32 : at + 32 + head[4]]
    return pages


def test_uf2_holds_bootloader_with_keys_record_and_slot_a(work):
    made = factory.make(open_repository(work), "sensor", PICO, None)
    assert (made.release, made.keys, made.fs_size) == (f"fw/sensor/{PICO}/1", 2, 160 << 10)
    pages = flash_of(made.data)
    boot = b"".join(pages[at] for at in range(0, 0x2000, 256))
    assert rp2040.read_info(boot).keys == tuple(bootkeys.publics(work))
    image = stored(work, parts(work, "1")[0])
    assert b"".join(pages[at] for at in sorted(pages) if at >= 0x8000).startswith(image)
    assert (
        pages[0x2000] == rp2040.record(1, 0x8000, rp2040.parse_image(image), confirmed=True)[:256]
    )
    assert pages[0x2100][4:8] == bytes(4)  # confirmed
    assert pages[0x3000] == pages[0x3100] == b"\xff" * 256


def test_uf2_of_the_4_mb_map(tmp_path):
    board = f"{PICO}-FLASH_4M"
    size = KNOWN_BOARDS[board].slot
    workspace = make(tmp_path / "r", boards={board: KNOWN_BOARDS[board]})
    what = wanted("1", boards=[board])
    repository = open_repository(workspace)
    signer = bootkeys.open_signer(workspace, nobody)
    made = release.prepare_slots(repository, what, put_links(tmp_path, slot_size=size), signer)
    release.publish_release(repository, made, what, workspace.keyring(nobody), NOW)
    made = factory.make(open_repository(workspace), "sensor", board, None)
    assert made.flash_size == 4 << 20 and made.fs_size > 1 << 20


def test_uf2_of_an_older_release(work):
    make_pico_release(work, "2")
    assert factory.make(open_repository(work), "sensor", PICO, None).release.endswith("/2")
    assert factory.make(open_repository(work), "sensor", PICO, "1").release.endswith("/1")
    with pytest.raises(MpotaError, match="no release 9"):
        factory.make(open_repository(work), "sensor", PICO, "9")
    with pytest.raises(MpotaError, match="not an RP2040 board"):
        factory.make(open_repository(work), "sensor", "ESP32_GENERIC-OTA", None)


def test_uf2_of_an_image_that_no_known_key_signed_is_refused(work):
    path = work.folder / "mpota.json"
    text = path.read_text()
    for key in work.settings.boot_keys.values():
        stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        text = text.replace(key.public, stranger.hex())
    path.write_text(text)
    with pytest.raises(MpotaError, match="not signed by a key of the bootloader"):
        factory.make(open_repository(open_workspace(work.folder)), "sensor", PICO, None)


# The command line, and what a device gets


def test_from_nothing_to_a_uf2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    put_links(tmp_path)
    for line in (
        "init --board OTA_PICO --no-passphrase",
        "release 1-firmware-a.bin 1-firmware-b.bin --version 1.0.0",
        "uf2 sensor.uf2",
    ):
        assert cli.main(line.split()) == 0
    out = capsys.readouterr().out
    assert "boot-spare" in out and "2 boot keys, 160 KB left for files" in out
    repository = open_repository(open_workspace(tmp_path / "ota-repo"))
    assert repository.images("firmware")[f"fw/firmware/{PICO}/1.0.0"].custom["frozen"] is True


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "release a.bin --version 2",
            "takes two images: firmware-a.bin and firmware-b.bin; not a.bin",
        ),
        ("release a b c --version 2", "takes two images"),
    ],
)
def test_wrong_number_of_images_is_usage(work, line, words, capsys):
    assert cli.main([*line.split(), "--repo", str(work.folder)]) == 2
    assert words in capsys.readouterr().err


def test_warnings_are_on_stderr(work, tmp_path, capsys):
    a, b = put_links(tmp_path)
    line = f"release {a} {b} --version 2 --repo {work.folder} --dry-run"
    assert cli.main(line.split()) == 0
    assert f"mpota: the same firmware as fw/sensor/{PICO}/1;" in capsys.readouterr().err


def test_unknown_board_is_not_taken_for_an_esp32(work, tmp_path, capsys):
    line = f"release {put_links(tmp_path)[0]} --version 2 --board PICO --repo {work.folder}"
    assert cli.main(line.split()) == 1
    assert "board is unknown: PICO; known: OTA_PICO, " in capsys.readouterr().err


def test_uf2_before_a_release_says_so(tmp_path, capsys):
    make_pico(tmp_path / "r")
    assert cli.main(["uf2", str(tmp_path / "x.uf2"), "--repo", str(tmp_path / "r")]) == 1
    assert f"no release: sensor/{PICO}; run mpota release first" in capsys.readouterr().err


def what_a_device_gets(work):
    return provision.Wanted(
        product="sensor",
        board=PICO,
        channel="stable",
        urls=["https://updates.example.com/"],
        ca=b"ca",
        groups=[],
        utc=names.time_text(NOW),
        trial_s=60,
        frozen=True,
    )


def test_provision_leaves_out_what_the_firmware_has(work, tmp_path):
    provision.provision(work, tmp_path / "device", what_a_device_gets(work))
    got = [p.relative_to(tmp_path / "device").as_posix() for p in (tmp_path / "device").rglob("*")]
    assert sorted(got) == [
        *("ota-state", "ota-state/ca.der", "ota-state/config.json", "ota-state/root.json"),
    ]


def test_frozen_files_stand_in_for_those_that_a_device_has_lost(work, tmp_path, monkeypatch):
    from ota import wiring
    from ota.errors import StateError

    provision.factory(work, tmp_path / "frozen", what_a_device_gets(work))
    monkeypatch.syspath_prepend(tmp_path / "frozen")
    monkeypatch.setitem(sys.modules, "ota_factory", None)  # so that what is imported is forgotten
    del sys.modules["ota_factory"]
    lost = str(tmp_path / "lost")
    assert wiring.config(lost)["trial_s"] == 60
    assert wiring._open(lost, "root.json").read() == first_root(work)
    with pytest.raises(StateError, match="missing"):
        wiring._open(lost, "other")
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "config.json").write_text('{"trial_s": 5}')
    assert wiring.config(lost)["trial_s"] == 5  # a file goes before
