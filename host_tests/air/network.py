# SPDX-License-Identifier: MIT
"""`network` for the examples: a radio that allows less than any board's.

What it is used for wrongly ends the program (Misuse is no Exception), and without a connection no
host is found. How each try to connect ends is in `air.TRIES`, a module that the test freezes in:
"up", "lost" (up for a second), "wrong password", "nobody" or "raises"; the last one counts from
then on.
"""

import sys
import time

import air

STA_IF = 0
_IDLE, _CONNECTING, _GOT_IP, _NOBODY, _WRONG = 0, 1, 3, -2, -3
_TAKES_MS = 150
_LOST_MS = 1000


class Misuse(BaseException):
    pass


def _must(condition, text):
    if not condition:
        raise Misuse(text)


class _Radio:
    def __init__(self):
        self.active = False
        self.tries = 0
        self.ends = None  # how the try that runs will end, or has ended
        self.begun = 0

    def status(self):
        if not self.active or self.ends is None:
            return _IDLE
        passed = time.ticks_diff(time.ticks_ms(), self.begun)
        if passed < _TAKES_MS:
            return _CONNECTING
        if self.ends == "lost" and passed > _LOST_MS:
            return _IDLE
        return {"nobody": _NOBODY, "wrong password": _WRONG}.get(self.ends, _GOT_IP)


_radio = _Radio()


def country(code):
    _must(isinstance(code, str) and len(code) == 2, "country")


class WLAN:
    def __init__(self, interface):
        _must(interface == STA_IF, "station only")

    def active(self, state=None):
        if state is None:
            return _radio.active
        _must(isinstance(state, bool), "active")
        if state != _radio.active:
            _radio.ends = None
        _radio.active = state
        return None

    def connect(self, ssid, password):
        _must(_radio.active, "connect before active")
        _must((ssid, password) == (air.SSID, air.PASSWORD), "another network")
        _must(_radio.status() not in (_CONNECTING, _GOT_IP), "connect while connecting")
        _must(_radio.ends is None, "connect again without a reset of the radio")
        _radio.ends = air.TRIES[min(_radio.tries, len(air.TRIES) - 1)]
        _radio.tries += 1
        _radio.begun = time.ticks_ms()
        if _radio.ends == "raises":
            raise OSError("Wifi Internal State Error")

    def disconnect(self):
        _must(_radio.active, "disconnect before active")
        _radio.ends = None

    def isconnected(self):
        return _radio.status() == _GOT_IP

    def status(self):
        return _radio.status()

    def ifconfig(self):
        _must(self.isconnected(), "ifconfig without connection")
        return ("192.0.2.7", "255.255.255.0", "192.0.2.1", "192.0.2.1")


class _Socket:
    def __init__(self, socket):
        self._socket = socket

    def __getattr__(self, name):
        return getattr(self._socket, name)

    def getaddrinfo(self, *args):
        if _radio.status() != _GOT_IP:
            raise OSError(-6)
        return self._socket.getaddrinfo(*args)


sys.modules["socket"] = _Socket(__import__("socket"))
