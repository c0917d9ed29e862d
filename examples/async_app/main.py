# SPDX-License-Identifier: MIT
"""An application on asyncio: a web page that goes on being served while a release comes in.

Updates share the processor with everything else: nothing waits for the network, and each block of
4 KB is a turn of its own. What nobody can share is the look-up of a host name, and flash while it
is erased, some 50 ms for a block. The network is brought up by boot.py, or here as in ../pico_w.
"""

import asyncio

import machine

import ota

PORT = 8080
CHECK_EVERY_S = 6 * 3600

state = {"pages": 0, "update": "not asked yet"}


async def serve(reader, writer):
    """Answer any request with what this device is doing."""
    try:
        while (await reader.readline()).strip():
            pass
        state["pages"] += 1
        writer.write("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        for name, value in state.items():
            writer.write(f"{name} {value}\n")
        await writer.drain()
    except OSError as error:
        print("a visitor has gone", error)
    finally:
        writer.close()
        await writer.wait_closed()


def healthy():
    """Keep a new release once it has answered somebody, or say so in another way."""
    return True if state["pages"] else None


async def main():
    updater = ota.Updater.from_config()
    state["version"] = updater.status()["version"]
    server = await asyncio.start_server(serve, "0.0.0.0", PORT)
    # The application is at work from here on; the trial of a new release runs beside it.
    if not await updater.settle(healthy, within_s=120):
        machine.reset()
    async for event in updater.watch(every_s=CHECK_EVERY_S):
        state["update"] = str(event)
        print(event)
        if event.ready:
            server.close()
            await server.wait_closed()
            machine.reset()


asyncio.run(main())
