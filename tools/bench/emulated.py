# SPDX-License-Identifier: MIT
"""Bare-metal code in an emulator: build it, call its functions, count what a call costs.

    program = build(ARCHITECTURES["armv6m"], sources, folder, roots=["fe_mul"])
    machine = Machine(program)
    r, a = machine.place(bytes(32)), machine.place(number)
    call = machine.call("fe_mul", r, a, a)
    machine.read(r, 32), call.cost, call.stack

Every call checks that the function gives back the stack pointer and the registers that belong to
its caller.

The cost is counted in instructions, and on ARMv6-M in cycles of a Cortex-M0+ that waits for no
memory: 1 for arithmetic and multiply, 2 for a load or store, 1+N for ldm, stm, push and pop of N
registers, 3+N for a pop that returns, 2 for a branch taken and 1 for one not taken, 2 for b, bx
and blx, 3 for bl. (Checked against a published routine measured on a board: 3,229,969 in the
model, 3,229,950 there.) Counting is by basic block, so that millions of cycles take a second.
"""

import shutil
import subprocess
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import unicorn
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from unicorn import arm_const, riscv_const, x86_const

_CODE = 0x0001_0000
_RAM = 0x2000_0000
_RAM_SIZE = 0x4_0000
_STACK_SIZE = 0x4000
_STACK_TOP = _RAM + _RAM_SIZE - 64  # above: where calls return to
_PAINT = 0xA5

Cost = Callable[[bytes, bool], int]
_Step = tuple[tuple[int, int], int]  # address and size of a block, address of the next one


# ---- what an instruction costs


def _thumb_length(code: bytes, at: int) -> int:
    return 4 if code[at + 1] >> 3 in (0b11101, 0b11110, 0b11111) else 2


def _riscv_length(code: bytes, at: int) -> int:
    return 4 if code[at] & 3 == 3 else 2


def _instructions(length: Callable[[bytes, int], int]) -> Cost:
    def count(code: bytes, jumped: bool) -> int:
        at = number = 0
        while at < len(code):
            at += length(code, at)
            number += 1
        return number

    return count


def _cortex_m0plus(op: int, jumped: bool) -> int:
    """Cycles of a 16-bit instruction."""
    registers = (op & 0x1FF).bit_count()
    if op >> 9 == 0b1011110:  # pop
        return registers + (3 if op & 0x100 else 1)
    if op >> 9 == 0b1011010:  # push
        return registers + 1
    if op >> 12 == 0b1100:  # ldm, stm
        return (op & 0xFF).bit_count() + 1
    if op >> 13 == 0b011 or op >> 12 in (0b0101, 0b1000, 0b1001) or op >> 11 == 0b01001:
        return 2
    if op >> 12 == 0b1101:  # conditional branch
        return 2 if jumped else 1
    if op >> 11 == 0b11100 or op >> 8 == 0b01000111:  # b, bx, blx
        return 2
    if op >> 10 == 0b010001 and op & 0x87 == 0x87 and op >> 8 & 3 in (0, 2):  # to pc
        return 2
    return 1


def _m0plus_cycles(code: bytes, jumped: bool) -> int:
    at = cycles = 0
    while at < len(code):
        length = _thumb_length(code, at)
        last = at + length == len(code)
        op = int.from_bytes(code[at : at + 2], "little")
        cycles += 3 if length == 4 else _cortex_m0plus(op, jumped and last)
        at += length
    return cycles


# ---- architectures


def _registers(module: object, names: str) -> tuple[int, ...]:
    return tuple(getattr(module, name) for name in names.split())


@dataclass(frozen=True)
class Architecture:
    """How to build for a machine, how to emulate it, and what a call means there."""

    name: str
    compiler: str
    flags: Sequence[str]
    kind: int
    mode: int
    model: int | None
    arguments: tuple[int, ...]
    saved: tuple[int, ...]
    result: int
    stack: int
    link: int | None  # None: the return address is on the stack
    cost: Cost | None  # None: counted instruction by instruction
    unit: str = "insns"
    word: int = 4
    thumb: bool = False

    @property
    def present(self) -> bool:
        """True if this machine has the compiler."""
        return shutil.which(self.compiler) is not None


def _arm(name: str, cpu: str, model: int, cost: Cost, unit: str = "insns") -> Architecture:
    return Architecture(
        name,
        "arm-none-eabi-gcc",
        (f"-mcpu={cpu}", "-mthumb"),
        unicorn.UC_ARCH_ARM,
        unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS,
        model,
        _registers(arm_const, "UC_ARM_REG_R0 UC_ARM_REG_R1 UC_ARM_REG_R2 UC_ARM_REG_R3"),
        tuple(getattr(arm_const, f"UC_ARM_REG_R{n}") for n in range(4, 12)),
        arm_const.UC_ARM_REG_R0,
        arm_const.UC_ARM_REG_SP,
        arm_const.UC_ARM_REG_LR,
        cost,
        unit,
        thumb=True,
    )


