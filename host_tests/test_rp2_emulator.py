# SPDX-License-Identifier: MIT
"""The emulated RP2040 bites where a chip would: each test is a small program with one mistake, or
the same program without it.

The programs run in RAM, as a bootloader must while it writes flash, and end at a BKPT whose number
says how.
"""

import random
import shutil
import struct
import subprocess
import zlib

import pytest
from unicorn import UC_ARCH_ARM, UC_MODE_MCLASS, UC_MODE_THUMB, Uc
from unicorn.arm_const import UC_ARM_REG_APSR, UC_ARM_REG_R0, UC_CPU_ARM_CORTEX_M0

import flash_map
import rp2_boot
from mpota import rp2040
from rp2040.pico import RAM, ChipError, DeviceError, Pico, PowerCut, with_checksum

SECTOR = 4096
AT = 0x8000  # a sector to write to
OLD = bytes(range(256)) * 16

# `rom EX`, say, calls a function of the boot ROM with r0 to r3 as they are.
MACROS = """
    .syntax unified
    .cpu cortex-m0plus
    .thumb
    .macro put address, value
        ldr r0, =\\address
        ldr r1, =\\value
        str r1, [r0]
    .endm
    .macro wait address, bits
    1:  ldr r0, =\\address
        ldr r0, [r0]
        ldr r1, =\\bits
        tst r0, r1
        beq 1b
    .endm
    .macro rom name
        push {r0, r1, r2, r3}
        movs r3, #0x14
        ldrh r0, [r3]
        ldr r1, =\\name
        ldrh r3, [r3, #4]
        blx r3
        mov r12, r0
        pop {r0, r1, r2, r3}
        blx r12
    .endm
    .macro crystal
        put 0x4002400c, 47
        put 0x40024000, 0xfabaa0
    .endm
    .macro crystal_stable
        crystal
        wait 0x40024004, 0x80000000
        put 0x40008030, 2                   @ clk_ref from it
    .endm
    .macro away
        rom IF
        rom EX
    .endm
    .macro back
        rom FC
        rom CX
    .endm
    .macro sector                           @ erases the sector at AT
        ldr r0, =0x8000
        ldr r1, =4096
        ldr r2, =65536
        movs r3, #0xd8
        rom RE
    .endm
    .macro page from, to=0x8000
        ldr r0, =\\to
        ldr r1, =\\from
        ldr r2, =256
        rom RP
    .endm
    .macro watchdog load, tick=0x20c, wdsel=0x1fffc
        put 0x4005801c, 0
        put 0x40010008, \\wdsel
        put 0x4005802c, \\tick
        put 0x40058004, \\load
        put 0x40058000, 1 << 30
    .endm
"""
FUNCTIONS = ("IF", "EX", "RE", "RP", "FC", "CX", "UB")
MACROS += "".join(
    f".set {name}, {int.from_bytes(name.encode(), 'little')}\n" for name in FUNCTIONS
)
PAGE_IN_RAM = 0x20001000


@pytest.fixture(scope="module")
def assemble(tmp_path_factory):
    if not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("no arm-none-eabi-gcc on this machine: see `make setup chips`")
    folder = tmp_path_factory.mktemp("thumb")
    made = {}

    def run(program):
        if program not in made:
            source = folder / "program.S"
            source.write_text(f"{MACROS}\n.global _start\n_start:\n{program}\n")
            tool = "arm-none-eabi-"
            flags = ["-nostdlib", "-mcpu=cortex-m0plus", "-mthumb", f"-Wl,-Ttext={RAM:#x}"]
            subprocess.run([f"{tool}gcc", *flags, source, "-o", folder / "elf"], check=True)
            copy = [f"{tool}objcopy", "-O", "binary", folder / "elf", folder / "bin"]
            subprocess.run(copy, check=True)
            made[program] = (folder / "bin").read_bytes()
        return made[program]

    return run


@pytest.fixture(scope="module")
def idle(built):
    """Picos that no test uses now: starting one takes longer than most of these tests."""
    built("node_modules/rp2040js")
    picos = []
    yield picos
    for pico in picos:
        pico.close()


