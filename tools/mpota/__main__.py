# SPDX-License-Identifier: MIT
"""`python -m mpota` is `mpota`."""

import sys

from mpota.cli import main

sys.exit(main())
