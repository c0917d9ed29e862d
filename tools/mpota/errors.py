# SPDX-License-Identifier: MIT
"""What can go wrong on the host, and the exit codes.

A failure is one line: what, which file or name, what to do. It is raised where it is noticed and
turned into text in one place, `cli.main`.
"""

from __future__ import annotations


class MpotaError(Exception):
    """The work failed. `what` happened, to `which` file or name, and what `todo` about it."""

    exit_code = 1

    def __init__(
        self, what: str, which: object = "", todo: str = "", facts: object = None
    ) -> None:
        super().__init__(what, str(which), todo)
        self.what = what
        self.which = str(which) if str(which).isprintable() else ascii(str(which))
        self.todo = todo
        self.facts = facts  # what was found out all the same, for --json

    def __str__(self) -> str:
        line = f"{self.what}: {self.which}" if self.which else self.what
        return f"{line}; {self.todo}" if self.todo else line


class UsageError(MpotaError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class RefusedError(MpotaError):
    """The device's own trust code refuses what is there."""

    exit_code = 3


# docs/CLI.md is made from this table.
EXIT_CODES = (
    (0, "done"),
    (MpotaError.exit_code, "failed: one line on stderr says what, which file, and what to do"),
    (UsageError.exit_code, "usage: the command line is wrong"),
    (RefusedError.exit_code, "verification refused what is there"),
)
