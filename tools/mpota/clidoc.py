# SPDX-License-Identifier: MIT
"""docs/CLI.md, made from the parsers: `python -m mpota.clidoc > docs/CLI.md`."""

from __future__ import annotations

import argparse
import inspect
import sys

from mpota import cli, workspace
from mpota.errors import EXIT_CODES


def markdown() -> str:
    parser = cli.make_parser()
    verbs = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    parts = [
        "<!-- Made by `python -m mpota.clidoc`; do not edit. -->",
        "# mpota",
        parser.description or "",
        _table(("exit code", "meaning"), [(str(code), text) for code, text in EXIT_CODES]),
        "Results go to stdout, everything else to stderr. A failure is one line: what, which file,"
        " what to do. With `--json` a command prints one object; on failure it has `error` and"
        " `exit`. Passphrases come from `--passphrase-file`, from `MPOTA_PASSPHRASE`, or from"
        " whoever sits at the terminal. `mpota --version` shows the version.",
        "## Working folder",
        _folder(),
    ]
    for verb in cli.VERBS:
        parts += [f"## mpota {verb}", *_verb(verb, verbs.choices[verb])]
    return "\n\n".join(parts) + "\n"


def _folder() -> str:
    """The layout, from where the code states it."""
    text = inspect.cleandoc(workspace.__doc__ or "")
    layout = text.partition("\n\n")[2]
    return "```\n" + layout + "\n```"


def _verb(verb: str, parser: argparse.ArgumentParser) -> list[str]:
    module = cli.command(verb)
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        text = (action.help or "").replace("%(default)s", str(action.default))
        rows.append((_spelling(action), text.replace("|", "\\|")))
    return [
        inspect.cleandoc(module.__doc__ or ""),
        _table(("argument", ""), rows),
        f"```\n{module.EXAMPLE}\n```",
    ]


def _spelling(action: argparse.Action) -> str:
    names = action.option_strings
    if action.choices:
        value = "{" + ",".join(str(choice) for choice in action.choices) + "}"
    else:
        value = str(action.metavar or action.dest.upper())
    if not names:
        return f"`{value}`" if action.nargs != "?" else f"`[{value}]`"
    tail = "" if action.nargs == 0 else f" {value}"
    return ", ".join(f"`{name}{tail}`" for name in names)


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    return "\n".join([*lines, *(f"| {left} | {right} |" for left, right in rows)])


if __name__ == "__main__":
    sys.stdout.write(markdown())
