# SPDX-License-Identifier: MIT
"""The C verifier under the address and undefined-behaviour sanitizers, and in 32 bits.

Each case runs with key, signature, context and every piece of the message in heap memory of their
exact size.
"""

import subprocess

import pytest

import ed25519_cases as cases
from ed25519_fuzz import target
from ed25519_fuzz.target import Crash, Target, frame

BUILDS = {
    "portable": ("-O3", *target.SANITIZERS, target.PORTABLE),
    "host": ("-O1", *target.SANITIZERS),
    "32-bit": ("-Os", "-m32", *target.SANITIZERS),
}
pytestmark = pytest.mark.slow


@pytest.fixture(params=BUILDS, scope="module")
def program(request, tmp_path_factory):
    flags = BUILDS[request.param]
    if "-m32" in flags:
        command = ["gcc", *flags, "-xc", "-", "-o/dev/null"]
        if subprocess.run(command, input=b"int main(){}", check=False).returncode:
            pytest.skip("gcc -m32 does not work on this machine: package gcc-multilib")
    return target.build(tmp_path_factory.mktemp("ed25519") / "target", flags)


def test_all_cases(program):
    made = [*cases.read(), *cases.torsion_mixes(), *cases.lengths(), *list(cases.flips())[::31]]
    frames = []
    for number, case in enumerate(made):
        size = 1 + number % 97 * (1 + len(case.message) // 5000)
        starts = range(0, len(case.message), size)
        pieces = [case.message[start : start + size] for start in starts]
        frames.append(frame(case.key, case.signature, pieces))
    with Target(program) as running:
        for start in range(0, len(made), 16):
            running.send(b"".join(frames[start : start + 16]))
            some = made[start : start + 16]
            for case, answer in zip(some, running.receive(len(some)), strict=True):
                assert bool(answer & 1) == case.good, case.line()


def test_a_byte_too_far_is_noticed(tmp_path):
    program = target.build(tmp_path / "target", (*BUILDS["host"], "-DSLIP=1"))
    case = cases.signed(10)
    with Target(program) as running, pytest.raises(Crash, match="heap-buffer-overflow"):
        running.judge(case.key, case.message, case.signature)
