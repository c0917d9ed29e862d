# SPDX-License-Identifier: MIT
"""One check by the trust client in little memory (test_trust_heap.py runs it on MicroPython).

    micropython -X heapsize=... trust_heap.py FOLDER TIME WHAT [TARGET ...]

FOLDER has metadata/ and a folder state/. WHAT is "import" (nothing more), "light" (signatures
count as good: what a native verifier costs) or "pure".
"""

import sys

from ota.adapters.store import Store
from ota.trust.client import Client

folder, time, what = sys.argv[1:4]


class Light:
    def __init__(self, key, signature):
        pass

    def update(self, data):
        pass

    def ok(self):
        return True


def follow(work, buf):
    answer = None
    try:
        while True:
            request = work.send(answer)
            answer = request and fetch(request, buf)
    except StopIteration as end:
        return end.value
    finally:
        work.close()


def fetch(request, buf):
    try:
        file = open(folder + "/metadata/" + request.file, "rb")  # noqa: SIM115
    except OSError:
        return False
    with file:
        while True:
            n = file.readinto(buf)
            if not n:
                return True
            request.write(memoryview(buf)[:n])


def main():
    buf = bytearray(512)
    schemes = None
    if what == "light":
        schemes = {"ed25519": (("ed25519",), lambda text: text.encode(), Light)}
    else:
        __import__("ota.trust.ed25519")
    if what == "import":
        return

    def root():
        return open(folder + "/metadata/1.root.json", "rb")

    client = Client(Store(folder + "/state"), root, schemes)
    assert follow(client.refresh(time, time), buf) is not None
    for path in sys.argv[4:]:
        target = follow(client.find(path), buf)
        print(path, target.length)


main()
