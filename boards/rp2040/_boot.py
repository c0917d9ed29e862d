# SPDX-License-Identifier: MIT
"""What runs first: mount the file system, then guard a trial.

A file system that does not mount may be damaged, or this firmware may be unable to read what
another one wrote. So the first time it is noted in flash and the chip is reset: an image on trial
has failed then, and the one before mounts it again. Only when the next boot, of an image that is
kept, finds the note is the file system made anew; `ota` has its factory files in the firmware.
Nothing here loops: who finds the note does not reset, and one that flash does not hold does not
count.
"""

import machine
import vfs

import ota
import ota_rp2

_NOTE = b"no files"


def _mount():
    boot = ota_rp2.Boot()
    words = ota_rp2.info()[0]
    files = ota_rp2.flash(words, words[10], words[11])
    note = ota_rp2.flash(words, words[6] + 4096, 4096)  # the sector behind the floors
    page = bytearray(256)
    try:
        vfs.mount(vfs.VfsLfs2(files, progsize=256), "/")
    except OSError:
        blank = _is_blank(files, page)
        if not blank and not _is_noted(note, page):
            _write(note, page)
            if _is_noted(note, page):
                machine.reset()
            return  # go on without files: there is a REPL, and the watchdog of a trial
        if not blank and boot.on_trial:
            return
        vfs.VfsLfs2.mkfs(files, progsize=256)
        vfs.mount(vfs.VfsLfs2(files, progsize=256), "/")
    if _is_noted(note, page):
        note.ioctl(6, 0)


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
