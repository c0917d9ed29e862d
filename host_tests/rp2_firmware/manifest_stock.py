# SPDX-License-Identifier: MIT
"""What stock firmware has frozen: nothing of this project."""

include("$(MPY_DIR)/extmod/asyncio")
freeze("$(PORT_DIR)/modules")
