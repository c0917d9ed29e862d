# SPDX-License-Identifier: MIT
"""Make a new repository: keys and the first, empty metadata.

The solo profile has two keys: `owner` signs what devices must trust for years, `online` signs what
expires after one. The fleet profile has seven: owner-1..3 and release-1..3, two of three needed
each, and `online`. Move the owner and release keys to where they belong: none is needed here
until it has to sign. Private keys are encrypted files, and are never overwritten.
"""

from __future__ import annotations

import argparse

from mpota.commands import common

EXAMPLE = "mpota init --product sensor --board ESP32_GENERIC-OTA"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile", choices=("solo", "fleet"), default="solo", help="who signs (%(default)s)"
    )
    parser.add_argument(
        "--product", metavar="NAME", action="append", help="product; repeatable (firmware)"
    )
    parser.add_argument(
        "--board",
        metavar="NAME",
        action="append",
        help="board; repeatable (ESP32_GENERIC-OTA). Unknown ones need --chip and --slot-size",
    )
    parser.add_argument("--chip", metavar="CHIP", help="chip of the boards, like esp32c3")
    parser.add_argument(
        "--slot-size", metavar="BYTES", type=common.size, help="size of an OTA slot, like 1536K"
    )
    parser.add_argument(
        "--no-passphrase", action="store_true", help="leave the private keys unencrypted"
    )
    common.add_passphrase(parser)


def run(args: argparse.Namespace) -> None:
    from mpota import names, setup
    from mpota.errors import UsageError
    from mpota.workspace import KNOWN_BOARDS, Board

    boards = {}
    for name in args.board or ["ESP32_GENERIC-OTA"]:
        known = KNOWN_BOARDS.get(name)
        chip = args.chip or (known.chip if known else None)
        slot = args.slot_size or (known.slot if known else None)
        if chip is None or slot is None:
            known_boards = ", ".join(KNOWN_BOARDS)
            todo = f"known: {known_boards}; others like --chip esp32s3 --slot-size 2M"
            raise UsageError("board is unknown", name, todo)
        boards[name] = Board(chip, slot)
    passphrase = None
    if not args.no_passphrase:
        setup.check_free(common.folder(args))  # before anybody types a passphrase
        passphrase = common.Passphrases(args.passphrase_file).new()
    made = setup.init(
        common.folder(args),
        profile=args.profile,
        products=args.product or ["firmware"],
        boards=boards,
        passphrase=passphrase,
        now=names.utc_now(),
    )
    facts = {
        "folder": str(made.folder),
        "profile": made.profile,
        "keys": {name: str(path) for name, path in made.keys.items()},
        "encrypted": passphrase is not None,
    }
    lines = [f"made {made.folder} ({made.profile})"]
    lines += [f"key {name}: {path}" for name, path in made.keys.items()]
    if "boot-spare" in made.keys:
        spare = made.keys["boot-spare"].name
        lines.append(f"take {spare} offline now: it is for the day when boot.pem is lost")
    lines.append("keep a copy of the keys elsewhere: without them devices take no more updates")
    common.show(args, facts, lines)
