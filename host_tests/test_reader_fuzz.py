# SPDX-License-Identifier: MIT
"""The reader against CPython's json and securesystemslib's canonical form, on mutated documents.

For every document both sides must agree: refused by both, or accepted by both with the same value
and the same canonical bytes. A line end follows each one, because a number needs something after
it: the reader is for documents that are objects. FUZZ_DOCUMENTS and FUZZ_SEED choose how many and
which.
"""

import io
import json
import os
import random

from securesystemslib.formats import encode_canonical

from ota.errors import TrustError
from ota.trust.reader import Reader

DEPTH = 16
TOKENS = [
    b'"', b"\\", b"\\u", b"\\u0041", b"\\ud83d\\ude00", b"\\ud83d", b"\\ude00", b"\\n", b"\\/",
    b"\\x", b"\\u00zz", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\t", b"\r", b"\x0b",
    b"\x00", b"\x1f", b"\x7f", b"\xc3\xa9", b"\xc3", b"\xa9", b"\xc0\x80", b"\xed\xa0\x80",
    b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf0\x9f\x98\x80", b"\xf4\x90\x80\x80", b"\xff",
    b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"-", b"-0", b"0", b"01", b"1.0", b"1e400", b"1E5", b".5",
    b"+1", b"999999999999999", b"9007199254740993", b"1" * 40, b"true", b"false", b"null", b"True",
    b"NaN", b"Infinity", b"nul", b"//", b"/* */", b"'", b'"a":1', b'"a":', b"[" * 20, b"]" * 20,
    b"{}", b"[]", b'""',
]  # fmt: skip


PIECES = [
    b"a", b"Z", b"~", b"/", b"\\/", b"\\u00e9", b"\xc3\xa9", b'\\"', b"\\\\", b"\\t",
    b"\xf0\x9f\x98\x80", b"\\ud83d\\ude00", b"\x7f", b"0",
]  # fmt: skip


class Bytes(bytearray):
    update = bytearray.extend


def ours(document, buffer):
    sink = Bytes()
    reader = Reader(io.BytesIO(document), bytearray(buffer), len(document))
    try:
        reader.start([sink])
        value = reader.value(1 << 30)
        reader.stop()
        reader.end()
    except TrustError:
        return None
    return value, bytes(sink)


def skipped(document, buffer):
    sink = Bytes()
    reader = Reader(io.BytesIO(document), bytearray(buffer), len(document))
    try:
        reader.start([sink])
        reader.value()
        reader.stop()
        reader.end()
    except TrustError:
        return None
    return bytes(sink)


def _object(pairs):
    keys = [key for key, _ in pairs]
    if keys != sorted(set(keys)):
        raise ValueError("order")
    if any(len(key.encode()) > 512 for key in keys):
        raise ValueError("long key")
    return dict(pairs)


def _int(text):
    if text == "-0" or len(text.lstrip("-")) > 15:
        raise ValueError("integer")
    return int(text)


def _refuse(text):
    raise ValueError(text)


def _depth(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def theirs(document):
    try:
        value = json.loads(
            document.decode(),
            object_pairs_hook=_object,
            parse_int=_int,
            parse_float=_refuse,
            parse_constant=_refuse,
        )
        if _depth(value) > DEPTH:
            return None
        return value, encode_canonical(value).encode()
    except ValueError:
        return None


def _string(rng):
    out = b""
    for _ in range(rng.choice((0, 1, 3, 8, 70))):
        out += rng.choice(PIECES)
    return b'"' + out + b'"'


def _space(rng):
    return rng.choice((b"", b"", b"", b" ", b"\n  ", b"\t\r\n"))


def _generate(rng, depth=0):
    kind = rng.randrange(8 if depth < 6 else 5)
    if kind == 0:
        return rng.choice((b"true", b"false", b"null"))
    if kind == 1:
        return str(rng.choice((0, 1, -1, rng.randrange(10**15), -rng.randrange(1, 99)))).encode()
    if kind < 5:
        return _string(rng)
    if kind == 5:
        items = [_generate(rng, depth + 1) for _ in range(rng.randrange(4))]
        parts = [_space(rng) + item + _space(rng) for item in items]
        return b"[" + b",".join(parts) + _space(rng) * (not parts) + b"]"
    keys = {json.loads(key): key for key in (_string(rng) for _ in range(rng.randrange(5)))}
    parts = [
        _space(rng) + keys[key] + _space(rng) + b":" + _space(rng) + _generate(rng, depth + 1)
        for key in sorted(keys)
    ]
    return b"{" + b",".join(parts) + _space(rng) + b"}"


def _mutate(rng, document):
    document = bytearray(document)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        at = rng.randrange(len(document) + 1)
        to = min(len(document), at + rng.choice((1, 1, 2, 5, 30)))
        action = rng.randrange(5)
        if action == 0:
            document[at:at] = rng.choice(TOKENS)
        elif action == 1:
            document[at:to] = rng.choice(TOKENS)
        elif action == 2:
            del document[at:to]
        elif action == 3:
            document[at:at] = document[at:to]
        elif at < len(document):
            document[at] ^= 1 << rng.randrange(8)
    return bytes(document)


def compare(seed, count):
    """Return how many documents both sides accepted."""
    rng = random.Random(seed)
    accepted = 0
    for _ in range(count):
        document = _mutate(rng, _generate(rng)) + b"\n"
        buffer = rng.choice((1, 2, 3, 7, 16, 64, 256))
        expected = theirs(document)
        assert ours(document, buffer) == expected, (seed, buffer, document)
        assert skipped(document, buffer) == (expected and expected[1]), (seed, buffer, document)
        accepted += expected is not None
    return accepted


def test_reader_agrees_with_json_and_securesystemslib():
    seed = int(os.environ.get("FUZZ_SEED", "1"))
    count = int(os.environ.get("FUZZ_DOCUMENTS", "5000"))
    accepted = compare(seed, count)
    print("seed", seed, "documents", count, "accepted", accepted)
    assert accepted > count // 10


def test_every_token_inside_a_small_document():
    for before, after in (
        (b"", b""),
        (b"[", b"]"),
        (b'["', b'"]'),
        (b'{"b":', b"}"),
        (b"[0,", b"]"),
    ):
        for token in TOKENS:
            for other in [b"", *TOKENS]:
                document = before + token + other + after + b"\n"
                assert ours(document, 3) == theirs(document), document
