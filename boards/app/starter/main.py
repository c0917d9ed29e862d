# SPDX-License-Identifier: MIT
"""The application that a new device starts with, until it gets yours: it waits for yours.

`mpota provision` puts it into /ota-app/a. It joins the Wi-Fi of /ota-state/wifi.json, looks for a
release, installs it and tries it. Your application has to do these three things as well; copy the
marked lines. It may be written without asyncio too: see examples/.
"""

import asyncio

import machine
import wifi

import ota


async def main():
    network = asyncio.create_task(wifi.keep())

    # 1. Say that this application works. After an update it is on trial, and unless this happens
    #    in time the device goes back to the one before. An application that can reach the network
    #    can be updated again: ask for that at least, and for what matters in yours.
    updater = ota.Updater.from_config(log=print)
    if not await updater.settle(wifi.is_up, within_s=180):
        machine.reset()  # it was given up: the application before runs again

    # 2. Do your work, in a task of its own.
    work = asyncio.create_task(blink())

    # 3. Look for releases, now and then. The download goes on while your tasks run; trouble with
    #    the network is an event like others, and it tries again by itself. This application only
    #    waits for yours, so it looks each minute; yours may do with every few hours.
    async for event in updater.watch(every_s=60):
        print(event)
        if event.ready:
            break
    work.cancel()
    network.cancel()
    machine.reset()  # boots the new application, on trial


async def blink():
    """Show that this is the starter and not your application."""
    try:
        led = machine.Pin("LED", machine.Pin.OUT)
    except (TypeError, ValueError, AttributeError):
        return  # this board has none by that name
    while True:
        led.value(not led.value())
        await asyncio.sleep(1)


asyncio.run(main())
