# SPDX-License-Identifier: MIT
"""One update of an application over HTTP, for tools/bench/bench_app.py.

    micropython -c "import app_device" FOLDER

FOLDER has ota-state/ (what `mpota provision` writes) and ota-app/, whose tree "a" runs. Everything
is real but the chip, of which there is nothing: its Python would count into the heap.
"""

import asyncio
import sys


class Machine:
    @staticmethod
    def unique_id():
        return b"\x24\x0a\xc4\x00\x00\x01"


def main(folder):
    sys.modules["machine"] = Machine
    sys.path.append(folder + "/ota-app/a")  # as boot.py does
    import ota

    updater = ota.Updater.from_config(folder + "/ota-state")
    print(asyncio.run(updater.update()).kind)


main(sys.argv[1])
