# SPDX-License-Identifier: MIT
"""Whole-firmware updates on an emulated RP2040: the bootloader, the board OTA_PICO as it is built,
`ota` in it, and a repository that `mpota` made, joined by the USB cable."""

import os
import random
from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpota import rp2040
from rp2_world import World, copy_uf2, hanging
from rp2040.pico import DeviceError, Pico

pytestmark = pytest.mark.slow

SOAK = os.environ.get("SOAK") == "1"
IMPORT = "import machine, ota_rp2\nfrom ota.errors import *\nboot = ota_rp2.Boot()\n"


@pytest.fixture(scope="module", params=["test", *["test-newer"] * SOAK])
def links(built, request):
    """Both links of the firmware, under `make soak` from a newer MicroPython too."""
    return [built(f"rp2040/{request.param}/firmware-{slot}.bin") for slot in "ab"]


@pytest.fixture(scope="module")
def world(links, tmp_path_factory):
    """A repository to which every test adds releases of its own; 1.0.0 is what boards have."""
    world = World(tmp_path_factory.mktemp("world"), links)
    world.release("1.0.0")
    world.numbers = count(2)
    return world


@pytest.fixture(scope="module")
def flash(world):
    """Flash of a board that runs 1.0.0 in slot A and has its configuration. Slot B has no record,
    and what is there differs from any release in a few blocks, so that installs are quick."""
    with Pico() as pico:
        copy_uf2(pico, world.uf2("1.0.0"))
        pico.write_flash(world.slots[1], world.image(1, "1.5.0"))
        pico.power_on()
        world.provision(pico)
        assert world.update(pico) == "up to date"
        pico.power_off()
        return pico.read_flash()


@pytest.fixture
def pico(flash):
    """The board of `flash`, off."""
    with Pico() as pico:
        pico.write_flash(0, flash)
        yield pico


def next_release(world, does="g", change=None):
    version = f"{next(world.numbers)}.0.0"
    links = world.build(version, does)
    return world.release(version, links=change(links) if change else links)


def reset(pico, until="settled", seconds=30):
    pico.begin("import machine; machine.reset()")
    return pico.run(until=until, seconds=seconds)


def runs(pico):
    """Return the slot that runs, its version, and how the last trial ended."""
    return eval(
        pico.exec(
            IMPORT + "import app; s = app.updater().status()\n"
            "print(('AB'[boot.running.number], s['version'], s['last']))"
        )
    )


def put_trial(pico, world, image, number=1, seq=2):
    """Put an image with an untried record into a slot, as an install leaves it."""
    pico.write_flash(world.slots[number], image)
    sector = rp2040.record(seq, world.slots[number], rp2040.parse_image(image), confirmed=False)
    pico.write_flash(0x2000 + 0x1000 * number, sector)


def reset_after(pico, seconds):
    """Run until the chip resets; return after how many seconds, and the cause."""
    begin = pico.counters().nanoseconds
    stop = pico.run(seconds=seconds, on_reset=True)
    assert stop.why == "reset", stop
    return (pico.counters().nanoseconds - begin) / 1e9, pico.events()[-1]


# Updates


def test_from_the_first_copy_over_usb_to_the_third_release(links, tmp_path):
    """A used board: UF2, A to B, power off and on, B to A. A record is erased once a switch."""
    world = World(tmp_path, links)
    world.release("1.0.0")
    with Pico() as pico:
        pico.write_flash(0, random.Random(1).randbytes(pico.size))
        copy_uf2(pico, world.uf2())
        pico.power_on()
        assert "run mpota provision" in pico.run(until=">>> ").text
        world.provision(pico)
        assert world.update(pico) == "up to date"  # 1.0.0 for slot B is nothing new
        assert runs(pico) == ("A", "1.0.0", None)

        confirmed = {"outcome": "confirmed", "why": ""}
        for version, slot in (("2.0.0", "B"), ("3.0.0", "A")):
            before = pico.state()["wear"]
            world.release(version)
            assert world.update(pico) == f"ready: {version}"
            assert "does g" in reset(pico).text
            expected = (slot, version, {**confirmed, "version": version})
            assert runs(pico) == expected
            assert pico.run(seconds=20, on_reset=True).why != "reset"  # nothing is armed any more
            pico.power_on()
            assert runs(pico) == expected
            wear = pico.state()["wear"]
            erased = [at for at in wear if wear[at] != before.get(at, 0)]
            records = {"A": "8192", "B": "12288"}
            assert [at for at in erased if at in records.values()] == [records[slot]]
            assert wear[records[slot]] == 1


def trap(world):
    return lambda links: hanging(links, world.slots)


