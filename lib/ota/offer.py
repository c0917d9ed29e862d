# SPDX-License-Identifier: MIT
"""The device's own decision: does this release belong on this device, now? Pure.

Two signed documents have to agree (DESIGN 4): `rollout` names what to run, for whom and from when;
`img-<product>` says which images are safe. Each is found by a walk of its own, and each has to
come from the role that may say it, so a stolen online key can only choose among images that the
release keys signed and that pass the floor.

`wanted` reads the rollout and answers with the image's target path, `fits` reads the image and
answers with an Offer. Either raises NotOffered with the reason in words.
"""

from hashlib import sha256

BLOCK = 4096  # bytes: every list is made for blocks of this size (SPEC 3)
_TEXT = 200  # characters of a field: some are remembered, in a record that is bounded
_NAME = 96  # characters of a file name
_TRIES = 3  # unexplained ends of a trial (power, crash, watchdog) before the bytes are rejected


class NotOffered(Exception):
    """Not an error: the answer "no", with the reason. `up_to_date` when that is the reason."""

    up_to_date = False
    offer = None


class UpToDate(NotOffered):
    """`offer`: set when it is what runs, under a new number."""

    up_to_date = True

    def __init__(self, offer=None):
        super().__init__()
        self.offer = offer


class Offer:
    """A release that this device may install: facts checked against signatures and the device."""

    def __init__(self, image, blocks, digest_size, attempt):
        custom = image.custom
        self.product = image.path.split("/")[1]
        self.kind = custom["kind"]
        self.image = image  # the Target of the raw image: path, length, hashes
        self.blocks = blocks  # target path of its block list
        self.digest_size = digest_size
        self.version = _get(custom, "version", str)
        self.seq = custom["seq"]
        self.minseq = custom["minseq"]
        self.identity = custom["identity"]
        self.twin = custom.get("twin")  # the identity of the same code, linked for the other slot
        self.needs = _needs(custom)  # [product, min, max or None]: the firmware it runs on
        self.attempt = attempt

    def pack(self, base):
        """Return the path of a pack (SPEC, Packs), or None. `base`: first 16 hex digits of the
        identity of the image that it was made against, or "".

        Nobody vouches for a pack, so a release whose packs are nonsense is still a good release.
        """
        packs = self.image.custom.get("packs")
        name = packs.get(base) if type(packs) is dict else None
        if type(name) is not str or not 0 < len(name) <= _NAME or name[0] == ".":
            return None
        for c in name:
            if not ("0" <= c <= "9" or "a" <= c <= "z" or "A" <= c <= "Z" or c in "._-"):
                return None
        return "targets/{}/{}".format(self.image.file.rpartition("/")[0], name)


def wanted(device, state, installed, image_name, now, target):
    """Return the target path of the image to install, and the number of this attempt.

    device: product, board, channel, groups, id, …; state: what the device remembers;
    installed: `seq` of the running image; now: UTC string; target: the rollout's Target or None.
    """
    if target is None:
        raise NotOffered("no rollout for this product, board and channel")
    custom = target.custom
    seq = _get(custom, "seq", int)
    attempt = _get(custom, "attempt", int)
    release = _path(custom, "release")
    if target.role != "rollout" or not release.startswith("fw/{}/".format(device["product"])):
        raise NotOffered("rollout by or of another", target.role, release)
    if seq == installed:
        raise UpToDate
    if seq < installed:
        raise NotOffered("older than what runs", seq, installed)
    if custom.get("halt", False) is not False:
        raise NotOffered("halted")
    if "not_before" in custom and now < _get(custom, "not_before", str):
        raise NotOffered("not before", custom["not_before"])
    if not _is_chosen(device, custom):
        raise NotOffered("not this device's turn")
    return release + "/" + image_name, attempt


