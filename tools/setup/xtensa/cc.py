# SPDX-License-Identifier: MIT
"""clang in the place of xtensa-esp32-elf-gcc, as far as native modules need it: one file of C or
assembly in, its name last, one object (-c -o) or assembly (-S) out, for the windowed calls of
ESP32, S2 and S3.

These differ from what GNU makes, and MicroPython's tools/mpy_ld.py knows only GNU's:

 * GNU's assembler takes the 2-byte form of an instruction where there is one, LLVM's does not.
   And clang calls every function through a pointer; within a file it need not.
 * Constants that hold addresses belong into .data.rel.ro, not into .rodata.
 * See fix_object().

And mpy_ld takes places in two sections of one name for the same if their offsets are, though the
sections are of two files: so all sections get the name of the source.

CLANG names the compiler, NEWLIB the folder of a C library's headers.
"""

import os
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

ROOT = Path(__file__).resolve().parent.parent.parent.parent
CLANG = os.environ.get("CLANG", str(ROOT / "build" / "clang" / "clang"))
NEWLIB = os.environ.get("NEWLIB", "/usr/include/newlib")

# What ESP32, S2 and S3 surely have in common: the S2 lacks loops and more.
FEATURES = ("density", "windowed", "sext", "nsa", "mul32", "mul32high", "div32", "threadptr")
TARGET = (
    *("--target=xtensa", "-D__XTENSA_WINDOWED_ABI__=1", "-nostdlibinc", "-isystem", NEWLIB),
    *("-fno-pic", "-fno-jump-tables", "-fno-addrsig", "-fomit-frame-pointer", "-fno-verbose-asm"),
    *("-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-Wno-unknown-pragmas"),
    *(flag for name in FEATURES for flag in ("-Xclang", "-target-feature", "-Xclang", f"+{name}")),
)
LEFT_OUT = ("-fpic", "-fPIC", "-mlongcalls", "-ffunction-sections", "-fdata-sections")

R_XTENSA_32 = 1
R_XTENSA_SLOT0_OP = 20


# ---- assembly

_INSTRUCTION = re.compile(r"\t(\w+)\t(a\d+), (\w+|-\d+)(?:, (\w+|-\d+))?$")
_ADDRESS = re.compile(r"\t\.(?:long|word)\t[A-Za-z_.]")


def _short(line: str) -> str:
    """The 2-byte form of an instruction, if it has one."""
    match = _INSTRUCTION.match(line)
    if not match:
        return line
    name, to, first, last = match.groups()
    number = int(last or first, 0) if re.fullmatch(r"-?\d+", last or first) else 0
    if (name == "or" and first == last) or (name == "addi" and number == 0):
        return f"\tmov.n\t{to}, {first}"
    if (
        name == "add"
        or (name == "addi" and (number == -1 or 1 <= number <= 15))
        or (name in ("l32i", "s32i") and number <= 60)
        or (name == "movi" and -32 <= number <= 95)
    ):
        return line.replace(f"\t{name}\t", f"\t{name}.n\t")
    return line


def _call_directly(lines: list[str]) -> list[str]:
    """Call functions of this file without a pointer.

    This is about pointers in a8, which nothing but the call can want: the callee finds its return
    address there. Anything in between that is not surely irrelevant leaves things as they are.
    """
    text = "\n".join(lines)
    literals = dict(re.findall(r"^\t\.literal (\.L\w+), (\w+)$", text, flags=re.MULTILINE))
    defined = set(re.findall(r"^\t\.type\t(\w+),@function$", text, flags=re.MULTILINE))
    result: list[str] = []
    loaded_at, name = None, ""  # where in `result` a8 gets the address of a function of this file
    for line in lines:
        if match := re.fullmatch(r"\tl32r\ta8, (\.L\w+)", line):
            name = literals.get(match[1], "")
            loaded_at = len(result) if name in defined else None
            result.append(line)
        elif line == "\tcallx8\ta8" and loaded_at is not None:
            del result[loaded_at]
            result.append(f"\tcall8\t.L{name}")
            loaded_at = None
        else:
            if not re.match(r"\t[a-z]", line) or re.search(r"\ba8\b|\t(b|j|call|loop)", line):
                loaded_at = None
            result.append(line)
            if line[:-1] in defined and line.endswith(":"):
                result.append(f".L{line}")  # a local name, which the assembler resolves by itself
    used = set(re.findall(r"\tl32r\ta\d+, (\.L\w+)$", "\n".join(result), flags=re.MULTILINE))
    return [
        line
        for line in result
        if not (match := re.match(r"\t\.literal (\.L\w+),", line)) or match[1] in used
    ]


