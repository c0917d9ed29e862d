# SPDX-License-Identifier: MIT
"""What every board with two slots has frozen: all that survives a lost file system."""

import os

include("$(MPY_DIR)/extmod/asyncio")
module("rp2.py", base_path="$(PORT_DIR)/modules")  # and not the port's _boot.py beside it
module("_boot.py")
module("ota_rp2.py", opt=3)
package("ota", base_path="../../lib", opt=3)

# The owner's root, configuration and CA, if there are any: `mpota provision FOLDER --frozen` makes
# the folder that OTA_FACTORY names.
if os.environ.get("OTA_FACTORY"):
    module("ota_factory.py", base_path=os.environ["OTA_FACTORY"])

# The drivers that stock firmware has, where the checkout has its submodule micropython-lib.
for driver in ("onewire", "ds18x20", "dht", "neopixel"):
    try:
        require(driver)
    except ValueError:
        print("manifest: no micropython-lib, no", driver)
