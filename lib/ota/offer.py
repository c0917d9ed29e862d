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

_TRIES = 3  # unexplained ends of a trial (power, crash, watchdog) before the bytes are rejected


class NotOffered(Exception):
    """Not an error: the answer "no", with the reason. `up_to_date` when that is the reason."""

    up_to_date = False


class UpToDate(NotOffered):
    up_to_date = True


class Offer:
    """A release that this device may install: facts checked against signatures and the device."""

    def __init__(self, image, blocks, digest_size, attempt):
        custom = image.custom
        self.image = image  # the Target of the raw image: path, length, hashes
        self.blocks = blocks  # target path of its block list
        self.digest_size = digest_size
        self.version = custom["version"]
        self.seq = custom["seq"]
        self.minseq = custom["minseq"]
        self.identity = custom["identity"]
        self.attempt = attempt


def wanted(device, state, installed, image_name, now, target):
    """Return the target path of the image to install, and the number of this attempt.

    device: product, board, channel, groups, id, …; state: what the device remembers;
    installed: `seq` of the running image; now: UTC string; target: the rollout's Target or None.
    """
    if target is None:
        raise NotOffered("no rollout for this product, board and channel")
    if target.role != "rollout":
        raise NotOffered("rollout signed by another role", target.role)
    custom = target.custom
    seq = _number(custom, "seq", 1)
    attempt = _number(custom, "attempt", 1)
    release = _path(custom, "release")
    if not release.startswith("fw/{}/".format(device["product"])):
        raise NotOffered("rollout names another product's release", release)
    if seq == installed:
        raise UpToDate
    if seq < installed:
        raise NotOffered("older than what runs", seq, installed)
    if custom.get("halt", False) is not False:
        raise NotOffered("rollout halted")
    if "not_before" in custom and now < _text(custom, "not_before"):
        raise NotOffered("not before", custom["not_before"])
    if not _is_chosen(device, custom):
        raise NotOffered("not this device's turn")
    return release + "/" + image_name, attempt


def fits(device, state, installed, slot_size, seq, attempt, target):
    """Return the Offer of `target`, the image that the rollout with `seq` and `attempt` names."""
    if target is None:
        raise NotOffered("no image for this device in the release")
    custom = target.custom
    if target.role != "img-" + device["product"]:
        raise NotOffered("image signed by another role", target.role)
    if _number(custom, "seq", 1) != seq:
        raise NotOffered("rollout and image differ in seq", seq, custom["seq"])
    if custom["seq"] <= installed:
        raise NotOffered("older than what runs", custom["seq"], installed)
    if custom["seq"] < state["minseq"]:
        raise NotOffered("below the floor", custom["seq"], state["minseq"])
    if _number(custom, "minseq", 0) > custom["seq"]:
        raise NotOffered("minseq above seq", custom["minseq"])
    if custom.get("kind") != device["kind"]:
        raise NotOffered("another kind of release")
    if device["board"] not in _list(custom, "boards"):
        raise NotOffered("not for this board", device["board"])
    if custom.get("chip") != device["chip"]:
        raise NotOffered("not for this chip", device["chip"])
    if not 0 < target.length <= slot_size:
        raise NotOffered("image does not fit the slot", target.length, slot_size)
    if custom.get("frozen") is not True and not _loads(device, custom):
        raise NotOffered("this device's ota would not load in it", device["library"])
    identity = _text(custom, "identity")
    if [identity, attempt] in [entry[:2] for entry in state["rejected"]]:
        raise NotOffered("rejected by this device", identity, attempt)
    trial = state["trial"]
    if trial and trial["identity"] == identity and trial["attempt"] == attempt:
        if trial["tries"] >= _TRIES:
            raise NotOffered("tried without success", trial["tries"])
    _text(custom, "version")
    if _number(custom, "block", 1) != device["block_size"]:
        raise NotOffered("blocks of another size", custom["block"])
    return Offer(target, _path(custom, "blocks"), _number(custom, "digest", 16), attempt)


def bucket(salt, device_id):
    """Return this device's place in a rollout, 0 to 9999. `salt`: str, `device_id`: bytes."""
    digest = sha256(salt.encode() + device_id).digest()
    return int.from_bytes(digest[:4], "big") % 10000


def _is_chosen(device, custom):
    if bucket(_text(custom, "salt"), device["id"]) < _number(custom, "percent", 0):
        return True
    groups = _list(custom, "groups")
    return any(group in groups for group in device["groups"])


def _loads(device, custom):
    library = device["library"]  # "source", a .mpy version such as "6.3", or "frozen"
    return library == "source" or library == custom.get("mpy")


# What is signed may still be nonsense: a slip of the tool that signed must not become a crash here.
def _number(custom, key, low):
    value = custom.get(key)
    if type(value) is not int or value < low:
        raise NotOffered("release without a proper", key)
    return value


def _text(custom, key):
    value = custom.get(key)
    if type(value) is not str or not value:
        raise NotOffered("release without a proper", key)
    return value


def _path(custom, key):
    """Return a target path. Fetchers refuse to climb, but with a ValueError of whoever asked."""
    value = _text(custom, key)
    for step in value.split("/"):
        if not step.strip("."):
            raise NotOffered("release without a proper", key)
    return value


def _list(custom, key):
    value = custom.get(key)
    if type(value) is not list:
        raise NotOffered("release without a proper", key)
    return value
