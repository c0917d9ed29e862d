# SPDX-License-Identifier: MIT
"""Ed25519 signatures at the edges of the rules, and an oracle that judges them.

Usage: ed25519_cases.py [--write]    checks, or writes, vectors/ed25519_edge.txt

The oracle is the seven rules of `ota.trust.ed25519` in textbook arithmetic: affine points, one
addition formula, integers reduced at every step. It shares nothing with the verifiers under test
and takes some 10 ms for a signature.

Most refused cases take signing with keys, nonces and hashes that no honest signer uses, so that a
verifier without the rule that they are for would accept them. Each case states what it was made
to be, and the oracle has to agree. Nothing here is random: every run makes the same cases.

`edges()` are those of the file, which every chip can run; `torsion_mixes()`, `small_pairs()`,
`encodings()`, `flips()` and `lengths()` are more of the same, for tests on the host.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

VECTORS = Path(__file__).parent / "vectors" / "ed25519_edge.txt"
HEADER = """\
# SPDX-License-Identifier: MIT
# Made by ed25519_cases.py. A case per line: key, message, signature in hex; verdict; what it is.
"""

Point = tuple[int, int]
Scalar = Callable[[int], bool]

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)
ZERO = (0, 1)


# ---- the curve -x^2 + y^2 = 1 + d x^2 y^2


def x_of(y: int) -> int | None:
    """Return the even one of the two x that go with y, if there are any."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    for root in (x, x * ROOT_OF_MINUS_1 % P):
        if root * root % P == square:
            return root if root % 2 == 0 else P - root
    return None


def add(p: Point, q: Point) -> Point:
    (x1, y1), (x2, y2) = p, q
    product = D * x1 * x2 * y1 * y2 % P
    # 1/(1 + product) and 1/(1 - product) out of one inversion; d is no square, so neither is 1/0.
    inverse = pow(1 - product * product, -1, P)
    x = (x1 * y2 + x2 * y1) * (1 - product) * inverse % P
    y = (y1 * y2 + x1 * x2) * (1 + product) * inverse % P
    return x, y


def negative(p: Point) -> Point:
    return -p[0] % P, p[1]


def multiply(n: int, p: Point) -> Point:
    result = ZERO
    while n:
        if n & 1:
            result = add(result, p)
        p = add(p, p)
        n >>= 1
    return result


