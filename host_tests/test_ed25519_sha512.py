# SPDX-License-Identifier: MIT
"""SHA-512, in Python and in C, against hashlib."""

import hashlib
import random

import pytest

import ed25519_c
from ota.trust.sha512 import Sha512


@pytest.fixture(params=["python", *ed25519_c.FIELDS])
def sha512(request):
    return Sha512 if request.param == "python" else ed25519_c.load(request.param).sha512


def test_every_length_up_to_three_blocks(sha512):
    data = random.Random(1).randbytes(400)
    for length in range(401):
        assert sha512(data[:length]).digest() == hashlib.sha512(data[:length]).digest()


def test_every_split(sha512):
    data = random.Random(2).randbytes(300)
    expected = hashlib.sha512(data).digest()
    for cut in range(301):
        h = sha512(data[:cut])
        h.update(b"")
        h.update(data[cut:])
        assert h.digest() == expected


def test_random_pieces(sha512):
    rng = random.Random(512)
    for length in range(0, 2000, 37):
        data = rng.randbytes(length)
        ours = sha512()
        start = 0
        while start < length:
            end = min(start + rng.randrange(200), length)
            ours.update(data[start:end])
            start = end
        assert ours.digest() == hashlib.sha512(data).digest()


def test_hashes_that_run_at_the_same_time(sha512):
    texts = [bytes([i]) * (i * 29) for i in range(12)]
    ours = [sha512() for _ in texts]
    for start in range(0, 400, 13):
        for h, text in zip(ours, texts, strict=True):
            h.update(text[start : start + 13])
    assert [h.digest() for h in ours] == [hashlib.sha512(text).digest() for text in texts]


@pytest.mark.parametrize("field", ed25519_c.FIELDS)
def test_a_message_of_many_blocks(field, soak):
    """From 2^29 bytes on, the length in bits has more than 32 bits."""
    ours = ed25519_c.load(field).sha512()
    expected = hashlib.sha512()
    piece = random.Random(3).randbytes(1_000_003)
    for _ in range(540 if soak else 1):
        ours.update(piece)
        expected.update(piece)
    assert ours.digest() == expected.digest()
