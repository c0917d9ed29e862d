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
    "wire_raw_ratio": Goal(1.02),
    "resume_waste_bytes": Goal(4096),
    "erases_per_block": Goal(1),
    "heap_min_install_kb": Goal(64, 56),
    "mpy_bytes_esp32": Goal(28_000, 22_000),
    "install_vs_floor": Goal(0.7, 0.9, most=False),
}
