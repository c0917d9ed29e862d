# SPDX-License-Identifier: MIT
"""Put a folder into the file system of a simulated device: fill_flash.py FLASH FOLDER"""

import os
import sys

sys.path.insert(0, "host_tests")

from sim import disk
from sim.chip import Board
from sim.flash import Flash


def copy(source, target):
    for name in os.listdir(source):
        path = source + "/" + name
        if os.stat(path)[0] & 0x4000:
            os.mkdir(target + "/" + name)
            copy(path, target + "/" + name)
        else:
            with open(path, "rb") as old, open(target + "/" + name, "wb") as new:
                new.write(old.read())


board = Board(Flash(os.stat(sys.argv[1])[6], sys.argv[1]))
board.power_on()
board.install()
disk.mount("/device")
copy(sys.argv[2], "/device")
disk.unmount("/device")
