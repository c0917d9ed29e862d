# SPDX-License-Identifier: MIT
"""What the RP2040's bootloader costs: bytes, stack, and the time from reset to the firmware.

Measured in the emulated chip with the bytes that users install, from the bootloader's first
instruction to the firmware's. The emulator reads flash without waiting; a chip waits for each line
of 8 bytes that is not in its cache, which is calculated beside it: 28 cycles
of the flash clock (8 of address and mode, 4 idle, 16 of data), which is half the core's.

    boot_bytes              boot2, code, constants and info page; 8,192 is the room
    boot_stack              most bytes of stack in use, of 8,192
    boot_cycles_normal      confirmed image as long as OTA_PICO's firmware: CRC over it
    boot_cycles_trial       its first boot: CRC, SHA-512, signature (the first key's), one mark
    boot_cycles_..._900kb   the same for 900 KB, from what one byte costs
    boot_ms_...             the time of these on the emulated chip, crystal and PLL included
    boot_ms_..._waiting     with what a chip waits for its flash: each byte of the image comes
                            twice from there in a trial, once else
"""

import sys
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPO / folder) for folder in ("tools", "host_tests", "boards/rp2040/boot")]

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402

import flash_map  # noqa: E402
import rp2_boot  # noqa: E402
from mpota import rp2040  # noqa: E402
from rp2040.pico import RAM, Pico  # noqa: E402

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
MAP = flash_map.MAPS["2mb"]
LOADER = REPO / "boards" / "rp2040" / "boot" / "ota_boot_2mb.bin"
STACK = (RAM + 0x40000, RAM + 0x42000)
SMALL = 4_096  # bytes of code
BUILT = REPO / "build" / "rp2040" / "test" / "firmware-a.bin"
CALCULATED = 900 * 1024
CORE_HZ = 125_000_000
LINE_BYTES, LINE_CYCLES = 8, 2 * (8 + 4 + 16)


@dataclass(frozen=True)
class Cost:
    cycles: int
    ns: int
    stack: int

    def at(self, length: int, other: "Cost", other_length: int) -> "Cost":
        """The cost for `length` bytes, where this one is for SMALL: it grows evenly."""

        def line(a: int, b: int) -> int:
            return a + (b - a) * (length - SMALL) // (other_length - SMALL)

        return Cost(line(self.cycles, other.cycles), line(self.ns, other.ns), other.stack)


def _run(pico: Pico) -> Cost:
    """Power up and run to the BKPT."""
    pico.power_on()
    before = pico.memory(STACK[0], STACK[1] - STACK[0])  # noise, as RAM has it
    start = pico.counters()
    stop = pico.run(seconds=60)
    if stop.why != "bkpt":
        raise RuntimeError(f"no firmware ran: {stop}")
    end = pico.counters()
    after = pico.memory(STACK[0], STACK[1] - STACK[0])
    untouched = next(i for i in range(len(before)) if before[i] != after[i])
    cycles = end.cycles + end.slept_cycles - start.cycles - start.slept_cycles
    return Cost(cycles, end.nanoseconds - start.nanoseconds, len(before) - untouched)


def _image(slot: int, size: int) -> bytes:
    address = rp2040.XIP_BASE + MAP.slots[slot]
    code = bytearray(rp2_boot.vectors(address, size))
    code[0xC0:0xC2] = b"\x01\xbe"  # BKPT
    return bytes(rp2_boot.make_image(address, KEY, code=bytes(code)))


def _measure(pico: Pico, loader: bytes, size: int) -> tuple[Cost, Cost]:
    """A normal boot and a trial, without what ROM and boot2 take on any board."""
    pico.power_off()
    pico.write_flash(0, b"\xff" * MAP.flash_size)
    at = flash_map.CODE_AT
    nothing = rp2_boot.vectors(rp2040.XIP_BASE + at - 0x100)
    pico.write_flash(0, loader[:at] + nothing[:0xC0] + b"\x01\xbe")
    base = _run(pico)
    costs = []
    image = rp2040.parse_image(_image(0, size))
    for confirmed in (True, False):
        for offset, data in rp2040.bundle(loader, image).items():
            pico.write_flash(offset, data)
        sector = rp2040.record(1, MAP.slots[0], image, confirmed=confirmed)
        pico.write_flash(MAP.records[0], sector)
        if confirmed:
            _run(pico)  # the first boot makes the record firm
        cost = _run(pico)
        costs.append(Cost(cost.cycles - base.cycles, cost.ns - base.ns, cost.stack))
    return costs[0], costs[1]


def _waiting_ms(length: int, times: int) -> float:
    return times * length / LINE_BYTES * LINE_CYCLES / CORE_HZ * 1e3


def figures() -> dict[str, float]:
    loader = rp2040.set_keys(LOADER.read_bytes(), [rp2_boot.raw(KEY)])
    code = loader[flash_map.CODE_AT : flash_map.INFO_AT].rstrip(b"\xff")
    built = BUILT.stat().st_size
    found: dict[str, float] = {"boot_bytes": flash_map.BOOT2_SIZE + len(code) + flash_map.PAGE}
    with Pico(bkpt=True, strict=True, usb=False) as pico:
        small, large = (_measure(pico, loader, size) for size in (SMALL, built))
    found["boot_stack"] = max(cost.stack for cost in large)
    for name, a, b, times in zip(("normal", "trial"), small, large, (1, 2), strict=True):
        most = a.at(CALCULATED, b, built)
        for suffix, cost, length in (("", b, built), ("_900kb", most, CALCULATED)):
            ms = round(cost.ns / 1e6, 1)
            found[f"boot_cycles_{name}{suffix}"] = cost.cycles
            found[f"boot_ms_{name}{suffix}"] = ms
            found[f"boot_ms_{name}{suffix}_waiting"] = round(ms + _waiting_ms(length, times), 1)
    return found
