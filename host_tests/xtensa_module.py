# SPDX-License-Identifier: MIT
"""Loads a native .mpy for Xtensa into QEMU, as MicroPython's py/persistentcode.c would."""

import struct
from pathlib import Path

import emulated_xtensa

# What xtensa_module.c wants the numbers of.
WANTED = ("verify", "Verifier", "update", "ok", "sha512", "digest")
FIRST_NAME = 200  # number of the first that is not one of MicroPython's own

RODATA, BSS, RELOCATIONS = 0x20, 0x40, 0x10  # flags of native code


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        self.at += size
        return self.data[self.at - size : self.at]

    def byte(self):
        return self.take(1)[0]

    def uint(self):
        number = 0
        while (byte := self.byte()) & 0x80:
            number = number << 7 | byte & 0x7F
        return number << 7 | byte


class Module:
    """The parts of a .mpy that is native code and nothing else, for 32-bit machines."""

    def __init__(self, mpy):
        reader = Reader(mpy)
        assert reader.take(2) == b"M\6"
        self.architecture = reader.byte() >> 2
        assert reader.byte() <= 31
        names, objects = reader.uint(), reader.uint()
        assert objects == 0
        self.names = []
        for _ in range(names):
            length = reader.uint()
            self.names.append(length >> 1 if length & 1 else reader.take((length >> 1) + 1)[:-1])
        size = reader.uint()
        assert size & 7 == 2  # viper, and no children
        self.text = bytearray(reader.take(size >> 3))
        flags = reader.uint()
        rodata = reader.uint() if flags & RODATA else 0
        self.bss = reader.uint() if flags & BSS else 0
        self.rodata = bytearray(reader.take(rodata))
        assert flags & RELOCATIONS
        self.relocations = []  # (in text?, offset, what)
        while (op := reader.byte()) != 0xFF:
            if op & 1:
                place = reader.uint()
                where, offset = not place & 1, place >> 1
            op >>= 1
            number = reader.uint() if op <= 5 and op & 1 else 1
            what = op >> 1 if op <= 5 else op - 3
            for _ in range(number):
                self.relocations.append((where, 4 * offset, what))
                offset += 1
        assert reader.at == len(mpy)

    def relocate(self, addresses, table):
        """Add addresses: of text, rodata, bss, names, objects, the table; or what is in it."""
        for in_text, offset, what in self.relocations:
            part = self.text if in_text else self.rodata
            (value,) = struct.unpack_from("<I", part, offset)
            value += addresses[what] if what < 6 else table(what - 6)
            struct.pack_into("<I", part, offset, value & 0xFFFF_FFFF)


def load(mpy, folder, own_names):
    """A machine with a module in it, and the call that has to be made before others.

    `own_names` are those that MicroPython has numbers for by itself, in their order.
    """
    program = emulated_xtensa.build([Path(__file__).with_suffix(".c")], folder)
    machine = emulated_xtensa.Machine(program, folder)
    module = Module(mpy)
    text, rodata = machine.place(bytes(module.text)), machine.place(bytes(module.rodata))
    bss = machine.place(bytes(module.bss))
    numbers = {name: number for number, name in enumerate(own_names, 1)}
    table = []
    for name in module.names:
        table.append(name if isinstance(name, int) else FIRST_NAME + len(table))
        if isinstance(name, bytes):
            numbers[name.decode()] = table[-1]
    names = machine.place(struct.pack(f"<{len(table)}H", *table))
    functions = program.symbols["fun_table"]
    places = text, rodata, bss, names, names, functions
    module.relocate(places, lambda index: program.word(functions + 4 * index))
    machine.write(text, module.text)
    machine.write(rodata, module.rodata)
    wanted = machine.place(struct.pack(f"<{len(WANTED)}I", *(numbers[name] for name in WANTED)))
    return machine, ("start", text, wanted)
