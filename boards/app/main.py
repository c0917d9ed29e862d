# SPDX-License-Identifier: MIT
"""Runs main.py of the application that boot.py has chosen. Written once by `mpota provision`."""

import ota

ota.run()
