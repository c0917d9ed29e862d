# SPDX-License-Identifier: MIT
"""What the figures have to reach: the bar, which a change may not miss, and the goal beyond it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """`bar` is the least (or, with `most`, the greatest) value that is good enough."""

    bar: float
    goal: float | None = None
    most: bool = True

    def met(self, value: float) -> bool:
        return self._reaches(value, self.bar)

    def exceeded(self, value: float) -> bool:
        return self.goal is not None and self._reaches(value, self.goal)

    def _reaches(self, value: float, limit: float) -> bool:
        return value <= limit if self.most else value >= limit


GOALS = {
    "powercut_lives": Goal(5000, most=False),
    "powercut_lost": Goal(0),
    "app_powercut_lives": Goal(1000, most=False),
    "app_powercut_lost": Goal(0),
    "app_wire_ratio": Goal(0.1),
    "first_update_commands": Goal(5),
    "boot_bytes": Goal(8192),
    "rp2_powercut_lives": Goal(500, most=False),
    "rp2_powercut_lost": Goal(0),
    "rp2_erases_per_switch": Goal(1),
    "wire_raw_ratio": Goal(1.02),
    "resume_waste_bytes": Goal(4096),
    "erases_per_block": Goal(1),
    "heap_min_install_kb": Goal(64, 56),
    "mpy_bytes_esp32": Goal(28_000, 22_000),
    # Packs, everything counted (bench_delta).
    "delta_vs_bsdiff": Goal(0.70),
    "delta_vs_heatshrink": Goal(0.60),
    "delta_relink_ratio": Goal(0.008),
    "delta_small_ratio": Goal(0.012),
    "pack_ratio": Goal(0.74),
    # Packs on a device (bench_pack, bench_pack_power_cuts).
    "delta_extra_heap_kb": Goal(14),
    "delta_decode_vs_flash": Goal(1),
    "delta_powercut_lost": Goal(0),
    "install_vs_floor": Goal(0.7, 0.9, most=False),
    # One verification of an Ed25519 signature, all in.
    "ed25519_armv6m_bytes": Goal(6000, 4200),
    "ed25519_armv6m_cycles": Goal(4_900_000),
    "ed25519_armv6m_stack": Goal(2200),
    "ed25519_armv7em_bytes": Goal(4700, 4000),
    "ed25519_armv7em_insns": Goal(1_000_000),
    "ed25519_armv7em_stack": Goal(2200),
    "ed25519_rv32imc_bytes": Goal(5000),
    "ed25519_rv32imc_insns": Goal(2_600_000),
    "ed25519_rv32imc_stack": Goal(2200),
    "ed25519_x64_insns": Goal(900_000),
    "ed25519_xtensawin_bytes": Goal(5000),
    "ed25519_xtensawin_stack": Goal(2200),
}
