# SPDX-License-Identifier: MIT
"""What the verbs share: options, passphrases, and showing a result."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpota.errors import MpotaError, UsageError
from mpota.workspace import DEFAULT_FOLDER, SETTINGS

if TYPE_CHECKING:
    from mpota.repository import Committed, Missing, Repository
    from mpota.workspace import Workspace

CHANNEL = "stable"
PASSPHRASE_ENV = "MPOTA_PASSPHRASE"
NOT_SERVED = "not served yet: run mpota publish"
_TRIES = 3


def add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("common options")
    group.add_argument(
        "--repo",
        metavar="FOLDER",
        type=Path,
        help=f"working folder (this one if it holds {SETTINGS}, else {DEFAULT_FOLDER})",
    )
    group.add_argument("--json", action="store_true", help="print one JSON object for machines")
    group.add_argument("-v", "--verbose", action="store_true", help="say more, on stderr")


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        type=Path,
        help=f"read the passphrase of the keys from FILE (or set {PASSPHRASE_ENV})",
    )


def add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--product", metavar="NAME", help="product (the one that fits, or the first)"
    )
    parser.add_argument("--channel", metavar="NAME", default=CHANNEL, help="channel (%(default)s)")


def add_share(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--percent", metavar="P", type=percent, help="how many devices get it, 0 to 100"
    )
    parser.add_argument(
        "--group",
        metavar="NAME",
        action="append",
        help="group that gets it whatever the percentage; repeatable, replaces the list",
    )


def folder(args: argparse.Namespace) -> Path:
    if args.repo is not None:
        return Path(args.repo)
    return Path(".") if Path(SETTINGS).is_file() else Path(DEFAULT_FOLDER)


def size(text: str) -> int:
    """Parse a size such as 1572864, 0x180000, 1536K or 2M."""
    factor = {"K": 1024, "M": 1024 * 1024}.get(text[-1:].upper(), 1)
    try:
        value = int(text[:-1] if factor > 1 else text, 0) * factor
    except ValueError:
        value = 0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"not a size: {text} (write it like 0x180000 or 1536K)")
    return value


def percent(text: str) -> int:
    """Parse a percentage with at most two decimals; return it in 1/100."""
    whole, _, part = text.partition(".")
    if not whole.isdecimal() or len(part) > 2 or (part and not part.isdecimal()):
        raise argparse.ArgumentTypeError(f"not a percentage: {text} (write it like 5 or 12.5)")
    value = int(whole) * 100 + int(part.ljust(2, "0"))
    if value > 10000:
        raise argparse.ArgumentTypeError(f"more than 100 percent: {text}")
    return value


def seq_range(text: str) -> dict[str, int]:
    """Parse MIN or MIN-MAX, numbers of releases."""
    parts = text.split("-")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"not a range of seq: {text} (write it like 3 or 3-9)")
    found = dict(zip(("min", "max"), map(int, parts), strict=False))
    if found.get("max", found["min"]) < found["min"]:
        raise argparse.ArgumentTypeError(f"range of seq without a release in it: {text}")
    return found


def product_of(args: argparse.Namespace, repository: Repository, version: str | None) -> str:
    """Return the product that is meant: the one that was told, or the only one with this release.

    version: of the release; None: what is rolled out is meant.
    """
    products = repository.workspace.settings.products
    if args.product is not None or len(products) == 1:
        return repository.workspace.product(args.product)
    found = []
    for name in products:
        if version is None:
            named = {path.split("/")[1] for path in repository.rollouts()}
        else:
            named = {name} if repository.find_releases(name, version) else set()
        if name in named:
            found.append(name)
    if len(found) > 1:
        what = f"{' and '.join(found)} both have {version or 'a rollout'}"
        raise UsageError(what, "", "give --product")
    return found[0] if found else repository.workspace.product(None)


def seconds(text: str) -> int:
    """Parse a length of time above zero."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"not a number of seconds above 0: {text}")
    return int(text)


