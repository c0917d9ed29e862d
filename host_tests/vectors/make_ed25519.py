# SPDX-License-Identifier: MIT
"""Make the Ed25519 edge cases of `ed25519_edges.py`: run it, its output is that file.

Every refused case is one that a verifier without the rule named in the case would accept, so it
takes signing with keys and nonces that no honest signer uses. Arithmetic is affine and slow on
purpose: it shares nothing with the verifier. The output is the same in every run.
"""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_M1 = pow(2, (P - 1) // 4, P)
ZERO = (0, 1)


def recover_x(y: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    for root in (x, x * ROOT_M1 % P):
        if root * root % P == square:
            return root
    return None


def add(p: tuple[int, int], q: tuple[int, int]) -> tuple[int, int]:
    product = D * p[0] * q[0] * p[1] * q[1] % P
    x = (p[0] * q[1] + p[1] * q[0]) * pow(1 + product, -1, P) % P
    y = (p[1] * q[1] + p[0] * q[0]) * pow(1 - product, -1, P) % P
    return x, y


def multiply(n: int, p: tuple[int, int]) -> tuple[int, int]:
    result = ZERO
    while n:
        if n & 1:
            result = add(result, p)
        p = add(p, p)
        n >>= 1
    return result


def encode(p: tuple[int, int]) -> bytes:
    return (p[1] | (p[0] & 1) << 255).to_bytes(32, "little")


def base_point() -> tuple[int, int]:
    y = 4 * pow(5, -1, P) % P
    x = recover_x(y)
    assert x is not None
    return (x if x % 2 == 0 else P - x), y


def torsion() -> list[tuple[int, int]]:
    """Return the eight points of small order, multiples 0 to 7 of one of order 8."""
    y = 2
    while True:
        x = recover_x(y)
        if x is not None:
            point = multiply(L, (x, y))
            if multiply(4, point) != ZERO:
                return [multiply(i, point) for i in range(8)]
        y += 1


def encodings(p: tuple[int, int]) -> list[bytes]:
    """Return all strings that a lax decoder takes for `p`, the canonical one first."""
    found = [encode(p)]
    for y in (p[1], p[1] + P):
        for sign in (0, 1):
            if y < 2**255 and (sign == p[0] & 1 or p[0] == 0):
                data = (y | sign << 255).to_bytes(32, "little")
                if data not in found:
                    found.append(data)
    return found


B = base_point()
TORSION = torsion()
A_SECRET = int.from_bytes(hashlib.sha256(b"key").digest(), "little") % L
NONCE = int.from_bytes(hashlib.sha256(b"nonce").digest(), "little") % L
HONEST = multiply(A_SECRET, B)


def challenge(r: bytes, a: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def sign(r: bytes, a: bytes, nonce: int, secret: int, wanted=lambda k: True) -> tuple[bytes, int]:
    """Return the first message whose k is `wanted`, and S for it."""
    for i in range(10000):
        message = b"message %d" % i
        k = challenge(r, a, message)
        if wanted(k):
            return message, (nonce + k * secret) % L
    raise AssertionError("no message found")


def cases():
    """Yield (rule, good, key, signature, message)."""

    def case(rule, good, a, r, s, message):
        return rule, good, a, r + s.to_bytes(32, "little"), message

    a = encode(HONEST)
    r = encode(multiply(NONCE, B))
    message, s = sign(r, a, NONCE, A_SECRET)
    yield case("honest", True, a, r, s, message)
    for n in range(1, (2**256 - s) // L + 1):
        yield case("S < L", False, a, r, s + n * L, message)

    for i, point in enumerate(TORSION):
        for a in encodings(point):
            # k is a multiple of 8, so [k]A is zero and any nonce will do.
            message, s = sign(r, a, NONCE, 0, lambda k: k % 8 == 0)
            yield case("A of small order", False, a, r, s, message)

        if i:
            a = encode(add(HONEST, point))
            message, s = sign(r, a, NONCE, A_SECRET, lambda k, i=i: k * i % 8 == 0)
            yield case("A with torsion that cancels", True, a, r, s, message)
            message, s = sign(r, a, NONCE, A_SECRET, lambda k, i=i: k * i % 8 != 0)
            yield case("cofactorless: A with torsion", False, a, r, s, message)

            a = encode(HONEST)
            mixed = encode(add(multiply(NONCE, B), point))
            message, s = sign(mixed, a, NONCE, A_SECRET)
            yield case("cofactorless: R with torsion", False, a, mixed, s, message)

        # R' = [S]B - [k]A is exactly this point: the key's torsion, times -k.
        for small in encodings(point):
            a = encode(add(HONEST, TORSION[1]))
            message, s = sign(small, a, 0, A_SECRET, lambda k, i=i: -k % 8 == i)
            yield case("R of small order", False, a, small, s, message)


def main() -> None:
    print("# SPDX-License-Identifier: MIT")
    print('"""(rule, good, key, signature, message) in hex; made by make_ed25519.py."""')
    print("\nEDGES = (")
    for rule, good, key, signature, message in cases():
        print(f'    (\n        "{rule}",\n        {good},\n        "{key.hex()}",')
        print(f'        "{signature.hex()[:64]}"\n        "{signature.hex()[64:]}",')
        print(f'        "{message.hex()}",\n    ),')
    print(")")


if __name__ == "__main__":
    main()
