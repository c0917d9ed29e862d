# SPDX-License-Identifier: MIT
"""Bring the newest signed release to a board through its USB cable.

DEVICE is a board at a cable: `auto` for the only one, a serial port, socket://host:port. The board
reads the working folder's repository over the cable and checks, installs and tries the release as
if it came from a web server: firmware first, then the application. It needs no network, and
nothing has to be published. Its clock is set before. The exit code is 3 if the board refuses what
is there.
"""

from __future__ import annotations

import argparse
import sys

from mpota.commands import common

EXAMPLE = "mpota push --reset"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "device",
        metavar="DEVICE",
        nargs="?",
        default="auto",
        help="board at a cable (%(default)s)",
    )
    parser.add_argument(
        "--reset",
        action="store_true",
        help="reset the board at the end, so that it tries what it got",
    )


def run(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from mpota import board, names, push
    from mpota.errors import UsageError
    from mpota.workspace import open_workspace

    workspace = open_workspace(common.folder(args))
    if not board.is_cable(args.device):
        todo = "name a port; for a folder see mpota publish"
        raise UsageError("not a board at a cable", args.device, todo)
    with board.connect(args.device) as there:
        ready = False
        try:
            there.set_clock(names.utc_now())
            with workspace.lock():
                done = push.push(
                    there,
                    workspace.metadata.parent,
                    progress=_progress,
                    log=lambda text: common.talk(
                        args, text if text.isprintable() else ascii(text)
                    ),
                )
            ready = done.ready and args.reset
        finally:
            if ready:
                there.reset()
            else:
                there.resume()
    facts = {"device": there.name, **asdict(done), "reset": ready}
    if not done.ready:
        lines = [f"{there.name}: up to date"]
    else:
        what = f"{done.product or ''} {done.version}".strip()
        then = "it was reset and tries it now" if ready else "its next reset tries it"
        lines = [f"{there.name}: has {what}, {done.blocks} blocks were written; {then}"]
    common.show(args, facts, lines)


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(
            f"\r{done * 100 // max(total, 1):3} %, block {done} of {total}",
            end=end,
            file=sys.stderr,
        )
        sys.stderr.flush()