def encode(p: Point) -> bytes:
    return (p[1] | (p[0] & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """Return the point that only this encoding has, or None."""
    number = int.from_bytes(data, "little")
    y, sign = number % 2**255, number >> 255
    x = x_of(y)
    if y >= P or x is None or (x == 0 and sign):
        return None
    return (P - x if sign else x), y


B = (x_of(4 * pow(5, -1, P) % P) or 0, 4 * pow(5, -1, P) % P)


@cache
def times_base(n: int) -> Point:
    return multiply(n % L, B)


def _torsion() -> list[Point]:
    for y in range(2, 1000):
        x = x_of(y)
        if x is not None:
            point = multiply(L, (x, y))
            if multiply(4, point) != ZERO:
                return [multiply(i, point) for i in range(8)]
    raise AssertionError


# The points of small order: multiples 0 to 7 of one of order 8.
TORSION = _torsion()


def order(i: int) -> int:
    """Return the order of TORSION[i]."""
    return next(n for n in (1, 2, 4, 8) if i * n % 8 == 0)


# ---- the rules


def hash_to_scalar(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


def broken_rule(key: bytes, message: bytes, signature: bytes) -> int:
    """Return the number of the first rule that is broken, or 0: the signature is good."""
    if len(key) != 32 or len(signature) != 64:
        return 1
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= L:
        return 2
    a = decode(key)
    if a is None:
        return 3
    if multiply(8, a) == ZERO:
        return 4
    k = hash_to_scalar(r, key, message)
    point = add(multiply(s, B), negative(multiply(k, a)))
    if encode(point) != r:
        return 5
    if multiply(8, point) == ZERO:
        return 6
    return 0


# ---- signing, also as one must not


class Case(NamedTuple):
    name: str
    good: bool
    key: bytes
    message: bytes
    signature: bytes

    def line(self) -> str:
        verdict = "good" if self.good else "bad"
        data = f"{self.key.hex()} {self.message.hex()} {self.signature.hex()}"
        return f"{data} {verdict} {self.name}\n"


def case(name: str, good: bool, key: bytes, message: bytes, r: bytes, s: int) -> Case:
    signature = r + s.to_bytes(32, "little")
    assert (broken_rule(key, message, signature) == 0) == good, name
    return Case(name, good, key, message, signature)


def secret(label: str) -> int:
    return int.from_bytes(hashlib.sha512(label.encode()).digest(), "little") % L


def messages() -> Iterator[bytes]:
    for i in range(1 << 20):
        yield b"%x" % i
    raise AssertionError("no such message")


def anything(k: int) -> bool:
    return True


def forge(
    name: str,
    good: bool,
    a: int,
    nonce: int,
    *,
    key: bytes | None = None,
    r: bytes | None = None,
    hashed: Callable[[bytes, bytes, bytes], tuple[bytes, ...]] = lambda r, a, m: (r, a, m),
    k: Scalar = anything,
    s: Scalar = anything,
) -> Case:
    """Return the first message, signed, whose k and S are as wanted.

    `a`, `nonce`: the secret scalars, S = nonce + k a. `key`, `r`: what is sent for their points,
    when that is not their encoding. `hashed`: what k is the hash of.
    """
    key = key or encode(times_base(a))
    r = r or encode(times_base(nonce))
    for message in messages():
        scalar = hash_to_scalar(*hashed(r, key, message))
        sum_ = (nonce + scalar * a) % L
        if k(scalar) and s(sum_):
            return case(name, good, key, message, r, sum_)
    raise AssertionError


A = secret("key")
NONCE = secret("nonce")
KEY = times_base(A)
R = times_base(NONCE)


def lax_encodings(p: Point) -> list[bytes]:
    """Return all strings that a lax decoder takes for `p`, the right one first."""
    signs = (0, 1) if p[0] == 0 else (p[0] & 1,)
    ys = (p[1], p[1] + P) if p[1] + P < 2**255 else (p[1],)
    found = [(y | sign << 255).to_bytes(32, "little") for y in ys for sign in signs]
    found.sort(key=lambda data: data != encode(p))
    return found


# ---- what rules 2 to 7 are about


def honest() -> Iterator[Case]:
    for i in range(8):
        yield forge("honest", True, secret(f"key {i}"), secret(f"nonce {i}"))
    # A and B, R and A, ... are the same point or opposite ones, which some formulas cannot add.
    for a in (1, L - 1, 2, L - 2, (L + 1) // 2, 3, 8, 2**128, 2**251):
        yield forge("multiple of the base as key", True, a, NONCE)
    for nonce in (1, L - 1, 2, A, L - A):
        yield forge("R is a small multiple", True, A, nonce)
    yield forge("key and R are the base", True, 1, 1)
    yield forge("key and R are the base and minus it", True, 1, L - 1)
    yield forge("key and R are minus the base", True, L - 1, L - 1)


def patterns() -> Iterator[Case]:
    """Scalars on whose digits windows, carries and reductions go wrong."""
    bits = 12
    run = (1 << bits) - 1
    for part, shift in (("low", 0), ("middle", 120), ("high", 252 - bits)):
        for pattern in (0, run, 0x888 & run, 0x777 & run):

            def matches(n: int, shift: int = shift, pattern: int = pattern) -> bool:
                return n >> shift & run == pattern

            what = f"{part} bits {pattern:03x}"
            yield forge(f"k with {what}", True, A, NONCE, k=matches)
            yield forge(f"S with {what}", True, A, NONCE, s=matches)


def scalar_range() -> Iterator[Case]:
    good = forge("", True, A, NONCE)
    s = int.from_bytes(good.signature[32:], "little")
    for n in range(1, (2**256 - s) // L + 1):
        yield case(f"S + {n} L", False, good.key, good.message, good.signature[:32], s + n * L)
    for bit in (252, 253, 254, 255):
        high = s | 1 << bit
        yield case(f"S with bit {bit}", False, good.key, good.message, good.signature[:32], high)
    for name, n in (
        ("0", 0),
        ("1", 1),
        ("2^252", 2**252),
        ("L - 1", L - 1),
        ("L", L),
        ("L + 1", L + 1),
        ("2^255 - 1", 2**255 - 1),
        ("2^256 - 1", 2**256 - 1),
        ("big-endian", int.from_bytes(good.signature[32:], "big")),
        ("L - S", L - s),
    ):
        yield case(f"S is {name}", False, good.key, good.message, good.signature[:32], n)
    # Without rule 4 these are good ones, for each S that rule 2 must let pass, and not.
    for name, n in (("0", 0), ("L - 1", L - 1), ("L", L), ("2 L", 2 * L)):
        key, r = encode(TORSION[4]), encode(times_base(n))
        message = next(m for m in messages() if hash_to_scalar(r, key, m) % 2 == 0)
        yield case(f"key of order 2, S is {name}", False, key, message, r, n)


def not_a_point() -> Iterator[Case]:
    for y in (2, 7, P - 2):
        assert x_of(y) is None
        for sign in (0, 1):
            key = (y | sign << 255).to_bytes(32, "little")
            yield forge("key off the curve", False, A, NONCE, key=key)
    for y in range(P, 2**255):
        # Of small order: `small_key` does it better.
        if y - P > 1:
            key = (y | (y & 1) << 255).to_bytes(32, "little")
            yield forge(f"key with y = p + {y - P}", False, A, NONCE, key=key)
    for key in (bytes([255] * 32), bytes([255] * 31 + [127])):
        yield forge("key of ones", False, A, NONCE, key=key)


def small_key() -> Iterator[Case]:
    for i, point in enumerate(TORSION):
        for n, key in enumerate(lax_encodings(point)):
            name = f"key of order {order(i)}, encoding {n}"
            # [k]A is zero, so any nonce is its own S.
            yield forge(name, False, 0, NONCE, key=key, k=lambda k, i=i: k * i % 8 == 0)


def small_r() -> Iterator[Case]:
    mixed = encode(add(KEY, TORSION[1]))
    for i, point in enumerate(TORSION):
        for n, r in enumerate(lax_encodings(point)):
            name = f"R of order {order(i)}, encoding {n}"
            # R' is exactly this point: minus k times what the key has of torsion.
            yield forge(name, False, A, 0, key=mixed, r=r, k=lambda k, i=i: -k % 8 == i)
    yield forge("R is zero under an honest key", False, A, 0)
    for y in (2, P, P + 3, P + 18, 2**255 - 1):
        yield forge("R is not a point", False, A, NONCE, r=y.to_bytes(32, "little"))


def torsion_mix(i: int, j: int) -> Iterator[Case]:
    """The key has i times the point of order 8 in it, R j times.

    Multiplied by 8 (the cofactor) the equation holds in all of these; as it stands, in some.
    """
    key = encode(add(KEY, TORSION[i]))
    r = encode(add(R, TORSION[j]))
    name = f"torsion of order {order(i)} in the key, {order(j)} in R"
    residues = {k for k in range(8) if (j + k * i) % 8 == 0}
    for good in (True, False):
        if residues if good else len(residues) < 8:

            def wanted(k: int, good: bool = good) -> bool:
                return (k % 8 in residues) == good

            verdict = ", cancels" if good and i else ", stays" if i or j else ""
            yield forge(name + verdict, good, A, NONCE, key=key, r=r, k=wanted)


def torsion_mixes() -> Iterator[Case]:
    for i in range(8):
        for j in range(8):
            yield from torsion_mix(i, j)


def reduction() -> Iterator[Case]:
    """Whether k is taken modulo L shows under a key with torsion: L is 5 modulo 8."""
    key = encode(add(KEY, TORSION[1]))
    r = encode(R)

    def first(name: str, good: bool, wanted: Callable[[int], bool]) -> Case:
        for message in messages():
            whole = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little")
            if wanted(whole):
                s = (NONCE + whole * A) % L
                return case(name, good, key, message, r, s)
        raise AssertionError

    yield first("k is 0 modulo 8 only reduced", True, lambda n: n % L % 8 == 0 != n % 8)
    yield first("k is 0 modulo 8 only whole", False, lambda n: n % L % 8 != 0 == n % 8)
    yield first("k is 0 modulo 8 both ways", True, lambda n: n % L % 8 == 0 == n % 8)
    # What [L - k]A comes to, which is not -[k]A, and [8k mod L]A.
    yield first("L - k is 0 modulo 8", False, lambda n: (L - n % L) % 8 == 0)
    yield first("8 k modulo L is 0 modulo 8", False, lambda n: 8 * n % L % 8 == 0 != n % L % 8)


def signs() -> Iterator[Case]:
    k_first = forge("", True, A, NONCE)
    k = hash_to_scalar(k_first.signature[:32], k_first.key, k_first.message)
    yield forge("R of the other sign", False, A, NONCE, r=encode(negative(R)))
    yield forge("key of the other sign", False, A, NONCE, key=encode(negative(KEY)))
    yield forge("key and R of the other sign", True, L - A, L - NONCE)
    s = (NONCE - k * A) % L
    yield case("S with k A subtracted", False, *k_first[2:4], k_first.signature[:32], s)
    s = (k * A - NONCE) % L
    yield case("S with R subtracted", False, *k_first[2:4], k_first.signature[:32], s)


def hashes() -> Iterator[Case]:
    """Good signatures, had k been the hash of something else."""
    dom2 = b"SigEd25519 no Ed25519 collisions"
    for name, hashed in (
        ("A, R, message", lambda r, a, m: (a, r, m)),
        ("R, message", lambda r, a, m: (r, m)),
        ("A, message", lambda r, a, m: (a, m)),
        ("message", lambda r, a, m: (m,)),
        ("R, A", lambda r, a, m: (r, a)),
        ("R, A, message, 0", lambda r, a, m: (r, a, m, b"\0")),
        ("Ed25519ph", lambda r, a, m: (dom2, b"\1\0", r, a, hashlib.sha512(m).digest())),
        ("Ed25519ctx", lambda r, a, m: (dom2, b"\0\1x", r, a, m)),
        ("R, A, hash of message", lambda r, a, m: (r, a, hashlib.sha512(m).digest())),
    ):
        yield forge(f"k from {name}", False, A, NONCE, hashed=hashed)


def speccheck() -> Iterator[Case]:
    """The twelve of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko 2020), our values."""

    def name(number: int) -> str:
        return f"speccheck {number}"

    def honest_r(a: bytes, m: bytes) -> tuple[bytes, ...]:
        return encode(ZERO), a, m

    one = TORSION[1]
    mixed_key, mixed_r = encode(add(KEY, one)), encode(add(R, one))
    small = encode(one)
    # 0 to 2: A or R or both are small.
    yield forge(name(0), False, 0, 0, key=small, r=small, k=lambda k: (k + 1) % 8 == 0)
    yield forge(name(1), False, 0, NONCE, key=small, r=mixed_r, k=lambda k: (k + 1) % 8 == 0)
    yield forge(name(2), False, A, 0, key=mixed_key, r=small, k=lambda k: (k + 1) % 8 == 0)
    # 3: the equation holds. 4: only times 8. 5: only times 8, and not if 8 k is reduced first.
    yield forge(name(3), True, A, NONCE, key=mixed_key, r=mixed_r, k=lambda k: (k + 1) % 8 == 0)
    yield forge(name(4), False, A, NONCE, key=mixed_key, r=mixed_r, k=lambda k: (k + 1) % 8 != 0)
    yield forge(name(5), False, A, NONCE, key=mixed_key, k=lambda k: k % 8 and 8 * k % L % 8)
    # 6, 7: S is too large; as much as three bits at the top can show.
    good = forge("", True, A, NONCE)
    s = int.from_bytes(good.signature[32:], "little")
    yield case(name(6), False, good.key, good.message, good.signature[:32], s + L)
    yield case(name(7), False, good.key, good.message, good.signature[:32], s + 14 * L)
    # 8, 9: R is zero in another encoding, k made of the right one and of this one.
    zero = (1 + P).to_bytes(32, "little")
    key = encode(add(KEY, TORSION[4]))
    yield forge(
        name(8),
        False,
        A,
        0,
        key=key,
        r=zero,
        hashed=lambda r, a, m: honest_r(a, m),
        k=lambda k: k % 2 == 0,
    )
    yield forge(name(9), False, A, 0, key=key, r=zero, k=lambda k: k % 2 == 0)
    # 10, 11: so is A.
    yield forge(
        name(10),
        False,
        0,
        NONCE,
        key=zero,
        r=encode(R),
        hashed=lambda r, a, m: (r, encode(ZERO), m),
    )
    yield forge(name(11), False, 0, NONCE, key=zero, r=encode(R))


def message_of(length: int) -> bytes:
    return bytes(i * 7 + length & 255 for i in range(length))


def signed(length: int, a: int = A, nonce: int = NONCE) -> Case:
    message = message_of(length)
    key, r = encode(times_base(a)), encode(times_base(nonce))
    s = (nonce + hash_to_scalar(r, key, message) * a) % L
    return case(f"message of {length} bytes", True, key, message, r, s)


# R and A come first, so messages of 47 and 48 bytes end where padding fits a block and does not.
LENGTHS = (0, 1, 46, 47, 48, 49, 63, 64, 65, 111, 112, 127, 128, 129, 175, 176, 191, 192, 193)


def edges() -> Iterator[Case]:
    """The cases of the file."""
    yield from honest()
    yield from scalar_range()
    yield from not_a_point()
    yield from small_key()
    yield from small_r()
    for i, j in ((0, 0), (0, 1), (0, 2), (0, 4), (1, 0), (2, 0), (4, 0), (4, 4), (2, 4), (2, 6)):
        yield from torsion_mix(i, j)
    for i, j in ((1, 4), (3, 2), (1, 7), (4, 2), (4, 1), (2, 1)):
        yield from torsion_mix(i, j)
    yield from reduction()
    yield from signs()
    yield from hashes()
    yield from speccheck()
    yield from patterns()
    for length in LENGTHS:
        yield signed(length)


# ---- more, for the host


def lengths() -> Iterator[Case]:
    for length in (*range(40, 56), *range(100, 136), 1000, 4096, 100_000):
        yield signed(length, secret(f"key {length % 8}"), secret(f"nonce {length % 8}"))


def encodings() -> Iterator[Case]:
    """All strings with y >= p or a negative 0 for x, as A and as R."""
    strings = [y | sign << 255 for y in range(P, 2**255) for sign in (0, 1)]
    strings += [1 | 1 << 255, P - 1 | 1 << 255]
    for string in strings:
        data = string.to_bytes(32, "little")
        assert decode(data) is None
        yield forge("key not canonical", False, A, NONCE, key=data)
        yield forge("R not canonical", False, A, NONCE, r=data)


def small_pairs() -> Iterator[Case]:
    """A and R of small order, every encoding of one with every encoding of the other, S = 0.

    The 196 that ZIP 215 wants accepted; a strict verifier accepts none.
    """
    strings = [data for point in TORSION for data in lax_encodings(point)]
    for key in strings:
        for r in strings:
            yield case("key and R of small order", False, key, b"Zcash", r, 0)


def flips() -> Iterator[Case]:
    """Each bit of key, signature and message of good signatures: the hash lets none pass."""
    for length in (0, 20, 150):
        good = signed(length)
        whole = good.key + good.signature + good.message
        for bit in range(len(whole) * 8):
            data = bytearray(whole)
            data[bit >> 3] ^= 1 << (bit & 7)
            parts = bytes(data[:32]), bytes(data[96:]), bytes(data[32:96])
            yield Case(f"bit {bit} flipped", False, *parts)


def text() -> str:
    return HEADER + "".join(case.line() for case in edges())


def read(path: Path = VECTORS) -> list[Case]:
    cases = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            *data, verdict, name = line.split(" ", 4)
            key, message, signature = (bytes.fromhex(part) for part in data)
            cases.append(Case(name, verdict == "good", key, message, signature))
    return cases


def main() -> int:
    made = text()
    if "--write" in sys.argv:
        VECTORS.write_text(made)
    elif VECTORS.read_text() != made:
        print(f"{VECTORS.name} is not what its maker makes", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
