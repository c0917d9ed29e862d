# SPDX-License-Identifier: MIT
"""What tuf_conformance_client runs: `ota.trust` behind the command line of the conformance suite.

The metadata folder holds the client's own state (factory-root, trust.0, trust.1, m0, m1, ...).
After every command, a failed one too, it also holds a copy of each trusted document as
`<role>.json`, the name of the role percent-encoded, and no other *.json.
"""

import asyncio
import json
import os
import sys
import time
from hashlib import sha256

from ota.adapters.http import Http
from ota.adapters.store import Store
from ota.errors import FetchError, OtaError, TrustError
from ota.trust.client import Client
from ota.trust.paths import quote
from ota.trust.sha512 import sha512

_USAGE = "usage: see tuf_conformance_client"


def main(arguments):
    options = {}
    names = []
    command = None
    words = iter(arguments)
    for word in words:
        if word == "--target-name":
            names.append(next(words))
        elif word.startswith("--"):
            options[word[2:]] = next(words)
        else:
            command = word
            break
    folder = options.get("metadata-dir")
    if folder is None or command not in ("init", "refresh", "download"):
        print(_USAGE, file=sys.stderr)
        return 2
    store = Store(folder)
    factory = folder + "/factory-root"
    try:
        if command == "init":
            with open(next(words), "rb") as file:
                _write(factory, file.read())
        else:
            client = Client(
                store,
                lambda: open(factory, "rb"),  # noqa: SIM115
                max_length=262144,
                nested=True,
            )
            asyncio.run(_run(client, options, names))
        return 0
    except OtaError as e:
        print(type(e).__name__, e, file=sys.stderr)
        return 1
    finally:
        _export(store, factory, folder)


async def _run(client, options, names):
    now = "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}Z".format(*time.gmtime()[:6])
    http = Http([options["metadata-url"]], tries=1)
    await _drive(client.refresh(now, now), http)
    for name in names:
        target = await _drive(client.find(name), http)
        if target is None:
            raise TrustError("no such target", name)
        await _download(target, options["target-base-url"], options["target-dir"])


async def _drive(work, http):
    answer = None
    try:
        while True:
            request = work.send(answer)
            answer = request and await _fetch(http, request.file, request.write)
    except StopIteration as end:
        return end.value
    finally:
        work.close()


async def _fetch(http, path, write):
    try:
        body = await http.open(path)
    except FetchError as e:
        if e.status in (403, 404):
            return False
        raise
    buf = memoryview(bytearray(512))
    try:
        while True:
            n = await body.readinto(buf)
            if not n:
                return True
            write(buf[:n])
    finally:
        await body.close()


async def _download(target, url, folder):
    path = folder + "/" + quote(target.path, "")
    if _is_target(path, target):
        return
    part = folder + "/.part"
    try:
        left = target.length
        with open(part, "wb") as file:

            def write(data):
                nonlocal left
                left -= len(data)
                if left < 0:
                    raise TrustError("target too long", target.path)
                file.write(data)

            if not await _fetch(Http([url], tries=1), target.file, write):
                raise FetchError("no such file", target.file, status=404)
        if not _is_target(part, target):
            raise TrustError("target differs", target.path)
        os.rename(part, path)
    finally:
        if _exists(part):
            os.remove(part)


def _is_target(path, target):
    if not _exists(path):
        return False
    hashes = {"sha256": sha256(), "sha512": sha512()}
    length = 0
    with open(path, "rb") as file:
        while True:
            data = file.read(512)
            if not data:
                break
            length += len(data)
            for h in hashes.values():
                h.update(data)
    return length == target.length and all(
        hashes[name].digest().hex() == digest for name, digest in target.hashes.items()
    )


def _export(store, factory, folder):
    """Make the *.json files of the folder those that are trusted."""
    trusted = {}
    if _exists(factory):
        trusted["root.json"] = factory
    record = store.load("trust")
    for line in (record or b"").splitlines()[2:]:
        role, entry = json.loads(line)
        if entry[0]:
            trusted[quote(role, "") + ".json"] = folder + "/" + entry[0]
    for name in os.listdir(folder):
        if name.endswith(".json") and name not in trusted:
            os.remove(folder + "/" + name)
    for name, path in trusted.items():
        with open(path, "rb") as file:
            _write(folder + "/" + name, file.read())


def _write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def _exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
