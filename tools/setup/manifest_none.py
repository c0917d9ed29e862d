# SPDX-License-Identifier: MIT
"""Nothing frozen in."""