_THUMB = _instructions(_thumb_length)

ARCHITECTURES = {
    arch.name: arch
    for arch in (
        _arm("armv6m", "cortex-m0plus", arm_const.UC_CPU_ARM_CORTEX_M0, _m0plus_cycles, "cycles"),
        _arm("armv7m", "cortex-m3", arm_const.UC_CPU_ARM_CORTEX_M3, _THUMB),
        _arm("armv7em", "cortex-m4", arm_const.UC_CPU_ARM_CORTEX_M4, _THUMB),
        _arm("armv8m", "cortex-m33", arm_const.UC_CPU_ARM_CORTEX_M33, _THUMB),
        Architecture(
            "rv32imc",
            "riscv64-unknown-elf-gcc",
            ("-march=rv32imc", "-mabi=ilp32"),
            unicorn.UC_ARCH_RISCV,
            unicorn.UC_MODE_RISCV32,
            riscv_const.UC_CPU_RISCV32_SIFIVE_E31,
            tuple(getattr(riscv_const, f"UC_RISCV_REG_A{n}") for n in range(8)),
            tuple(getattr(riscv_const, f"UC_RISCV_REG_S{n}") for n in range(12)),
            riscv_const.UC_RISCV_REG_A0,
            riscv_const.UC_RISCV_REG_SP,
            riscv_const.UC_RISCV_REG_RA,
            _instructions(_riscv_length),
        ),
        Architecture(
            "x64",
            "gcc",
            (
                "-m64",
                "-fno-pie",
                "-no-pie",
                "-mcmodel=large",
                "-fcf-protection=none",
                "-Wl,-z,noexecstack",
            ),
            unicorn.UC_ARCH_X86,
            unicorn.UC_MODE_64,
            None,
            _registers(
                x86_const,
                "UC_X86_REG_RDI UC_X86_REG_RSI UC_X86_REG_RDX UC_X86_REG_RCX UC_X86_REG_R8",
            ),
            _registers(
                x86_const,
                "UC_X86_REG_RBX UC_X86_REG_RBP UC_X86_REG_R12 UC_X86_REG_R13 UC_X86_REG_R14",
            ),
            x86_const.UC_X86_REG_RAX,
            x86_const.UC_X86_REG_RSP,
            None,
            None,
            word=8,
        ),
    )
}


# ---- programs

_FREESTANDING = Path(__file__).with_name("freestanding.c")
_CFLAGS = (
    *("-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding"),
    *("-ffunction-sections", "-fdata-sections", "-fno-tree-loop-distribute-patterns"),
    *("-fno-asynchronous-unwind-tables", "-fno-stack-protector"),
)


@dataclass(frozen=True)
class Program:
    """A linked program: bytes to be mapped, where functions are, and how large it is."""

    arch: Architecture
    segments: tuple[tuple[int, bytes], ...]
    symbols: dict[str, int]
    functions: tuple[tuple[int, str], ...]  # by address, with labels of assembly
    size: int  # code and data, everything that is loaded

    def function_at(self, address: int) -> str:
        at = bisect_right(self.functions, (address, "\x7f")) - 1
        return self.functions[at][1] if at >= 0 else "?"