@pytest.mark.parametrize(
    ("does", "outcome", "why", "ends"),
    [
        ("hangs at its first instruction", "reverted", "ended without a word", "reset: timer"),
        ("hangs in Python", "reverted", "ended without a word", "reset: forced"),
        ("is not importable", "reverted", "ended without a word", "reset: forced"),
        ("says nothing", "reverted", "ended without a word", "reset: forced"),
        (
            "errs in its health check",
            "rejected",
            "health check raised ValueError",
            "reset: forced",
        ),
    ],
)
def test_bad_release_goes_back(world, pico, does, outcome, why, ends):
    letter = does[0] if does[0] in "se" else {"hangs in Python": "h"}.get(does, "i")
    change = trap(world) if "instruction" in does else None
    release = next_release(world, letter, change)
    version = release.custom["version"]
    pico.power_on()
    assert world.update(pico) == f"ready: {version}"
    back = reset(pico, until="version 0100", seconds=20)
    assert back.why == "text" and pico.run(until="settled").why == "text"
    assert runs(pico) == ("A", "1.0.0", {"outcome": outcome, "version": version, "why": why})
    assert pico.events() == ["reset: forced", ends]
    # and the next good one is taken
    version = next_release(world).custom["version"]
    assert world.update(pico) == f"ready: {version}"
    reset(pico)
    assert runs(pico)[:2] == ("B", version)


# The trial


def test_soft_resets_do_not_prolong_a_trial(world, pico):
    """An image that does nothing but reset itself softly, for as long as it is on trial."""
    pico.power_on()
    pico.exec(
        "with open('/boot.py', 'w') as f:\n"
        "    f.write('import machine, ota_rp2\\n'\n"
        "        'if ota_rp2.Boot().on_trial: machine.soft_reset()')"
    )
    pico.power_off()
    put_trial(pico, world, world.image(1, "9.0.0"))
    pico.power_on()
    lasted, cause = reset_after(pico, 12)
    assert cause == "reset: forced" and 1.9 < lasted < 3.5  # trial_s is 2, looked at once a second
    assert pico.run(until="version 0100").why == "text"


def test_application_cannot_feed_itself_past_the_deadline(world, pico):
    put_trial(pico, world, world.image(1, "9.0.0"))
    pico.power_on()
    pico.begin("import machine\nwdt = machine.WDT(timeout=8000)\nwhile True: wdt.feed()")
    lasted, cause = reset_after(pico, 4)
    assert cause == "reset: forced" and lasted < 3.2


def test_hang_with_interrupts_off_is_bitten(world, pico):
    put_trial(pico, world, world.image(1, "9.0.0"))
    pico.power_on()
    # Slowly, for the emulator's sake.
    pico.begin(
        "import machine\nmachine.freq(48000000)\nmachine.disable_irq()\n"
        "while True: machine.mem32[0x10000000]"
    )
    lasted, cause = reset_after(pico, 10)
    assert cause == "reset: timer" and 7 < lasted < 8.4


def test_own_watchdog_of_an_application_outlives_the_trial(world, pico):
    put_trial(pico, world, world.image(1, "9.0.0"))
    pico.power_on()
    pico.exec(
        IMPORT + "wdt = machine.WDT(timeout=5000); boot.confirm(); boot.disarm(); wdt.feed()"
    )
    lasted, cause = reset_after(pico, 9)
    assert cause == "reset: timer" and 4.5 < lasted < 5.5


# What the adapter refuses


def refused(pico, code):
    return pico.exec(
        IMPORT + f"try:\n    {code}\n    print('done')\n"
        "except (OtaError, ValueError) as error:\n    print(type(error).__name__, *error.args)"
    ).strip()


class Stranger:
    """A boot key that no bootloader knows."""

    _key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = _key.public_key().public_bytes_raw()

    def sign(self, data):
        return self._key.sign(data)


def test_image_that_the_bootloader_would_refuse_is_not_made_next(world, pico):
    code = world.build("9.0.0")[1]
    good = world.sign(code, 1)
    cases = {
        "damaged": good.replace(b"version 0900", b"version 0901"),
        "signed by another": world.sign(code, 1, signer=Stranger()),
        "linked for the other slot": world.image(0, "9.0.0"),
        "without TLVs": good[: 0x100 + len(code)],
        "cut short": good[:-1],
        "blank": b"",
        "not signed at all": code,
    }
    pico.power_on()
    for name, data in cases.items():
        pico.exec(IMPORT + "boot.spare.erase(0)")
        pico.write_flash(world.slots[1], data.ljust(0x80000, b"\xff"))
        answer = refused(pico, "boot.try_next(boot.spare)")
        assert answer.startswith("ImageError"), (name, answer)
    pico.write_flash(world.slots[1], good)
    assert refused(pico, "boot.try_next(boot.spare)") == "done"
    assert reset(pico, until="version 0900").why == "text"


def test_security_counter_only_rises(world, pico):
    put_trial(pico, world, world.image(1, "9.0.0", counter=5))
    pico.power_on()
    pico.exec(IMPORT + "boot.confirm(); boot.disarm()")
    pico.exec(IMPORT + "boot.spare.erase(0)")
    pico.write_flash(world.slots[0], world.image(0, "9.1.0", counter=4))
    answer = refused(pico, "boot.try_next(boot.spare)")
    assert answer == "ImageError security counter below the running image's 4 5"
    # a record that somebody wrote all the same
    put_trial(pico, world, world.image(0, "9.1.0", counter=4), number=0, seq=3)
    pico.power_on()
    assert pico.run(until="version 0900").why == "text"


