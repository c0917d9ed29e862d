# SPDX-License-Identifier: MIT
"""Run on a device, emulated or real, by a host that has its REPL: tries ota_ed25519 there.

    put(NAME + ".mpy", data)        once or in pieces: a file of a folder in RAM, which is imported
                                    from before any other
    verdicts(cases)                 prints a letter for each "key message signature" in hex
    together(cases)                 the same with all of them under way at once
    sha512s(lengths)                prints the digests of 0, 1, 2... of these lengths
    misuse()                        prints what the module took that it must refuse

`NAME` is imported by the first that needs it: where a firmware has a module of that name built in,
the .mpy goes by another one.
"""

import gc
import io
import sys

try:
    from vfs import mount
except ImportError:  # before MicroPython 1.23
    from os import mount


NAME = "ota_ed25519"


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
    """Prints Y or n for each case: both ways to verify must agree, or it is an X."""
    module = __import__(NAME)

    text = ""
    for case in cases.split("\n"):
        key, message, signature = (bytes.fromhex(part) for part in case.split(" "))
        whole = module.verify(key, message, signature)
        pieces = _in_pieces(module, key, message, signature)
        text += "X" if whole is not pieces else "Y" if whole is True else "n"
        gc.collect()
    print(text)


def together(cases):
    """Prints Y or n for each case, all of them fed a byte in turn, with garbage in between."""
    module = __import__(NAME)

    under_way = []
    longest = 0
    for case in cases.split("\n"):
        key, message, signature = (bytes.fromhex(part) for part in case.split(" "))
        under_way.append((module.Verifier(key, signature), message))
        longest = max(longest, len(message))
    for index in range(longest):
        for check, message in under_way:
            check.update(message[index : index + 1])
        gc.collect()
    print("".join("Y" if check.ok() else "n" for check, _ in under_way))


def _hex(data):
    return "".join("{:02x}".format(byte) for byte in data)


def sha512s(lengths):
    module = __import__(NAME)

    for length in lengths:
        data = bytes(index & 255 for index in range(length))
        whole = module.sha512(data)
        pieces = module.sha512()
        for start in range(0, length, 7):
            pieces.update(data[start : start + 7])
            pieces.digest()  # more may follow
        print(_hex(whole.digest()) if whole.digest() == pieces.digest() else "X")
        gc.collect()


def _refused(errors, function, *arguments):
    try:
        function(*arguments)
    except errors:
        return True
    return False


def misuse():
    module = __import__(NAME)

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
        shown = repr(value)
        expect(TypeError, "key " + shown, module.verify, value, b"", signature)
        expect(TypeError, "message " + shown, module.verify, key, value, signature)
        expect(TypeError, "signature " + shown, module.verify, key, b"", value)
        expect(TypeError, "new, key " + shown, new, value, signature)
        expect(TypeError, "new, signature " + shown, new, key, value)
        expect(TypeError, "update " + shown, new(key, signature).update, value)
        expect(TypeError, "sha512 " + shown, module.sha512, value)
        # A method is a function too, and may be handed anything as self.
        expect(TypeError, "update of " + shown, new.update, value, b"")
        expect(TypeError, "ok of " + shown, new.ok, value)
        expect(TypeError, "sha512.update of " + shown, module.sha512.update, value, b"")
        expect(TypeError, "digest of " + shown, module.sha512.digest, value)
    expect(TypeError, "ok of a sha512", new.ok, module.sha512())
    expect(TypeError, "digest of a Verifier", module.sha512.digest, new(key, signature))
    expect(TypeError, "sha512 of 2", module.sha512, b"", b"")
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
