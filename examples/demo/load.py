# SPDX-License-Identifier: MIT
"""Copy a folder into the file system of a simulated board, as `mpremote cp -r` would.

micropython load.py HOST_TESTS FLASHFILE FOLDER
"""

import os
import sys

sys.path.insert(0, sys.argv[1])

from sim import disk
from sim.chip import Board
from sim.flash import Flash


def copy(source, target):
    for entry in os.ilistdir(source):
        name = entry[0]
        if entry[1] & 0x4000:
            os.mkdir(target + "/" + name)
            copy(source + "/" + name, target + "/" + name)
        else:
            with open(source + "/" + name, "rb") as file:
                content = file.read()
            with open(target + "/" + name, "wb") as file:
                file.write(content)


board = Board(Flash(os.stat(sys.argv[2])[6], sys.argv[2]))
board.power_on()
with board:
    disk.mount("/device")
    copy(sys.argv[3], "/device")
    disk.unmount("/device")