@pytest.fixture
def board(idle, assemble):
    """board(program, **options of Pico): a Pico that is about to run it in RAM."""
    used = []

    def make(program, *, boot2=b"\xfe\xe7", flash=(), ram=None, **options):
        pico = idle.pop() if idle else Pico()
        used.append(pico)
        pico.renew(**{"bkpt": True, "strict": True, "usb": False, **options})
        pico.write_flash(0, with_checksum(boot2))
        for offset, data in dict(flash).items():
            pico.write_flash(offset, data)
        pico.power_on()
        if program is not None:
            pico.poke(RAM, assemble(program))
            pico.jump(RAM)
        if ram is not None:
            pico.poke(PAGE_IN_RAM, ram)
        return pico

    yield make
    idle += used


# ---- boot


def test_rom_runs_boot2_in_ram_with_flash_still_away(board, assemble):
    pico = board(None, boot2=assemble("mov r7, pc; mov r6, lr; bkpt #1"))
    assert pico.run().which == 1
    registers, _ = pico.registers()
    assert registers[7] == 0x20041F00 + 4 and registers[6] == 0 and registers[13] == 0x20041F00
    pico = board(None, boot2=assemble("ldr r0, =0x10000100; ldr r0, [r0]; bkpt #1"))
    with pytest.raises(ChipError, match="read at 0x10000100 while it is away"):
        pico.run()


def test_boot2_with_a_wrong_checksum_goes_to_usb(board):
    pico = board("bkpt #1")
    boot2 = bytearray(pico.read_flash(0, 256))
    boot2[9] ^= 1
    pico.write_flash(0, boot2)
    pico.power_on()
    assert pico.run().why == "usb-boot"


@pytest.mark.parametrize(("magic", "jumps"), [(0xB007C0D3, True), (0xB007C0D2, False)])
def test_scratch_registers_name_an_address_to_boot_once(board, magic, jumps):
    pico = board(f"""
        put 0x4005801c, {magic}
        put 0x40058020, 0x20000201 ^ 0x4ff83f2d
        put 0x40058024, 0x20003000
        put 0x40058028, 0x20000201
        put 0x40010008, 0x1fffc
        put 0x40058000, 1 << 31
        b .
        .org 0x200
        bkpt #7
    """)
    stop = pico.run(seconds=1)
    assert (stop.why == "bkpt") is jumps
    if jumps:
        assert stop.which == 7 and pico.registers()[0][13] == 0x20003000
        assert pico.register(0x4005801C) == 0


# ---- USB boot mode


@pytest.mark.parametrize(
    ("start", "end"), [("", "dead"), ("crystal", "dead"), ("crystal_stable", "usb-boot")]
)
def test_reset_usb_boot_needs_a_stable_crystal(board, start, end):
    stop = board(f"{start}\n movs r0, #0; movs r1, #0; rom UB; bkpt #1").run(seconds=1)
    assert stop.why == end


def test_crystal_stays_on_through_a_watchdog_reset(board, assemble):
    boot2 = assemble("movs r0, #0; movs r1, #0; rom UB; bkpt #1")
    pico = board("crystal_stable\n put 0x40010008, 0x1fffc\n put 0x40058000, 1 << 31", boot2=boot2)
    assert pico.run(seconds=1).why == "usb-boot"


# ---- watchdog


def test_watchdog_counts_twice_per_tick(board):
    pico = board("crystal_stable\n watchdog 200000\n b .")
    before = pico.counters().nanoseconds
    assert pico.run(seconds=1, on_reset=True).detail == "timer"
    assert 0.1e9 < pico.counters().nanoseconds - before < 0.107e9


def test_watchdog_has_24_bits(board):
    pico = board("crystal_stable\n watchdog 0x1000000 + 2000\n b .")
    assert pico.run(seconds=0.01, on_reset=True).why == "reset"
    pico = board("crystal_stable\n watchdog 0xffffff\n b .")
    before = pico.counters().nanoseconds
    assert pico.run(seconds=9, on_reset=True).why == "reset"
    assert 8.388e9 < pico.counters().nanoseconds - before < 8.4e9


def test_watchdog_without_wdsel_resets_nothing(board):
    pico = board("crystal_stable\n watchdog 2000, wdsel=0\n b .")
    assert pico.run(seconds=1, on_reset=True).why == "time"
    assert "PSM_WDSEL is 0" in pico.events()[-1]


