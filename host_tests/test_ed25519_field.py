# SPDX-License-Identifier: MIT
"""Field arithmetic in C against Python's integers: every pair of awkward numbers, and random ones.

What is written for one chip is checked against this C, in an emulator of the chip.
"""

import ctypes
import itertools
import random

import pytest

import ed25519_c

P = 2**255 - 19
TOP = 2**256

# Where carries, borrows and reductions begin and end. 2^256 is 38 modulo p.
EDGES = sorted(
    {
        *range(20),
        *(2**i % TOP for i in range(256)),
        *(2**i - 1 for i in range(0, 257, 8)),
        *(TOP - 2**i for i in range(0, 256, 8)),
        *(n * P + d for n in (1, 2) for d in range(-3, 40) if n * P + d < TOP),
        *(TOP - d for d in range(1, 80)),
        *(2**255 + d for d in range(-40, 40)),
        *(0xFFFFFFFF << 32 * i for i in range(8)),
        *(TOP - 1 ^ 0xFFFFFFFF << 32 * i for i in range(8)),
        *(0xFFFFFFFFFFFFFFFF << 64 * i for i in range(4)),
        int("ffffffff00000000" * 4, 16),
        int("00000000ffffffff" * 4, 16),
        int("aaaaaaaa" * 8, 16),
        int("55555555" * 8, 16),
        int("80000000" * 8, 16),
        int("00000001" * 8, 16),
    }
)
# Few enough for all pairs of them.
SHORT = [0, 1, 2, 18, 19, 20, 37, 38, 39, P - 1, P, P + 1, 2 * P - 1, 2 * P, 2 * P + 1]
SHORT += [2**255 - 1, 2**255, TOP - 39, TOP - 38, TOP - 37, TOP - 20, TOP - 19, TOP - 2, TOP - 1]
SHORT += [0xFFFFFFFF << 32 * i for i in range(8)] + [TOP - 2**i for i in range(32, 256, 32)]
SHORT += [2**i for i in (31, 32, 63, 64, 127, 128, 191, 192, 224, 254)]

Element = ctypes.c_uint32 * 8


# What a 64-bit machine of another kind compiles.
NO_ASSEMBLY = ("-ffreestanding", "-U__x86_64__")


@pytest.fixture(params=[*ed25519_c.FIELDS, "int128 without assembly"])
def c(request):
    if request.param in ed25519_c.FIELDS:
        return ed25519_c.load(request.param)
    return ed25519_c.Implementation(ed25519_c.build("int128", flags=NO_ASSEMBLY))


def is_(got, expected):
    return got < TOP and got % P == expected % P


def check_pair(c, a, b):
    assert is_(c.mul(a, b), a * b), (a, b)
    assert is_(c.add(a, b), a + b), (a, b)
    assert is_(c.sub(a, b), a - b), (a, b)


def test_every_pair_of_edges(c, soak):
    for a, b in itertools.product(EDGES if soak else SHORT, repeat=2):
        check_pair(c, a, b)


def test_edges_with_random_numbers(c):
    rng = random.Random(19)
    for a in EDGES:
        b = rng.randrange(TOP)
        check_pair(c, a, b)
        check_pair(c, b, a)


def test_square(c):
    rng = random.Random(20)
    for a in [*EDGES, *(rng.randrange(TOP) for _ in range(2000))]:
        assert is_(c.sqr(a), a * a), a


def test_canonical(c):
    rng = random.Random(21)
    for a in [*EDGES, *(rng.randrange(TOP) for _ in range(2000))]:
        assert c.canonical(a) == a % P, a


def test_random_pairs(c, soak):
    rng = random.Random(22)
    for _ in range(100_000 if soak else 2000):
        # Also numbers that are mostly ones or zeros.
        a, b = (
            rng.randrange(TOP) & rng.choice(EDGES) | rng.choice(EDGES)
            if rng.random() < 0.5
            else rng.randrange(TOP)
            for _ in range(2)
        )
        check_pair(c, a, b)


def test_a_product_that_fits_is_not_reduced(c):
    """Reduction modulo L takes this for granted (field.h)."""
    rng = random.Random(23)
    for bits in range(257):
        a = (1 << bits) - 1
        b = (1 << 256 - bits) - 1
        for factors in ((a, b), (a // 2 + 1, b), (rng.randrange(a + 1), rng.randrange(b + 1))):
            product = factors[0] * factors[1]
            assert c.mul(*factors) == product, factors


def test_results_may_lie_where_operands_lie(c):
    rng = random.Random(24)
    library = ctypes.CDLL(str(c.path))
    for a, b in itertools.product([*SHORT[::3], rng.randrange(TOP)], repeat=2):
        for name, ours in (("fe_mul", c.mul), ("fe_add", c.add), ("fe_sub", c.sub)):
            for where in (0, 1):
                pair = [Element.from_buffer_copy(n.to_bytes(32, "little")) for n in (a, b)]
                getattr(library, name)(pair[where], *pair)
                assert int.from_bytes(pair[where], "little") == ours(a, b), (name, where)
                assert int.from_bytes(pair[1 - where], "little") == (a, b)[1 - where]
            both = Element.from_buffer_copy(a.to_bytes(32, "little"))
            getattr(library, name)(both, both, both)
            assert int.from_bytes(both, "little") == ours(a, a), name
        both = Element.from_buffer_copy(a.to_bytes(32, "little"))
        library.fe_sqr(both, both)
        assert int.from_bytes(both, "little") == c.sqr(a)
