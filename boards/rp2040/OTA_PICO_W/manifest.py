# SPDX-License-Identifier: MIT
include("../manifest.py")
require("bundle-networking")