def test_watchdog_that_resets_half_of_the_chip_is_an_error(board):
    with pytest.raises(ChipError, match="PSM_WDSEL"):
        board("crystal_stable\n watchdog 2000, wdsel=0x8000\n b .").run(seconds=1)


@pytest.mark.parametrize("tick", [0, 0x200, 0x00C])
def test_watchdog_without_ticks_never_counts(board, tick):
    pico = board(f"crystal_stable\n watchdog 2000, tick={tick}\n b .")
    assert pico.run(seconds=9, on_reset=True).why == "time"


def test_watchdog_on_the_ring_oscillator_is_slow(board):
    pico = board("watchdog 20000\n b .")
    before = pico.counters().nanoseconds
    assert pico.run(seconds=1, on_reset=True).why == "reset"
    # 12 / 6.5 of 10 ms, and 2.5 ms in the boot ROM.
    assert 0.0205e9 < pico.counters().nanoseconds - before < 0.0215e9


def test_fed_watchdog_waits(board):
    pico = board("""
        crystal_stable
        watchdog 20000                      @ 10 ms
        ldr r2, =200
    again:
        put 0x40058004, 20000
        ldr r3, =5000
    2:  subs r3, #1
        bne 2b
        subs r2, #1
        bne again
        bkpt #1
    """)
    assert pico.run(seconds=2, on_reset=True).why == "bkpt"
    assert pico.counters().nanoseconds > 0.1e9


def test_scratch_outlives_watchdog_resets_but_no_power_cut(board, assemble):
    count = "ldr r0, =0x4005800c; ldr r1, [r0]; adds r1, #1; str r1, [r0]; "
    again = "put 0x40010008, 0x1fffc; put 0x40058000, 1 << 31; b ."
    boot2 = assemble(f"{count} cmp r1, #3; bne 2f; bkpt #3\n2: {again}")
    pico = board(None, boot2=boot2)
    assert pico.run(seconds=1).which == 3
    assert pico.counters().boots == 3 and pico.register(0x40058008) == 2
    pico.power_on()
    assert pico.register(0x4005800C) == 0 and pico.register(0x40058008) == 0


def test_run_pin_clears_the_reason_but_not_ram(board):
    pico = board("crystal_stable\n put 0x20005000, 77\n put 0x4005800c, 5\n bkpt #1")
    assert pico.run().which == 1
    pico.press_run()
    assert pico.word(0x20005000) == 77 and pico.register(0x4005800C) == 0
    assert pico.register(0x40024004) == 0  # the crystal stands still


def test_power_on_finds_noise_in_ram(board):
    pico = board("put 0x20005000, 77\n bkpt #1")
    assert pico.run().which == 1
    pico.power_on()
    assert pico.word(0x20005000) != 77
    assert len(set(pico.memory(RAM, 4096))) > 200


# ---- clocks


def test_time_is_that_of_the_clock_that_is_set(board):
    loop = "ldr r0, =10000\n2: subs r0, #1\n bne 2b\n bkpt #1"
    pico = board(loop)
    before = pico.counters()
    pico.run()
    after = pico.counters()
    cycles = after.cycles - before.cycles
    assert 30000 <= cycles < 30010
    assert after.nanoseconds - before.nanoseconds == pytest.approx(cycles / 6.5e6 * 1e9, rel=1e-4)


PLL = """
    crystal_stable
    {}
    put 0x40028000, 1
    put 0x40028008, 125
    put 0x40028004, 0x8
    wait 0x40028000, 0x80000000
    put 0x4002800c, 0x62000
    put 0x40028004, 0
    put 0x4000803c, 1
    bkpt #1
    b .
"""


def test_pll_held_in_reset_never_locks(board):
    assert board(PLL.format(""), strict=False).run(seconds=1).why == "time"
    pico = board(PLL.format("put 0x4000f000, 1 << 12"))
    assert pico.run(seconds=1).why == "bkpt"
    before = pico.counters()
    pico.run(cycles=125000)
    assert pico.counters().nanoseconds - before.nanoseconds == pytest.approx(1e6, rel=0.01)


