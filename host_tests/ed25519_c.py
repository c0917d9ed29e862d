# SPDX-License-Identifier: MIT
"""The C verifier of lib/ed25519 in CPython, by ctypes.

    c = ed25519_c.load()                    the field arithmetic that this machine gets
    c = ed25519_c.load("portable")          the one in plain C
    c = ed25519_c.load("int128", sanitize=True)

    c.verify(public_key, message, signature) -> bool
    v = c.Verifier(public_key, signature); v.update(data); v.ok()
    h = c.sha512(data); h.update(data); h.digest()
    c.mul(a, b), c.sqr(a), c.add(a, b), c.sub(a, b), c.canonical(a): on integers below 2^256;
        `canonical` gives a modulo p, the others some number below 2^256 that is congruent

Sources are compiled with gcc into build/ed25519/, once for each content. A sanitized library stops
the whole process at the first error, and needs one that was started for it:

    subprocess.run([sys.executable, "-c", "..."], env=ed25519_c.sanitized_environment())

The library has no checks of its own for the lengths of keys and signatures: here they are
ValueError, as in the Python verifier and in the module `ota_ed25519`.
"""

import ctypes
import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
SOURCES = REPO / "lib" / "ed25519"
BUILD = REPO / "build" / "ed25519"
FIELDS = ("int128", "portable")

_WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
_SANITIZE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# Sizes of the structs of ed25519.h and sha512.h.
_SHA512 = 8 * (8 + 16 + 1)
_VERIFIER = _SHA512 + 32 + 64

_Element = ctypes.c_uint32 * 8


def compiler() -> str:
    return os.environ.get("CC", "gcc")


def build(field: str = "int128", sanitize: bool = False, flags: tuple[str, ...] = ()) -> Path:
    """Compile the library unless it is there; return its path."""
    if field not in FIELDS:
        raise ValueError(f"none of {FIELDS}: {field}")
    sources = sorted(SOURCES.glob("*.c"))
    command = [compiler(), "-std=c11", "-Os", "-fPIC", "-shared", *_WARNINGS, *flags]
    if field == "portable":
        command.append("-DOTA_ED25519_PORTABLE")
    if sanitize:
        command += _SANITIZE
    content = hashlib.sha256(repr(command).encode())
    for path in [*sorted(SOURCES.glob("*.h")), *sources]:
        content.update(path.read_bytes())
    out = BUILD / f"{field}{'-sanitized' * sanitize}-{content.hexdigest()[:16]}.so"
    if not out.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        # Under a name of its own first: other processes may be about to do the same.
        part = out.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, *map(str, sources), "-o", str(part)], check=True)
        part.replace(out)
    return out


def sanitized_environment() -> dict[str, str]:
    """Environment for a Python that loads a sanitized library."""
    found = subprocess.run(
        [compiler(), "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    )
    # Python itself leaves memory behind at its end.
    return {
        **os.environ,
        "LD_PRELOAD": found.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": f"{REPO / 'host_tests'}:{REPO / 'lib'}",
    }


@cache
def load(field: str = "int128", sanitize: bool = False) -> "Implementation":
    return Implementation(build(field, sanitize))


class Implementation:
    """One compiled library."""

    def __init__(self, path: Path):
        self.path = path
        self._library = library = ctypes.CDLL(str(path))
        pointer = ctypes.c_void_p
        buffer = (ctypes.c_char_p, ctypes.c_size_t)
        for name, result, arguments in (
            ("ota_ed25519_verify", ctypes.c_bool, (ctypes.c_char_p, *buffer, ctypes.c_char_p)),
            ("ota_ed25519_init", None, (pointer, ctypes.c_char_p, ctypes.c_char_p)),
            ("ota_ed25519_update", None, (pointer, *buffer)),
            ("ota_ed25519_ok", ctypes.c_bool, (pointer,)),
            ("ota_sha512_init", None, (pointer,)),
            ("ota_sha512_update", None, (pointer, *buffer)),
            ("ota_sha512_final", None, (pointer, pointer)),
            ("fe_mul", None, (pointer, pointer, pointer)),
            ("fe_sqr", None, (pointer, pointer)),
            ("fe_add", None, (pointer, pointer, pointer)),
            ("fe_sub", None, (pointer, pointer, pointer)),
            ("fe_canonical", None, (pointer,)),
        ):
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        _check_lengths(public_key, signature)
        good = self._library.ota_ed25519_verify(public_key, message, len(message), signature)
        return bool(good)

    def Verifier(self, public_key: bytes, signature: bytes) -> "Verifier":
        return Verifier(self._library, public_key, signature)

    def sha512(self, data: bytes = b"") -> "Sha512":
        return Sha512(self._library, data)

    def mul(self, a: int, b: int) -> int:
        return self._operate("fe_mul", a, b)

    def sqr(self, a: int) -> int:
        return self._operate("fe_sqr", a)

    def add(self, a: int, b: int) -> int:
        return self._operate("fe_add", a, b)

    def sub(self, a: int, b: int) -> int:
        return self._operate("fe_sub", a, b)

    def canonical(self, a: int) -> int:
        element = _element(a)
        self._library.fe_canonical(element)
        return int.from_bytes(element, "little")

    def _operate(self, name: str, *operands: int) -> int:
        result = _Element()
        getattr(self._library, name)(result, *map(_element, operands))
        return int.from_bytes(result, "little")


class Verifier:
    def __init__(self, library: ctypes.CDLL, public_key: bytes, signature: bytes):
        _check_lengths(public_key, signature)
        self._library = library
        self._struct: ctypes.Array[ctypes.c_uint64] | None = _struct(_VERIFIER)
        library.ota_ed25519_init(self._struct, public_key, signature)

    def update(self, data: bytes) -> None:
        if self._struct is None:
            raise ValueError("already checked")
        self._library.ota_ed25519_update(self._struct, data, len(data))

    def ok(self) -> bool:
        if self._struct is None:
            raise ValueError("already checked")
        struct, self._struct = self._struct, None
        return bool(self._library.ota_ed25519_ok(struct))


class Sha512:
    def __init__(self, library: ctypes.CDLL, data: bytes = b""):
        self._library = library
        self._struct = _struct(_SHA512)
        library.ota_sha512_init(self._struct)
        self.update(data)

    def update(self, data: bytes) -> None:
        self._library.ota_sha512_update(self._struct, data, len(data))

    def digest(self) -> bytes:
        out = ctypes.create_string_buffer(64)
        self._library.ota_sha512_final(self._struct, out)
        return out.raw


def _struct(size: int) -> "ctypes.Array[ctypes.c_uint64]":
    return (ctypes.c_uint64 * (size // 8))()


def _element(a: int) -> "ctypes.Array[ctypes.c_uint32]":
    return _Element.from_buffer_copy(a.to_bytes(32, "little"))


def _check_lengths(public_key: bytes, signature: bytes) -> None:
    if len(public_key) != 32 or len(signature) != 64:
        raise ValueError("length of key or signature")
