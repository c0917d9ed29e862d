# SPDX-License-Identifier: MIT
"""Wi-Fi that comes up, and comes back.

Name and password are what `mpota provision --wifi` wrote to /ota-state/wifi.json. They are no part
of a release, so an update can neither lose nor leak them.
"""

import asyncio
import json

import network

_CONNECT_S = 20  # for one try, DHCP included
_PAUSE_MAX_S = 60
_LOOK_S = 2  # how often a network that is up is looked at

station = network.WLAN(network.STA_IF)


def is_up():
    """Return True when there is a network, else None: as a health check, "ask me again"."""
    return True if station.isconnected() else None


async def keep_up(file="/ota-state/wifi.json"):
    """Connect, and connect again whenever the network is lost. Never returns."""
    with open(file) as opened:
        wifi = json.load(opened)
    if wifi.get("country"):
        network.country(wifi["country"])
    pause_s = 1
    while True:
        if await _connect(wifi["ssid"], wifi["password"]):
            print("wifi: up", station.ifconfig()[0])
            pause_s = 1
            while station.isconnected():
                await asyncio.sleep(_LOOK_S)
            print("wifi: lost")
        else:
            print("wifi: not up, status", station.status())
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)


async def _connect(ssid, password):
    # From the very beginning each time: after a failed try some chips say "wrong password" to the
    # right one until the radio was off.
    station.active(False)
    station.active(True)
    try:
        station.connect(ssid, password)
    except OSError as error:
        print("wifi:", error)
        return False
    for _ in range(_CONNECT_S * 10):
        if station.isconnected():
            return True
        await asyncio.sleep(0.1)
    return False