def days(text: str) -> int:
    """Parse a number of days, 0 to ten years."""
    if not text.isdecimal() or int(text) > 3650:
        raise argparse.ArgumentTypeError(f"not a number of days up to 3650: {text}")
    return int(text)


def port(text: str) -> int:
    """argparse type: a TCP port; 0 is any that is free."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"not a port, 1 to 65535: {text}")
    return int(text)


class Passphrases:
    """Where passphrases come from: a file, the environment, or a person at the terminal."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._typed: list[str] = []

    def given(self) -> str | None:
        """Return the passphrase from the file or the environment, if there is one."""
        if self._file is not None:
            try:
                lines = self._file.read_text().splitlines()
            except OSError as error:
                raise MpotaError("cannot read", self._file, error.strerror or "") from error
            except UnicodeDecodeError as error:
                raise MpotaError("not text", self._file, "save it as UTF-8") from error
            if not lines or not lines[0]:
                raise MpotaError("no passphrase in", self._file, "put it into the first line")
            return lines[0]
        return os.environ.get(PASSPHRASE_ENV) or None

    def new(self) -> str:
        """Return the passphrase for new keys; a person has to type it twice."""
        given = self.given()
        if given is not None:
            return given
        first = self._prompt("passphrase for the new keys")
        if not first:
            raise UsageError("empty passphrase", "", "use --no-passphrase if that is meant")
        if self._prompt("the same again") != first:
            raise MpotaError("the two passphrases differ", "", "try again")
        return first

    def ask(self, key: str) -> Iterator[str]:
        """Give passphrases to try for `key`: the given one, or typed ones, newest last."""
        given = self.given()
        if given is not None:
            yield given
            return
        yield from list(self._typed)
        for _ in range(_TRIES):
            typed = self._prompt(f"passphrase of key {key}")
            self._typed.append(typed)
            yield typed

    def _prompt(self, text: str) -> str:
        if not sys.stdin.isatty():
            todo = f"set {PASSPHRASE_ENV} or give --passphrase-file"
            raise MpotaError("no passphrase, and nobody to ask", text, todo)
        return getpass.getpass(f"{text}: ")


def audience(custom: dict[str, Any]) -> str:
    """Say whom a rollout is for."""
    from mpota.rollout import EVERYBODY

    if custom["halt"]:
        return "nobody: halted"
    percent = custom["percent"]
    text = "everybody" if percent == EVERYBODY else f"{percent / 100:g} %"
    if custom["groups"]:
        text += f", and groups {' '.join(custom['groups'])}"
    if "not_before" in custom:
        text += f", not before {custom['not_before']}"
    return text


def talk(args: argparse.Namespace, text: str) -> None:
    if args.verbose:
        print(text, file=sys.stderr)


def warn(text: str) -> None:
    print(f"mpota: {text}", file=sys.stderr)


def show(args: argparse.Namespace, facts: object, lines: Iterable[str]) -> None:
    """Print the result: one JSON object, or lines for people."""
    if args.json:
        print(json.dumps(facts, default=str))
    else:
        for line in lines:  # what others signed must not steer this terminal
            print(line if line.isprintable() else ascii(line))


def missing_text(workspace: Workspace, missing: Iterable[Missing]) -> str:
    """Say which signatures a change in pending/ waits for, and where their keys would be."""
    known = workspace.settings.keys
    roles: dict[str, list[str]] = {}
    for entry in missing:
        keys = ", ".join(known[key].uri if key in known else key for key in entry.keys)
        roles.setdefault(f"{entry.needed} more of {keys}", []).append(entry.role)
    needs = [f"{what} ({', '.join(names)})" for what, names in roles.items()]
    return f"waits in pending/ for {' and '.join(needs)}: run mpota refresh where they are"


def check_done(
    workspace: Workspace, committed: Committed, what: str, which: str, facts: object
) -> None:
    """Fail if a change waits for signatures: a script that goes on would publish the old."""
    for warning in committed.warnings:
        warn(warning)
    if committed.missing:
        raise MpotaError(what, which, missing_text(workspace, committed.missing), facts)
