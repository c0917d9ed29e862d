# SPDX-License-Identifier: MIT
"""The verifier on the ESP32's Xtensa: run in QEMU, and its listing read.

QEMU's core is no ESP32's, but runs what compilers make for one, but for muluh, which an exception
handler of ours does (tools/bench/xtensa_start.S).
"""

import hashlib
import itertools
import random
import re
import subprocess
import sys
from operator import add, mul, sub

import emulated_xtensa
import pytest

import ed25519_cases
import xtensa_module
from field_machine import EDGES, ONES, TOP, P
from vectors.ed25519_known import RFC_8032

FUNCTIONS = (("fe_mul", mul), ("fe_add", add), ("fe_sub", sub), ("fe_sqr", lambda a, _b: a * a))
STACK = 2200
SOURCES = ("ed25519.c", "sha512.c", "field_portable.c", "field_xtensa.c")


@pytest.fixture(scope="module")
def machine(built, repo, tmp_path_factory):
    built("clang/clang")
    if not emulated_xtensa.present():
        pytest.skip(f"no {emulated_xtensa.QEMU[0]} on this machine")
    folder = tmp_path_factory.mktemp("xtensa")
    source = repo / "lib" / "ed25519"
    program = emulated_xtensa.build([source / name for name in SOURCES], folder)
    return emulated_xtensa.Machine(program, folder)


@pytest.fixture(scope="module")
def listing(built, repo, tmp_path_factory):
    """Assembly of each source."""
    built("clang/clang")
    folder = tmp_path_factory.mktemp("listing")
    listings = {}
    for name in SOURCES:
        target = folder / f"{name}.s"
        source = repo / "lib" / "ed25519" / name
        command = [*emulated_xtensa.COMPILER, *emulated_xtensa.CFLAGS, "-S", "-o", target, source]
        subprocess.run(command, check=True)
        listings[name] = target.read_text()
    return listings


def is_number(machine, place, number):
    return machine.read(place, 32) == number.to_bytes(32, "little")


def check(machine, pairs, ontos=(None,)):
    """All four operations on each pair; the result may lie where an operand lies."""
    calls, checks = [], []
    for (a, b), onto, (name, operation) in itertools.product(pairs, ontos, FUNCTIONS):
        places = [machine.place(n.to_bytes(32, "little")) for n in (a, b)]
        target = machine.place(bytes(32)) if onto is None else places[onto]
        calls.append((name, target, *places))
        checks.append((target, places, a, b, operation))
    machine.run(calls)
    for (name, *_), (target, places, a, b, operation) in zip(calls, checks, strict=True):
        right = operation(a, b)
        got = int.from_bytes(machine.read(target, 32), "little")
        assert (got - right) % P == 0, (name, f"{a:#x}", f"{b:#x}")
        # Reduction modulo L takes this for granted (field.h).
        assert got == right or not 0 <= right < TOP, (name, f"{a:#x}", f"{b:#x}")
        for place, operand in zip(places, (a, b), strict=True):
            assert place == target or is_number(machine, place, operand)


def test_field_edges(machine):
    check(machine, itertools.product(EDGES, repeat=2))


def test_field_extreme_words(machine, soak):
    rng = random.Random("words")
    words = (0, 1, 0xFFFF, 0x10000, 2**31, ONES - 1, ONES, ONES)

    def number():
        return sum(rng.choice(words) << 32 * i for i in range(8))

    for _ in range(100 if soak else 1):
        check(machine, [(number(), number()) for _ in range(3000)])


def test_field_random_numbers(machine, soak):
    rng = random.Random("numbers")
    for _ in range(100 if soak else 1):
        check(machine, [(rng.getrandbits(256), rng.getrandbits(256)) for _ in range(3000)])


def test_field_results_over_operands(machine):
    check(machine, zip(EDGES, EDGES[7:], strict=False), (None, 0, 1))


def test_field_carries_that_run_through_all_words(machine):
    ends = [(TOP - 1 - d, e) for d in range(80) for e in (d, TOP - 1)]
    check(machine, [*ends, *((d, e) for d in range(80) for e in (TOP - 1, d + 1))])


def cases(soak):
    known = [
        ed25519_cases.Case("RFC 8032", True, *map(bytes.fromhex, (key, message, signature)))
        for key, signature, message in RFC_8032
    ]
    return [*known, *ed25519_cases.read()[:: 1 if soak else 12]]


def check_verdicts(machine, functions, cases, first=()):
    calls = list(first)
    for case, function in itertools.product(cases, functions):
        key, message, signature = map(machine.place, (case.key, case.message, case.signature))
        calls.append((function, key, message, len(case.message), signature))
    results = [call.result & 0xFF for call in machine.run(calls)[len(first) :]]
    assert results == [int(case.good) for case in cases for _ in functions]


def test_verdicts(machine, soak):
    check_verdicts(machine, ["ota_ed25519_verify"], cases(soak))
    assert machine.stack <= STACK


def test_the_module_itself(machine, built, repo, tmp_path, soak, monkeypatch):
    """The .mpy, what is in the tree and what is built here: MicroPython's linker has had its part
    in it."""
    files = [built("natmod/xtensawin/ota_ed25519.mpy")]
    files.append(repo / "lib" / "ed25519" / "xtensawin_6.3" / "ota_ed25519.mpy")
    monkeypatch.syspath_prepend(str(built("src/micropython") / "py"))
    import makeqstrdata

    for mpy in {file.read_bytes() for file in files}:
        machine, start = xtensa_module.load(mpy, tmp_path, makeqstrdata.static_qstr_list)
        check_verdicts(machine, ["verify", "verify_pieces"], cases(soak)[4::4], [start])
        data = bytes(range(256)) * 2
        places = {length: machine.place(bytes(64)) for length in (0, 111, 112, 128, 500)}
        where = machine.place(data)
        machine.run([start, *(("hash", where, n, place) for n, place in places.items())])
        for length, place in places.items():
            assert machine.read(place, 64) == hashlib.sha512(data[:length]).digest()


