# SPDX-License-Identifier: MIT
"""The model of a Cortex-M0+ that figures rest on, against cycles counted by hand."""

import emulated
import pytest

COUNTED = """
    .syntax unified
    .thumb
    .global counted, spoils
    .thumb_func
counted:
    push {r4, r5, lr}       @ 4
    sub sp, #8              @ 1
    mov r4, sp              @ 1
    movs r2, #3             @ 1
1:  str r2, [r4]            @ 2, three times
    mov r5, r4              @ 1, three times
    ldm r5!, {r1, r3}       @ 3, three times
    muls r1, r2             @ 1, three times
    subs r2, #1             @ 1, three times
    bne 1b                  @ 2, 2, 1
    bl 2f                   @ 3
    add sp, #8              @ 1
    pop {r4, r5, pc}        @ 6
2:  ldr r3, =0x12345678     @ 2
    uxth r0, r3             @ 1
    bx lr                   @ 2
    .thumb_func
spoils:
    movs r4, #0
    bx lr
    .pool
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    arch = emulated.ARCHITECTURES["armv6m"]
    if not arch.present:
        pytest.skip(f"no {arch.compiler} on this machine")
    folder = tmp_path_factory.mktemp("counted")
    source = folder / "counted.S"
    source.write_text(COUNTED)
    return emulated.Machine(emulated.build(arch, [source], folder, ["counted", "spoils"]))


def test_cycles_and_stack(machine):
    call = machine.measure("counted")
    assert call.result == 0x5678
    assert call.cost == 4 + 3 + 3 * 8 + 5 + 3 + 1 + 6 + 5
    assert call.stack == 12 + 8


def test_a_register_that_is_not_given_back_is_noticed(machine):
    with pytest.raises(AssertionError, match="spoils"):
        machine.call("spoils")
