# SPDX-License-Identifier: MIT
"""The field arithmetic of a chip, in an emulator of that chip, and what it has to stand.

Every call also checks that registers of the caller and the stack pointer come back.
"""

import itertools
import random

import emulated
import pytest

P = 2**255 - 19
TOP = 2**256
FUNCTIONS = ("fe_mul", "fe_sqr", "fe_add", "fe_sub")
ONES = 0xFFFFFFFF

# Where carries, borrows and reductions begin and end. 2^256 is 38 modulo p.
EDGES = [0, 1, 2, 18, 19, 20, 37, 38, 39, P - 1, P, P + 1, 2 * P - 1, 2 * P, 2 * P + 1]
EDGES += [2**255 - 1, 2**255, *(TOP - d for d in (76, 75, 39, 38, 37, 2, 1))]
EDGES += [ONES << 32 * i for i in range(8)] + [TOP - 1 ^ ONES << 32 * i for i in range(8)]
EDGES += [2**i for i in range(15, 256, 24)] + [2**i - 1 for i in range(32, 256, 32)]
EDGES += [TOP - 2**i for i in range(32, 256, 32)]


class FieldMachine:
    """mul, sqr, add, sub on Python's integers; the result may lie where an operand lies."""

    def __init__(self, architecture, repo, folder, flags=()):
        arch = emulated.ARCHITECTURES[architecture]
        if not arch.present:
            pytest.skip(f"no {arch.compiler} on this machine")
        source = repo / "lib" / "ed25519"
        files = [*source.glob("field_*.c"), *source.glob("field_*.S")]
        program = emulated.build(arch, files, folder, FUNCTIONS, flags)
        self._machine = emulated.Machine(program)
        self._places = [self._machine.place(bytes(32 + 16)) for _ in range(3)]

    def _run(self, name, operands, onto):
        """Result of a function. `onto` is the operand that it is written over, or None."""
        at = []
        for place, operand in zip(self._places[1:], operands, strict=False):
            # Operands that are one number are one object too.
            self._machine.write(place, operand.to_bytes(32, "little") + b"\xa5" * 16)
            at.append(at[operands.index(operand)] if operand in operands[: len(at)] else place)
        result = self._places[0] if onto is None else at[onto]
        self._machine.write(self._places[0], b"\xa5" * 48)
        self._machine.call(name, result, *at)
        written = self._machine.read(result, 48)
        assert written[32:] == b"\xa5" * 16
        for place, operand in zip(at, operands, strict=True):
            if place != result:
                assert self._machine.read(place, 32) == operand.to_bytes(32, "little")
        return int.from_bytes(written[:32], "little")

    def check(self, a, b, onto=None):
        """All four operations give what they should."""
        for name, operands, right in (
            ("fe_mul", (a, b), a * b),
            ("fe_add", (a, b), a + b),
            ("fe_sub", (a, b), a - b),
            ("fe_sqr", (a,), a * a),
        ):
            got = self._run(name, operands, onto if len(operands) == 2 else onto and 0)
            assert (got - right) % P == 0, (name, f"{a:#x}", f"{b:#x}", onto)
            if name == "fe_mul" and right < TOP:
                assert got == right, "a product that fits is not reduced (field.h)"


def check_edges(field):
    for a, b in itertools.product(EDGES, repeat=2):
        field.check(a, b)


def check_words(field, number):
    """Numbers made of extreme words: the carries and signs inside a multiplication."""
    rng = random.Random(f"words {number}")
    words = (0, 1, 0xFFFF, 0x10000, 2**31, ONES - 1, ONES, ONES)
    for _ in range(number):
        a, b = (sum(rng.choice(words) << 32 * i for i in range(8)) for _ in range(2))
        field.check(a, b)


def check_random(field, number):
    rng = random.Random(f"numbers {number}")
    for _ in range(number):
        field.check(rng.getrandbits(256), rng.getrandbits(256))


def check_aliases(field):
    rng = random.Random("aliases")
    for a in (*EDGES[:20], *(rng.getrandbits(256) for _ in range(20))):
        b = rng.getrandbits(256)
        for onto in (None, 0, 1):
            field.check(a, b, onto)
            field.check(a, a, onto)
