# SPDX-License-Identifier: MIT
"""Make the file that sets up an RP2040 board over USB.

It holds the bootloader with the public halves of your boot keys, and a release. Hold BOOTSEL while
the board is plugged in and copy the file onto the drive that appears: whatever the board was
before, it starts that release then. Files stay only if they were written under this flash map.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mpota.commands import common

EXAMPLE = "mpota uf2 sensor.uf2 --repo pico"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="FILE", type=Path, help="the file to write")
    parser.add_argument("--product", metavar="NAME", help="product (the first of the repository)")
    parser.add_argument("--board", metavar="NAME", help="board (the first of the repository)")
    parser.add_argument("--version", metavar="VERSION", help="release (the newest)")


def run(args: argparse.Namespace) -> None:
    from mpota import factory, files
    from mpota.repository import open_repository
    from mpota.workspace import open_workspace

    workspace = open_workspace(common.folder(args))
    board = workspace.board(args.board)
    with workspace.lock():
        repository = open_repository(workspace)
        made = factory.make(repository, workspace.product(args.product), board, args.version)
    files.write(args.out, made.data)
    if not made.keys:
        common.warn("no boot keys: the bootloader will check images for damage only")
    facts = {
        "file": str(args.out),
        "release": made.release,
        "boot_keys": made.keys,
        "flash_size": made.flash_size,
        "fs_size": made.fs_size,
    }
    what = f"{made.release}, {made.keys} boot keys, {made.fs_size // 1024} KB left for files"
    common.show(args, facts, [f"{args.out}: {what}"])
