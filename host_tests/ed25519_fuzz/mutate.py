# SPDX-License-Identifier: MIT
"""Signatures made out of other signatures: damaged at random, or so that much of it stays right.

Bytes changed at random leave a signature that is refused at the first comparison, or at the last.
So an input remembers what it was made with. After a change it may be signed again, also over
points with torsion in them, and everything behind that comparison is reached with other values.
"""

import itertools
import random
from typing import NamedTuple

import ed25519_cases as cases
from ed25519_cases import TORSION, L, P, encode


class Input(NamedTuple):
    key: bytes
    message: bytes
    signature: bytes
    cuts: tuple[int, ...] = ()  # where the message is cut into pieces
    a: int = 0  # S = nonce + k a signs, if both are known
    nonce: int = 0

    def pieces(self) -> list[bytes]:
        edges = [0, *self.cuts, len(self.message)]
        return [self.message[i:j] for i, j in itertools.pairwise(edges)]


def seeds() -> list[Input]:
    """Return the edge cases, with what they were made with."""
    secrets = [1, L - 1, 2, cases.A, cases.NONCE]
    secrets += [cases.secret(f"{what} {i}") for what in ("key", "nonce") for i in range(8)]
    known = {
        encode(cases.add(cases.times_base(n), point)): n for n in secrets for point in TORSION
    }
    return [
        Input(
            case.key,
            case.message,
            case.signature,
            a=known.get(case.key, 0),
            nonce=known.get(case.signature[:32], 0),
        )
        for case in cases.read()
    ]


_WORDS = [
    n.to_bytes(32, "little")
    for n in (
        *range(P - 2, P + 19),
        *(2**bits - 1 for bits in (8, 32, 64, 128, 252, 253, 254, 255, 256)),
        *(2**bits for bits in (32, 64, 128, 192, 251, 252, 253, 254, 255)),
        *(L * n + m for n in (1, 2, 8, 15) for m in (-1, 0, 1)),
        2**256 - 38,
        2**255 + 1,
    )
] + [data for point in TORSION for data in cases.lax_encodings(point)]


class Mutator:
    def __init__(self, rng: random.Random):
        self._rng = rng
        scalars = [1, L - 1, 2, cases.A, cases.NONCE, *(rng.randrange(1, L) for _ in range(8))]
        self._pool = [(n, cases.times_base(n)) for n in scalars]

    def __call__(self, parent: Input, other: Input) -> Input:
        """Return something like `parent`, with perhaps a part of `other`."""
        rng = self._rng
        parts = [parent.key, parent.message, parent.signature[:32], parent.signature[32:]]
        spare = [other.key, other.message, other.signature[:32], other.signature[32:]]
        a, nonce = parent.a, parent.nonce
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            match rng.randrange(6):
                case 0:
                    a, parts[0] = self._point()
                case 1:
                    nonce, parts[2] = self._point()
                case 2:
                    i = rng.randrange(4)
                    parts[i] = spare[i]
                    a = other.a if i == 0 else a
                    nonce = other.nonce if i == 2 else nonce
                case 3:
                    i = rng.choice((0, 2))
                    parts[i] = rng.choice(_WORDS)
                    a, nonce = (0, nonce) if i == 0 else (a, 0)
                case _:
                    parts[1] = self._message(parts[1])
        if rng.random() < 0.7:
            # What decides about torsion is k modulo 8.
            wanted = rng.choice((None, None, 0, rng.randrange(8)))
            for _ in range(1 if wanted is None else 24):
                k = cases.hash_to_scalar(parts[2], parts[0], parts[1])
                if wanted is None or k % 8 == wanted:
                    break
                parts[1] += bytes([rng.randrange(256)])
            parts[3] = ((nonce + k * a) % L).to_bytes(32, "little")
        if rng.random() < 0.4:
            i = rng.choice((0, 1, 2, 3, 3))
            parts[i] = self._damage(parts[i], fixed=i != 1)
        key, message, r, s = parts
        cuts = tuple(sorted(rng.randint(0, len(message)) for _ in range(rng.randrange(4))))
        return Input(key, message, r + s, cuts, a, nonce)

    def _point(self) -> tuple[int, bytes]:
        """Return a scalar and the encoding of its point, perhaps with torsion in it."""
        rng = self._rng
        i = rng.randrange(len(self._pool))
        n, point = self._pool[i]
        if rng.random() < 0.5:
            m, more = rng.choice(self._pool)
            if (n + m) % L:
                n, point = self._pool[i] = (n + m) % L, cases.add(point, more)
        if rng.random() < 0.5:
            point = cases.add(point, rng.choice(TORSION))
        return n, encode(point)

    def _message(self, message: bytes) -> bytes:
        rng = self._rng
        start = rng.randint(0, len(message))
        end = rng.randint(start, len(message))
        length = rng.choice((0, 1, rng.randrange(8), rng.randrange(200)))
        if len(message) > 600:
            length = 0
        return message[:start] + rng.randbytes(length) + message[end:]

    def _damage(self, data: bytes, *, fixed: bool) -> bytes:
        rng = self._rng
        number = int.from_bytes(data, "little")
        match rng.randrange(5):
            case 0 if fixed:
                number += rng.choice((1, -1, L, -L, P, -P, 2 * L, 8 * L, 19, 38))
            case 1 if fixed:
                return rng.choice(_WORDS)
            case 2 if fixed:
                return data[::-1]
            case 3 if data:
                number ^= rng.randrange(256) << 8 * rng.randrange(len(data))
            case _ if data:
                number ^= 1 << rng.randrange(8 * len(data))
        return (number % 256 ** len(data)).to_bytes(len(data), "little")