def test_clock_from_a_source_that_stands_still_is_an_error(board):
    with pytest.raises(ChipError, match="clk_sys is taken from pll_sys"):
        board("put 0x4000803c, 1\n bkpt #1").run()
    with pytest.raises(ChipError, match="clk_sys is taken from ref"):
        board("crystal\n put 0x40008030, 2\n bkpt #1").run()


def test_auxiliary_source_stays_while_it_is_in_use(board):
    in_use = PLL.format("put 0x4000f000, 1 << 12").partition("bkpt")[0]
    for write in ("put 0x4000803c, 0x61", "put 0x4000803c, 0x60"):
        with pytest.raises(ChipError, match="auxiliary source was changed while in use"):
            board(f"{in_use}\n {write}\n bkpt #1").run(seconds=1)
    away = "put 0x4000b03c, 1"
    assert board(f"{in_use}\n {away}\n put 0x4000803c, 0x60\n bkpt #1").run(seconds=1).which == 1


def test_flash_is_waited_for_when_asked(board, repo):
    """Behind boot2 a line is 8 clocks of address, 4 idle, 16 of data, each two of the core's."""
    boot2 = (repo / "boards/rp2040/boot/ota_boot_2mb.bin").read_bytes()[:252]
    reads = {
        "once": ("ldr r7, [r0]", 56),
        "a line twice": ("ldr r7, [r0]; ldr r7, [r0, #4]", 56),
        "two lines": ("ldr r7, [r0]; ldr r7, [r0, #8]", 112),
        "past the cache": ("ldr r0, =0x13008000; ldr r7, [r0]; ldr r7, [r0]", 2 * 40),
    }
    for what, (read, cycles) in reads.items():
        program = f"ldr r0, =0x20001001; blx r0; ldr r0, =0x10008000; {read}; bkpt #1"
        pico = board(program, ram=boot2, flash={AT: OLD}, waits=True)
        assert pico.run().which == 1 and pico.counters().flash_wait_cycles == cycles, what
    start = "ldr r0, =0x20001001; blx r0; ldr r0, =0x10008001; bx r0"
    pico = board(start, ram=boot2, waits=True)
    # movs r7, #1; three nops; in the next line: adds r7, #1; bkpt #1
    pico.write_flash(AT, bytes.fromhex("0127 c046 c046 c046 0137 01be"))
    assert pico.run().which == 1 and pico.registers()[0][7] == 2
    assert pico.counters().flash_wait_cycles == 112


# ---- the way to the flash


def test_flash_is_read_only_while_it_is_there(board):
    read = "ldr r0, =0x10008000; ldr r7, [r0]"
    pico = board(f"back; {read}; bkpt #1", flash={AT: OLD})
    assert pico.run().which == 1 and pico.registers()[0][7] == 0x03020100
    for before in ("away", "back; rom IF", "back; rom EX", "away; rom CX", "away; rom FC"):
        with pytest.raises(ChipError, match=r"0x10008000 while it is away.*pc 0x2000"):
            board(f"{before}; {read}; bkpt #1").run()


def test_code_in_flash_does_not_run_while_it_is_away(board, assemble):
    code = assemble("bkpt #9")
    jump = "ldr r0, =0x10008001; bx r0"
    assert board(f"back; {jump}", flash={AT: code}).run().which == 9
    with pytest.raises(ChipError, match="read at 0x10008000 while it is away"):
        board(f"back; away; {jump}", flash={AT: code}).run()


@pytest.mark.parametrize("there", [True, False])
def test_dma_cannot_read_flash_while_it_is_away(board, there):
    pico = board(
        f"""
        {"back" if there else "away"}
        put 0x4000f000, 1 << 2              @ the DMA leaves reset
        put 0x50000000, 0x10008000          @ from
        put 0x50000004, 0x20005000          @ to
        put 0x50000008, 1                   @ one
        put 0x5000000c, 0x1f8009            @ word, at once
        nop
        bkpt #1
        """,
        flash={AT: OLD},
    )
    if there:
        assert pico.run().which == 1 and pico.word(0x20005000) == 0x03020100
    else:
        with pytest.raises(ChipError, match="read at 0x10008000 while it is away"):
            pico.run()


