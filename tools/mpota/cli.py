# SPDX-License-Identifier: MIT
"""The command line: a table of verbs, and the one place where a failure becomes text."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Sequence
from types import ModuleType

from mpota.commands import common
from mpota.errors import EXIT_CODES, MpotaError, UsageError

VERBS = (
    "init",
    "release",
    "rollout",
    "settings",
    "publish",
    "provision",
    "push",
    "doctor",
    "uf2",
    "verify",
    "refresh",
)


def command(verb: str) -> ModuleType:
    return importlib.import_module(f"mpota.commands.{verb}")


def summary(module: ModuleType) -> str:
    """Return the first sentence of a command's help."""
    return inspect.cleandoc(module.__doc__ or "").partition("\n")[0]


class _Version(argparse.Action):
    """Says the version of what is installed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        try:
            print(f"mpota {metadata.version('mpota')}")
        except metadata.PackageNotFoundError:
            print("mpota, not installed: run from its sources")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code}  {meaning}" for code, meaning in EXIT_CODES)
    parser = argparse.ArgumentParser(
        prog="mpota",
        description="Make, sign and publish over-the-air updates for MicroPython.",
        epilog=f"exit codes:\n{codes}\n\nexample:\n  {command('init').EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        module = command(verb)
        sub = verbs.add_parser(
            verb,
            help=summary(module),
            description=inspect.cleandoc(module.__doc__ or ""),
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        common.add_common(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    try:
        args = make_parser().parse_args(argv)
    except SystemExit as stop:  # argparse has said why, or has shown its help
        return int(stop.code or 0) and UsageError.exit_code
    try:
        command(args.verb).run(args)
    except MpotaError as error:
        return _fail(args, error)
    except OSError as error:
        what = error.strerror or type(error).__name__
        return _fail(
            args, MpotaError(what, error.filename or args.verb, "correct that, try again")
        )
    except (KeyboardInterrupt, EOFError):  # Ctrl-D where something is asked
        return _fail(args, MpotaError("interrupted", args.verb, "run it again"))
    return 0


def _fail(args: argparse.Namespace, error: MpotaError) -> int:
    print(f"mpota: {error}", file=sys.stderr)
    if args.json:
        text = {"what": error.what, "which": error.which, "todo": error.todo}
        facts = error.facts if isinstance(error.facts, dict) else {}
        print(json.dumps({**facts, "error": text, "exit": error.exit_code}, default=str))
    if args.verbose and error.__cause__ is not None:
        print(f"mpota: because {error.__cause__!r}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
