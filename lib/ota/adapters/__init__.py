# SPDX-License-Identifier: MIT
"""The only code that touches sockets and files. Imported by `ota.wiring` and by tests, no one else."""
