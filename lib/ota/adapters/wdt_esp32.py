# SPDX-License-Identifier: MIT
"""`arm` and `disarm` of ota.ports.Boot with the ESP32's task watchdog, which is machine.WDT.

The chip has one: an application that makes its own WDT on trial replaces this one.
Source: ESP-IDF 5.x task_wdt.c, MicroPython ports/esp32.
"""

import time

import machine

from ota import const

# The longest: ESP-IDF counts half milliseconds in 32 bits and doubles them once.
_LONGEST_MS = const((1 << 30) - 1)

_wdt = None
_is_armed = False


def arm(ms):
    """Reset the chip in `ms`. A soft reset leaves a running watchdog as it is; the boot after a
    deep sleep ends in here."""
    global _wdt, _is_armed
    _is_armed = True
    cause = machine.reset_cause()
    if cause == machine.SOFT_RESET:
        return  # the watchdog of before goes on
    slept = cause == machine.DEEPSLEEP_RESET
    _wdt = machine.WDT(0, 1 if slept else min(ms, _LONGEST_MS))
    if slept:
        time.sleep(1)  # it bites in here: an application must not be quicker to sleep again


def disarm():
    """Give the watchdog its longest time, 12.4 days (71 minutes on an ESP32-C2).

    It cannot be stopped before the next hard reset. Every further call starts this time again and
    changes nothing else, so an application may set its own machine.WDT after the first one; a
    device that calls it at every check is never reset. A soft reset forgets that there is
    something to feed: then the chip resets once, that much later, and boots what it kept.
    """
    global _wdt, _is_armed
    if _is_armed:
        _wdt = machine.WDT(0, _LONGEST_MS)
        _is_armed = False
    elif _wdt:
        _wdt.feed()


def forget():
    """See wdt_rp2: nothing is kept here over a reset of the chip."""
