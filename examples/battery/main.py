# SPDX-License-Identifier: MIT
"""A device on a battery: wakes, measures, looks for an update, sleeps.

The trap: waking from deep sleep does not pass the bootloader as a reset does. A device that slept
on trial would wake in the new release, still on trial, for ever; one that slept with a switch
pending would wake in the old one. So nothing here sleeps before `settle` has said True, and what
is ready is booted by machine.reset(), at once.
"""

import asyncio
import json
import time

import machine
import network

import ota

SLEEP_MS = 6 * 3600 * 1000
NETWORK_WITHIN_S = 15  # then it sleeps: the next waking is the next try
UPDATE_WITHIN_S = 600  # a download that takes longer goes on at the next waking, where it was


def measure():
    print("measured")
    return 3.9  # volts of the battery, say


def has_charge(offer=None):
    """Asked before a download begins, and again before each block of it."""
    return measure() > 3.6


async def online():
    """Return whether there is a network now."""
    with open("/ota-state/wifi.json") as file:
        wifi = json.load(file)
    station = network.WLAN(network.STA_IF)
    station.active(True)
    if not station.isconnected():
        station.connect(wifi["ssid"], wifi["password"])
    for _ in range(NETWORK_WITHIN_S * 10):
        if station.isconnected():
            return True
        await asyncio.sleep(0.1)
    return False


async def look(updater):
    """Look for an update; reset if one is ready."""
    try:
        if not await online():
            print("no network")
            return
        event = await asyncio.wait_for(
            updater.update(consent=has_charge, should_continue=has_charge), UPDATE_WITHIN_S
        )
        print(event)
    except (ota.OtaError, asyncio.TimeoutError, OSError) as error:
        print("no update today:", error)


async def main():
    updater = ota.Updater.from_config()
    # A new release stays if it can measure and is online: else it could never be replaced.
    measure()

    async def healthy():
        return await online() or None

    if not await updater.settle(healthy, within_s=60):
        machine.reset()
    await look(updater)
    status = updater.status()
    if status["switch_pending"] or (status["app"] and status["app"]["switch_pending"]):
        machine.reset()
    network.WLAN(network.STA_IF).active(False)
    time.sleep(0.1)  # for the radio to go off
    machine.deepsleep(SLEEP_MS)


asyncio.run(main())
