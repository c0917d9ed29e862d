# SPDX-License-Identifier: MIT
"""Stock firmware with one module more (6 KB): what a small release is."""

include("manifest_plain.py")
package("requests", base_path="$(MPY_DIR)/lib/micropython-lib/micropython/requests")
