# SPDX-License-Identifier: MIT
"""What every board with two slots has frozen: all that survives a lost file system."""

import os

include("$(MPY_DIR)/extmod/asyncio")
# The port's modules, but not its _boot.py and inisetup.py, which this folder's replaces.
for name in ("apa106.py", "espnow.py", "flashbdev.py"):
    module(name, base_path="$(PORT_DIR)/modules")
try:
    module("machine.py", base_path="$(PORT_DIR)/modules")
except Exception:  # before 1.26 there is none
    print("manifest: no machine.py in this version")
module("_boot.py")
module("ota_esp32.py", opt=3)
package("ota", base_path="../../lib", opt=3)

# The owner's root, configuration and CA, if there are any: `mpota provision FOLDER --frozen` makes
# the folder that OTA_FACTORY names.
if os.environ.get("OTA_FACTORY"):
    module("ota_factory.py", base_path=os.environ["OTA_FACTORY"])

# What the port's own boards have frozen besides, with `ssl` in it.
require("bundle-networking")
for driver in (
    "aioespnow",
    "dht",
    "ds18x20",
    "neopixel",
    "onewire",
    "umqtt.robust",
    "umqtt.simple",
):
    require(driver)
require("upysh")
