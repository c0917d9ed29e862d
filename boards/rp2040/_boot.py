# SPDX-License-Identifier: MIT
"""What runs first: mount the file system, then guard a trial.

A file system that does not mount may be damaged, or this firmware may be unable to read what
another one wrote. So the first time it is noted in flash and the chip is reset: an image on trial
has failed then, and the one before mounts it again. Only when the next boot, of an image that is
kept, finds the note is the file system made anew, and not before it has failed once more two
seconds later: one dip of the supply may be as long as two boots. `ota` has its factory files in
the firmware. Nothing here loops: who finds the note does not reset, and one that flash does not
hold does not count.

`rp2.Flash()` is the file system, as applications know it from other boards. The port's own would
begin with the records of both slots here, and `mkfs(rp2.Flash())` would take them along.
"""

import time

import machine
import rp2
import vfs

import ota
import ota_rp2

_NOTE = b"no files"


def _files(*, start=0, len=None):
    words = ota_rp2.info()[0]
    length = words[11] - start if len is None else len
    if start < 0 or length <= 0 or start + length > words[11]:
        raise ValueError
    return ota_rp2.flash(words, words[10] + start, length)


def _mount():
    rp2.Flash = _files
    boot = ota_rp2.Boot()
    words = ota_rp2.info()[0]
    files = _files()
    note = ota_rp2.flash(words, words[6] + 4096, 4096)  # the sector behind the floors
    page = bytearray(256)
    if not _mounts(files):
        if not _is_blank(files, page):
            if not _is_noted(note, page):
                _write(note, page)
                if _is_noted(note, page):
                    machine.reset()
                return  # go on without files: there is a REPL, and the watchdog of a trial
            if boot.on_trial:
                return
            time.sleep(2)
        if not _mounts(files):
            print("no file system: made anew")  # noqa: T201
            vfs.VfsLfs2.mkfs(files, progsize=256)
            vfs.mount(vfs.VfsLfs2(files, progsize=256), "/")
    if _is_noted(note, page):
        note.ioctl(6, 0)


def _mounts(files):
    try:
        vfs.mount(vfs.VfsLfs2(files, progsize=256), "/")
    except OSError:
        return False
    return True


def _is_noted(note, page):
    note.readblocks(0, page)
    return page[: len(_NOTE)] == _NOTE


def _write(note, page):
    page[: len(_NOTE)] = _NOTE
    note.ioctl(6, 0)
    note.writeblocks(0, page, 0)


def _is_blank(files, page):
    """Tell whether both blocks are blank without which there is no file system to lose."""
    for at in range(0, 8192, len(page)):
        files.readblocks(0, page, at)
        if page != b"\xff" * len(page):
            return False
    return True


try:
    _mount()
finally:
    ota.guard()
