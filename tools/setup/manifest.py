# SPDX-License-Identifier: MIT
"""What every unix MicroPython of the test bench has frozen in: what stock board firmware has."""

include("$(MPY_DIR)/extmod/asyncio")
module("ssl.py", base_path="frozen")
