# SPDX-License-Identifier: MIT
"""The bench's MicroPython plus the device library, as an ESP32 board definition freezes it."""

include("manifest.py")
package("ota", base_path="../../lib", opt=3)
module("ota_esp32.py", base_path="../../boards/esp32", opt=3)
