# SPDX-License-Identifier: MIT
"""The Ed25519 verifiers against OpenSSL (by `cryptography`) and libsodium (by PyNaCl)."""

import random

import nacl.exceptions
import nacl.signing
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import ed25519_c
import ed25519_cases as cases
from ed25519_fuzz.mutate import Mutator, seeds
from ota.trust import ed25519

# What a peer accepts that we refuse, and by which of our rules. The other way round there is
# nothing. (libsodium here is 1.0.18 to 1.0.20; what comes after it multiplies by the cofactor.)
DIFFERENCES = {
    ("OpenSSL", 3): "a key that is not canonical: -0, or y >= p, of small order",
    ("OpenSSL", 4): "a key of small order: any message is signed",
    ("OpenSSL", 6): "R of small order",
}


def openssl(key, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def libsodium(key, message, signature):
    try:
        nacl.signing.VerifyKey(key).verify(message, signature)
    except nacl.exceptions.BadSignatureError:
        return False
    return True


pytestmark = pytest.mark.usefixtures("quick_collections")
PEERS = {"OpenSSL": openssl, "libsodium": libsodium}


def verdict(*parts):
    """What all of ours say."""
    verdicts = {ed25519.verify(*parts)}
    verdicts.update(ed25519_c.load(field).verify(*parts) for field in ed25519_c.FIELDS)
    assert len(verdicts) == 1, [part.hex() for part in parts]
    return verdicts.pop()


def differences(inputs):
    """Compare with the peers; return which of DIFFERENCES were seen."""
    seen = set()
    for parts in inputs:
        ours = verdict(*parts)
        for name, peer in PEERS.items():
            if peer(*parts) != ours:
                difference = name, cases.broken_rule(*parts)
                assert difference in DIFFERENCES, (difference, [part.hex() for part in parts])
                seen.add(difference)
    return seen


def test_edge_cases_differ_as_listed():
    inputs = [(case.key, case.message, case.signature) for case in cases.read()]
    assert differences(inputs) == set(DIFFERENCES)


def test_torsion_and_encodings_do_not_differ():
    inputs = [*cases.torsion_mixes(), *cases.encodings()]
    assert not differences((case.key, case.message, case.signature) for case in inputs)


def test_random_signatures_and_random_damage(soak):
    """All agree on honest signatures and on damaged ones."""
    rng = random.Random(20260101)
    for _ in range(20_000 if soak else 300):
        secret = nacl.signing.SigningKey(rng.randbytes(32))
        message = rng.randbytes(rng.randrange(300))
        signature = secret.sign(message).signature
        parts = [secret.verify_key.encode(), message, signature]
        assert verdict(*parts)
        assert not differences([parts])
        i = rng.choice((0, 2))
        damaged = bytearray(parts[i])
        damaged[rng.randrange(len(damaged))] ^= rng.randrange(1, 256)
        parts[i] = bytes(damaged)
        assert not verdict(*parts)
        assert not differences([parts])


def test_random_signatures_that_nobody_honest_makes(soak):
    """Keys and R with torsion, signed again, half damaged: what the fuzzer makes."""
    rng = random.Random(20260102)
    mutate = Mutator(rng)
    parents = seeds()
    inputs = [
        mutate(rng.choice(parents), rng.choice(parents)) for _ in range(50_000 if soak else 800)
    ]
    good = [entry for entry in inputs if ed25519.verify(entry.key, entry.message, entry.signature)]
    assert len(good) > len(inputs) // 20
    differences((entry.key, entry.message, entry.signature) for entry in inputs)
