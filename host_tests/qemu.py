# SPDX-License-Identifier: MIT
"""MicroPython on chips that qemu emulates, one for each architecture of native modules."""

import contextlib

from raw_repl import ChildLine, RawRepl

MACHINES = {
    # The board has 16 KB of RAM, MicroPython for it is made for 256.
    "armv6m": "qemu-system-arm -machine microbit"
    " -global nrf51-soc.flash-size=1048576 -global nrf51-soc.sram-size=262144",
    "armv7emsp": "qemu-system-arm -machine mps2-an386",
    "rv32imc": "qemu-system-riscv32 -machine virt -bios none",
}


@contextlib.contextmanager
def repl(arch, program):
    """The raw REPL of `program`, build/bin/micropython-ARCH, freshly started."""
    options = "-nographic -monitor none -semihosting -serial stdio -kernel"
    line = ChildLine([*MACHINES[arch].split(), *options.split(), program])
    try:
        yield RawRepl(line)
    finally:
        line.close()
