# SPDX-License-Identifier: MIT
"""Plays a device that fetches with adapters/http, as told in a JSON file, on either Python.

    {"urls": […], "ca": hex or null, "headers": […], "timeout_s": 1, "tries": 2,
     "more": [{"urls": …, "ca": …, "headers": …}, …], "hosts": {"github.com:443": port, …},
     "steps": [{"path": …, "start": 0, "end": null, "size": 4096, "stop": null}, {"close": 1}]}

`hosts`: which port of this machine plays a host; then there are no others.

Answers with one object per step: {"length", "count", "sha256"} or {"error", "args", "status"};
the pauses that were slept are in the last object, {"pauses": […]}. `stop`: close the body after
so many bytes; `cancel_ms`: cancel the step after so long; `keep`: do not close the body.
"""

import asyncio
import hashlib
import json
import socket
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
        if "close" in order:
            return await http.close()
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


class Hosts:
    """The socket module, in a world that has only these hosts."""

    def __init__(self, hosts):
        self._hosts = hosts
        self._getaddrinfo = socket.getaddrinfo

    def __getattr__(self, name):
        return getattr(socket, name)

    def getaddrinfo(self, host, port, *args, **kwargs):
        port = self._hosts.get(f"{host}:{port}")
        if port is None:
            raise OSError(-2)
        return self._getaddrinfo("127.0.0.1", port, *args, **kwargs)


def certificates(text):
    return bytes(int(text[i : i + 2], 16) for i in range(0, len(text), 2)) if text else None


async def play(job):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    try:
        http = Http(
            job["urls"],
            certificates(job.get("ca")),
            job.get("headers", ()),
            job.get("timeout_s", 5),
            job.get("tries", 2),
            sleep=sleep,
            rand=lambda count: bytes([job.get("rand", 0)] * count),
        )
        for more in job.get("more", ()):
            http.add(more["urls"], certificates(more.get("ca")), more.get("headers", ()))
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
    job = json.loads(text)
    if "hosts" not in job:
        return asyncio.run(play(job))
    hosts = Hosts(job["hosts"])
    if hasattr(sys.implementation, "_mpy"):
        sys.modules["socket"] = hosts  # a built-in module takes no other function
        return asyncio.run(play(job))
    true, socket.getaddrinfo = socket.getaddrinfo, hosts.getaddrinfo
    try:
        return asyncio.run(play(job))
    finally:
        socket.getaddrinfo = true


if __name__ == "__main__":
    with open(sys.argv[1]) as f:
        print(json.dumps(main(f.read())))
