# SPDX-License-Identifier: MIT
"""Ed25519 verification (RFC 8032, 5.1.7) in Python, for boards without the native `ota_ed25519`.

Strict: a signature is good here only if it is good for every implementation.

1. The signature has 64 bytes, R and S, and the public key A has 32.
2. S < L, the order of the base point B: nobody can make a second signature out of one.
3. A is the canonical encoding of a point on the curve.
4. A is not of small order: such a key accepts any message.
5. R' = [S]B - [k]A has the encoding R, byte for byte: no cofactor, no second encoding.
6. R' is not of small order.
7. k is SHA-512(R || A || message) modulo L, over the bytes as received.

Everything here is public, so nothing takes care to run in constant time. Field elements are
integers that are kept short but not reduced, and may be negative: `_fold` and `_mul` say how
short. Points are in extended coordinates (x, y, z, t), t = xy/z; a "cached" one, ready for
adding, is (y - x, y + x, 2dt, 2z). The addition formula is complete: no case needs its own code.
"""

import gc

from .sha512 import sha512

try:
    from micropython import const
except ImportError:

    def const(x):
        return x


_LOW = const((1 << 255) - 1)
_P = const(_LOW - 18)
_L = const((1 << 252) + 0x14DEF9DEA2F79CD65812631A5CF5D3ED)
_D = const(0x52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3)
_SQRT_M1 = const(0x2B8324804FC1DF0B2B4D00993DFBD7A72F431806AD2FE478C4EE1B274A0EA0B0)
_BX = const(0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A)
_BY = const(0x6666666666666666666666666666666666666666666666666666666666666658)


class Verifier:
    """One check of one signature: `update()` with the message in pieces, then `ok()` once."""

    def __init__(self, public_key, signature):
        # By way of memoryview, which takes neither an integer nor a list.
        public_key = bytes(memoryview(public_key))
        signature = bytes(memoryview(signature))
        if len(public_key) != 32 or len(signature) != 64:
            raise ValueError("length of key or signature")
        self._key = public_key
        self._signature = signature
        self._hash = sha512(signature[:32])
        self._hash.update(public_key)

    def update(self, data):
        if self._hash is None:
            raise ValueError("already checked")
        self._hash.update(data)

    def ok(self):
        """Return whether the signature is good. It takes about 3,000 field multiplications."""
        if self._hash is None:
            raise ValueError("already checked")
        k = _int(self._hash.digest()) % _L
        self._hash = None
        s = _int(self._signature[32:])
        point = _decode(_int(self._key))
        if s >= _L or point is None or _is_small(*point):
            return False
        x, y = point
        x, y, z = _combine(_digits(k, s), _multiples(_P - x, y), _multiples(_BX, _BY))
        if _is_small(x, y):
            return False
        z = _inverse(z)
        x = x * z % _P
        y = y * z % _P
        good = y | (x & 1) << 255 == _int(self._signature[:32])
        # What lives on must not be put between the pieces of what this check leaves behind.
        gc.collect()
        return good


def verify(public_key, message, signature):
    """Return whether `signature` is a good one of `message` under `public_key`."""
    verifier = Verifier(public_key, signature)
    verifier.update(message)
    return verifier.ok()


def _int(data):
    return int.from_bytes(data, "little")


def _fold(a):
    """Return a number congruent to `a`: a product of two results of `_mul` or sums of two such,
    at most 2^516, comes out below 2^266. Once is enough where `_mul` follows.

    Negative numbers work because & and >> take them as two's complement.
    """
    return (a & _LOW) + 19 * (a >> 255)


def _mul(a, b):
    """Return a number congruent to a * b, below 2^256 in size, for factors of up to 2^300."""
    # Not two calls of `_fold`: most of the time is spent here.
    a *= b
    a = (a & _LOW) + 19 * (a >> 255)
    return (a & _LOW) + 19 * (a >> 255)


def _inverse(a):
    """Return 1/a by Euclid's algorithm."""
    a %= _P
    b = _P
    u = 1
    v = 0
    while a:
        q = b // a
        a, b = b - q * a, a
        u, v = v - q * u, u
    return v


