# SPDX-License-Identifier: MIT
"""Say which release a channel gets, for how many devices, and from when.

With VERSION: start its rollout, for everybody unless --percent says otherwise. Without: change the
rollout that there is. Only the online key signs.
"""

from __future__ import annotations

import argparse

from mpota.commands import common

EXAMPLE = "mpota rollout 1.0.0 --channel beta --percent 12.5 --group testers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="VERSION", nargs="?", help="release to start")
    common.add_where(parser)
    parser.add_argument("--board", metavar="NAME", help="board (the first of the repository)")
    common.add_share(parser)
    parser.add_argument("--no-groups", action="store_true", help="empty the list of groups")
    halt = parser.add_mutually_exclusive_group()
    halt.add_argument("--halt", action="store_true", default=None, help="stop offering it")
    halt.add_argument("--resume", dest="halt", action="store_false", help="offer it again")
    parser.add_argument(
        "--not-before", metavar="UTC", help='earliest moment, 2030-01-31T08:00:00Z; "" removes it'
    )
    parser.add_argument(
        "--retry", action="store_true", help="offer it again to devices that rejected it"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the result, sign nothing")
    common.add_passphrase(parser)


def run(args: argparse.Namespace) -> None:
    from mpota import names, rollout
    from mpota.errors import UsageError
    from mpota.repository import Committed, open_repository
    from mpota.workspace import open_workspace

    if args.group and args.no_groups:
        raise UsageError("--group and --no-groups contradict each other")
    what = rollout.Change(
        percent=args.percent,
        groups=[] if args.no_groups else args.group,
        halt=args.halt,
        not_before=args.not_before,
        retry=args.retry,
    )
    workspace = open_workspace(common.folder(args))
    product = workspace.product(args.product)
    if args.version is None and what == rollout.NO_CHANGE:
        raise UsageError("nothing to change", "", "name a VERSION or an option")
    with workspace.lock():
        repository = open_repository(workspace)
        path, custom = rollout.change(
            repository,
            product=product,
            board=workspace.board(args.board),
            channel=args.channel,
            version=args.version,
            what=what,
        )
        committed = Committed({})
        if not args.dry_run:
            keyring = workspace.keyring(common.Passphrases(args.passphrase_file).ask)
            committed = repository.commit(keyring, names.utc_now())
    done = rollout.RolledOut(path, custom, committed)
    facts = {**done.facts(), "dry_run": args.dry_run}
    common.check_done(workspace, committed.missing, "not rolled out yet", path, facts)
    line = f"{path}: {custom['release']} seq {custom['seq']}, for {common.audience(custom)}"
    lines = [line]
    if committed.written:
        lines.append(common.NOT_SERVED)
    common.show(args, facts, lines)
