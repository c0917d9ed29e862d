# SPDX-License-Identifier: MIT
"""Plays a device that fetches with adapters/http, as told in a JSON file, on either Python.

    {"urls": […], "ca": hex or null, "headers": […], "timeout_s": 1, "tries": 2,
     "steps": [{"path": …, "start": 0, "end": null, "size": 4096, "stop": null}, …]}

Answers with one object per step: {"length", "count", "sha256"} or {"error", "args", "status"};
the pauses that were slept are in the last object, {"pauses": […]}. `stop`: close the body after
so many bytes; `cancel_ms`: cancel the step after so long; `keep`: do not close the body.
"""

import asyncio
import hashlib
import json
import sys

from ota.adapters.http import Http
from ota.errors import OtaError


def hexlify(data):
    return "".join("%02x" % b for b in data)


async def step(http, order):
    body = await http.open(order["path"], order.get("start", 0), order.get("end"))
    digest = hashlib.sha256()
    buf = bytearray(order.get("size", 4096))
    count = 0
    stop = order.get("stop")
    while stop is None or count < stop:
        n = await body.readinto(buf)
        if not n:
            break
        if n < len(buf) and body.length is not None and count + n != body.length:
            raise AssertionError("readinto has not filled the buffer")
        digest.update(memoryview(buf)[:n])
        count += n
    if not order.get("keep"):
        await body.close()
        await body.close()
        if await body.readinto(buf):
            raise AssertionError("a closed body is at its end")
    return {"length": body.length, "count": count, "sha256": hexlify(digest.digest())}


async def attempt(http, order):
    try:
        if "cancel_ms" in order:
            task = asyncio.create_task(step(http, order))
            await asyncio.sleep(order["cancel_ms"] / 1000)
            task.cancel()
            try:
                return await task
            except asyncio.CancelledError:
                return {"error": "CancelledError"}
        return await step(http, order)
    except (OtaError, ValueError) as e:
        args = [a if isinstance(a, (int, str)) else None for a in e.args]
        return {"error": type(e).__name__, "args": args, "status": getattr(e, "status", None)}


async def play(job):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    ca = job.get("ca")
    try:
        http = Http(
            job["urls"],
            bytes(int(ca[i : i + 2], 16) for i in range(0, len(ca), 2)) if ca else None,
            job.get("headers", ()),
            job.get("timeout_s", 5),
            job.get("tries", 2),
            sleep=sleep,
            rand=lambda count: bytes([job.get("rand", 0)] * count),
        )
    except ValueError as e:
        return [{"error": "ValueError", "args": list(e.args)}]
    results = []
    for order in job["steps"]:
        results.append(await attempt(http, order))
    await http.close()
    await http.close()
    results.append({"pauses": pauses})
    return results


def main(text):
    return asyncio.run(play(json.loads(text)))


if __name__ == "__main__":
    with open(sys.argv[1]) as f:
        print(json.dumps(main(f.read())))