def _share_literals(lines: list[str]) -> list[str]:
    """Have each value in memory once. An instruction reaches those of a whole file."""
    labels: dict[str, str] = {}  # of values
    same: dict[str, str] = {}
    result = []
    for line in lines:
        if match := re.match(r"\t\.literal (\.L\w+), (.+)", line):
            label = labels.setdefault(match[2], match[1])
            if label != match[1]:
                same[match[1]] = label
                continue
        elif match := re.match(r"(\tl32r\ta\d+, )(\.L\w+)$", line):
            line = match[1] + same.get(match[2], match[2])
        result.append(line)
    return result


def _name_sections(lines: list[str], name: str) -> list[str]:
    """Put constants that hold addresses into .data.rel.ro, and a name into those of sections."""
    result: list[str] = []
    section = None
    for line in ["\t.text", *lines]:  # also for literals, which come before
        if line == "\t.text":
            line = '\t.section\t.text,"ax",@progbits'
        if line.startswith("\t.section"):
            section = len(result) if line.startswith("\t.section\t.rodata") else None
            line = re.sub(r"(\t\.(?:text|rodata|data\.rel\.ro)\b)", rf"\1.{name}", line)
        elif section is not None and _ADDRESS.match(line):
            result[section] = f'\t.section\t.data.rel.ro.{name},"a",@progbits'
        result.append(line)
    return result


def rewrite(assembly: str, name: str) -> str:
    """What GNU's compiler would have made, for a source of this name."""
    lines = _share_literals(_call_directly(assembly.splitlines()))
    lines = _name_sections(lines, name)
    return "\n".join(map(_short, lines)) + "\n"


# ---- objects


def fix_object(path: Path) -> None:
    """Write addends where mpy_ld.py looks for them.

    A literal that points into a section of this file: mpy_ld wants the offset in the literal, LLVM
    has it in the relocation. An l32r that loads a literal: mpy_ld adds the distance to what the
    instruction holds, and LLVM leaves something there.
    """
    patches: list[tuple[int, bytes]] = []
    with path.open("rb") as file:
        elf = ELFFile(file)
        sections = list(elf.iter_sections())
        symbols = elf.get_section_by_name(".symtab")
        assert isinstance(symbols, SymbolTableSection)
        for table in sections:
            if not isinstance(table, RelocationSection):
                continue
            target = sections[table["sh_info"]]
            for number, relocation in enumerate(table.iter_relocations()):
                at = target["sh_offset"] + relocation["r_offset"]
                symbol = symbols.get_symbol(relocation["r_info_sym"])
                if symbol["st_info"]["type"] != "STT_SECTION":
                    if relocation["r_addend"]:
                        sys.exit(f"cc.py: {path}: {symbol.name} with an offset: make it static")
                    continue
                kind = relocation["r_info_type"]
                name = sections[symbol["st_shndx"]].name
                if kind == R_XTENSA_32 and target.name.startswith(".literal"):
                    patches.append((at, struct.pack("<I", relocation["r_addend"])))
                    entry = table["sh_offset"] + number * table["sh_entsize"]
                    patches.append((entry + 8, bytes(4)))
                elif kind == R_XTENSA_SLOT0_OP and name.startswith(".literal"):
                    patches.append((at + 1, bytes(2)))
    with path.open("r+b") as file:
        for at, data in patches:
            file.seek(at)
            file.write(data)


# ---- the command


def assemble(source: Path, target: Path) -> None:
    features = [
        f"-Xclangas={flag}" for name in FEATURES for flag in ("-target-feature", f"+{name}")
    ]
    command = [CLANG, "--target=xtensa", *features, "-x", "assembler", "-c"]
    subprocess.run([*command, "-o", target, source], check=True)


def main(arguments: list[str]) -> int:
    if "-dumpmachine" in arguments:
        print("xtensa-esp32-elf")
        return 0
    if any(argument.endswith("-print-libgcc-file-name") for argument in arguments):
        print("libgcc.a")  # there is none
        return 0
    given = [argument for argument in arguments if argument not in LEFT_OUT]
    if "-E" in given or not {"-c", "-S"} & set(given):
        return subprocess.run([CLANG, *TARGET, *given], check=False).returncode
    if "-o" not in given:
        sys.exit("cc.py: -o is needed")
    where = given.index("-o")
    target = Path(given[where + 1])
    del given[where : where + 2]
    only_assembly = "-S" in given
    given = [argument for argument in given if argument not in ("-c", "-S")]
    is_assembly = given[-1].endswith(".S")
    step = "-E" if is_assembly else "-S"
    with tempfile.TemporaryDirectory() as folder:
        assembly = Path(folder) / "module.s"
        done = subprocess.run([CLANG, *TARGET, *given, step, "-o", assembly], check=False)
        if done.returncode:
            return done.returncode
        text = assembly.read_text()
        if not is_assembly:
            text = rewrite(text, Path(given[-1]).stem)
        if only_assembly:
            target.write_text(text)
            return 0
        assembly.write_text(text)
        assemble(assembly, target)
    fix_object(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
