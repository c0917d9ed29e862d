# SPDX-License-Identifier: MIT
"""The device rule: every reason for which a signed release is not offered."""

import unittest

from ota.offer import NotOffered, Offer, UpToDate, bucket, fits, wanted

NOW = "2026-11-22T12:00:00Z"


class Target:
    def __init__(self, path, role, custom, length=8192):
        self.path = path
        self.role = role
        self.custom = custom
        self.length = length


def device(**changes):
    facts = {
        "product": "thermo",
        "board": "devkit",
        "channel": "stable",
        "kind": "firmware",
        "chip": "esp32",
        "groups": [],
        "id": b"\x01\x02\x03",
        "library": "source",
    }
    facts.update(changes)
    return facts


def memory(**changes):
    facts = {"minseq": 0, "rejected": [], "trial": None}
    facts.update(changes)
    return facts


def rollout(role="rollout", without=None, **changes):
    custom = {
        "release": "fw/thermo/devkit/1.1.0",
        "seq": 7,
        "percent": 10000,
        "salt": "5a17",
        "groups": [],
        "halt": False,
        "attempt": 1,
    }
    custom.update(changes)
    custom.pop(without, None)
    return Target("rollout/thermo/devkit/stable", role, custom, 0)


def image(role="img-thermo", length=8192, without=None, **changes):
    custom = {
        "kind": "firmware",
        "boards": ["devkit"],
        "chip": "esp32",
        "version": "1.1.0",
        "seq": 7,
        "minseq": 3,
        "identity": "ab" * 32,
        "mpy": "6.3",
        "frozen": False,
        "blocks": "fw/thermo/devkit/1.1.0/firmware.bin.blocks",
        "block": 4096,
        "digest": 32,
    }
    custom.update(changes)
    custom.pop(without, None)
    return Target("fw/thermo/devkit/1.1.0/firmware.bin", role, custom, length)


class TestWanted(unittest.TestCase):
    def want(self, target, installed=6, now=NOW, **changes):
        return wanted(device(**changes), memory(), installed, "firmware.bin", now, target)

    def refused(self, reason, target, **changes):
        with self.assertRaises(NotOffered) as caught:
            self.want(target, **changes)
        self.assertEqual(caught.exception.args[0], reason)

    def test_offered(self):
        self.assertEqual(self.want(rollout()), ("fw/thermo/devkit/1.1.0/firmware.bin", 1))

    def test_nothing_rolled_out(self):
        self.refused("no rollout for this product, board and channel", None)

    def test_rollout_said_by_another_role(self):
        self.refused("rollout by or of another", rollout(role="img-thermo"))

    def test_release_of_another_product(self):
        for release in ("fw/other/devkit/1.1.0", "fw/thermo", "rollout/thermo/devkit/stable"):
            self.refused("rollout by or of another", rollout(release=release))

    def test_up_to_date(self):
        self.assertRaises(UpToDate, self.want, rollout(), installed=7)

    def test_downgrade(self):
        self.refused("older than what runs", rollout(), installed=8)

    def test_halt(self):
        self.refused("halted", rollout(halt=True))

    def test_not_before(self):
        self.refused("not before", rollout(not_before="2026-11-22T12:00:01Z"))
        self.want(rollout(not_before=NOW))

    def test_percent(self):
        place = bucket("5a17", b"\x01\x02\x03")
        self.refused("not this device's turn", rollout(percent=place))
        self.want(rollout(percent=place + 1))

    def test_group_comes_first(self):
        self.want(rollout(percent=0, groups=["canary"]), groups=["canary"])
        self.refused("not this device's turn", rollout(percent=0, groups=["canary"]))

    def test_bucket_is_the_one_of_the_specification(self):
        # SHA-256("5a17" | 01 02 03) starts with this number; computed with coreutils.
        self.assertEqual(bucket("5a17", b"\x01\x02\x03"), 0x13F1CA57 % 10000)

    def test_malformed(self):
        for key, value in (
            ("seq", "7"),
            ("seq", True),
            ("seq", None),
            ("release", 5),
            ("release", ""),
            ("release", "fw/thermo/../1.1.0"),
            ("release", "fw/thermo//1.1.0"),
            ("percent", 1.5),
            ("salt", None),
            ("attempt", "1"),
            ("not_before", 5),
        ):
            self.refused("malformed release", rollout(**{key: value}))
        self.refused("malformed release", rollout(percent=0, groups="canary"))
        self.refused("malformed release", Target("rollout/a/b/c", "rollout", None, 0))
        for key in ("seq", "attempt", "release", "percent", "salt"):
            self.refused("malformed release", rollout(without=key))

    def test_halt_must_be_false_to_go(self):
        for value in (1, "", None, 0):
            self.refused("halted", rollout(halt=value))


