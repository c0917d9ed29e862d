# SPDX-License-Identifier: MIT
# two_slots.cmake takes the flash map of 4 MB when this variant is chosen.
