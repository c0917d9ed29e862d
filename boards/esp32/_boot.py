# SPDX-License-Identifier: MIT
"""What runs first: mount the file system, then guard a trial.

A file system that does not mount may be damaged, or this firmware may be unable to read what
another one wrote. So the first time it is noted in NVS and the chip is reset: an image on trial
has failed then, and the one before mounts it again. Only when the next boot, of an image that is
kept, finds the note is the file system made anew, and not before it has failed once more two
seconds later: one dip of the supply may be as long as two boots. `ota` has its factory files in
the firmware. Nothing here loops: who finds the note does not reset, and a note that flash does not
hold does not count.
"""

import gc
import time

import machine
import vfs
from esp32 import NVS, Partition

import ota
import ota_esp32

_SPACE = "ota"
_NOTE = "nofiles"


def _mount():
    files = Partition.find(Partition.TYPE_DATA, label="vfs")
    if not files:
        return
    files = files[0]
    if not _mounts(files):
        if not _is_blank(files):
            if not _is_noted():
                _note()
                if _is_noted():
                    machine.reset()
                return  # go on without files: there is a REPL, and the watchdog of a trial
            if ota_esp32.Boot().on_trial:
                return
            time.sleep(2)
        if not _mounts(files):
            print("no file system: made anew")  # noqa: T201
            vfs.VfsLfs2.mkfs(files)
            vfs.mount(vfs.VfsLfs2(files), "/")
    if _is_noted():
        NVS(_SPACE).erase_key(_NOTE)


def _mounts(files):
    try:
        vfs.mount(vfs.VfsLfs2(files), "/")
    except OSError:
        return False
    return True


def _note():
    try:
        NVS(_SPACE).set_i32(_NOTE, 1)
    except OSError:
        pass  # full or damaged: nothing is made anew then


def _is_noted():
    try:
        return NVS(_SPACE).get_i32(_NOTE) == 1
    except OSError:
        return False


def _is_blank(files):
    """Tell whether both blocks are blank without which there is no file system to lose."""
    page = bytearray(256)
    for at in range(0, 8192, len(page)):
        files.readblocks(0, page, at)
        if page != b"\xff" * len(page):
            return False
    return True


try:
    _mount()
finally:
    ota.guard()
    gc.collect()
