# SPDX-License-Identifier: MIT
"""The firmware that tests update: a board of boards/rp2040 with an application frozen in."""

include("../../boards/rp2040/manifest.py")
module("main.py")
module("app.py")
