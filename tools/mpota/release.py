# SPDX-License-Identifier: MIT
"""Make a release: an image, its block list, and what the owner says about them.

A device will accept what is signed here if its own rules (`lib/ota/offer.py`) find it fit, so
everything that could only fail there is refused here: a wrong chip, an image that is too long for
the slot, a `seq` that does not rise, a `minseq` that falls or lies above its own `seq`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from tuf.api.metadata import TargetFile

from mpota import app, esp32, files, links, names, packs, rollout, rp2040
from mpota.errors import MpotaError
from mpota.keys import Keyring
from mpota.repository import Committed, Repository, check_no_pending
from mpota.workspace import KNOWN_BOARDS, Board, Workspace, known_board

BLOCK = 4096  # erase unit of every supported flash (SPEC 3)
DIGEST = 16  # of SHA-256 in a block list; the bootloader checks the whole image with all of it
MAX_SEQ = 2**31 - 1
_OWN = ("mpy", "arch", "firmware", "library")  # what an application's custom may have besides


@dataclass(frozen=True)
class Wanted:
    """What the owner asks for; None where the default is meant."""

    product: str
    boards: list[str]
    version: str
    channel: str
    seq: int | None = None
    minseq: int | None = None
    chip: str | None = None
    slot: int | None = None
    mpy: str | None = "6.3"
    frozen: bool = False
    first: rollout.Change = rollout.NO_CHANGE  # how its rollout starts (solo)
    deltas: int | None = None  # packs: from how many releases before; None: no pack at all
    digest: int | None = None  # bytes of SHA-256 that a list keeps for each block


@dataclass(frozen=True)
class Tree:
    """The files of an application release, and what depends on them in its custom (SPEC 2)."""

    files: dict[str, bytes]
    custom: dict[str, Any]  # mpy, arch, firmware, library: those that apply


@dataclass(frozen=True)
class Part:
    """An image of a release: two files and what will be signed about them."""

    name: str
    image: bytes
    blocks: bytes
    custom: dict[str, Any]


@dataclass(frozen=True)
class Release:
    """A release that passed every check. An RP2040 has an image for each slot."""

    path: str  # fw/<product>/<board>/<version>
    parts: tuple[Part, ...]
    warnings: tuple[str, ...] = ()  # what is allowed, but hardly meant

    @property
    def image(self) -> bytes:
        return self.parts[0].image

    @property
    def custom(self) -> dict[str, Any]:
        return self.parts[0].custom

    @property
    def identity(self) -> str:
        return str(self.custom["identity"])


@dataclass(frozen=True)
class Released:
    release: Release
    committed: Committed
    rollouts: dict[str, dict[str, Any]]  # rollout targets that name it now -> custom
    dropped: list[str]  # releases that left the img role
    packs: tuple[packs.Made, ...] = ()

    def facts(self) -> dict[str, Any]:
        custom = self.release.custom
        return {
            "release": self.release.path,
            "version": custom["version"],
            "seq": custom["seq"],
            "minseq": custom["minseq"],
            "identity": custom["identity"],
            "kind": custom["kind"],
            "boards": custom["boards"],
            "chip": custom.get("chip"),
            "length": len(self.release.image),
            "rollouts": list(self.rollouts),
            "dropped": self.dropped,
            "written": self.committed.written,
            "missing": [asdict(entry) for entry in self.committed.missing],
            "packs": [pack.facts() for pack in self.packs],
        }


def block_list(image: bytes, digest: int = DIGEST) -> bytes:
    """Return the first `digest` bytes of SHA-256 of each block, the last one filled up with 0xFF
    (SPEC 3)."""
    digests = []
    for at in range(0, len(image), BLOCK):
        digests.append(sha256(image[at : at + BLOCK].ljust(BLOCK, b"\xff")).digest()[:digest])
    return b"".join(digests)


def prepare(
    repository: Repository, wanted: Wanted, image: Path, table: Path | None = None
) -> Release:
    """Check `image` and return the release that it makes. Writes nothing, needs no key."""
    first = _check_names(wanted)
    path = names.release_path(wanted.product, first, wanted.version)
    if path in repository.images(wanted.product):
        todo = f"choose another version, or use --again {wanted.version}"
        raise MpotaError("released already", path, todo)
    found, told = esp32.read_image(image)
    if table is not None:
        told = esp32.slot_size(esp32.read_table(table))
        if told is None:
            raise MpotaError("no two OTA slots in the partition table", table, "use --slot-size")
    for name in wanted.boards:
        board = _board(repository.workspace, name, wanted, found.chip, told)
        if found.chip != board.chip:
            todo = f"build it for {board.chip}, or name the right board"
            raise MpotaError(
                f"image for {found.chip}, but {name} has an {board.chip}", image, todo
            )
        size = board.slot if told is None or wanted.slot else min(board.slot, told)
        if len(found.data) > size:
            what = f"image of {len(found.data)} bytes is larger than {name}'s slot of {size}"
            raise MpotaError(what, image, "make it smaller, or repartition the devices by USB")
    made = _release(repository, wanted, path, found)
    newest = _newest(repository, wanted)
    if newest and repository.images(wanted.product)[newest].custom["identity"] == found.identity:
        return replace(made, warnings=(_same(newest),))
    return made


def prepare_slots(
    repository: Repository, wanted: Wanted, images: Sequence[Path], signer: rp2040.BootSigner
) -> Release:
    """Check the two links of a firmware for RP2040, firmware-a.bin and firmware-b.bin, and return
    the release that they make. `signer` is asked for one signature for each."""
    path = names.release_path(wanted.product, _check_names(wanted), wanted.version)
    if path in repository.images(wanted.product):
        todo = f"choose another version, or use --again {wanted.version}"
        raise MpotaError("released already", path, todo)
    size = slot_size(repository.workspace, wanted)
    both: dict[int, links.Link] = {}
    for file in images:
        link = links.read(esp32.read_file(file), size, file)
        for board in wanted.boards:
            links.check_board(link, board, file)
        both[link.slot] = link
    files_given = " ".join(map(str, images))
    if len(images) != 2 or len(both) != 2:
        todo = "give firmware-a.bin and firmware-b.bin of one build"
        raise MpotaError("not one image for each slot", files_given, todo)
    links.check_pair(both[0], both[1], files_given)
    codes = [both[0].code, both[1].code]
    made = _slots_release(repository, wanted, path, codes, size, signer)
    return replace(made, warnings=_compare_links(repository, wanted, both[0], size))


def _compare_links(
    repository: Repository, wanted: Wanted, link: links.Link, size: int
) -> tuple[str, ...]:
    """Return what is odd about the link for slot A after the board's newest release."""
    path = _newest(repository, wanted)
    target = path and _released(repository, wanted, path, names.image_name(names.SLOTS[0]))
    if not path or not target:
        return ()
    try:
        code = rp2040.code_of(*_stored(repository, target))
        if code == link.code:
            return (_same(path),)
        old = links.read(code, size, path)
    except MpotaError:  # nothing to compare with is no reason not to release
        return ()
    if links.FACTORY in old.modules - link.modules:
        return (
            f"{path} has {links.FACTORY} frozen in it and this has not; if that is not meant,"
            " build it with OTA_FACTORY",
        )
    return ()


