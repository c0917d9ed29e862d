# SPDX-License-Identifier: MIT
"""What stock firmware has frozen, for figures that must not change with this project's library."""

include("$(MPY_DIR)/extmod/asyncio")
freeze("$(PORT_DIR)/modules")
