# SPDX-License-Identifier: MIT
"""Wi-Fi that comes up, and comes up again: name and password from /ota-state/wifi.json.

The file lies outside the application, so every release finds it: {"ssid": "…", "password": "…"}.
"""

import asyncio
import json

try:
    import network
except ImportError:
    network = None  # a board without Wi-Fi: `mpota push` brings releases through the cable

_TRY_S = 20  # how long one try may take
_PAUSE_S = 5


async def keep(file="/ota-state/wifi.json"):
    """Join the network, and join it again whenever it is lost. Never returns, unless it cannot
    work at all; then it says why."""
    if network is None:
        return
    try:
        with open(file) as f:
            known = json.load(f)
    except (OSError, ValueError) as error:
        print("no Wi-Fi:", file, error)
        return
    station = network.WLAN(network.STA_IF)
    station.active(True)
    while True:
        if not station.isconnected():
            try:
                station.disconnect()  # a try that goes on for ever ends here
                station.connect(known["ssid"], known["password"])
            except OSError as error:
                print("Wi-Fi:", error)  # the radio is still busy
            for _ in range(_TRY_S):
                await asyncio.sleep(1)
                if station.isconnected():
                    print("Wi-Fi: connected,", station.ifconfig()[0])
                    break
            else:
                print("Wi-Fi: no connection to", known["ssid"], station.status())
        await asyncio.sleep(_PAUSE_S)


def is_up():
    """Answer True: there is a way to the next release. None: not yet, ask again."""
    if network is None:
        return True  # it comes through the cable
    return True if network.WLAN(network.STA_IF).isconnected() else None