def _newest(repository: Repository, wanted: Wanted) -> str | None:
    """Return the path of the newest release for the first board."""
    for path, image in reversed(repository.images(wanted.product).items()):
        if wanted.boards[0] in image.custom["boards"]:
            return path
    return None


def _same(path: str) -> str:
    return f"the same firmware as {path}; if that is not meant, build it anew"


def prepare_app(repository: Repository, wanted: Wanted, tree: Tree) -> Release:
    """Check the files of an application and return the release that they make."""
    path = names.release_path(wanted.product, _check_names(wanted), wanted.version)
    if path in repository.images(wanted.product):
        todo = f"choose another version, or use --again {wanted.version}"
        raise MpotaError("released already", path, todo)
    app.check_files(tree.files, path)
    listed = app.file_list(tree.files, wanted.digest or app.DIGEST)
    made = _app_release(repository, wanted, path, app.image(tree.files), listed, tree.custom)
    newest = _newest(repository, wanted)
    if newest and repository.images(wanted.product)[newest].custom["identity"] == made.identity:
        what = f"the same application as {newest}; if that is not meant, look which folder it was"
        return replace(made, warnings=(what,))
    return made


def _app_release(
    repository: Repository,
    wanted: Wanted,
    path: str,
    image: bytes,
    listed: bytes,
    own: dict[str, Any],
) -> Release:
    seq, minseq = _numbers(repository, wanted)
    custom = {
        "kind": "app",
        "boards": wanted.boards,
        "version": wanted.version,
        "seq": seq,
        "minseq": minseq,
        "identity": app.identity(listed),
        "blocks": f"{path}/{names.APP_IMAGE}{names.BLOCKS_SUFFIX}",
        "block": app.BLOCK,
        "digest": wanted.digest or app.DIGEST,
        **own,
    }
    return Release(path, (Part(names.APP_IMAGE, image, listed, custom),))


