# SPDX-License-Identifier: MIT
"""Cut the power in every flash operation of LittleFS, all lives in one process. MicroPython only.

Run by test_disk_cuts.py. Prints "N cuts" and exits 0 when after each of them the file system could
be mounted, held what was closed before the cut, and no object of the dead life wrote to flash.
"""

import gc
import os

from sim import disk, image, table
from sim.chip import Board
from sim.flash import TEARS, Flash, PowerCut


def work(closed):
    disk.mount("/flash")
    for name in ("a", "b"):
        with open("/flash/" + name, "wb") as file:
            file.write(name * 3000)
        closed[name] = name * 3000
    left_open = open("/flash/c", "wb")
    left_open.write("c" * 3000)
    os.rename("/flash/a", "/flash/d")
    closed["d"] = closed.pop("a")
    left_open.write("c" * 3000)
    left_open.close()


def main():
    flash = Flash(table.SMALL_SIZE)
    flash.strict = True
    board = Board(flash)
    board.format(table.SMALL, image.build())
    board.power_on()
    board.install()
    disk.mount("/flash")
    disk.unmount("/flash")
    content = flash.snapshot()
    cuts = 0
    number = -1
    done = False
    while not done:
        number += 1
        for tear in TEARS:
            flash.restore(content)
            board.power_on()
            flash.cut_at = flash.ops + number
            flash.tear = tear
            closed = {}
            try:
                work(closed)
                done = True
            except PowerCut:
                cuts += 1
            disk.unmount("/flash")
            flash.cut_at = None
            board.power_on()
            before = flash.ops
            gc.collect()
            assert flash.ops == before, "a dead file wrote"
            disk.mount("/flash", make=False)
            for name, data in closed.items():
                if name not in os.listdir("/flash"):
                    assert name == "a", name  # renamed, as it may be: the cut came after
                    name = "d"
                with open("/flash/" + name) as file:
                    assert file.read() == data, name
            disk.unmount("/flash")
    print(cuts, "cuts")


main()
