# SPDX-License-Identifier: MIT
"""What a board says about itself, and which updates are possible on it.

Nothing of `ota` has to work for this: it asks MicroPython alone, in one snippet whose every part
may fail by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mpota import esp32, mpycross, names
from mpota.board import Board, BoardError
from mpota.errors import MpotaError
from mpota.workspace import Board as BoardKind
from mpota.workspace import known_board

OLDEST = (1, 23)  # the first that loads .mpy 6.3
_TEXT = 200  # characters of what a board says about itself

_ARCHITECTURES = mpycross.ARCHITECTURES


@dataclass(frozen=True)
class Slots:
    """The application partitions of an ESP32, or the slots of our bootloader."""

    running: str
    spare: str | None
    size: int  # of the spare one
    count: int


@dataclass(frozen=True)
class Found:
    port: str
    version: str  # of MicroPython
    platform: str
    machine: str
    name: str  # of the board, as a repository names it
    mpy: str  # version of .mpy that it loads
    arch: str  # architecture of native .mpy, "" if it loads none
    chip: str  # "" if it does not say
    slots: Slots | None
    frozen: str | None  # version of the `ota` in the firmware
    network: bool
    tls: bool
    heap: int  # bytes free
    fs: str  # kind of the file system, "" if it does not say
    fs_size: int
    fs_free: int
    clock: tuple[int, ...]  # year, month, day, hour, minute, second
    path: tuple[str, ...]  # sys.path
    loaded_from: str | None  # where the `ota` in use lies, if it is loaded

    @property
    def kind(self) -> BoardKind:
        """What a repository has to know of it."""
        known = known_board(self.name)
        slot = self.slots.size if self.slots and self.slots.spare else 0
        if known and known.slot == slot:
            return known
        return BoardKind(self.chip, slot)

    @property
    def has_slots(self) -> bool:
        return self.slots is not None and self.slots.spare is not None

    def possible(self) -> str:
        """Say which updates are possible, and why not the others."""
        if self.has_slots:
            assert self.slots
            return f"firmware (slots of {self.slots.size // 1024} KB) and applications"
        if self.platform == "esp32":
            return "applications; firmware not: the partition table has no second OTA slot"
        if self.platform == "rp2":
            return "applications; firmware not: that takes a build of boards/rp2040"
        return f"applications; firmware not on {self.platform}"


_SOURCE = """
import sys,gc
gc.collect()
def t(f):
 try: return f()
 except Exception: return None
d={'version':tuple(sys.implementation.version),'name':sys.implementation.name}
d['platform']=sys.platform
d['machine']=getattr(sys.implementation,'_machine','')
d['build']=getattr(sys.implementation,'_build','')
d['mpy']=getattr(sys.implementation,'_mpy',0)
d['path']=list(sys.path)
d['heap']=t(gc.mem_free)
def fs():
 import os
 s=os.statvfs('/')
 return s[0]*s[2],s[0]*s[3]
d['space']=t(fs)
def kind():
 import vfs
 for o,p in vfs.mount():
  if p=='/': return repr(o)
d['fs']=t(kind)
def clock():
 import time
 return tuple(time.gmtime())[:6]
d['clock']=t(clock)
def has(n):
 try: __import__(n)
 except Exception: return False
 return True
d['network']=has('network') or has('socket')
d['tls']=has('tls') or has('ssl')
o=sys.modules.get('ota')
d['loaded']=getattr(o,'__file__','frozen') if o else None
def frozen():
 keep=sys.path[:]
 mine={k:sys.modules.pop(k) for k in list(sys.modules) if k=='ota' or k.startswith('ota.')}
 sys.path[:]=['.frozen']
 try:
  import ota
  return ota.__version__
 finally:
  sys.path[:]=keep
  sys.modules.pop('ota',None)
  sys.modules.update(mine)
d['frozen']=t(frozen)
def esp():
 from esp32 import Partition as P
 r=P(P.RUNNING)
 i=r.info()
 b=bytearray(16)
 r.readblocks(0,b,0)
 n=0
 while n<16 and P.find(P.TYPE_APP,subtype=16+n): n+=1
 s=None
 if n>1 and P.find(P.TYPE_DATA,subtype=0):
  s=r.get_next_update().info()
 return i[4],s and s[4],s and s[3],n,b[12]|b[13]<<8