def chip_of(workspace: Workspace, board: str, chip: str | None) -> str | None:
    """Return the chip of a board, as the command line or else the settings say; None: unknown."""
    known = workspace.settings.boards.get(board) or KNOWN_BOARDS.get(board)
    return chip or (known.chip if known else None)


def slot_size(workspace: Workspace, wanted: Wanted) -> int:
    """Return the size of the slots, which has to be that of all boards: it is in the addresses."""
    boards = [_board(workspace, name, wanted, rp2040.CHIP, None) for name in wanted.boards]
    for name, board in zip(wanted.boards, boards, strict=True):
        if board.chip != rp2040.CHIP:
            todo = "name a board with an rp2040, or give one image"
            raise MpotaError(f"two images, but {name} has an {board.chip}", name, todo)
    if len({board.slot for board in boards}) != 1:
        todo = "release for boards of one flash map at a time"
        raise MpotaError("boards with slots at different addresses", " ".join(wanted.boards), todo)
    return boards[0].slot


def _slots_release(
    repository: Repository,
    wanted: Wanted,
    path: str,
    codes: Sequence[bytes],
    size: int,
    signer: rp2040.BootSigner,
) -> Release:
    seq, minseq = _numbers(repository, wanted)
    images = []
    for number, code in enumerate(codes):
        address = rp2040.XIP_BASE + rp2040.SLOT_A + number * size
        data = rp2040.make_image(code, address, minseq, wanted.version, signer)
        images.append(rp2040.parse_image(data, names.image_name(names.SLOTS[number])))
        if len(data) > size:
            what = f"image of {len(data)} bytes is larger than the slot of {size}"
            raise MpotaError(what, path, "leave modules out")
    parts = []
    for slot, image, twin in zip(names.SLOTS, images, reversed(images), strict=True):
        own = {"slot": slot, "twin": twin.identity}
        parts.append(
            _part(wanted, path, (seq, minseq), rp2040.CHIP, image.data, image.identity, own)
        )
    return Release(path, tuple(parts))


def prepare_again(
    repository: Repository, wanted: Wanted, signer: rp2040.BootSigner | None = None
) -> Release:
    """Return the release `wanted.version` once more: the old bytes under a new `seq`.

    An application is released for the boards that it was for and `wanted.boards`.

    An RP2040's image holds its `minseq`, so only its code stays; `signer` is for that.
    """
    if repository.workspace.settings.products[wanted.product] == "app":
        return _app_again(repository, wanted)
    path = names.release_path(wanted.product, _check_names(wanted), wanted.version)
    old = _released(repository, wanted, path, names.IMAGE_NAME)
    slots = (
        []
        if old
        else [_released(repository, wanted, path, names.image_name(s)) for s in names.SLOTS]
    )
    if old is None and None in slots:
        raise MpotaError("was never released", path, "mpota verify lists what there is")
    stored = [_stored(repository, target) for target in ([old] if old else slots) if target]
    custom = (old or slots[0]).custom  # type: ignore[union-attr]
    again = Wanted(
        product=wanted.product,
        boards=list(custom["boards"]),
        version=wanted.version,
        channel=wanted.channel,
        seq=wanted.seq,
        minseq=wanted.minseq,
        mpy=custom.get("mpy"),
        frozen=custom["frozen"],
        digest=wanted.digest,
    )
    if old:
        return _release(repository, again, path, esp32.parse_image(*stored[0]))
    if signer is None:
        raise MpotaError("no key to sign for the bootloader", path, "see boot_keys in mpota.json")
    codes = [rp2040.code_of(data, file) for data, file in stored]
    size = slot_size(repository.workspace, again)
    return _slots_release(repository, again, path, codes, size, signer)


