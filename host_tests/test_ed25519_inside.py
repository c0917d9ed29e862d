# SPDX-License-Identifier: MIT
"""The steps of a verification, in C and in Python, against textbook arithmetic.

Whole signatures cannot do this: k is a hash, so no signature has a k or an S of one's choice.
Unless the hash is replaced, as in the last tests here.
"""

import ctypes
import random
import subprocess
from functools import cache

import pytest

import ed25519_c
import ed25519_cases as cases
from ed25519_cases import (
    ROOT_OF_MINUS_1,
    TORSION,
    B,
    L,
    P,
    add,
    decode,
    encode,
    multiply,
    negative,
)
from ota.trust import ed25519

pytestmark = pytest.mark.usefixtures("quick_collections")
Element = ctypes.c_uint32 * 8
SCALARS = [0, 1, 2, 7, 8, 9, 15, 16, 17, 2**251, 2**252 - 1, 2**252, L - 2, L - 1]
SCALARS += [int(digit * 63, 16) for digit in "13578abcdef"]
SCALARS += [
    int("10" * 126, 2),
    int("0f" * 31, 16),
    int("f0" * 31, 16),
    2**128 - 1,
    2**252 - 2**128,
]
SCALARS += [cases.secret(f"scalar {i}") for i in range(4)]


@pytest.fixture(params=ed25519_c.FIELDS, scope="module")
def inside(request, repo, tmp_path_factory):
    """The library of `ed25519_inside.c`."""
    sources = [repo / "host_tests" / "ed25519_inside.c"]
    sources += [path for path in ed25519_c.SOURCES.glob("*.c") if path.name != "ed25519.c"]
    library = tmp_path_factory.mktemp("inside") / "inside.so"
    portable = ["-DOTA_ED25519_PORTABLE"] if request.param == "portable" else []
    flags = f"-std=c11 -Os -fPIC -shared -Wall -Wextra -Werror -I{ed25519_c.SOURCES}".split()
    subprocess.run(["gcc", *flags, *portable, *sources, "-o", library], check=True)
    return ctypes.CDLL(str(library))


def element(n):
    return Element.from_buffer_copy(n.to_bytes(32, "little"))


def number(data):
    return int.from_bytes(bytes(data), "little")


def words(n, size):
    """Split a number that C wrote into elements."""
    return [number(data) for data in (Element * size).from_buffer_copy(n)]


def strings():
    """32-byte strings that decoders must take apart."""
    rng = random.Random(5)
    ys = [*range(40), *range(P - 40, 2**255), 2**254, ROOT_OF_MINUS_1, B[1]]
    ys += [rng.randrange(2**255) for _ in range(100)]
    return [(y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1)]


def test_zero(inside):
    for n in (0, P, 2 * P):
        assert inside.inside_is_zero(element(n)) & 1
    for n in [*(2**i for i in range(256)), *(P + 2**i for i in range(255)), 2 * P + 1, 2**256 - 1]:
        assert not inside.inside_is_zero(element(n)) & 1, n


def test_decoding(inside):
    good = 0
    for data in strings():
        point = (Element * 2)()
        found = inside.inside_decode(data, point) & 1
        expected = decode(data)
        x, y = (n % P for n in words(point, 2))
        if expected:
            assert found and (x, y) == expected, data.hex()
        elif found:  # the sign of 0: left to the rule on small order
            assert x == 0 and y in (1, P - 1), data.hex()
        good += found
    assert 100 < good < 300


def test_decoding_in_python():
    for data in strings():
        expected = decode(data)
        found = ed25519._decode(number(data))
        if expected:
            assert found == expected
        elif found:
            assert found[0] == P
            assert ed25519._is_small(*found)


def test_small_order(inside):
    points = [*TORSION, B, cases.KEY, *(add(cases.KEY, point) for point in TORSION)]
    for point in points:
        small = multiply(8, point) == cases.ZERO
        assert inside.inside_is_small(encode(point)) & 1 == small
        assert ed25519._is_small(*point) == small
        # Of any projective form.
        assert ed25519._is_small(point[0] * 5 % P, point[1] * 5 % P) == small