def fits(device, state, installed, slot_size, seq, attempt, target):
    """Return the Offer of `target`, the image that the rollout with `seq` and `attempt` names.

    device, besides what `wanted` looks at: kind, chip, slot, counter, library.
    of an application: mpy (the version of .mpy files that load here, or None), arch (names of the
    native code that does), firmware ([product, seq] of the running one, or None)
    of a firmware: needs, the Offer.needs of the running application, or None
    """
    if target is None:
        raise NotOffered("no image for this device in the release")
    custom = target.custom
    if target.role != "img-" + device["product"]:
        raise NotOffered("image by another role", target.role)
    minseq = _get(custom, "minseq", int)
    if seq != _get(custom, "seq", int):
        raise NotOffered("rollout and image differ in seq", seq, custom["seq"])
    if seq <= installed:
        raise NotOffered("older than what runs", seq, installed)
    if not minseq <= seq >= state["minseq"]:
        raise NotOffered("below the floor", seq, state["minseq"])
    counter = device.get("counter", 0)
    if minseq < counter:
        raise NotOffered("the bootloader would refuse it", minseq, counter)
    for key in ("kind", "chip", "slot"):
        if custom.get(key) != device.get(key):
            raise NotOffered("not for this device", key, device.get(key))
    if device["board"] not in _get(custom, "boards", list):
        raise NotOffered("not for this device", "board", device["board"])
    if not 0 < target.length <= slot_size:
        raise NotOffered("image does not fit the slot", target.length, slot_size)
    if device["kind"] == "app":
        _check_application(device, custom)
    else:
        _check_firmware(device, custom)
    identity = _get(custom, "identity", str)
    for entry in state["rejected"]:
        if entry[:2] == [identity, attempt]:
            raise NotOffered("rejected by this device", entry[2])
    trial = state["trial"]
    if trial and (trial["identity"], trial["attempt"]) == (identity, attempt):
        if trial["tries"] >= _TRIES:
            raise NotOffered("tried without success", _TRIES)
    if custom.get("block") != BLOCK:
        raise NotOffered("not for this device", "block", BLOCK)
    return Offer(target, _path(custom, "blocks"), _get(custom, "digest", int), attempt)


def bucket(salt, device_id):
    """Return this device's place in a rollout, 0 to 9999. `salt`: str, `device_id`: bytes."""
    digest = sha256(salt.encode() + device_id).digest()
    return int.from_bytes(digest[:4], "big") % 10000


def _is_chosen(device, custom):
    if bucket(_get(custom, "salt", str), device["id"]) < _get(custom, "percent", int):
        return True
    groups = _get(custom, "groups", list)
    return any(group in groups for group in device["groups"])


def _check_application(device, custom):
    if "mpy" in custom and custom["mpy"] != device["mpy"]:
        raise NotOffered("not for this device", "mpy", device["mpy"])
    if "arch" in custom and custom["arch"] not in device["arch"]:
        raise NotOffered("not for this device", "arch", *device["arch"])
    needs = _needs(custom)
    if needs and not _is_within(needs, *(device.get("firmware") or ("", 0))):
        raise NotOffered("needs another firmware", *needs)


def _check_firmware(device, custom):
    library = device["library"]
    if library not in ("source", custom.get("mpy")) and custom.get("frozen") is not True:
        raise NotOffered("this device's ota would not load in it", library)
    needs = device.get("needs")
    if needs and not _is_within(needs, device["product"], custom["seq"]):
        raise NotOffered("the running application needs another firmware", *needs)


def _needs(custom):
    """Return what an application says about its firmware: [product, min, max or None], or None."""
    needs = custom.get("firmware")
    if needs is None:
        return None
    most = None if type(needs) is not dict or "max" not in needs else _get(needs, "max", int)
    return [_get(needs, "product", str), _get(needs, "min", int), most]


def _is_within(needs, product, seq):
    name, least, most = needs
    return product == name and least <= seq and (most is None or seq <= most)


def _get(custom, key, kind):
    """Return a field. What is signed may still be nonsense, and a slip of the tool that signed it
    must not become a crash of every device."""
    value = custom.get(key) if type(custom) is dict else None
    if type(value) is not kind or (kind is str and len(value) > _TEXT):
        raise NotOffered("malformed release", key)
    return value


def _path(custom, key):
    """Return a target path. A fetcher refuses to climb, but with a ValueError of whoever asked."""
    value = _get(custom, key, str)
    for step in value.split("/"):
        if not step.strip("."):
            raise NotOffered("malformed release", key)
    return value
