# SPDX-License-Identifier: MIT
"""The time of day from an NTP server, strictly (RFC 5905; as a client of RFC 4330).

Anybody on the way can forge the answer, so this time is a claim like that of the clock: TLS may
use it for the dates of certificates, the floor of trusted time never takes it. Who cannot see the
question cannot answer it: its transmit timestamp is 64 random bits that have to come back.

One question and one answer of 48 bytes:

     0  leap indicator (2 bits), version (3), mode (3)    16  reference timestamp: last set
     1  stratum: 0 is a kiss-o'-death                     24  origin timestamp: our random bits
     4  root delay, 16.16 s                               32  receive timestamp
     8  root dispersion, 16.16 s                          40  transmit timestamp: the time

A timestamp is 32 bits of seconds and 32 of fraction. The seconds begin again on 2036-02-07; read
as RFC 4330, section 3, says (top bit set: 1968 to 2036, else 2036 to 2104).
"""

import asyncio
import os
import socket
import struct
from errno import EAGAIN

from ota import const
from ota.adapters.clock import shift
from ota.errors import FetchError

_SIZE = const(48)
_ASK = const(0x23)  # no warning, version 4, mode 3: client
_SERVER = const(4)
_UNSYNCHRONIZED = const(3)
_STRATA = const(16)  # this one and above: not synchronized
_DISTANCE_MAX = const(16 << 16)  # RFC 5905, A.5.1.1: MAXDISP; more is nobody's measurement
_POLL_S = 0.02


async def now(host, timeout_s=5, rand=os.urandom):
    """Ask `host` ("name", or "name:port") once; return its time as a UTC string.

    It lies behind by the fraction of a second and the way back, at most 1 + `timeout_s` seconds.
    Raises FetchError when no answer comes in time (it is UDP: ask again, but not at once), or when
    the server refuses, is not synchronized itself, or makes no sense. Only the name look-up of
    MicroPython blocks, for some seconds where the network is down. `rand(count)` is for tests.
    """
    name, _, port = host.partition(":")
    try:
        found = socket.getaddrinfo(name, int(port or 123))[0]
        link = socket.socket(found[0], socket.SOCK_DGRAM)
        try:
            link.setblocking(False)
            link.connect(found[-1])  # from now on only this server is heard
            secret = rand(8)
            link.send(bytes([_ASK]) + bytes(39) + secret)
            return await asyncio.wait_for(_answer(link, secret), timeout_s)
        finally:
            link.close()
    except asyncio.TimeoutError:
        raise FetchError("ntp: no answer")
    except OSError as error:
        raise FetchError("ntp", error.errno)


def set_rtc(utc):
    """Set the clock of the board, machine.RTC, to a UTC string."""
    import time

    from machine import RTC

    date = int(utc[:4]), int(utc[5:7]), int(utc[8:10])
    clock = int(utc[11:13]), int(utc[14:16]), int(utc[17:19])
    # Some ports work the day of the week out for themselves, others store what they are given.
    weekday = time.gmtime(time.mktime(date + clock + (0, 0, 0)))[6] + 1
    RTC().datetime(date + (weekday,) + clock + (0,))


async def _answer(link, secret):
    """Wait for the answer to the question with `secret`; whatever else arrives is dropped."""
    while True:
        try:
            data = link.recv(_SIZE + 1)
            if data[24:32] == secret:
                return _read(data)
        except OSError as error:
            if error.errno != EAGAIN:
                raise
        await asyncio.sleep(_POLL_S)


def _read(data):
    """Return the UTC string of an answer to our question, or raise FetchError."""
    if len(data) != _SIZE:
        raise FetchError("ntp: length", len(data))
    if data[0] & 7 != _SERVER or data[0] >> 3 & 7 not in (3, 4):
        raise FetchError("ntp: mode or version", data[0])
    if data[1] >= _STRATA or data[0] >> 6 == _UNSYNCHRONIZED:
        raise FetchError("ntp: the server has no time", data[1])
    if data[1] == 0:
        raise FetchError("ntp: the server refuses")
    delay, dispersion, _, reference = struct.unpack(">IIII", data[4:20])
    received, _, sent, _ = struct.unpack(">IIII", data[32:])
    if (
        delay // 2 + dispersion >= _DISTANCE_MAX
        or data[40:] == bytes(8)
        # Modulo 2^32, so that a server is believed when the era has just changed.
        or (sent - reference) & 0xFFFFFFFF >= 0x80000000
        or (sent - received) & 0xFFFFFFFF >= 0x80000000
    ):
        raise FetchError("ntp: no sense")
    # Seconds since the top bit changed: the rule of both eras is one subtraction.
    return shift("1968-01-20T03:14:08Z", (sent - 0x80000000) & 0xFFFFFFFF)