def _app_again(repository: Repository, wanted: Wanted) -> Release:
    path, image = _which_app(repository, wanted)
    blocks = _released(repository, wanted, path, names.APP_IMAGE + names.BLOCKS_SUFFIX)
    assert blocks is not None  # both are put into the role at once
    boards = list(image.custom["boards"])
    for board in wanted.boards:
        known = repository.workspace.settings.boards.get(board) or known_board(board) or Board()
        arch = image.custom.get("arch")
        if arch and known.arch not in ("", arch):
            what = f"has native code for {arch}, but {board} is {known.arch}"
            raise MpotaError(what, path, "release the folder for that board")
        if board not in boards:
            boards.append(board)
    own = {key: image.custom[key] for key in _OWN if key in image.custom}
    data, listed = _stored(repository, image)[0], _stored(repository, blocks)[0]
    # Its list is its identity, and stays.
    again = replace(wanted, boards=boards, digest=image.custom["digest"])
    return _app_release(repository, again, path, data, listed, own)


def _which_app(repository: Repository, wanted: Wanted) -> tuple[str, TargetFile]:
    """Return the release with this version, of several the one for the boards."""
    found = repository.find_releases(wanted.product, wanted.version)
    if not found:
        which = f"{wanted.product} {wanted.version}"
        raise MpotaError("was never released", which, "mpota verify lists what there is")
    for path, image in found.items():
        if set(wanted.boards) & set(image.custom["boards"]):
            return path, image
    if len(found) > 1:
        todo = "give --board, one that it was for"
        raise MpotaError("released apart for several boards", " ".join(found), todo)
    return next(iter(found.items()))


def _released(repository: Repository, wanted: Wanted, path: str, name: str) -> TargetFile | None:
    """Return a target of a release, from the newest img role that has it."""
    image_path = f"{path}/{name}"
    history = repository.history(names.img_role(wanted.product))
    return next((targets[image_path] for targets in history if image_path in targets), None)


def _stored(repository: Repository, target: TargetFile) -> tuple[bytes, Path]:
    """Return the bytes of a target, and where they were."""
    path = repository.workspace.targets / target.get_prefixed_paths()[0]
    data = esp32.read_file(path)
    if sha256(data).hexdigest() != target.hashes["sha256"]:
        raise MpotaError("not the bytes that were signed", path, "restore it from a copy")
    return data, path


def _check_names(wanted: Wanted) -> str:
    """Check every name that becomes part of a path; return the first board."""
    if not wanted.boards:
        raise MpotaError("no board", wanted.version, "give --board")
    names.check_product(wanted.product)
    names.check_name("version", wanted.version)
    names.check_name("channel", wanted.channel)
    for board in wanted.boards:
        names.check_name("board", board)
    for group in wanted.first.groups or ():
        names.check_name("group", group)
    return wanted.boards[0]


def _board(workspace: Workspace, name: str, wanted: Wanted, chip: str, told: int | None) -> Board:
    """Return what is known about a board; what the command line says goes first."""
    known = workspace.settings.boards.get(name) or KNOWN_BOARDS.get(name)
    slot = wanted.slot or (known.slot if known else 0) or told
    if known is not None and not slot:
        todo = "release a folder, or give --slot-size; boards/ has firmware with slots"
        raise MpotaError("board without OTA slots: only its applications are updated", name, todo)
    if not slot or (known is None and wanted.chip is None):
        todo = "give --chip and --slot-size, or add it to mpota.json"
        raise MpotaError("board is unknown", name, todo)
    return Board(wanted.chip or (known.chip if known else "") or chip, slot)