def load(arch: Architecture, path: Path) -> Program:
    """Read a linked .elf."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        segments = tuple(
            (s["p_vaddr"], s.data()) for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"
        )
        size = sum(
            s["sh_size"]
            for s in elf.iter_sections()
            if s["sh_flags"] & 2 and s["sh_type"] != "SHT_NOBITS"
        )
        symbols, functions = {}, []
        table = elf.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        for symbol in table.iter_symbols():
            address = symbol["st_value"] & (~1 if arch.thumb else ~0)
            if symbol.name and symbol["st_shndx"] != "SHN_UNDEF":
                symbols[symbol.name] = address
                named = symbol["st_info"]["type"] in ("STT_FUNC", "STT_NOTYPE")
                if named and not symbol.name.startswith("$"):  # marks of the assembler
                    functions.append((address, symbol.name))
    return Program(arch, segments, symbols, tuple(sorted(functions)), size)


def build(
    arch: Architecture,
    sources: Iterable[Path],
    folder: Path,
    roots: Sequence[str],
    flags: Sequence[str] = (),
) -> Program:
    """Compile and link what the functions `roots` need, into `folder`."""
    target = folder / f"{arch.name}.elf"
    keep = [f"-Wl,-u,{name}" for name in roots]
    link = ("-nostdlib", "-static", f"-Wl,--gc-sections,--build-id=none,-e,{roots[0]}", *keep)
    command = [
        *(arch.compiler, *arch.flags, *_CFLAGS, *flags, *link, f"-Wl,-Ttext={_CODE:#x}"),
        *(str(source) for source in (*sources, _FREESTANDING)),
        *("-lgcc", "-o", str(target)),
    ]
    subprocess.run(command, check=True)
    return load(arch, target)


# ---- running


@dataclass(frozen=True)
class Call:
    """What a call gave and took. `cost` is in the unit of the architecture."""

    result: int
    cost: int
    stack: int
    profile: dict[str, int] = field(default_factory=dict)  # cost by function, its own code only


class Machine:
    """A program in memory, and the processor that runs it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._arch = arch = program.arch
        self._uc: Any = unicorn.Uc(arch.kind, arch.mode)
        if arch.model is not None:
            self._uc.ctl_set_cpu_model(arch.model)
        end = max(address + len(data) for address, data in program.segments)
        self._uc.mem_map(0, (end + 0xFFFF) & ~0xFFFF)
        self._uc.mem_map(_RAM, _RAM_SIZE)
        for address, data in program.segments:
            self._uc.mem_write(address, data)
        self._free = _RAM
        self._steps: Counter[_Step] = Counter()
        self._costs: dict[tuple[int, int, bool], int] = {}
        self._last = (0, 0)

    def place(self, data: bytes) -> int:
        """Address of a copy of these bytes, aligned to 8, for as long as the machine lives."""
        address = self._free
        self._free += len(data) + 7 & ~7
        assert self._free <= _STACK_TOP - _STACK_SIZE
        self._uc.mem_write(address, data)
        return address

    def write(self, address: int, data: bytes) -> None:
        self._uc.mem_write(address, data)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._uc.mem_read(address, size))

    def call(self, name: str, *arguments: int) -> Call:
        """Run a function to its end, without counting."""
        return Call(self._run(name, arguments), 0, 0)

    def measure(self, name: str, *arguments: int) -> Call:
        """Run a function to its end; count what it costs and how deep the stack gets."""
        bottom = _STACK_TOP - _STACK_SIZE
        self._uc.mem_write(bottom, bytes([_PAINT]) * _STACK_SIZE)
        profile = Counter[str]()
        if self._arch.cost is None:
            hook = self._uc.hook_add(unicorn.UC_HOOK_CODE, self._on_instruction)
        else:
            hook = self._uc.hook_add(unicorn.UC_HOOK_BLOCK, self._on_block)
        self._uc.ctl_flush_tb()  # code translated before has no hooks in it
        self._steps.clear()
        self._last = (0, 0)  # address and size of the last block
        try:
            result = self._run(name, arguments)
        finally:
            self._uc.hook_del(hook)
            self._uc.ctl_flush_tb()
        for ((address, size), following), number in self._steps_done():
            cost = self._cost(address, size, following != address + size)
            profile[self.program.function_at(address)] += cost * number
        painted = self.read(bottom, _STACK_SIZE)
        depth = len(painted.lstrip(bytes([_PAINT])))
        return Call(result, profile.total(), depth, dict(profile))

    def _on_instruction(self, _uc: object, address: int, size: int, _data: object) -> None:
        self._steps[(address, size), 0] += 1

    def _on_block(self, _uc: object, address: int, size: int, _data: object) -> None:
        # A block that was cut by the end of a page, or entered again, is one like any other: it
        # is the block after it that tells whether its last instruction jumped.
        self._steps[self._last, address] += 1
        self._last = (address, size)

    def _steps_done(self) -> list[tuple[_Step, int]]:
        if self._arch.cost is not None:
            self._steps[self._last, 0] += 1
        return [(step, number) for step, number in self._steps.items() if step[0][1]]

    def _cost(self, address: int, size: int, jumped: bool) -> int:
        if self._arch.cost is None:
            return 1
        key = address, size, jumped
        if key not in self._costs:
            self._costs[key] = self._arch.cost(self.read(address, size), jumped)
        return self._costs[key]

    def _run(self, name: str, arguments: tuple[int, ...]) -> int:
        arch, uc = self._arch, self._uc
        kept = {register: 0x5A00_0000 + number for number, register in enumerate(arch.saved)}
        for register, value in kept.items():
            uc.reg_write(register, value)
        back, top = _STACK_TOP + 16, _STACK_TOP
        if arch.link is None:
            uc.mem_write(top - arch.word, back.to_bytes(arch.word, "little"))
            uc.reg_write(arch.stack, top - arch.word)
        else:
            uc.reg_write(arch.link, back | arch.thumb)
            uc.reg_write(arch.stack, top)
        for register, value in zip(arch.arguments, arguments, strict=False):
            uc.reg_write(register, value)
        uc.emu_start(self.program.symbols[name] | arch.thumb, back)
        kept[arch.stack] = top
        spoiled = [register for register, value in kept.items() if uc.reg_read(register) != value]
        if spoiled:
            raise AssertionError(f"{name} does not give back registers {spoiled}")
        result = uc.reg_read(arch.result)
        assert isinstance(result, int)
        return result
