# SPDX-License-Identifier: MIT
"""The pure-Python Ed25519 verifier against other implementations, and against itself made lax.

`portable/test_ed25519.py` holds the rules one by one, in MicroPython too.
"""

import hashlib
import random
from pathlib import Path

import cryptography_vectors
import nacl.exceptions
import nacl.signing
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import ed25519_cases
from ota.trust import ed25519
from ota.trust.sha512 import Sha512

EDGES = ed25519_cases.read()
SIGN_INPUT = Path(cryptography_vectors.__file__).parent / "asymmetric" / "Ed25519" / "sign.input"
MICROPYTHON_PROGRAM = """
import sys
from ota.trust.ed25519 import verify
count = 0
with open(sys.argv[1]) as lines:
    for number, line in enumerate(lines):
        if number % int(sys.argv[2]):
            continue
        key, message, signature = (bytes.fromhex(part) for part in line.split(":")[1:4])
        signature = signature[:64]
        assert verify(key, message, signature), line
        assert not verify(key, message + b"x", signature), line
        count += 1
print(count)
"""


def published():
    """Yield (key, message, signature); the file has the message again behind each signature."""
    for line in SIGN_INPUT.read_text().splitlines():
        key, message, signature = (bytes.fromhex(part) for part in line.split(":")[1:4])
        yield key, message, signature[:64]


def openssl_accepts(key, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def sodium_accepts(key, message, signature):
    try:
        nacl.signing.VerifyKey(key).verify(message, signature)
    except nacl.exceptions.BadSignatureError:
        return False
    return True


def test_all_published_vectors():
    count = 0
    for key, message, signature in published():
        assert ed25519.verify(key, message, signature)
        count += 1
    assert count == 1024


@pytest.mark.slow
def test_published_vectors_in_micropython(any_micropython, run_micropython, soak, tmp_path):
    step = 1 if soak else 16
    program = tmp_path / "vectors.py"
    program.write_text(MICROPYTHON_PROGRAM)
    result = run_micropython(
        any_micropython, str(program), str(SIGN_INPUT), str(step), heap="100k"
    )
    assert result.stdout == f"{1024 // step}\n", result.stderr


def test_every_flipped_bit():
    key, message, signature = list(published())[9]
    whole = key + signature + message
    for bit in range(len(whole) * 8):
        wrong = bytearray(whole)
        wrong[bit >> 3] ^= 1 << (bit & 7)
        assert not ed25519.verify(wrong[:32], wrong[96:], wrong[32:96]), bit


def test_random_signatures_and_random_damage():
    """Where we say good, everybody must; on damage of honest signatures all agree."""
    rng = random.Random(20260101)
    for _ in range(300):
        secret = nacl.signing.SigningKey(rng.randbytes(32))
        message = rng.randbytes(rng.randrange(300))
        signature = bytearray(secret.sign(message).signature)
        key = bytearray(secret.verify_key.encode())
        for part in (None, key, signature):
            if part is not None:
                part[rng.randrange(len(part))] ^= rng.randrange(1, 256)
            got = ed25519.verify(key, message, signature)
            assert got == (part is None)
            assert got == openssl_accepts(bytes(key), message, bytes(signature))
            assert got == sodium_accepts(bytes(key), message, bytes(signature))


def test_random_split_updates():
    rng = random.Random(7)
    for key, message, signature in list(published())[::16]:
        verifier = ed25519.Verifier(key, signature)
        start = 0
        while start < len(message):
            end = rng.randint(start, len(message))
            verifier.update(memoryview(message)[start:end])
            start = end
        assert verifier.ok()


def test_nothing_is_accepted_that_openssl_or_sodium_refuse():
    for case in EDGES:
        if case.good:
            parts = case.key, case.message, case.signature
            assert openssl_accepts(*parts), case.name
            assert sodium_accepts(*parts), case.name


def test_edge_cases_are_what_their_maker_makes():
    assert ed25519_cases.text() == ed25519_cases.VECTORS.read_text()


@pytest.mark.parametrize(
    ("rule", "strict", "lax"),
    [
        ("S + 1 L", "s >= _L ", "s >= 1 << 255 "),
        ("key of order", " or _is_small(*point)", ""),
        ("R of order", "if _is_small(x, y):", "if False:"),
    ],
)
def test_edge_cases_tell_a_lax_verifier(rule, strict, lax):
    """A verifier without one rule accepts what the cases of this rule hold against it."""

    source = Path(ed25519.__file__).read_text()
    assert strict in source
    names = {"__name__": "ota.trust.lax", "__package__": "ota.trust"}
    exec(compile(source.replace(strict, lax), "lax", "exec"), names)
    accepted = [
        names["verify"](case.key, case.message, case.signature)
        for case in EDGES
        if case.name.startswith(rule)
    ]
    assert any(accepted)


def test_sha512_against_hashlib():
    rng = random.Random(512)
    for length in range(400):
        data = rng.randbytes(length)
        ours = Sha512()
        start = 0
        while start < length:
            end = rng.randint(start, length)
            ours.update(data[start:end])
            start = end
        assert ours.digest() == hashlib.sha512(data).digest()
