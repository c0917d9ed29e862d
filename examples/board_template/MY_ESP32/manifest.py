# SPDX-License-Identifier: MIT
"""What is frozen: `ota` with all it needs, and the application, which is what an update replaces."""

include("$(BOARD_DIR)/../../../boards/esp32/manifest.py")  # CHANGE: this project
module("main.py", base_path="../../minimal")  # CHANGE: your application
