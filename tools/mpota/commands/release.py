# SPDX-License-Identifier: MIT
"""Sign a new image, and in the solo profile roll it out.

IMAGE is the application (micropython.bin) or a combined firmware.bin, from which the application
is taken; for an RP2040 the two links of a build, firmware-a.bin and firmware-b.bin. What a device
would refuse is refused here, before anything is signed. The rollout is for everybody unless
--percent says otherwise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mpota.commands import common

EXAMPLE = "mpota release micropython.bin --version 1.0.0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", metavar="IMAGE", nargs="*", type=Path, help="the image file, two for an RP2040"
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
        help="board that it is for; repeatable (the first of the repository)",
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
        "--mpy", metavar="X.Y", default="6.3", help=".mpy version it loads, or none (%(default)s)"
    )
    parser.add_argument(
        "--frozen",
        action=argparse.BooleanOptionalAction,
        help="ota is frozen in it, so it does not need the device's own library (RP2040 only)",
    )
    common.add_share(parser)
    parser.add_argument("--dry-run", action="store_true", help="check everything, sign nothing")
    common.add_passphrase(parser)


def run(args: argparse.Namespace) -> None:
    from mpota import bootkeys, names, release, rollout, rp2040
    from mpota.errors import MpotaError, UsageError
    from mpota.repository import Committed, open_repository
    from mpota.workspace import KNOWN_BOARDS, open_workspace

    if bool(args.images) == bool(args.again):
        raise UsageError("give either IMAGE or --again VERSION", "", EXAMPLE)
    if args.group and args.percent is None:
        raise UsageError("everybody gets it, not only the group", "", "give --percent, 0 or more")
    if args.again is None and args.version is None:
        raise UsageError("no version", "", "give --version")
    workspace = open_workspace(common.folder(args))
    first = rollout.Change(percent=args.percent, groups=args.group)
    if first != rollout.NO_CHANGE and workspace.settings.profile != "solo":
        todo = "give these options to mpota rollout"
        raise UsageError("in the fleet profile a release is rolled out apart", "", todo)
    first_board = args.board[0] if args.board else workspace.board(None)
    chip = release.chip_of(workspace, first_board, args.chip)
    if chip is None and args.images:
        known = ", ".join({**workspace.settings.boards, **KNOWN_BOARDS})
        todo = f"known: {known}; others like --chip esp32s3 --slot-size 2M"
        raise MpotaError("board is unknown", first_board, todo)
    two_slots = chip == rp2040.CHIP
    wanted = release.Wanted(
        product=workspace.product(args.product),
        boards=args.board or [workspace.board(None)],
        version=args.again or args.version,
        channel=args.channel,
        seq=args.seq,
        minseq=args.minseq,
        chip=args.chip,
        slot=args.slot_size,
        mpy=None if args.mpy == "none" else args.mpy,
        frozen=two_slots if args.frozen is None else args.frozen,
        first=first,
    )
    ask = common.Passphrases(args.passphrase_file).ask
    if args.images and len(args.images) != 1 + two_slots:
        count = "two images: firmware-a.bin and firmware-b.bin" if two_slots else "one image"
        given = f"not {' '.join(map(str, args.images))}"
        raise UsageError(f"{wanted.boards[0]} takes {count}", "", given)
    with workspace.lock():
        repository = open_repository(workspace)
        signer = bootkeys.open_signer(workspace, ask) if two_slots else None
        if args.again is not None:
            made = release.prepare_again(repository, wanted, signer)
        elif signer:
            made = release.prepare_slots(repository, wanted, args.images, signer)
        else:
            made = release.prepare(repository, wanted, args.images[0], args.partition_table)
        for warning in made.warnings:
            common.warn(warning)
        if args.dry_run:
            done = release.Released(made, Committed({}), {}, [])
        else:
            keyring = workspace.keyring(ask)
            done = release.publish_release(repository, made, wanted, keyring, names.utc_now())
    facts = {**done.facts(), "dry_run": args.dry_run}
    missing = done.committed.missing
    common.check_done(workspace, missing, "not released yet", made.path, facts)
    custom = made.custom
    what = f"{made.path} seq {custom['seq']} minseq {custom['minseq']} {custom['chip']}"
    lines = [f"{'would release' if args.dry_run else 'released'} {what}"]
    lines += [f"rolled out to {common.audience(c)}: {path}" for path, c in done.rollouts.items()]
    lines += [f"no longer offered: {path}" for path in done.dropped]
    if done.committed.written:
        lines.append(common.NOT_SERVED)
    common.show(args, facts, lines)