def test_what_does_muluh_is_not_counted(machine, tmp_path):
    source = tmp_path / "loops.c"
    source.write_text(
        "".join(
            f"""
unsigned {name}(unsigned n) {{
    unsigned x = n;
    do {{
        __asm__ volatile("{name} %0, %0, %1" : "+r"(x) : "r"(n));
    }} while (--n);
    return x;
}}"""
            for name in ("mull", "muluh")
        )
    )
    loops = emulated_xtensa.Machine(emulated_xtensa.build([source], tmp_path), tmp_path)
    low, high = loops.run([("mull", 10_000), ("muluh", 10_000)])
    assert (low.muluh, high.muluh) == (0, 10_000)
    assert abs(low.cost - high.cost) <= 200


def test_calls_are_windowed_and_products_whole(listing):
    text = "".join(listing.values())
    assert len(re.findall(r"\tentry\t", text)) == len(re.findall(r",@function", text))
    assert not re.search(r"\t(call0|callx0|ret|ret\.n)\b", text)
    assert "\tmuluh\t" in listing["field_xtensa.c"]


def test_nothing_of_the_compilers_library_is_needed(listing):
    """There is no libgcc in a module: no 64-bit division, no shifts by calls."""
    text = "".join(listing.values())
    named = set(re.findall(r"^\t\.literal \.L\w+, ([A-Za-z_]\w*)$", text, flags=re.MULTILINE))
    assert named - set(re.findall(r"^([A-Za-z_]\w*):$", text, flags=re.MULTILINE)) <= {
        "memset",
        "memcpy",
    }


def frames(listing):
    """For each function: how much stack it takes, and what it may call."""
    text = "\n".join(listing.values())
    literals = dict(re.findall(r"^\t\.literal (\.L\w+), ([A-Za-z_]\w*)$", text, re.MULTILINE))
    found = {}
    for name, body in re.findall(r"^(\w+):\n(.*?)^\.Lfunc_end", text, re.MULTILINE | re.DOTALL):
        size = int(re.search(r"\tentry\ta1, (\d+)\n", body)[1])
        pointers = {literals.get(label) for label in re.findall(r"\tl32r\ta\d+, (\.L\w+)", body)}
        direct = set(re.findall(r"\tcall8\t\.L(\w+)", body))
        found[name] = size, pointers | direct
    return found


def test_stack_as_the_listing_has_it(listing):
    # A file's literals have names that another file's have too.
    found = {}
    for name, text in listing.items():
        found.update(frames({name: text}))

    def depth(name):
        if name in ("memset", "memcpy"):
            return 32
        size, callees = found.get(name, (0, ()))
        return size + max(map(depth, callees), default=0)

    # Below the last frame the processor keeps 4 registers of the function before.
    assert depth("ota_ed25519_verify") + 16 <= STACK


def test_the_compiler_makes_what_gnus_makes():
    """Short instructions and calls, sections of constants; and names that the linker needs."""
    sys.path.insert(0, str(emulated_xtensa.ROOT / "tools" / "setup" / "xtensa"))
    import cc

    source = """\
\t.literal .LCPI0_0, near
\t.literal .LCPI0_1, far
\t.literal .LCPI0_2, near
\t.literal .LCPI0_3, far
\t.type\tnear,@function
near:
\tentry\ta1, 32
\tor\ta10, a2, a2
\tor\ta10, a2, a3
\tadd\ta2, a2, a3
\taddi\ta2, a3, -1
\taddi\ta2, a3, 16
\tl32i\ta2, a3, 60
\ts32i\ta2, a3, 64
\tmovi\ta2, 96
\tl32r\ta8, .LCPI0_0
\tcallx8\ta8
\tl32r\ta8, .LCPI0_1
\tcallx8\ta8
\tl32r\ta8, .LCPI0_2
.LBB0_1:
\tcallx8\ta8
\tl32r\ta9, .LCPI0_3
\t.section\t.rodata.cst4,"aM",@progbits,4
\t.long\t1
\t.section\t.rodata,"a",@progbits
\t.long\tnear
"""
    assert cc.rewrite(source, "name").splitlines() == [
        '\t.section\t.text.name,"ax",@progbits',
        "\t.literal .LCPI0_1, far",
        "\t.literal .LCPI0_2, near",
        "\t.type\tnear,@function",
        "near:",
        ".Lnear:",
        "\tentry\ta1, 32",
        "\tmov.n\ta10, a2",
        "\tor\ta10, a2, a3",
        "\tadd.n\ta2, a2, a3",
        "\taddi.n\ta2, a3, -1",
        "\taddi\ta2, a3, 16",
        "\tl32i.n\ta2, a3, 60",
        "\ts32i\ta2, a3, 64",
        "\tmovi\ta2, 96",
        "\tcall8\t.Lnear",
        "\tl32r\ta8, .LCPI0_1",
        "\tcallx8\ta8",
        "\tl32r\ta8, .LCPI0_2",
        ".LBB0_1:",
        "\tcallx8\ta8",
        "\tl32r\ta9, .LCPI0_1",
        '\t.section\t.rodata.name.cst4,"aM",@progbits,4',
        "\t.long\t1",
        '\t.section\t.data.rel.ro.name,"a",@progbits',
        "\t.long\tnear",
    ]
