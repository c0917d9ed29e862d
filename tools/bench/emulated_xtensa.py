# SPDX-License-Identifier: MIT
"""Code for the ESP32's Xtensa in QEMU: build it, call its functions, count what calls cost.

    program = build(sources, folder)
    machine = Machine(program, folder)
    r, a = machine.place(bytes(32)), machine.place(number)
    (call,) = machine.run([("fe_mul", r, a, a)])
    machine.read(r, 32), call.cost, machine.stack

QEMU has no ESP32. It has dc233c, a core with the same instructions and windowed calls; but muluh,
which that lacks, is done by an exception handler (see xtensa_start.S), whose instructions are not
counted. Nor are they exact to the last one: the clock that counts them ticks every 100.
"""

import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import Section, SymbolTableSection

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
COMPILER = (sys.executable, str(ROOT / "tools" / "setup" / "xtensa" / "cc.py"))
QEMU = ("qemu-system-xtensa", "-M", "sim", "-cpu", "dc233c", "-icount", "shift=0")
LIBRARY = tuple((ROOT / "lib" / "ed25519" / "natmod").glob("mem*.c"))  # one function each
CFLAGS = ("-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-builtin")

_START = 0x2000  # where the core looks for its exception vectors
_RESET = 0xFE00_0000  # where it begins
_RESET_CODE = bytes.fromhex("22a024 802211 a00200")  # movi a2, 0x24; slli a2, a2, 8; jx a2
_STACK = 0x10_0000
_STACK_SIZE = 0x4000
_PAINT = 0xA5
_CALLS = _STACK + 0x8000
_CALL = 48
_MOST_CALLS = 20_000
_DATA = _CALLS + 16 + _CALL * _MOST_CALLS
_MULUH = 99  # instructions that the handler takes for one muluh

R_XTENSA_32 = 1
R_XTENSA_SLOT0_OP = 20


def present() -> bool:
    """True if this machine has the compiler and the emulator."""
    return (ROOT / "build" / "clang" / "clang").exists() and bool(shutil.which(QEMU[0]))


# ---- programs


@dataclass(frozen=True)
class Program:
    """A linked program: bytes to be placed at _START, where symbols are, and how large it is."""

    image: bytes
    symbols: dict[str, int]
    size: int  # code and constants, without what runs it

    def word(self, address: int) -> int:
        number: int = struct.unpack_from("<I", self.image, address - _START)[0]
        return number


def _symbol_table(elf: ELFFile) -> SymbolTableSection:
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    return table


def _patch(image: bytearray, at: int, kind: int, value: int) -> None:
    """Write an address where a relocation wants it; `at` counts from _START."""
    if kind == R_XTENSA_32:
        struct.pack_into("<I", image, at, value)
    elif kind == R_XTENSA_SLOT0_OP and image[at] & 15 == 1:  # l32r
        struct.pack_into("<H", image, at + 1, (value - (_START + at + 3 & ~3)) >> 2 & 0xFFFF)
    else:
        assert kind == R_XTENSA_SLOT0_OP, kind  # within a section: the assembler has done it


def _rank(piece: tuple[int, int, Section]) -> int:
    """Vectors come first; literals come before code, an instruction reaches them only there."""
    number, _index, section = piece
    if section.name.startswith(".literal"):
        return 1
    return 0 if number == 0 and section.name.startswith(".text") else 2


def link(objects: Sequence[Path]) -> Program:
    """Link what xtensa_start.S has become, and then others."""
    files = [path.open("rb") for path in objects]
    elfs = [ELFFile(file) for file in files]
    pieces = [
        (number, index, section)
        for number, elf in enumerate(elfs)
        for index, section in enumerate(elf.iter_sections())
        if section.name.startswith((".text", ".literal", ".rodata", ".data", ".bss"))
    ]
    image = bytearray()
    places: dict[tuple[int, int], int] = {}  # (object, section): address
    for number, index, section in sorted(pieces, key=_rank):
        image += bytes(-len(image) % max(section["sh_addralign"], 4))
        places[number, index] = _START + len(image)
        image += section.data()
    size = sum(section["sh_size"] for number, _, section in pieces if number > 0)
    symbols = {}
    for number, elf in enumerate(elfs):
        for symbol in _symbol_table(elf).iter_symbols():
            place = places.get((number, symbol["st_shndx"]))
            if symbol.name and place is not None:
                symbols[symbol.name] = place + symbol["st_value"]
    for number, elf in enumerate(elfs):
        table = _symbol_table(elf)
        for relocations in elf.iter_sections():
            if not isinstance(relocations, RelocationSection):
                continue
            base = places.get((number, relocations["sh_info"]))
            if base is None:
                continue
            for relocation in relocations.iter_relocations():
                at = base - _START + relocation["r_offset"]
                symbol = table.get_symbol(relocation["r_info_sym"])
                place = places.get((number, symbol["st_shndx"]))
                value = symbols[symbol.name] if place is None else place + symbol["st_value"]
                if relocation["r_info_type"] == R_XTENSA_32:
                    value += struct.unpack_from("<I", image, at)[0]
                _patch(image, at, relocation["r_info_type"], value + relocation["r_addend"])
    for file in files:
        file.close()
    return Program(bytes(image), symbols, size)