def test_real_boot2_maps_the_flash_and_must_be_left_before_commands(board, repo):
    boot2 = (repo / "boards/rp2040/boot/ota_boot_2mb.bin").read_bytes()[:252]
    enter = "ldr r0, =0x20001001; blx r0"
    for program in (f"{enter}; ldr r0, =0x10008000; ldr r7, [r0]; bkpt #1",):
        pico = board(program, ram=boot2, flash={AT: OLD})
        assert pico.run().which == 1 and pico.registers()[0][7] == 0x03020100
    with pytest.raises(ChipError, match="flash_exit_xip"):
        board(f"{enter}; sector; bkpt #1", ram=boot2).run()
    assert board(f"{enter}; away; sector; {enter}; bkpt #1", ram=boot2).run().which == 1


def test_page_cannot_come_from_flash(board):
    with pytest.raises(ChipError, match="read at 0x10000000 while it is away"):
        board("away; sector; page 0x10000000; bkpt #1").run()


# ---- flash


def test_program_clears_bits_and_erase_sets_a_sector(board):
    pico = board(
        f"away; sector; page {PAGE_IN_RAM}; back; bkpt #1",
        flash={AT - SECTOR: OLD * 3},
        ram=bytes(256),
    )
    assert pico.run().which == 1
    assert pico.read_flash(AT - SECTOR, 3 * SECTOR) == OLD + bytes(256) + b"\xff" * 3840 + OLD
    counters = pico.counters()
    assert (counters.operations, counters.erases, counters.programs) == (2, 1, 1)
    assert counters.nanoseconds > 45e6


def test_program_over_old_data_is_an_error_unless_asked_for(board):
    program = f"away; page {PAGE_IN_RAM}; back; bkpt #1"
    page = bytes([0x0F]) * 255 + b"\xff"
    with pytest.raises(ChipError, match="program at 0x8000 over what is not erased"):
        board(program, flash={AT: OLD}, ram=page).run()
    pico = board(program, flash={AT: OLD}, ram=page, loose=True)
    assert pico.run().which == 1
    assert pico.read_flash(AT, 256) == bytes(byte & 15 for byte in range(255)) + b"\xff"
    # Clearing more bits of what is there, and leaving the rest alone, is what NOR flash is for.
    assert board(program, flash={AT: b"\x1f" * 256}, ram=page).run().which == 1


def test_address_beyond_the_end_is_an_error_or_wraps(board):
    program = f"away; page {PAGE_IN_RAM}, to=0x208000; back; bkpt #1"
    with pytest.raises(ChipError, match="program at 0x208000, the flash ends at 0x200000"):
        board(program, ram=bytes(256)).run()
    pico = board(program, ram=bytes(256), loose=True)
    assert pico.run().which == 1 and pico.read_flash(AT, 256) == bytes(256)
    with pytest.raises(ChipError, match="beyond its end"):
        board("back; ldr r0, =0x10200000; ldr r0, [r0]; bkpt #1").run()


def test_erase_by_blocks_where_they_fit(board):
    pico = board(
        """
        away
        ldr r0, =0xf000
        ldr r1, =0x11000
        ldr r2, =65536
        movs r3, #0xd8
        rom RE
        back
        bkpt #1
    """,
        flash={0xE000: bytes(0x13000)},
    )
    recording = pico.record()
    assert pico.run().which == 1
    assert recording.operations == [("erase", 0xF000, 0x1000), ("erase", 0x10000, 0x10000)]
    assert pico.read_flash(0xE000, 0x13000) == bytes(0x1000) + b"\xff" * 0x11000 + bytes(0x1000)


def test_own_commands_reach_the_flash(board):
    """Bytes through the SSI with the chip select forced: 0x9f asks which part it is."""
    pico = board(
        """
        away
        .macro byte value
            ldr r0, =0x18000060
            movs r1, #\\value
            str r1, [r0]
            ldr r7, [r0]
        .endm
        .macro select level
            put 0x4001800c, 0x200 | \\level << 8
        .endm
        select 0
        byte 0x9f
        byte 0
        mov r4, r7
        byte 0
        byte 0
        mov r5, r7
        select 1
        select 0
        byte 6                              @ write enable
        select 1
        select 0
        byte 0x20                           @ erase the sector at AT
        byte 0
        byte 0x80
        byte 0
        select 1
        bkpt #1
    """,
        flash={AT: OLD},
    )
    assert pico.run().which == 1
    registers, _ = pico.registers()
    assert registers[4] == 0xEF and registers[5] == 21
    assert pico.read_flash(AT, SECTOR) == b"\xff" * SECTOR