class TestFits(unittest.TestCase):
    def fit(self, target, seq=7, installed=6, state=None, size=8192, **changes):
        return fits(device(**changes), state or memory(), installed, size, seq, 1, target)

    def refused(self, reason, target, **changes):
        with self.assertRaises(NotOffered) as caught:
            self.fit(target, **changes)
        self.assertEqual(caught.exception.args[0], reason)

    def test_offered(self):
        offer = self.fit(image())
        self.assertTrue(isinstance(offer, Offer))
        self.assertEqual((offer.version, offer.seq, offer.minseq), ("1.1.0", 7, 3))

    def test_rollout_names_nothing_in_img(self):
        self.refused("no image for this device in the release", None)

    def test_image_signed_by_the_online_role(self):
        for role in ("rollout", "targets", "img-other"):
            self.refused("image by another role", image(role=role))

    def test_mix_and_match_of_seq(self):
        self.refused("rollout and image differ in seq", image(seq=8))

    def test_downgrade(self):
        self.refused("older than what runs", image(), installed=7)

    def test_below_the_floor(self):
        self.refused("below the floor", image(), state=memory(minseq=8))
        self.fit(image(), state=memory(minseq=7))

    def test_minseq_above_seq(self):
        self.refused("below the floor", image(minseq=8))

    def test_minseq_below_the_counter_of_the_bootloader(self):
        self.refused("the bootloader would refuse it", image(minseq=3), counter=4)
        self.fit(image(minseq=4), counter=4)

    def test_another_kind(self):
        self.refused("not for this device", image(kind="app"))

    def test_another_board(self):
        self.refused("not for this device", image(boards=["devkit-s3"]))
        self.refused("malformed release", image(boards="devkit"))

    def test_another_chip(self):
        self.refused("not for this device", image(chip="esp32s3"))

    def test_too_long(self):
        self.refused("image does not fit the slot", image(length=8193))
        self.refused("image does not fit the slot", image(length=0))

    def test_library_that_would_not_load(self):
        reason = "this device's ota would not load in it"
        self.refused(reason, image(mpy="6.2"), library="6.3")
        self.refused(reason, image(), library="frozen")
        self.refused(reason, image(frozen="yes"), library="frozen")
        self.fit(image(), library="6.3")
        self.fit(image(frozen=True, mpy="7.0"), library="6.3")
        self.fit(image(mpy="7.0"), library="source")

    def test_rejected_in_this_attempt(self):
        rejected = [["ab" * 32, 1, "health check said no"]]
        self.refused("rejected by this device", image(), state=memory(rejected=rejected))
        rejected[0][1] = 2
        self.fit(image(), state=memory(rejected=rejected))

    def test_three_trials_without_a_word(self):
        trial = {"identity": "ab" * 32, "attempt": 1, "tries": 3}
        self.refused("tried without success", image(), state=memory(trial=trial))
        self.fit(image(), state=memory(trial=dict(trial, tries=2)))
        self.fit(image(), state=memory(trial=dict(trial, attempt=2)))

    def test_malformed(self):
        for key, value in (
            ("seq", None),
            ("minseq", "3"),
            ("identity", 7),
            ("version", 1),
            ("blocks", None),
            ("digest", "32"),
            ("blocks", "fw/thermo/./x"),
        ):
            self.refused("malformed release", image(**{key: value}))
        self.refused("malformed release", Target("fw/a/b/c/d", "img-thermo", None))
        for block in (8192, "4096", None):
            self.refused("not for this device", image(block=block))


