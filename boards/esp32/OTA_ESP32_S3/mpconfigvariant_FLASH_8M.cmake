# SPDX-License-Identifier: MIT
# two_slots.cmake takes the table for 8 MB when this variant is chosen.
