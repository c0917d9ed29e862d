# SPDX-License-Identifier: MIT
"""Make a new repository: keys and the first, empty metadata.

A product is a firmware or an application; without --product and --app there is one of each, named
so. Boards may be named later: `mpota provision` adds the board that it finds.

The solo profile has two keys: `owner` signs what devices must trust for years, `online` signs what
expires after one. The fleet profile has seven: owner-1..3 and release-1..3, two of three needed
each, and `online`. Move the owner and release keys to where they belong: none is needed here
until it has to sign. Private keys are encrypted files, and are never overwritten.
"""

from __future__ import annotations

import argparse

from mpota.commands import common

EXAMPLE = "mpota init --product sensor --app panel --board ESP32_GENERIC-OTA"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile", choices=("solo", "fleet"), default="solo", help="who signs (%(default)s)"
    )
    parser.add_argument(
        "--product", metavar="NAME", action="append", help="product with firmware; repeatable"
    )
    parser.add_argument(
        "--app", metavar="NAME", action="append", help="product that is an application; repeatable"
    )
    parser.add_argument(
        "--board",
        metavar="NAME",
        action="append",
        help="board; repeatable. For firmware, unknown ones need --chip and --slot-size",
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
    from dataclasses import asdict

    from mpota import names, setup
    from mpota.errors import UsageError
    from mpota.workspace import KNOWN_BOARDS, Board, known_board

    boards = {}
    for name in args.board or ():
        known = known_board(name) or Board()
        board = Board(args.chip or known.chip, args.slot_size or known.slot)
        if (args.product and not board.slot) or not (board.chip or args.app):
            todo = f"known: {', '.join(KNOWN_BOARDS)}; others like --chip esp32s3 --slot-size 2M"
            if not args.product:
                todo += ", or --app NAME where only applications are updated"
            what = "board is unknown" if not board.chip else "board has no known OTA slots"
            raise UsageError(what, name, todo)
        boards[name] = board
    products, apps = args.product or [], args.app or []
    if not products and not apps:
        products, apps = ["firmware"], ["app"]
    passphrase = None
    if not args.no_passphrase:
        setup.check_free(common.folder(args))  # before anybody types a passphrase
        passphrase = common.Passphrases(args.passphrase_file).new()
    made = setup.init(
        common.folder(args),
        profile=args.profile,
        products=products,
        apps=apps,
        boards=boards,
        passphrase=passphrase,
        now=names.utc_now(),
    )
    facts = {
        "folder": str(made.folder),
        "profile": made.profile,
        "products": dict.fromkeys(products, "firmware") | dict.fromkeys(apps, "app"),
        "boards": {name: asdict(board) for name, board in boards.items()},
        "keys": {name: str(path) for name, path in made.keys.items()},
        "encrypted": passphrase is not None,
    }
    lines = [f"made {made.folder} ({made.profile})"]
    if products:
        lines.append(f"firmware: {', '.join(products)}")
    if apps:
        lines.append(f"applications: {', '.join(apps)}")
    for name, board in boards.items():
        slots = f"OTA slots of {board.slot} bytes" if board.slot else "applications only"
        lines.append(f"board {name}: {board.chip or 'any chip'}, {slots}")
    lines += [f"key {name}: {path}" for name, path in made.keys.items()]
    if "boot-spare" in made.keys:
        spare = made.keys["boot-spare"].name
        lines.append(f"take {spare} offline now: it is for the day when boot.pem is lost")
    lines.append("keep a copy of the keys elsewhere: without them devices take no more updates")
    common.show(args, facts, lines)