def _is_small(x, y):
    """Return whether the order of a point, affine or projective, is 1, 2, 4 or 8.

    x = 0: order 1 or 2. y = 0: order 4. x^2 + y^2 = 0: twice the point has y = 0, order 8.
    """
    return x * y * (x * x + y * y) % _P == 0


def _decode(encoded):
    """Return the point (x, y), or None: not canonical, or not on the curve (RFC 8032, 5.1.3).

    x = 0 with the sign bit set comes back as x = p; `_is_small` refuses it.
    """
    y = encoded & _LOW
    if y >= _P:
        return None
    u = y * y - 1
    v = _D * (u + 1) % _P + 1
    # x = u v^3 (u v^7)^((p - 5)/8) is a root of u/v, or sqrt(-1) times it is, or there is none.
    w = _mul(_mul(v, v), v)
    u %= _P
    z = _mul(_mul(_mul(w, w), v), u)
    # power = z^(2^n - 1) for n = 1, 3, 7, 15, 31, 62, 125, 250; (p - 5)/8 = 4 (2^250 - 1) + 1.
    power = z
    n = 1
    for odd in b"\1\1\1\1\0\1\0":
        root = power
        for _ in range(n):
            root = _mul(root, root)
        power = _mul(root, power)
        n *= 2
        if odd:
            power = _mul(_mul(power, power), z)
            n += 1
    power = _mul(power, power)
    power = _mul(_mul(power, power), z)
    x = _mul(power, _mul(w, u))
    w = v * x * x
    if (w - u) % _P:
        if (w + u) % _P:
            return None
        x *= _SQRT_M1
    x %= _P
    if x & 1 != encoded >> 255:
        x = _P - x
    return x, y


def _digits(k, s):
    """Return 256 bytes, the digits of k (low nibbles) and s (high nibbles) in a signed form.

    Digit i counts 2^i times; a nibble is 0 or odd, and n > 8 means n - 16. At least three
    nibbles of 0 come between two others.
    """
    digits = bytearray(256)
    for n, shift in ((k, 0), (s, 4)):
        i = 0
        while n:
            if n & 1:
                digit = n & 15
                digits[i] |= digit << shift
                n = (n >> 4) + (digit >> 3)
                i += 4
            else:
                n >>= 1
                i += 1
    return digits


def _cached(point):
    x, y, z, t = point
    return y - x, y + x, _mul(_D, 2 * t), 2 * z


def _add(point, cached):
    """Return the sum of two points (add-2008-hwcd-3 of the Explicit-Formulas Database)."""
    x, y, z, t = point
    ymx, ypx, t2d, z2 = cached
    a = _fold((y - x) * ymx)
    b = _fold((y + x) * ypx)
    c = _fold(t * t2d)
    d = _fold(z * z2)
    e = b - a
    f = d - c
    g = d + c
    h = b + a
    return _mul(e, f), _mul(g, h), _mul(f, g), _mul(e, h)


def _multiples(x, y):
    """Return what `_combine` adds for a point: cached 1, 3, 5, 7, -7, -5, -3, -1 times the point.

    The digit n, an odd nibble, is entry n >> 1.
    """
    point = (x, y, 1, x * y % _P)
    table = [_cached(point)]
    twice = _cached(_add(point, table[0]))
    for _ in range(3):
        point = _add(point, twice)
        table.append(_cached(point))
    for i in (3, 2, 1, 0):
        ymx, ypx, t2d, z2 = table[i]
        table.append((ypx, ymx, -t2d, z2))
    return table


def _combine(digits, low, high):
    """Return (x, y, z) of the sum of all digits times their points, from the top digit down."""
    x = 0
    y = z = 1
    for i in range(255, -1, -1):
        # dbl-2008-hwcd, with the signs of all four factors changed. t only where it is used.
        e = _fold(-2 * x * y)
        f = x * x
        g = y * y
        h = _fold(f + g)
        g = _fold(f - g)
        f = g + _fold(2 * z * z)
        x = _mul(e, f)
        y = _mul(g, h)
        z = _mul(f, g)
        digit = digits[i]
        if digit:
            point = (x, y, z, _mul(e, h))
            if digit & 15:
                point = _add(point, low[(digit & 15) >> 1])
            if digit >> 4:
                point = _add(point, high[digit >> 5])
            x, y, z, e = point
    return x, y, z