def build(sources: Iterable[Path], folder: Path, flags: Sequence[str] = ()) -> Program:
    """Compile and link C files, and what they need to run, into `folder`."""
    objects = []
    undefined: set[str] = set()
    places = (f"-DSTACK_TOP={_STACK + _STACK_SIZE}", f"-DCALLS={_CALLS}", f"-DMEMORY={_STACK}")
    for source, own in (
        (HERE / "xtensa_start.S", places),
        *((path, flags) for path in sources),
        *((path, flags) for path in LIBRARY),
    ):
        if source in LIBRARY and source.stem not in undefined:
            continue
        target = folder / f"{source.stem}.o"
        subprocess.run([*COMPILER, *CFLAGS, *own, "-c", "-o", target, source], check=True)
        objects.append(target)
        with target.open("rb") as file:
            undefined |= {
                symbol.name
                for symbol in _symbol_table(ELFFile(file)).iter_symbols()
                if symbol["st_shndx"] == "SHN_UNDEF"
            }
    return link(objects)


# ---- running


@dataclass(frozen=True)
class Call:
    """What a call gave and took."""

    result: int
    cost: int  # instructions
    muluh: int  # how many of them are this one


class Machine:
    """A program in memory, and the processor that runs it."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.stack = 0  # how deep the last run got
        self._folder = folder
        self._data = bytearray()

    def place(self, data: bytes) -> int:
        """Address of a copy of these bytes, aligned to 8, for as long as the machine lives."""
        address = _DATA + len(self._data)
        self._data += data + bytes(-len(data) % 8)
        return address

    def write(self, address: int, data: bytes) -> None:
        self._data[address - _DATA : address - _DATA + len(data)] = data

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._data[address - _DATA : address - _DATA + size])

    def run(self, calls: Sequence[tuple[str | int, ...]]) -> list[Call]:
        """Call functions one after the other: their names, then up to 6 numbers."""
        assert len(calls) <= _MOST_CALLS
        size = _DATA - _STACK + len(self._data)
        memory = bytearray([_PAINT]) * _STACK_SIZE + bytes(_CALLS - _STACK - _STACK_SIZE)
        memory += struct.pack("<IIII", len(calls), size, 0, 0)
        for name, *arguments in calls:
            function = self.program.symbols[name] if isinstance(name, str) else name
            words = [function, *arguments, *[0] * 12][:12]
            memory += struct.pack("<12I", *words)
        memory += bytes(_DATA - _STACK - len(memory)) + self._data
        parts = ((_START, self.program.image), (_RESET, _RESET_CODE), (_STACK, memory))
        command = [*QEMU, "-semihosting", "-nographic", "-monitor", "none", "-serial", "none"]
        for address, data in parts:
            path = self._folder / f"{address:x}.bin"
            path.write_bytes(data)
            command += ["-device", f"loader,file={path.name},addr={address:#x},force-raw=on"]
        output = self._folder / "memory.bin"
        output.unlink(missing_ok=True)
        done = subprocess.run(
            command, cwd=self._folder, check=False, timeout=300, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise RuntimeError(f"exception {done.returncode - 64}")
        memory = bytearray(output.read_bytes())
        self._data = memory[_DATA - _STACK :]
        self.stack = len(memory[:_STACK_SIZE].lstrip(bytes([_PAINT])))
        results = []
        for number in range(len(calls)):
            at = _CALLS - _STACK + 16 + number * _CALL + 28
            result, ticks, muluh = struct.unpack_from("<III", memory, at)
            results.append(Call(result, ticks * 100 - muluh * _MULUH, muluh))
        return results


def verification(
    sources: Iterable[Path], folder: Path, signed: Iterable[tuple[bytes, bytes, bytes]]
) -> dict[str, float]:
    """Bytes, instructions and stack of verifying good signatures: keys, messages, signatures.

    Nothing where the compiler or the emulator is lacking.
    """
    if not present():
        return {}
    program = build((source for source in sources if source.suffix == ".c"), folder)
    machine = Machine(program, folder)
    calls = []
    for key, message, signature in signed:
        places = [machine.place(data) for data in (key, message, signature)]
        calls.append(("ota_ed25519_verify", places[0], places[1], len(message), places[2]))
    done = machine.run(calls)
    assert all(call.result & 0xFF == 1 for call in done), "a good signature is refused"
    return {
        "ed25519_xtensawin_bytes": program.size,
        "ed25519_xtensawin_insns": round(mean(call.cost for call in done)),
        "ed25519_xtensawin_stack": machine.stack,
    }
