# SPDX-License-Identifier: MIT
"""Sign again what is past half of its life, as far as the keys here can; made for cron.

Also finishes a change that waited for signatures which can be made here. What only other keys
could sign is named on stderr; the exit code is 1 once something has expired.
"""

from __future__ import annotations

import argparse

from mpota.commands import common

EXAMPLE = "mpota refresh"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show what is due, sign nothing")
    common.add_passphrase(parser)


def run(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from mpota import names, refresh
    from mpota.errors import MpotaError
    from mpota.repository import open_repository
    from mpota.workspace import open_workspace

    workspace = open_workspace(common.folder(args))
    with workspace.lock():
        repository = open_repository(workspace)
        keyring = workspace.keyring(common.Passphrases(args.passphrase_file).ask)
        done = refresh.refresh(repository, keyring, names.utc_now(), dry_run=args.dry_run)
    facts = {
        "roles": [asdict(role) for role in done.roles],
        "written": done.committed.written,
        "missing": [asdict(entry) for entry in done.committed.missing],
        "dry_run": args.dry_run,
    }
    for role in done.roles:
        line = f"{role.role} {role.version} {role.state}, expires {role.expires}"
        if role.state in ("due", "expired"):
            common.warn(f"{line}; {role.why}" if role.why else line)
        else:
            common.talk(args, line)
    if done.is_expired:
        expired = ", ".join(role.role for role in done.roles if role.state == "expired")
        raise MpotaError("expired", expired, "sign it where its key is", facts)
    lines = [f"renewed {role} {version}" for role, version in done.committed.written.items()]
    if done.committed.written:
        lines.append(common.NOT_SERVED)
    if done.committed.missing:
        lines.append(common.missing_text(workspace, done.committed.missing))
    elif all(role.state == "fresh" for role in done.roles):
        lines.append(f"nothing due before {min(role.due for role in done.roles)}")
    common.show(args, facts, lines)
