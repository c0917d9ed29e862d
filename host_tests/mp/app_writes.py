# SPDX-License-Identifier: MIT
"""What an update of an application writes, on LittleFS in the simulated flash. MicroPython only.

    micropython host_tests/mp/app_writes.py WORLD

WORLD: see app_power_cuts.py; with v0, that lies in the spare tree. Prints one line of JSON: bytes
programmed, erases, and most erases of one block, from the start of v1 to v2 that is confirmed.
"""

import json
import sys

sys.path.insert(0, "host_tests")

import app_power_cuts
from sim.flash import SECTOR


def main(world):
    device = app_power_cuts.Device(world, "lfs", app_power_cuts.SCENARIOS["confirm"], 0x140000)
    device.mount()
    for path, data in sorted(device._read_tree("v0").items()):
        app_power_cuts.write("/ota-app/b/" + path, data)
    device.unmount()
    flash = device.flash
    before = list(flash.erases)
    flash.trace = []
    device.live_on()
    erases = [now - then for now, then in zip(flash.erases, before)]
    programmed = sum([what[2] for what in flash.trace if what[0] == "program"])
    assert sum(erases) * SECTOR >= programmed - len(flash.erases) * SECTOR
    print(json.dumps({"bytes": programmed, "erases": sum(erases), "most": max(erases)}))


main(sys.argv[1])
