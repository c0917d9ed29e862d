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


def _mount():
    boot = ota_rp2.Boot()
    words = ota_rp2.info()[0]
    files = ota_rp2.flash(words, words[10], words[11])
    note = ota_rp2.flash(words, words[6] + 4096, 4096)  # the sector behind the floors
    page = bytearray(256)
    note.readblocks(0, page)
    noted = page[0] != 0xFF
    try:
        vfs.mount(vfs.VfsLfs2(files, progsize=256), "/")
    except OSError:
        blank = _is_blank(files, page)
        if not noted and not blank:
            page[0] = 0
            note.writeblocks(0, page, 0)
            note.readblocks(0, page)
            if page[0] == 0:
                machine.reset()
        if not blank and (boot.on_trial or not noted):
            return  # the REPL is there, and so is the watchdog of a trial
        vfs.VfsLfs2.mkfs(files, progsize=256)
        vfs.mount(vfs.VfsLfs2(files, progsize=256), "/")
    if noted:
        note.ioctl(6, 0)


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