def test_release_for_the_other_slot_is_refused_before_an_erase(world, pico):
    pico.power_on()
    pico.repl()
    before = pico.counters().operations
    head = world.image(0, "9.0.0")[:4096]
    answer = refused(pico, f"boot.check_image({bytes(head[:0x110])!r}, 300000)")
    assert answer == "ImageError image linked for the other slot"
    assert pico.counters().operations == before


def test_firmware_without_the_bootloader_names_what_is_possible(world, pico):
    pico.power_on()
    pico.repl()
    pico.write_flash(0x1F00, b"\xff" * 256)
    answer = pico.exec(
        "import sys\ndel sys.modules['ota_rp2']\n"
        "try:\n    import ota_rp2\nexcept Exception as error:\n    print(error)"
    )
    assert "only application updates" in answer


def test_zero_keys_are_told(world, pico):
    boot = rp2040.set_keys(pico.read_flash(0, rp2040.BOOT_SIZE), [])
    pico.write_flash(0, boot)
    pico.power_on()
    told = "import app; print(app.updater().status()['boot_keys'])"
    assert pico.exec(told).strip() == "0"


def test_root_floor_outlives_the_file_system(world, pico):
    pico.power_on()
    assert pico.exec(IMPORT + "print(boot.root_floor)").strip() == "1"  # of the first check
    for version in (2, 5, 3):
        pico.exec(IMPORT + f"boot.raise_root_floor({version})")
    spoil(pico, world)
    pico.power_on()
    assert pico.exec(IMPORT + "print(boot.root_floor)").strip() == "5"
    world.provision(pico)
    with pytest.raises(DeviceError, match="TrustError"):
        world.update(pico)


# The file system


def test_flash_of_applications_is_the_file_system(pico):
    """The recipe that everybody knows: the port's own rp2.Flash() begins with the records here."""
    before = pico.read_flash(0, 0x8000)
    pico.power_on()
    told = pico.exec(
        "import os, rp2, vfs\n"
        "vfs.umount('/')\n"
        "vfs.VfsLfs2.mkfs(rp2.Flash(), progsize=256)\n"
        "vfs.mount(vfs.VfsLfs2(rp2.Flash(), progsize=256), '/')\n"
        "sizes = [rp2.Flash(**a).ioctl(4, 0) for a in ({}, dict(start=4096), dict(len=4096))]\n"
        "for args in (dict(start=-4096), dict(start=40 * 4096), dict(start=4096, len=163840)):\n"
        "    try: rp2.Flash(**args)\n"
        "    except ValueError: sizes.append('refused')\n"
        "print(os.listdir('/'), sizes)"
    )
    assert told.strip() == "[] [40, 39, 1, 'refused', 'refused', 'refused']"
    pico.power_on()
    assert "version 0100" in pico.run(until="version 0100").text
    assert pico.read_flash(0x2000, 0x6000) == before[0x2000:]


def test_file_system_that_reads_again_in_the_second_boot_is_kept(world, pico):
    """As after a dip of the supply that lasted for both judgements of two boots."""
    info = rp2040.read_info(pico.read_flash(0, rp2040.BOOT_SIZE))
    good = pico.read_flash(info.fs, 8192)
    spoil(pico, world)
    pico.power_on()
    assert pico.run(seconds=5, on_reset=True).why == "reset"
    assert pico.run(until=">>> ", seconds=1.5).why == "time"  # it waits
    pico.write_flash(info.fs, good)
    assert "settled" in pico.run(until="settled", seconds=5).text
    assert "ota-state" in pico.exec("import os; print(os.listdir('/'))")
    assert pico.read_flash(0x6000, 256) == b"\xff" * 256


def spoil(pico, world):
    """Damage both blocks without which LittleFS does not mount."""
    info = rp2040.read_info(pico.read_flash(0, rp2040.BOOT_SIZE))
    pico.write_flash(info.fs, random.Random(2).randbytes(8192))


def test_lost_file_system_is_made_anew_in_the_second_boot(world, pico):
    spoil(pico, world)
    pico.power_on()
    assert pico.exec("import os; print(os.listdir('/'))").strip() == "[]"
    assert pico.events() == ["reset: forced"]  # the first boot only noted it
    pico.exec("open('/kept', 'w').close()")
    pico.power_on()
    assert pico.exec("import os; print(os.listdir('/'))").strip() == "['kept']"
    assert pico.read_flash(0x6000, 256) == b"\xff" * 256
    assert len(pico.events()) == 1


def test_file_system_that_a_new_image_cannot_read_is_left_to_the_old_one(world, pico):
    """Here neither can; what counts is that the image on trial does not make it anew."""
    put_trial(pico, world, world.image(1, "9.0.0"))
    spoil(pico, world)
    before = pico.read_flash(0x1D8000, 8192)
    pico.power_on()
    assert pico.run(seconds=5, on_reset=True).why == "reset"
    assert pico.read_flash(0x1D8000, 8192) == before
    assert "version 0100" in pico.run(until=">>> ").text  # it went back, and found the note
    assert pico.exec("import os; print(os.listdir('/'))").strip() == "[]"