d['esp32']=t(esp) if sys.platform=='esp32' else None
def rp2():
 from ota_rp2 import Boot
 b=Boot()
 return 'AB'[b.running.number],'AB'[b.spare.number],b.spare.size,2,0
d['rp2']=t(rp2) if sys.platform=='rp2' else None
tell(d)
"""


def probe(board: Board) -> Found:
    """Ask the board. Raises MpotaError if it does not run what we need."""
    facts = board.ask(_SOURCE)
    if not isinstance(facts, dict):
        raise BoardError("the board answers nonsense", board.name, "reset it, try again")
    name = _text(facts, "name")
    version = _numbers(facts.get("version"))[:3]
    shown = ".".join(map(str, version))
    if name != "micropython":
        what = f"the board runs {name or 'something else'}, not MicroPython"
        raise MpotaError(what, board.name, "install MicroPython 1.23 or later")
    if version < OLDEST:
        todo = "install 1.23 or later, whose .mpy files and file systems these updates need"
        raise MpotaError(f"the board runs MicroPython {shown}", board.name, todo)
    mpy = facts.get("mpy")
    mpy = mpy if isinstance(mpy, int) else 0
    number = mpy >> 10 & 15
    arch = _ARCHITECTURES[number] if number < len(_ARCHITECTURES) else ""
    platform = _text(facts, "platform")
    machine = _text(facts, "machine")
    space = _numbers(facts.get("space"))
    return Found(
        port=board.name,
        version=shown,
        platform=platform,
        machine=machine,
        name=board_name(_text(facts, "build"), machine, platform),
        mpy=f"{mpy & 0xFF}.{mpy >> 8 & 3}",
        arch=arch,
        chip=_chip(facts, platform, machine, arch),
        slots=_slots(facts.get("esp32") or facts.get("rp2")),
        frozen=_text(facts, "frozen") or None,
        network=facts.get("network") is True,
        tls=facts.get("tls") is True,
        heap=_number(facts.get("heap")),
        fs=_file_system(_text(facts, "fs")),
        fs_size=space[0] if len(space) == 2 else 0,
        fs_free=space[1] if len(space) == 2 else 0,
        clock=_numbers(facts.get("clock")),
        path=tuple(one[:_TEXT] for one in _items(facts.get("path")) if isinstance(one, str)),
        loaded_from=_text(facts, "loaded") or None,
    )


def board_name(build: str, machine: str, platform: str) -> str:
    """Return what a repository calls this board: its build, or what can be made of its text."""
    text = build or machine.partition(" with ")[0] or platform
    text = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("_.")[:32]
    return names.check_name("board", text or "board")


def _chip(facts: dict[str, Any], platform: str, machine: str, arch: str) -> str:
    if platform == "esp32":
        found = _numbers(_items(facts.get("esp32"))[4:5])
        from_text = re.search(r"ESP32-?([A-Z]\d+)?$", machine)
        if facts.get("esp32"):
            return esp32.CHIPS.get(found[0], "") if found else ""
        return f"esp32{(from_text[1] or '').lower()}" if from_text else ""
    if platform == "rp2":
        chip = "rp2350" if "RP2350" in machine else "rp2040"
        return "rp2350-riscv" if chip == "rp2350" and arch == "rv32imc" else chip
    return ""


def _slots(fact: object) -> Slots | None:
    if not isinstance(fact, tuple) or len(fact) != 5:
        return None
    running, spare, size, count, _ = fact
    spare = str(spare)[:_TEXT] if spare is not None and spare != running else None
    return Slots(str(running)[:_TEXT], spare, _number(size), _number(count))


def _file_system(text: str) -> str:
    for mark, name in (("Lfs2", "LittleFS"), ("Lfs1", "LittleFS 1"), ("Fat", "FAT")):
        if mark in text:
            return name
    return ""


def _text(facts: dict[str, Any], key: str) -> str:
    value = facts.get(key)
    text = value[:_TEXT] if isinstance(value, str) else ""
    return text if text.isprintable() else ascii(text)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _numbers(value: object) -> tuple[int, ...]:
    return tuple(one for one in _items(value) if isinstance(one, int))


def _items(value: object) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else ()
