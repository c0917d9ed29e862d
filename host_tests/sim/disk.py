# SPDX-License-Identifier: MIT
"""The device's file system: a real LittleFS in the simulated flash. MicroPython only.

Every erase and program that LittleFS does is a numbered operation of the flash and can be cut:
PowerCut goes up through the C code like any exception, and the next life mounts afresh. A file
that the cut left open is closed by the garbage collector some time later (which prints an EIO); by
then its flash belongs to another life, and the attempt is refused.
"""

import vfs

from sim.chip import esp32

_EIO = 5


class Disk:
    """A Partition as block device. In a later life it answers EIO without allocating anything:
    that is all that the collector can bear."""

    def __init__(self, partition):
        self._partition = partition
        self._flash = partition.flash
        self._life = partition.flash.lives

    def readblocks(self, block, buf, offset=0):
        if self._flash.lives != self._life:
            return -_EIO
        return self._partition.readblocks(block, buf, offset)

    def writeblocks(self, block, buf, offset=None):
        if self._flash.lives != self._life:
            return -_EIO
        return self._partition.writeblocks(block, buf, offset)

    def ioctl(self, op, arg):
        if self._flash.lives != self._life:
            return -_EIO
        return self._partition.ioctl(op, arg)


def disk():
    """Return the block device of the "vfs" partition of the installed board."""
    return Disk(esp32.Partition.find(esp32.Partition.TYPE_DATA, label="vfs")[0])


def mount(path, make=True):
    """Mount the "vfs" partition of the installed board at `path`; make a file system if none."""
    device = disk()
    try:
        file_system = vfs.VfsLfs2(device)
    except OSError:
        if not make:
            raise
        vfs.VfsLfs2.mkfs(device)
        file_system = vfs.VfsLfs2(device)
    vfs.mount(file_system, path)


def unmount(path):
    """Forget what is mounted there; nothing is written. Not to be mounted is no error."""
    try:
        vfs.umount(path)
    except OSError:
        pass
