# SPDX-License-Identifier: MIT
"""Stock firmware with one module more (4 KB): what a small release is."""

include("manifest_plain.py")
module("usb_simple_device.py", base_path="$(MPY_DIR)/examples/usb")
