# SPDX-License-Identifier: MIT
"""Run on a device, emulated or real, by a host that has its REPL: tries ota_ed25519 there.

    put("ota_ed25519.mpy", data)    once or in pieces: a file of a folder in RAM, which is imported
                                    from before any other
    verdicts(cases)                 prints a letter for each "key message signature" in hex
    misuse()                        prints what the module took that it must refuse
"""

import gc
import io
import sys

try:
    from vfs import mount
except ImportError:         # before MicroPython 1.23
    from os import mount


class _Ram:
    """A file system of whole files in RAM."""

    def __init__(self):
        self.files = {}

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def stat(self, path):
        if path.lstrip("/") not in self.files:
            raise OSError(2)
        return (0x8000, 0, 0, 0, 0, 0, len(self.files[path.lstrip("/")]), 0, 0, 0)

    def open(self, path, mode):
        return io.BytesIO(self.files[path.lstrip("/")])


_ram = _Ram()
mount(_ram, "/ram")
sys.path.insert(0, "/ram")


def put(name, piece):
    _ram.files[name] = _ram.files.get(name, b"") + piece
    gc.collect()


def _in_pieces(module, key, message, signature):
    check = module.Verifier(key, signature)
    view = memoryview(message)
    # 1, 2, 4... bytes: pieces begin and end everywhere in the blocks of the hash.
    size = 1
    start = 0
    while start < len(view):
        check.update(view[start : start + size])
        start += size
        size *= 2
    return check.ok()


def verdicts(cases):
    """Y or n for each case: both ways to verify must agree, or it is an X."""
    import ota_ed25519

    text = ""
    for case in cases.split("\n"):
        key, message, signature = (bytes.fromhex(part) for part in case.split(" "))
        whole = ota_ed25519.verify(key, message, signature)
        pieces = _in_pieces(ota_ed25519, key, message, signature)
        text += "X" if whole is not pieces else "Y" if whole is True else "n"
        gc.collect()
    print(text)


def sha512s(lengths):
    """Digests of 0, 1, 2... modulo 256, in hex."""
    import ota_ed25519

    for length in lengths:
        data = bytes(index & 255 for index in range(length))
        print("".join("{:02x}".format(byte) for byte in ota_ed25519.sha512(data)))


def _refused(errors, function, *arguments):
    try:
        function(*arguments)
    except errors:
        return True
    return False


def misuse():
    import ota_ed25519 as module

    key = bytes(32)
    signature = bytes(64)
    new = module.Verifier
    wrong = []

    def expect(errors, name, function, *arguments):
        if not _refused(errors, function, *arguments):
            wrong.append(name)

    for length in (0, 1, 31, 33, 64, 1000):
        expect(ValueError, "key of %d" % length, module.verify, bytes(length), b"", signature)
        expect(ValueError, "key of %d" % length, new, bytes(length), signature)
    for length in (0, 1, 32, 63, 65, 1000):
        expect(ValueError, "signature of %d" % length, module.verify, key, b"", bytes(length))
        expect(ValueError, "signature of %d" % length, new, key, bytes(length))
    for value in (None, 0, -1, 1 << 70, 1.5, (), [key], {}, object(), module, module.verify, new):
        expect(TypeError, "key %s" % value, module.verify, value, b"", signature)
        expect(TypeError, "message %s" % value, module.verify, key, value, signature)
        expect(TypeError, "signature %s" % value, module.verify, key, b"", value)
        expect(TypeError, "new, key %s" % value, new, value, signature)
        expect(TypeError, "new, signature %s" % value, new, key, value)
        expect(TypeError, "update %s" % value, new(key, signature).update, value)
        expect(TypeError, "sha512 %s" % value, module.sha512, value)
        for method in (new.update, new.ok):
            arguments = (value, b"") if method is new.update else (value,)
            expect((TypeError, AttributeError), "self %s" % value, method, *arguments)
    for count in (0, 1, 3, 4):
        expect(TypeError, "new of %d" % count, new, *(key, signature, key, key)[:count])
    for count in (0, 1, 2, 4):
        arguments = (key, b"", signature, b"")[:count]
        expect(TypeError, "verify of %d" % count, module.verify, *arguments)
    check = new(key, signature)
    check.ok()
    expect(ValueError, "update after ok", check.update, b"")
    expect(ValueError, "ok after ok", check.ok)
    print("\n".join(wrong))