# ---- power cuts

WRITE = f"away; sector; page {PAGE_IN_RAM}; back; bkpt #1"
NEW = bytes(range(255, -1, -1))


def cut(board, operation, kind, seed=0, **options):
    pico = board(WRITE, flash={AT: OLD}, ram=NEW, **options)
    pico.cut(operation, kind, seed)
    assert pico.run().why == "cut"
    return pico


def test_cut_before_and_after_an_operation(board):
    blank = b"\xff" * 256
    found = [
        cut(board, n, kind).read_flash(AT, 256) for n in (0, 1) for kind in ("before", "after")
    ]
    assert found == [OLD[:256], blank, blank, NEW]


def test_busy_flash_takes_no_command(board):
    byte = "ldr r0, =0x18000060; movs r1, #{}; str r1, [r0]; ldr r7, [r0]"
    low, high = (f"put 0x4001800c, {0x200 | level << 8}" for level in (0, 1))
    erase = [low, byte.format(6), high, low, *map(byte.format, (0x20, 0, 0x80, 0)), high]
    poll = f"2: {low}; {byte.format(5)}; {byte.format(0)}; {high}; lsrs r7, #1; bcs 2b"
    with pytest.raises(ChipError, match="command 0x9f to a busy flash"):
        board("; ".join(["away", *erase, low, byte.format(0x9F), "bkpt #1"])).run()
    with pytest.raises(ChipError, match="mapped while it is busy"):
        board("; ".join(["away", *erase, "back", "bkpt #1"])).run()
    assert board("; ".join(["away", *erase, poll, "back", "bkpt #1"])).run().which == 1


def test_torn_program_clears_some_of_its_bits(board):
    seen = {cut(board, 1, "torn", seed).read_flash(AT, 256) for seed in range(4)}
    assert len(seen) > 2
    for page in seen:
        assert all(byte & new == new for byte, new in zip(page, NEW, strict=True))


def test_torn_erase_leaves_bits_of_either_value(board):
    seen = [cut(board, 0, "torn", seed).read_flash(AT, SECTOR) for seed in range(4)]
    assert len(set(seen)) > 2
    assert seen[0] == cut(board, 0, "torn", 0).read_flash(AT, SECTOR)
    assert any(byte & ~old for page in seen for byte, old in zip(page, OLD, strict=True))
    assert any(old & ~byte for page in seen for byte, old in zip(page, OLD, strict=True))


def test_weak_cells_read_differently_until_erased(board):
    pico = cut(board, 0, "torn", 1, weak=True)
    seen = set()
    for _ in range(3):
        pico.power_on()
        seen.add(pico.read_flash(AT, SECTOR))
    assert len(seen) == 3
    pico.poke(RAM, bytes.fromhex("00be"))  # bkpt #0
    strong = cut(board, 0, "torn", 1)
    before = strong.read_flash(AT, SECTOR)
    strong.power_on()
    assert strong.read_flash(AT, SECTOR) == before


def test_erase_makes_weak_cells_firm(board, assemble):
    pico = cut(board, 0, "torn", 1, weak=True)
    pico.power_on()
    pico.uncut()
    pico.poke(RAM, assemble(WRITE))
    pico.poke(PAGE_IN_RAM, NEW)
    pico.jump(RAM)
    assert pico.run().which == 1
    for _ in range(3):
        pico.power_on()
        assert pico.read_flash(AT, SECTOR) == NEW + b"\xff" * 3840


MARGINAL = (4, 59, 102, 110)  # seeds of such programs; of erases from either end, too


@pytest.mark.parametrize("seed", MARGINAL)
def test_torn_program_may_read_right_at_first(board, seed):
    pico = cut(board, 1, "torn", seed, weak=True)
    seen = [pico.read_flash(AT, 256)]
    for _ in range(8):
        pico.power_on()
        seen.append(pico.read_flash(AT, 256))
    assert seen[0] == NEW and len(set(seen)) > 1
    assert all(a & b == b for page in seen for a, b in zip(page, NEW, strict=True))
    pico.uncut()
    pico.program(AT, NEW)
    for _ in range(8):
        pico.power_on()
        assert pico.read_flash(AT, 256) == NEW


