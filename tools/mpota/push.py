# SPDX-License-Identifier: MIT
"""Bring the newest signed release to a board through its cable.

The board updates itself: its own `ota` reads the signed repository from a folder that is mounted
over the cable, in place of a web server. What it accepts and what it refuses, the trial, the guard
and the rejected releases are the same; only the bytes come another way, and no network is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpota.board import MOUNT, Board, Raised
from mpota.errors import MpotaError, RefusedError

_QUIET_S = 60.0  # the longest that a board says nothing: signatures in Python take seconds each
_LIMIT = 64 << 20  # bytes that it may send while it reads a release: a few for each 240 read
_LINE = 300
_TEXT = 200

# \x1e begins a line of the log, \x1f one of progress.
_SOURCE = """
import gc
gc.collect()
import asyncio,ota
from ota.adapters.folder import Folder
def _p(done,total): print('\\x1f%d %d'%(done,total))
def _l(*a): print('\\x1e'+' '.join([str(x)[:100] for x in a]))
def _run():
 u=ota.Updater.from_config(log=_l,fetcher=Folder(@))
 e=asyncio.run(u.update(progress=_p))
 o=e.offer
 return e.kind,[str(r)[:200] for r in e.reason],o and o.version,getattr(e,'product',None)
try: tell(_run())
except ota.OtaError as e: tell((type(e).__name__,[str(a)[:200] for a in e.args],None,None))
""".replace("@", repr(MOUNT))


@dataclass(frozen=True)
class Pushed:
    """What the board's update said: the kind of its Event, or the class of its error."""

    kind: str
    reason: list[str]
    version: str | None
    product: str | None
    blocks: int  # that were written

    @property
    def ready(self) -> bool:
        return self.kind == "ready"


def push(
    board: Board,
    repository: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> Pushed:
    """Have the board update itself from `repository`, the folder of metadata and targets.

    Python is started anew on the board before, so that what ran is out of the way. Raises
    RefusedError when the board's checks refuse what is there, MpotaError when it cannot update.
    """
    board.soft_reset()
    heard = _Heard(progress, log)
    with board.mounted(repository):
        try:
            answer = board.ask(_SOURCE, patience_s=_QUIET_S, limit=_LIMIT, heard=heard)
        except Raised as error:
            raise _why(error, board) from error
    done = _pushed(answer, heard)
    if done is None:
        raise MpotaError("the board answers nonsense", board.name, "reset it, try again")
    _check(done, board)
    return done


class _Heard:
    """Hears what the board says while it works, byte by byte."""

    def __init__(
        self,
        progress: Callable[[int, int], None] | None,
        log: Callable[[str], None] | None,
    ) -> None:
        self._progress = progress
        self._log = log
        self._line = bytearray()
        self.blocks = 0

    def __call__(self, byte: bytes) -> None:
        if byte != b"\n":
            self._line += byte[: max(0, _LINE - len(self._line))]
            return
        line = self._line.decode("utf-8", "replace").strip("\r")
        self._line.clear()
        found = re.fullmatch("\x1f([0-9]{1,6}) ([0-9]{1,6})", line)
        if found:
            self.blocks += 1
            if self._progress:
                self._progress(int(found[1]), int(found[2]))
        elif line.startswith("\x1e") and self._log:
            self._log(line[1:])


def _pushed(answer: Any, heard: _Heard) -> Pushed | None:
    if not isinstance(answer, tuple) or len(answer) != 4:
        return None
    kind, reason, version, product = answer
    if not isinstance(kind, str) or not isinstance(reason, list):
        return None
    return Pushed(
        kind=_text(kind),
        reason=[_text(fact) for fact in reason[:8]],
        version=_text(version) if isinstance(version, str) else None,
        product=_text(product) if isinstance(product, str) else None,
        blocks=heard.blocks,
    )


def _text(value: object) -> str:
    text = str(value)[:_TEXT]
    return text if text.isprintable() else ascii(text)


def _why(error: Raised, board: Board) -> MpotaError:
    """Say what an exception that is none of ota's means."""
    if error.last.startswith(("ImportError", "AttributeError")):
        todo = "run mpota provision first; mpota doctor says more"
        return MpotaError("no ota that works on the board", error.last, todo)
    if error.last.startswith("MemoryError"):
        todo = "let boot.py do less, or provision with --mpy"
        return MpotaError("the board has too little memory free", board.name, todo)
    return error


_TODO = {
    "StateError": "see mpota doctor",
    "StoreError": "free space on the board, try again",
    "SlotError": "its flash may be worn; try again",
    "FetchError": "look at the cable, and whether mpota verify is content",
}


def _check(done: Pushed, board: Board) -> None:
    """Raise MpotaError unless the board is up to date, or will be after its next reset."""
    if done.kind in ("ready", "up to date"):
        return
    facts = {"kind": done.kind, "reason": done.reason, "product": done.product}
    which = " ".join(done.reason)
    if done.kind in ("TrustError", "ExpiredError", "ClockError", "ImageError"):
        todo = "run mpota verify; is this the repository that the board was provisioned from?"
        raise RefusedError(f"the board refuses it ({done.kind})", which, todo, facts)
    if done.kind == "not offered":
        todo = "mpota verify lists what there is; mpota rollout says for whom"
        raise MpotaError("the board takes nothing", which, todo, facts)
    todo = _TODO.get(done.kind, "see mpota doctor")
    raise MpotaError(f"no update ({done.kind})", which or board.name, todo, facts)
