# SPDX-License-Identifier: MIT
"""The least that an application with updates needs, without asyncio: it rests while one comes in.

boot.py is `import ota; ota.guard()`, as `mpota provision` writes it, and has brought up the
network, or this file does so before it asks for updates (../pico_w shows one way).
"""

import time

import machine

import ota

CHECK_EVERY_S = 6 * 3600


def healthy():
    """Say whether this release may stay: True, False, or None for "ask me again"."""
    return True  # what your device is there for works: the sensor answers, the relay is reached


def work():
    print("at work")
    time.sleep(1)


if not ota.settle(healthy):
    machine.reset()  # back to the release before

checked = None
while True:
    work()
    if checked is None or time.time() - checked >= CHECK_EVERY_S:
        checked = time.time()
        try:
            event = ota.update()
            print(event)
            if event.ready:
                machine.reset()  # into the new release, on trial
        except ota.OtaError as error:
            print("no update today:", error)
