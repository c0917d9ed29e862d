# SPDX-License-Identifier: MIT
"""main.py of the device in the demo. Each image carries a release.py of its own."""

import asyncio

import machine
from release import HEALTHY, VERSION

import ota


async def application():
    print("application", VERSION, "at work")
    while True:
        await asyncio.sleep(1)


def healthy():
    return HEALTHY


async def main():
    app = asyncio.create_task(application())
    updater = ota.Updater.from_config()
    if not await updater.settle(healthy, within_s=10):
        print("not healthy: going back")
        machine.reset()
    status = updater.status()
    print("status", status["version"] or "first", "last", status["last"])
    async for event in updater.watch(every_s=2):
        print(event)
        if event.ready:
            machine.reset()
    await app


asyncio.run(main())
