# SPDX-License-Identifier: MIT
"""Look at a repository with the device's own trust code, and check every file in it.

WHERE is a folder or a URL; without it the working folder's own repository is looked at. The exit
code is 3 if a device would refuse something: metadata, an image, a block list.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mpota.commands import common

if TYPE_CHECKING:
    from mpota.verify import SeenRollout

EXAMPLE = "mpota verify www"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "where",
        metavar="WHERE",
        nargs="?",
        help="folder or https:// URL; at its end #flat for the flat layout",
    )
    parser.add_argument(
        "--root",
        metavar="FILE",
        type=Path,
        help="trusted root to start from (the working folder's first one)",
    )
    parser.add_argument("--ca", metavar="FILE", type=Path, help="CA of the server, PEM or DER")
    parser.add_argument("--at", metavar="UTC", help="as if it were then, 2030-01-31T08:00:00Z")


def run(args: argparse.Namespace) -> None:
    from mpota import names, publish, sources, verify
    from mpota.errors import MpotaError, RefusedError
    from mpota.workspace import open_workspace

    folder = common.folder(args)
    root = args.root or folder / "repository" / "metadata" / "1.root.json"
    where = args.where
    if where is None:
        workspace = open_workspace(folder)
        where = str(workspace.metadata.parent)
        if not publish.is_current(workspace):
            common.warn(f"{workspace.public} is not up to date; run mpota publish")
    now = names.parse_time(args.at) if args.at else names.utc_now()
    try:
        trusted = root.read_bytes()
    except OSError as error:
        todo = f"{error.strerror}: correct --root" if args.root else "give --root"
        raise MpotaError("cannot read the trusted root", root, todo) from error
    source = sources.open_source(where, args.ca)
    seen = verify.verify(source, trusted, now)
    lines = [f"{role.name} {role.version}, expires {role.expires}" for role in seen.roles]
    for release in seen.releases:
        slot = "" if release.slot is None else f" for slot {release.slot}"
        what = f"{release.path}{slot} seq {release.seq} minseq {release.minseq}"
        what += f", {release.length} bytes"
        lines.append(f"{what}: {'bad: ' + release.problem if release.problem else 'whole'}")
    lines += [_rollout_line(rollout) for rollout in seen.rollouts]
    for settings in seen.settings:
        what = f"{settings.path} seq {settings.seq}: {' '.join(settings.urls)}"
        lines.append(f"{what}: {'bad: ' + settings.problem if settings.problem else 'good'}")
    if seen.problems:
        if not args.json:  # with --json the facts go out together with the failure
            common.show(args, {}, lines)
        raise RefusedError(seen.problems[0], where, "publish again", seen.facts())
    common.show(args, seen.facts(), lines)


def _rollout_line(rollout: SeenRollout) -> str:
    percent = rollout.percent
    state = f"{percent / 100:g} %" if isinstance(percent, int) else f"percent {percent}"
    if rollout.halt:
        state = "halted"
    if rollout.groups:
        state += f", and groups {rollout.groups}"
    if rollout.not_before:
        state += f", not before {rollout.not_before}"
    verdict = f"bad: {rollout.problem}" if rollout.problem else "good"
    return f"{rollout.path}: {rollout.release} seq {rollout.seq}, {state}: {verdict}"