def _release(repository: Repository, wanted: Wanted, path: str, image: esp32.Image) -> Release:
    numbers = _numbers(repository, wanted)
    part = _part(wanted, path, numbers, image.chip, image.data, image.identity, {})
    return Release(path, (part,))


def _part(
    wanted: Wanted,
    path: str,
    numbers: tuple[int, int],
    chip: str,
    data: bytes,
    identity: str,
    own: dict[str, Any],
) -> Part:
    name = names.image_name(own.get("slot"))
    custom: dict[str, Any] = {
        "kind": "firmware",
        "boards": wanted.boards,
        "chip": chip,
        "version": wanted.version,
        "seq": numbers[0],
        "minseq": numbers[1],
        "identity": identity,
        "frozen": wanted.frozen,
        "blocks": f"{path}/{name}{names.BLOCKS_SUFFIX}",
        "block": BLOCK,
        "digest": wanted.digest or DIGEST,
        **own,
    }
    if wanted.mpy is not None:
        custom["mpy"] = wanted.mpy
    return Part(name, data, block_list(data, wanted.digest or DIGEST), custom)


def _numbers(repository: Repository, wanted: Wanted) -> tuple[int, int]:
    """Return (seq, minseq), which may only rise from release to release."""
    customs = [image.custom for image in repository.images(wanted.product).values()]
    last = max((custom["seq"] for custom in customs), default=0)
    floor = max((custom["minseq"] for custom in customs), default=0)
    seq = last + 1 if wanted.seq is None else wanted.seq
    minseq = floor if wanted.minseq is None else wanted.minseq
    if not last < seq <= MAX_SEQ:
        raise MpotaError(f"seq does not rise above {last}", seq, f"use {last + 1}, or no --seq")
    if minseq < floor:
        raise MpotaError(f"minseq falls below {floor}", minseq, "devices would refuse it")
    if minseq > seq:
        raise MpotaError(f"minseq is above the release's own seq {seq}", minseq, "lower it")
    return seq, minseq


def publish_release(
    repository: Repository, release: Release, wanted: Wanted, keyring: Keyring, now: datetime
) -> Released:
    """Store the files, sign the release, and in the solo profile roll it out."""
    role = names.img_role(wanted.product)
    check_no_pending(repository.workspace, role)
    release, made = packs.add(repository, release, wanted)
    targets = repository.role(role).signed.targets
    for part in release.parts:
        image = TargetFile.from_data(f"{release.path}/{part.name}", part.image, ["sha256"])
        image.unrecognized_fields["custom"] = part.custom
        blocks = TargetFile.from_data(part.custom["blocks"], part.blocks, ["sha256"])
        for target, data in ((image, part.image), (blocks, part.blocks)):
            store(repository.workspace, target, data)
            targets[target.path] = target
    repository.touch(role)
    paths: list[str] = []
    if repository.workspace.settings.profile == "solo":
        for board in release.custom["boards"]:
            path = names.rollout_path(wanted.product, board, wanted.channel)
            rollout.start(repository, path, release.path, release.custom["seq"], wanted.first)
            paths.append(path)
        paths += rollout.follow(repository, release.path, release.custom["seq"])
    dropped = drop_old(repository, wanted.product)
    committed = repository.commit(keyring, now)
    if not committed.is_done:
        return Released(release, committed, {}, [], made)
    rollouts = repository.rollouts()
    started = {path: rollouts[path] for path in paths}
    return Released(release, committed, started, dropped, made)


def store(workspace: Workspace, target: TargetFile, data: bytes) -> None:
    """Write a target's file under its hash, unless exactly these bytes are there."""
    path = workspace.targets / target.get_prefixed_paths()[0]
    if not path.exists() or path.read_bytes() != data:
        files.write(path, data)


def drop_old(repository: Repository, product: str) -> list[str]:
    """Take all but the newest releases out of the img role. What a rollout names stays."""
    named = {custom["release"] for custom in repository.rollouts().values()}
    paths = list(repository.images(product))
    old = [path for path in paths[: -repository.workspace.settings.keep] if path not in named]
    targets = repository.role(names.img_role(product)).signed.targets
    for target in list(targets):
        if target.rpartition("/")[0] in old:
            del targets[target]
    return old