class TestApplication(unittest.TestCase):
    def fit(self, without=(), **changes):
        facts = device(kind="app", chip=None, mpy="6.3", arch=("armv6m", "armv7em"))
        facts.update(changes.pop("device", {}))
        custom = dict(kind="app", chip=None, mpy="6.3")
        custom.update(changes)
        target = image(**custom)
        for key in without:
            del target.custom[key]
        return fits(facts, memory(), 6, 65536, 7, 1, target)

    def refused(self, *reason, **changes):
        with self.assertRaises(NotOffered) as caught:
            self.fit(**changes)
        self.assertEqual(caught.exception.args[: len(reason)], reason)

    def test_offered(self):
        offer = self.fit()
        self.assertEqual((offer.product, offer.kind, offer.needs), ("thermo", "app", None))
        self.fit(without=("mpy",), device={"mpy": None})
        self.fit(arch="armv6m")
        self.fit(device={"library": "6.1"})  # its library comes with it

    def test_another_mpy_version(self):
        self.refused("not for this device", "mpy", mpy="6.2")
        self.refused("not for this device", "mpy", device={"mpy": None})

    def test_native_code_of_another_core(self):
        self.refused("not for this device", "arch", arch="armv7emsp")
        self.refused("not for this device", "arch", arch="armv6m", device={"arch": ()})

    def test_kind(self):
        self.refused("not for this device", "kind", kind="firmware")
        self.refused(
            "not for this device", "kind", device={"kind": "firmware", "library": "source"}
        )

    def test_range_of_firmware(self):
        needs = {"product": "base", "min": 3, "max": 5}
        for seq in (3, 5):
            offer = self.fit(firmware=needs, device={"firmware": ("base", seq)})
            self.assertEqual(offer.needs, ["base", 3, 5])
        for running in (("base", 2), ("base", 6), ("other", 4), ("base", 0)):
            self.refused(
                "needs another firmware", "base", firmware=needs, device={"firmware": running}
            )
        self.refused("needs another firmware", firmware=needs)
        del needs["max"]
        offer = self.fit(firmware=needs, device={"firmware": ("base", 600)})
        self.assertEqual(offer.needs, ["base", 3, None])

    def test_firmware_that_the_running_application_needs(self):
        for needs, is_offered in (
            (["thermo", 7, 7], True),
            (["thermo", 1, None], True),
            (None, True),
            (["thermo", 1, 6], False),
            (["thermo", 8, None], False),
            (["other", 1, None], False),
        ):
            facts = device(needs=needs)
            if is_offered:
                fits(facts, memory(), 6, 65536, 7, 1, image())
            else:
                with self.assertRaises(NotOffered):
                    fits(facts, memory(), 6, 65536, 7, 1, image())


class TestPacks(unittest.TestCase):
    def offered(self, packs):
        target = image(packs=packs)
        target.file = target.path.replace("1.1.0/", "1.1.0/d1ge57.")
        return Offer(target, "x.blocks", 32, 1)

    def test_names_of_packs_are_files_beside_the_image(self):
        offer = self.offered({"": "a.pack", "0123456789abcdef": "b.pack"})
        self.assertEqual(offer.pack(""), "targets/fw/thermo/devkit/1.1.0/a.pack")
        self.assertEqual(offer.pack("0123456789abcdef"), "targets/fw/thermo/devkit/1.1.0/b.pack")
        self.assertIsNone(offer.pack("fedcba9876543210"))

    def test_nonsense_among_packs_is_no_pack(self):
        for packs in (None, 5, "", [], ["a.pack"], {"0": "a.pack"}):
            self.assertIsNone(self.offered(packs).pack(""))
        for name in (
            None,
            7,
            [],
            "",
            ".",
            "..",
            ".a",
            "a/b",
            "../a",
            "a b",
            "a%2e",
            "a\n",
            "a\\b",
            "\xe4",
        ) + ("a" * 97, {"a": "b"}):
            self.assertIsNone(self.offered({"": name}).pack(""))


if __name__ == "__main__":
    unittest.main()
