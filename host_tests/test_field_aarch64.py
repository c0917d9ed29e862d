# SPDX-License-Identifier: MIT
"""Field arithmetic of 64-bit Arm machines, in an emulator, against Python's integers.

The compiler is the one for Xtensa, which knows this machine too; without its linker, since the
object calls nothing.
"""

import subprocess

import emulated
import pytest
import unicorn
from elftools.elf.elffile import ELFFile
from unicorn import arm64_const

import field_machine

ADDRESS = 0x10000
X = [getattr(arm64_const, f"UC_ARM64_REG_X{n}") for n in range(29)]
AARCH64 = emulated.Architecture(
    "aarch64",
    "clang",
    ("--target=aarch64-none-elf", "-std=c11", "-O2", "-ffreestanding", "-mcmodel=tiny"),
    unicorn.UC_ARCH_ARM64,
    unicorn.UC_MODE_ARM,
    None,
    tuple(X[:8]),
    tuple(X[19:29]),
    X[0],
    arm64_const.UC_ARM64_REG_SP,
    arm64_const.UC_ARM64_REG_LR,
    None,
    word=8,
)


class Field(field_machine.FieldMachine):
    def __init__(self, compiler, source, folder):
        target = folder / "field.o"
        command = [compiler, *AARCH64.flags, "-c", "-o", target, source]
        subprocess.run(command, check=True)
        with target.open("rb") as file:
            elf = ELFFile(file)
            assert not elf.get_section_by_name(".rela.text")
            text = elf.get_section_by_name(".text").data()
            symbols = {
                symbol.name: ADDRESS + symbol["st_value"]
                for symbol in elf.get_section_by_name(".symtab").iter_symbols()
            }
        program = emulated.Program(AARCH64, ((ADDRESS, text),), symbols, (), len(text))
        self._machine = emulated.Machine(program)
        self._places = [self._machine.place(bytes(32 + 16)) for _ in range(3)]


@pytest.fixture(scope="module")
def field(built, repo, tmp_path_factory):
    source = repo / "lib" / "ed25519" / "field_int128.c"
    return Field(built("clang/clang"), source, tmp_path_factory.mktemp("field"))


def test_edges(field):
    field_machine.check_edges(field)


def test_random_numbers(field, soak):
    field_machine.check_random(field, 100_000 if soak else 500)


def test_results_over_operands(field):
    field_machine.check_aliases(field)
