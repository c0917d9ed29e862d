# SPDX-License-Identifier: MIT
"""A Pico W, or any board with Wi-Fi: works without a network too, and updates when there is one.

On stock firmware this folder is an application as it stands:

    mpota release examples/pico_w --version 1.0.0
"""

import asyncio

import machine
import wifi

import ota

CHECK_EVERY_S = 6 * 3600


async def work():
    while True:
        print("at work")
        await asyncio.sleep(1)


async def main():
    working = asyncio.create_task(work())
    connecting = asyncio.create_task(wifi.keep_up())
    updater = ota.Updater.from_config()
    # A release that cannot get into the network could never be replaced by another, so to get
    # there is part of being healthy. Should the network be down for so long, the release is given
    # up although it may be good: `mpota rollout --retry` offers it again.
    if not await updater.settle(wifi.is_up, within_s=300):
        machine.reset()
    async for event in updater.watch(every_s=CHECK_EVERY_S):
        print(event)
        if event.ready:
            machine.reset()
    await asyncio.gather(working, connecting)


asyncio.run(main())