def test_torn_erase_may_begin_at_either_end(board):
    blank = b"\xff" * 256
    seen = {cut(board, 0, "torn", seed).read_flash(AT, SECTOR) for seed in MARGINAL}
    assert seen == {blank + OLD[256:], OLD[:256] + blank * 15}


def test_what_weak_cells_read_depends_on_the_cut_alone(board):
    pico = board(None, weak=True)
    kept = pico.keep_flash()
    seen = []
    for seed in (0, 0, 1):
        pico.restore_flash(kept)
        pico.cut(pico.counters().operations, "torn", seed)
        with pytest.raises(PowerCut):
            pico.program(AT, bytes(256))
        for _ in range(3):
            pico.power_on()
            seen.append(pico.read_flash(AT, 256))
    assert seen[:3] == seen[3:6] != seen[6:]


def test_recording_gives_what_each_cut_leaves(board):
    pico = board(WRITE, flash={AT: OLD}, ram=NEW)
    recording = pico.record()
    assert pico.run().which == 1
    assert recording.operations == [("erase", AT, SECTOR), ("program", AT, 256)]
    found = {}
    for operation in (1, 0):
        for kind in ("before", "torn", "after"):
            recording.boot(operation, kind, seed=3)
            found[operation, kind] = pico.read_flash(0, 2 * AT)
    for (operation, kind), left in found.items():
        assert cut(board, operation, kind, seed=3).read_flash(0, 2 * AT) == left


@pytest.mark.parametrize(
    ("timing", "size", "end"),
    [("typical", 4096, "time"), ("worst", 65536, "usb-boot"), ("worst", 4096, "usb-boot")],
)
def test_reset_in_a_long_erase_ends_in_usb_mode(board, timing, size, end):
    pico = board(
        f"""
        crystal_stable
        away
        watchdog 20000                      @ 10 ms
        ldr r0, =0x10000
        ldr r1, ={size}
        ldr r2, =65536
        movs r3, #0xd8
        rom RE
        bkpt #1
    """,
        timing=timing,
        flash={0x10000: bytes(65536)},
    )
    assert pico.run(seconds=3).why == end
    assert pico.read_flash(0x10000, size) == b"\xff" * size  # the flash went on by itself
    assert pico.counters().boots == 2


# ---- faults


def test_fault_without_a_handler_locks_up(board):
    stop = board("ldr r0, =0x20000001; ldr r0, [r0]; bkpt #1").run()
    assert stop.why == "dead" and "unaligned read of 4 bytes at 0x20000001" in stop.detail
    assert board("ldr r0, =0x30000000; ldr r0, [r0]; bkpt #1").run().why == "dead"
    assert board("udf #0").run().why == "dead"
    assert board("ldr r0, =0x20000000; bx r0").run().why == "dead"
    assert board("bkpt #1", bkpt=False).run().why == "dead"


def test_fault_reaches_its_handler(board):
    pico = board("""
        put 0xe000ed08, 0x20000100
        mov r6, pc
        udf #0                              @ where r6 points to
        nop
        .org 0x100
        .word 0x20042000, 0, 0, 0x20000111
        ldr r7, [sp, #24]                   @ the address that was stacked
        bkpt #3
    """)
    assert pico.run().which == 3
    registers, _ = pico.registers()
    assert registers[6] - 2 == registers[7]


def test_watchdog_ends_a_lock_up(board):
    pico = board("crystal_stable\n watchdog 2000\n udf #0")
    assert pico.run(seconds=1, on_reset=True).why == "reset"


# ---- what is not modelled is said


def test_unknown_register_is_an_error_or_noted(board):
    with pytest.raises(ChipError, match="RTC"):
        board("put 0x4000f000, 1 << 15\n put 0x4005c030, 1\n bkpt #1").run()
    pico = board("put 0x4000f000, 1 << 15\n put 0x4005c030, 1\n bkpt #1", strict=False)
    assert pico.run().which == 1 and len(pico.unknown()) == 1


def test_core_1_cannot_be_started(board):
    with pytest.raises(ChipError, match="core 1"):
        board("put 0xd0000054, 0x20001000\n bkpt #1").run()


# ---- MicroPython on it