def test_reduction_modulo_the_order(inside):
    rng = random.Random(6)
    small = [L * n + d for n in (1, 2, 3, 7, 8, 14, 15) for d in (-1, 0, 1)]
    small += [0, 1, 2**252, 2**252 - 1, 2**253, 2**255, 2**256 - 1, 2**256 - L]
    small += [2**i for i in range(0, 256, 31)] + [rng.randrange(2**256) for _ in range(200)]
    large = [n << shift for n in small for shift in (0, 3, 128, 252, 256) if n << shift < 2**512]
    large += [L * n + d for n in (2**128, 2**256, 2**259 - 1, L, L - 1) for d in (-1, 0, 1)]
    large += [2**512 - 1, 2**512 - 2**256, 2**512 - L, L << 259, (2**512 // L) * L]
    large += [(2**512 // L) * L - 1, *(rng.randrange(2**512) for _ in range(500))]
    large += [2**512 - 2**i for i in range(0, 512, 16)]
    for n, length in [(n, 32) for n in small] + [(n % 2**512, 64) for n in large]:
        result = Element()
        inside.inside_reduce(result, n.to_bytes(length, "little"), length)
        assert number(result) == n % L, n


@cache
def combinations():
    """Return (A, k, S, sum): awkward scalars over points that meet the base point on the way."""
    points = [B, negative(B), cases.KEY, add(cases.KEY, TORSION[1]), TORSION[1], TORSION[4]]
    points += [TORSION[0], add(B, B), multiply((L + 1) // 2, B), add(B, TORSION[2])]
    found = []
    for i, scalar in enumerate(SCALARS):
        for j, k, s in (
            (1, scalar, SCALARS[-i]),
            (7, scalar, scalar),
            (3, scalar, 0),
            (3, 0, scalar),
        ):
            a = points[i * j % len(points)]
            found.append((a, k, s, add(multiply(s, B), negative(multiply(k, a)))))
    return found


def test_sum_of_multiples(inside):
    for a, k, s, expected in combinations():
        point = (Element * 3)()
        inside.inside_combine(encode(a), element(k), element(s), point)
        x, y, z = words(point, 3)
        assert z % P
        assert (x % P, y % P) == (expected[0] * z % P, expected[1] * z % P), (a, k, s)
        x, y, z = ed25519._combine(
            ed25519._digits(k, s), ed25519._multiples(P - a[0], a[1]), ed25519._multiples(*B)
        )
        assert (x % P, y % P) == (expected[0] * z % P, expected[1] * z % P), (a, k, s)


@cache
def chosen():
    """Return (key, signature, digest, good): R fits, so that only the rules decide."""
    found = []
    good = [0, 1, 2**251, 2**252 - 1, 2**252, 2**252 + 1, L - 2, L - 1]
    bad = [L, L + 1, L + 2**64, 2**252 + 2**125, 2**253, 2 * L - 1, 2 * L, 2**255, 2**256 - 1]
    digests = [1, 8, L - 1, L + 1, 2 * L + 3, 2**252, 2**256 - 1, 2**511, 2**512 - 1]
    for i, s in enumerate(good + bad):
        for j in range(3):
            digest = digests[(i + 4 * j) % len(digests)]
            a = add(cases.KEY, TORSION[(i + j) % 8])
            r = add(multiply(s % L, B), negative(multiply(digest % L, a)))
            signature = encode(r) + s.to_bytes(32, "little")
            found.append((encode(a), signature, digest.to_bytes(64, "little"), s < L))
    # k = 0 takes the key out of it: R' is of small order for S = 0 alone.
    for s in (0, 1):
        signature = encode(multiply(s, B)) + s.to_bytes(32, "little")
        found.append((encode(cases.KEY), signature, bytes(64), s == 1))
    return found


def test_whole_check_of_chosen_scalars(inside):
    for key, signature, digest, good in chosen():
        assert inside.inside_verify(key, signature, digest) & 1 == good, signature.hex()
        other = bytes([signature[0] ^ 1]) + signature[1:]
        assert not inside.inside_verify(key, other, digest) & 1


def test_whole_check_of_chosen_scalars_in_python(monkeypatch):
    hashes = []

    class Chosen:
        def __init__(self, data=b""):
            pass

        update = __init__

        def digest(self):
            return hashes[-1]

    monkeypatch.setattr(ed25519, "sha512", Chosen)
    for key, signature, digest, good in chosen():
        hashes.append(digest)
        assert ed25519.verify(key, b"", signature) == good, signature.hex()
        other = bytes([signature[0] ^ 1]) + signature[1:]
        assert not ed25519.verify(key, b"", other)
