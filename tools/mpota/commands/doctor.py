# SPDX-License-Identifier: MIT
"""Read a board's state through its USB cable, and say what is wrong and what to do.

DEVICE is a board at a cable: `auto` for the only one, a serial port, socket://host:port. It reads
only, needs no `ota` that works on the board, and lets the application start again at the end. The
exit code is 0 if nothing has to be done, 1 otherwise.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from mpota.commands import common

if TYPE_CHECKING:
    from mpota.workspace import Workspace

EXAMPLE = "mpota doctor --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "device",
        metavar="DEVICE",
        nargs="?",
        default="auto",
        help="board at a cable (%(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    from mpota import board, doctor, names
    from mpota.errors import MpotaError, UsageError

    workspace = _workspace(args)
    if not board.is_cable(args.device):
        raise UsageError("not a board at a cable", args.device, "name its port")
    with board.connect(args.device) as there:
        try:
            report = doctor.examine(there, workspace, names.utc_now())
        finally:
            there.resume()
    wrong = [finding for finding in report.findings if finding.level == "wrong"]
    facts = {
        "device": report.found.port,
        "healthy": report.is_healthy,
        "found": asdict(report.found),
        **report.facts,
        "findings": [asdict(finding) for finding in report.findings],
    }
    lines = [*report.lines, *map(str, report.findings)]
    if wrong:
        if not args.json:  # with --json the facts go out together with the failure
            common.show(args, {}, lines)
        what = f"{len(wrong)} thing{'s' if len(wrong) > 1 else ''} to do"
        raise MpotaError(what, report.found.port, "see what is wrong, above", facts)
    common.show(args, facts, [*lines, "nothing has to be done"])


def _workspace(args: argparse.Namespace) -> Workspace | None:
    """Return the repository that is at hand; a doctor does without unless one is named."""
    from mpota.errors import MpotaError
    from mpota.workspace import open_workspace

    try:
        return open_workspace(common.folder(args))
    except MpotaError:
        if args.repo is not None:
            raise
        return None