@pytest.fixture
def micropython_board(built, repo):
    """The board OTA_PICO as it is built, in slot A behind the bootloader."""
    code = built("rp2040/test/firmware-a.bin").read_bytes()
    loader = (repo / "boards/rp2040/boot/ota_boot_2mb.bin").read_bytes()
    image = rp2_boot.make_image(0x10008000, None, code=code)
    with Pico(file_system=flash_map.MAPS["2mb"].fs) as pico:
        for offset, data in rp2040.bundle(loader, rp2040.parse_image(image)).items():
            pico.write_flash(offset, data)
        pico.power_on()
        yield pico


READ = """
import binascii, micropython, sys
micropython.kbd_intr(-1)
crc, buf = 0, bytearray(4096)
for n in range(25):
    print("\\x02piece", n)
    sys.stdin.buffer.readinto(buf)
    crc = binascii.crc32(buf, crc)
micropython.kbd_intr(3)
print(crc)
"""


@pytest.mark.slow
def test_micropython_lives_on_it(micropython_board):
    pico = micropython_board
    assert pico.exec("import machine; print(machine.freq(), machine.reset_cause())") == (
        "125000000 1\r\n"
    )
    sent = random.Random(1).randbytes(25 * 4096)  # all bytes, Ctrl-C and Ctrl-D among them
    asked = []

    def answer(request):
        asked.append(request)
        n = int(request.split()[1])
        return sent[4096 * n :][:4096]

    assert int(pico.exec(READ, answer=answer)) == zlib.crc32(sent)
    assert asked == [f"piece {n}" for n in range(25)]
    with pytest.raises(DeviceError, match="ZeroDivisionError"):
        pico.exec("1 // 0")

    pico.exec("with open('file', 'w') as f: f.write('kept')")
    pico.begin("machine.reset()")
    assert pico.run(seconds=5, on_reset=True).detail == "forced"
    assert pico.exec("import machine; print(machine.reset_cause())") == "3\r\n"
    pico.begin("machine.WDT(timeout=50)\nwhile True: machine.idle()")
    assert pico.run(seconds=1, on_reset=True).detail == "timer"
    pico.power_on()
    assert pico.exec("print(open('file').read())") == "kept\r\n"
    pico.begin("import machine; machine.bootloader()")
    assert pico.run(seconds=5).why == "usb-boot"


# ---- the rest


def test_same_inputs_same_counters(board):
    first, second = [board(WRITE, flash={AT: OLD}, ram=NEW) for _ in range(2)]
    assert first.run() == second.run()
    assert first.counters() == second.counters()


def arithmetic(dice, length):
    """Random Thumb instructions that only touch r0 to r7 and flags."""
    for _ in range(length):
        kind = dice.randrange(4)
        if kind == 0:
            yield 0x4000 | dice.randrange(1024)  # data processing
        elif kind == 1:
            yield dice.randrange(0x2000)  # shifts, additions
        elif kind == 2:
            yield 0x2000 | dice.randrange(0x2000)  # immediates
        else:
            yield dice.choice((0xB200, 0xB240, 0xB280, 0xB2C0, 0xBA00, 0xBA40, 0xBAC0)) | (
                dice.randrange(64)
            )


@pytest.mark.parametrize("seed", range(3))
def test_arithmetic_is_that_of_another_emulator(board, seed, soak):
    dice = random.Random(seed)
    code = struct.pack("<4000H", *arithmetic(dice, 4000))
    other = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
    other.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M0)
    other.mem_map(RAM, 0x10000)
    other.mem_write(RAM, code)
    pico = board(None)
    steps = 4000 if soak else 400
    pico.poke(RAM, code)
    for start in range(0, 4000, 4000 // steps):
        end = start + 4000 // steps
        pico.poke(RAM + 2 * end, b"\x01\xbe")
        pico.jump(RAM + 2 * start)
        assert pico.run().which == 1
        pico.poke(RAM + 2 * end, code[2 * end : 2 * end + 2])
        other.emu_start(RAM + 2 * start | 1, RAM + 2 * end)
        registers, flags = pico.registers()
        assert registers[:8] == [other.reg_read(UC_ARM_REG_R0 + i) for i in range(8)], start
        assert flags == other.reg_read(UC_ARM_REG_APSR) >> 28, start
