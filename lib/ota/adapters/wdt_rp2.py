# SPDX-License-Identifier: MIT
"""`arm` and `disarm` of ota.ports.Boot with the watchdog of an RP2040 or RP2350.

It cannot run longer than 8.3 seconds, so a timer feeds it up to the deadline and resets the chip
then: neither a hang nor an application that feeds a watchdog of its own outlives the trial. That
holds for the hard timers of MicroPython 1.26; before, the timer is a soft one, and who feeds the
watchdog from a loop that never lets it run outlives the trial's end.

Sources: RP2040 datasheet 4.7, RP2350 datasheet 12.9; pico-sdk 2.1 hardware_watchdog; MicroPython
ports/rp2.
"""

import sys
import time

import machine

from ota import const

_RP2040 = const(0x40058000)
_RP2350 = const(0x400D8000)
_LOAD = const(0x04)
_DEADLINE = const(0x14)  # scratch register 2, which nobody else uses: what a soft reset leaves
_OWNER = const(0x1C)  # scratch register 4: the SDK's mark when machine.WDT armed it
_OWNER_SDK = const(0x6AB73121)
_CLEAR = const(0x3000)  # the same registers: bits that are written here are cleared
_ENABLE = const(1 << 30)
_LONGEST = const(0xFFFFFF)  # microseconds; half ones on RP2040 (erratum E1): 8.3 s
_WDT_MS = const(8388)  # what machine.WDT takes on both chips
_FEED_MS = const(1000)
_LONGEST_MS = const(1 << 28)  # three days: what ticks can tell apart, with room

_base = _RP2350 if "RP2350" in getattr(sys.implementation, "_machine", "") else _RP2040
_load = _base + _LOAD  # made once: a number of this size takes heap, and an interrupt has none
_trial = None  # the _Trial that this interpreter feeds


def feed():
    """Give the watchdog its longest time, whoever armed it. Does nothing if nobody did."""
    machine.mem32[_load] = _LONGEST


def arm(ms):
    """Reset the chip in `ms`, or earlier if Python's timers stop."""
    global _trial
    if _trial is None:
        _trial = _Trial()
    _trial.start(ms)


def disarm():
    """Stop the watchdog, unless the application has made it its own (machine.WDT)."""
    global _trial
    if _trial:
        _trial.stop()
        _trial = None


def forget():
    """Let the next `arm` set a deadline of its own: a trial begins with the next reset."""
    machine.mem32[_base + _DEADLINE] = 0


class _Trial:
    """Feeds the watchdog up to a deadline, which a soft reset does not move."""

    def __init__(self):
        # A soft reset ends the timer and forgets everything but a register.
        deadline = machine.mem32[_base + _DEADLINE]
        self._goes_on = deadline != 0
        self._deadline = deadline & 0x3FFFFFFF
        self._timer = machine.Timer()
        if not self._goes_on:
            # No application has run since the chip's reset: a mark is of before, or boot.py's.
            machine.mem32[_base + _OWNER] = 0

    def start(self, ms):
        if not self._goes_on:
            self._deadline = time.ticks_add(time.ticks_ms(), min(ms, _LONGEST_MS))
            machine.mem32[_base + _DEADLINE] = self._deadline | 1 << 31
        self._tick(None)  # now, too: soft resets may come quicker than the timer
        # Not by its register: without a bootloader of ours nobody has said yet that the watchdog
        # resets the whole chip.
        owner = machine.mem32[_base + _OWNER]
        machine.WDT(timeout=_WDT_MS)
        machine.mem32[_base + _OWNER] = owner
        feed()
        try:
            # In the interrupt itself: a long call into C, like a TLS handshake, is not a hang.
            self._timer.init(period=_FEED_MS, callback=self._tick, hard=True)
        except TypeError:  # MicroPython before 1.26: such a call has to end within 8 seconds
            self._timer.init(period=_FEED_MS, callback=self._tick)

    def stop(self):
        self._timer.deinit()
        forget()
        if machine.mem32[_base + _OWNER] != _OWNER_SDK:
            machine.mem32[_base + _CLEAR] = _ENABLE

    def _tick(self, timer):
        if time.ticks_diff(self._deadline, time.ticks_ms()) <= 0:
            machine.reset()
        feed()
