# SPDX-License-Identifier: MIT
"""The clock of the board: what it claims, and how long it certainly has been running.

The time of day may be unset, wrong or set by anybody, so it is a claim; uptime is not. Times are
UTC strings ("2026-11-22T17:00:00Z"), which compare like the times they name and do not depend on
the port's epoch.
"""

import time

from ota.errors import StateError


class Clock:
    """`ntp`: host to ask for the time of day when it is not known, or None: nobody is asked."""

    def __init__(self, ntp=None):
        self._ntp = ntp
        self._uptime_ms = 0
        self._ticks = _ticks_ms()

    def utc(self):
        """Return what the clock claims, as a UTC string. Unset clocks claim 1970, 2000 or 2021."""
        return _text(time.gmtime())

    async def ask(self):
        """Set the board's clock from the NTP server. Return whether there is one.

        The answer is a claim as well: whoever is on the way can forge it. Raises FetchError.
        """
        if not self._ntp:
            return False
        from ota.adapters.ntp import now, set_rtc

        try:
            set_rtc(await now(self._ntp))
        except ValueError as error:
            raise StateError("configuration is wrong", "ntp", error)
        return True

    def later(self, utc):
        """Return `utc` plus the time for which this object surely has existed.

        A lower bound: ticks wrap after days on some ports, and a wrap that nobody saw is lost.
        """
        ticks = _ticks_ms()
        passed = _ticks_diff(ticks, self._ticks)
        if passed > 0:
            self._uptime_ms += passed
        self._ticks = ticks
        return shift(utc, self._uptime_ms // 1000)


def shift(utc, seconds):
    """Return the UTC string `seconds` (>= 0) after `utc`."""
    year, month, day = int(utc[:4]), int(utc[5:7]), int(utc[8:10])
    seconds += int(utc[11:13]) * 3600 + int(utc[14:16]) * 60 + int(utc[17:19])
    day += seconds // 86400
    while True:
        days = 30 + (month + month // 8) % 2  # August breaks the turns of 31 and 30
        if month == 2:
            days = 29 if year % 4 == 0 and (year % 100 or year % 400 == 0) else 28
        if day <= days:
            seconds %= 86400
            return _text((year, month, day, seconds // 3600, seconds // 60 % 60, seconds % 60))
        day -= days
        year += month // 12
        month = month % 12 + 1


def _text(fields):
    return "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}Z".format(*fields[:6])


if hasattr(time, "ticks_ms"):
    _ticks_ms = time.ticks_ms
    _ticks_diff = time.ticks_diff
else:  # CPython
    _ticks_diff = int.__sub__

    def _ticks_ms():
        return time.monotonic_ns() // 1000000
