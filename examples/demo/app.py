# What the device of the demo runs: `asyncio` application, guarded by boot.py.
import asyncio
import machine
import ota

VERSION = "@VERSION@"


async def application():
    print("application", VERSION, "at work")
    while True:
        await asyncio.sleep(1)


def healthy():
    return @HEALTHY@


async def main():
    work = asyncio.create_task(application())
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


asyncio.run(main())
