# SPDX-License-Identifier: MIT
"""The same with one of its functions changed: the smallest release."""

import tempfile
from pathlib import Path

include("manifest_plain.py")

resolve = include.__self__._resolve_path  # a manifest has no other way to ask where MPY_DIR is
name = "usb_simple_device.py"
source = Path(resolve("$(MPY_DIR)/examples/usb"), name).read_text()
before, function, after = source.partition("def _open_itf_cb(interface_desc_view):\n")
assert function
line = '    print("opened", len(interface_desc_view))\n'
folder = tempfile.mkdtemp()
Path(folder, name).write_text(before + function + line + after)
module(name, base_path=folder)
