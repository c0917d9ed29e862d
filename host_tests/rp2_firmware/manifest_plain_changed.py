# SPDX-License-Identifier: MIT
"""The same with one of its functions changed: the smallest release."""

import tempfile
from pathlib import Path

include("manifest_plain.py")

resolve = include.__self__._resolve_path  # a manifest has no other way to ask where MPY_DIR is
module_path = resolve("$(MPY_DIR)/lib/micropython-lib/micropython/requests/requests/__init__.py")
before, function, after = Path(module_path).read_text().partition("def head(url, **kw):\n")
assert function
folder = Path(tempfile.mkdtemp())
(folder / "requests").mkdir()
line = '    print("the head of", url, len(kw))\n'
(folder / "requests" / "__init__.py").write_text(before + function + line + after)
package("requests", base_path=str(folder))
