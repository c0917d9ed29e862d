# SPDX-License-Identifier: MIT
"""Sign a new image or application, and in the solo profile roll it out.

IMAGE is a firmware: micropython.bin, or a combined firmware.bin, from which the application is
taken; for an RP2040 the two links of a build, firmware-a.bin and firmware-b.bin.

A folder is an application: all its files but those that editors, Python and systems leave behind
and a working folder of mpota (-v lists them), and the device library, unless the folder has its
own lib/ota.

What a device would refuse is refused here, before anything is signed. The rollout is for everybody
unless --percent says otherwise.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mpota.commands import common

if TYPE_CHECKING:
    from mpota import release
    from mpota.keys import AskPassphrase
    from mpota.repository import Repository
    from mpota.workspace import Workspace

EXAMPLE = "mpota release ./app --version 1.0.0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images",
        metavar="IMAGE|FOLDER",
        nargs="*",
        type=Path,
        help="the image file, two for an RP2040; or an application's folder",
    )
    parser.add_argument("--version", metavar="VERSION", help="what people call this release")
    parser.add_argument(
        "--again",
        metavar="VERSION",
        help="release the bytes of an earlier version under a new seq, instead of IMAGE",
    )
    common.add_where(parser)
    parser.add_argument(
        "--board",
        metavar="NAME",
        action="append",
        help="board that it is for; repeatable (the first of the repository; for an application"
        " all of them)",
    )
    parser.add_argument(
        "--minseq", metavar="N", type=int, help="devices never go below seq N again (as before)"
    )
    parser.add_argument("--seq", metavar="N", type=int, help="number of the release (last + 1)")
    parser.add_argument("--chip", metavar="CHIP", help="chip of a board that is not known")
    parser.add_argument(
        "--slot-size", metavar="BYTES", type=common.size, help="size of the board's OTA slots"
    )
    parser.add_argument(
        "--partition-table",
        metavar="FILE",
        type=Path,
        help="read the slot size from a binary partition table or a combined firmware.bin",
    )
    parser.add_argument(
        "--mpy",
        metavar="X.Y",
        help=".mpy version that a firmware loads, or none (6.3)",
    )
    parser.add_argument(
        "--frozen",
        action=argparse.BooleanOptionalAction,
        help="ota is frozen in it, so it does not need the device's own library (boards of ours)",
    )
    app = parser.add_argument_group("applications")
    app.add_argument(
        "--compile", action="store_true", help="compile its .py to .mpy, all but main.py"
    )
    app.add_argument(
        "--no-library",
        action="store_true",
        help="do not add the device library: the firmware has it frozen in (boards of ours)",
    )
    app.add_argument(
        "--no-check", action="store_true", help="release Python that mpy-cross cannot compile"
    )
    app.add_argument(
        "--firmware",
        metavar="MIN[-MAX]",
        type=common.seq_range,
        help="seq of the firmware releases that it runs on",
    )
    app.add_argument(
        "--firmware-product", metavar="NAME", help="whose firmware (the first of the repository)"
    )
    saving = parser.add_argument_group("packs")
    saving.add_argument(
        "--deltas",
        metavar="N",
        type=int,
        default=3,
        help="make deltas from the N releases before (%(default)s); -1: no packs at all",
    )
    saving.add_argument(
        "--digest",
        type=int,
        choices=(16, 32),
        help="bytes of SHA-256 for each block in the signed list (16; for applications 32)",
    )
    common.add_share(parser)
    parser.add_argument("--dry-run", action="store_true", help="check everything, sign nothing")
    common.add_passphrase(parser)


def run(args: argparse.Namespace) -> None:
    from mpota import names, packs, release
    from mpota.errors import UsageError
    from mpota.repository import Committed, open_repository
    from mpota.workspace import open_workspace

    _check_usage(args)
    workspace = open_workspace(common.folder(args))
    has_share = args.percent is not None or args.group is not None
    if has_share and workspace.settings.profile != "solo":
        todo = "give these options to mpota rollout"
        raise UsageError("in the fleet profile a release is rolled out apart", "", todo)
    ask = common.Passphrases(args.passphrase_file).ask
    with workspace.lock():
        repository = open_repository(workspace)
        if args.again is not None:
            args.product = common.product_of(args, repository, args.again)
            is_app = workspace.settings.products[args.product] == "app"
        else:
            is_app = args.images[0].is_dir()
        prepare = _prepare_app if is_app else _prepare_firmware
        wanted, made = prepare(args, repository, ask)
        for warning in made.warnings:
            common.warn(warning)
        if args.dry_run:
            done = release.Released(made, Committed({}), {}, [])
        else:
            keyring = workspace.keyring(ask)
            done = release.publish_release(repository, made, wanted, keyring, names.utc_now())
    facts = {**done.facts(), "dry_run": args.dry_run}
    common.check_done(workspace, done.committed, "not released yet", made.path, facts)
    custom = made.custom
    what = f"{made.path} seq {custom['seq']} minseq {custom['minseq']}"
    if is_app:
        what += f" for {' '.join(custom['boards'])}, {len(made.image)} bytes"
        what += f", library {custom['library']}" if "library" in custom else ", without library"
    else:
        what += f" {custom['chip']}"
    lines = [f"{'would release' if args.dry_run else 'released'} {what}"]
    lines += packs.table(done.packs)
    lines += [f"rolled out to {common.audience(c)}: {path}" for path, c in done.rollouts.items()]
    lines += [f"no longer offered: {path}" for path in done.dropped]
    if done.committed.written:
        lines.append(common.NOT_SERVED)
    common.show(args, facts, lines)


def _check_usage(args: argparse.Namespace) -> None:
    from mpota.errors import UsageError

    if bool(args.images) == bool(args.again):
        raise UsageError("give either IMAGE, FOLDER or --again VERSION", "", EXAMPLE)
    if args.group and args.percent is None:
        raise UsageError("everybody gets it, not only the group", "", "give --percent, 0 or more")
    if args.again is None and args.version is None:
        raise UsageError("no version", "", "give --version")
    folders = [path for path in args.images if path.is_dir()]
    if folders and len(args.images) > 1:
        raise UsageError("an application is one folder", " ".join(map(str, args.images)))
    of_app: tuple[str, ...] = ("compile", "no_library", "no_check", "firmware", "firmware_product")
    of_image: tuple[str, ...] = ("slot_size", "partition_table", "mpy", "frozen")
    if folders:
        what, options = "a folder", of_image
    elif args.images:
        what, options = "an image", of_app
    else:
        what, options = "--again", of_app
    for option in options:
        given = getattr(args, option)
        if given or (given is False and option == "frozen"):
            raise UsageError(f"--{option.replace('_', '-')} does not go with {what}")


def _wanted(args: argparse.Namespace, product: str, boards: list[str]) -> release.Wanted:
    from mpota import release, rollout

    return release.Wanted(
        product=product,
        boards=boards,
        version=args.again or args.version,
        channel=args.channel,
        seq=args.seq,
        minseq=args.minseq,
        chip=args.chip,
        slot=args.slot_size,
        first=rollout.Change(percent=args.percent, groups=args.group),
        deltas=args.deltas if args.deltas >= 0 else None,
        digest=args.digest,
    )


def _prepare_app(
    args: argparse.Namespace, repository: Repository, ask: AskPassphrase
) -> tuple[release.Wanted, release.Release]:
    from mpota import app, release
    from mpota.workspace import Board, has_library, known_board

    workspace = repository.workspace
    product = workspace.product(args.product, "app")
    all_boards = list(workspace.settings.boards)
    if args.again is not None:
        wanted = _wanted(args, product, args.board or [])
        return wanted, release.prepare_again(repository, wanted)
    boards = args.board or all_boards or [workspace.board(None)]
    known = [workspace.settings.boards.get(b) or known_board(b) or Board() for b in boards]
    chips = {args.chip or board.chip for board in known}
    built = app.build(
        args.images[0],
        archs={Board(chip).arch for chip in chips},
        esp32=any(not chip or chip.startswith("esp32") for chip in chips),
        with_library=not args.no_library and not all(map(has_library, boards)),
        check=not args.no_check,
        to_mpy=args.compile,
    )
    for path in built.ignored:
        common.talk(args, f"left out {path}")
    for warning in built.warnings:
        common.warn(warning)
    custom = dict(built.custom)
    if args.firmware is not None:
        of = workspace.product(args.firmware_product, "firmware")
        custom["firmware"] = {"product": of, **args.firmware}
        least, most = args.firmware["min"], args.firmware.get("max", release.MAX_SEQ)
        images = repository.images(of).values()
        if not any(least <= image.custom["seq"] <= most for image in images):
            common.warn(f"no release of {of} has a seq that it would run on yet")
    wanted = _wanted(args, product, boards)
    return wanted, release.prepare_app(repository, wanted, release.Tree(built.files, custom))


def _prepare_firmware(
    args: argparse.Namespace, repository: Repository, ask: AskPassphrase
) -> tuple[release.Wanted, release.Release]:
    from dataclasses import replace

    from mpota import bootkeys, release, rp2040
    from mpota.errors import MpotaError, UsageError
    from mpota.workspace import KNOWN_BOARDS, has_library

    workspace = repository.workspace
    product = workspace.product(args.product, "firmware")
    boards = args.board or [workspace.board(None)]
    chip = release.chip_of(workspace, boards[0], args.chip)
    if not chip and args.images:
        known = ", ".join({**workspace.settings.boards, **KNOWN_BOARDS})
        todo = f"known: {known}; others like --chip esp32s3 --slot-size 2M"
        raise MpotaError("board is unknown", boards[0], todo)
    two_slots = chip == rp2040.CHIP
    is_frozen = two_slots or all(map(has_library, boards))
    wanted = replace(
        _wanted(args, product, boards),
        mpy=None if args.mpy == "none" else args.mpy or "6.3",
        frozen=is_frozen if args.frozen is None else args.frozen,
    )
    if args.images and len(args.images) != 1 + two_slots:
        count = "two images: firmware-a.bin and firmware-b.bin" if two_slots else "one image"
        given = f"not {' '.join(map(str, args.images))}"
        raise UsageError(f"{boards[0]} takes {count}", "", given)
    if two_slots and args.images:
        release.slot_size(workspace, wanted)  # boot keys only for boards that can have them
    if two_slots and not workspace.settings.boot_keys and _is_first(repository, product):
        repository.workspace = workspace = _make_boot_keys(args, workspace)
    signer = bootkeys.open_signer(workspace, ask) if two_slots else None
    if args.again is not None:
        return wanted, release.prepare_again(repository, wanted, signer)
    if signer:
        return wanted, release.prepare_slots(repository, wanted, args.images, signer)
    image, table = args.images[0], args.partition_table
    return wanted, release.prepare(repository, wanted, image, table)


def _is_first(repository: Repository, product: str) -> bool:
    """Tell whether no image of a product was ever signed: no board knows a key yet."""
    history = repository.history(f"img-{product}")
    return not any("slot" in (t.custom or {}) for targets in history for t in targets.values())


def _make_boot_keys(args: argparse.Namespace, workspace: Workspace) -> Workspace:
    """Make what the bootloaders of RP2040 boards will know, locked like the other keys."""
    from mpota import setup
    from mpota.errors import MpotaError

    if args.dry_run:
        raise MpotaError(
            "no boot_keys yet", workspace.folder, "leave out --dry-run: it makes them"
        )
    keys = list((workspace.folder / "keys").glob("*.pem"))
    is_open = keys and not any(b"ENCRYPTED" in path.read_bytes()[:64] for path in keys)
    passphrase = None if is_open else common.Passphrases(args.passphrase_file).new()
    made = setup.add_boot_keys(workspace, passphrase)
    spare = workspace.folder / "keys" / "boot-spare.pem"
    common.warn(f"made keys boot and boot-spare for the bootloader; take {spare} offline now")
    return made
