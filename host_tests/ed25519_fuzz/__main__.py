# SPDX-License-Identifier: MIT
"""Fuzz for some time; exit 1 if there are findings. python -m ed25519_fuzz --help"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from ed25519_fuzz.fuzz import build, fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="ed25519_fuzz")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--json", action="store_true", help="print the report as an object")
    args = parser.parse_args()
    if not args.json:
        print(f"seed {args.seed}")
    with tempfile.TemporaryDirectory() as folder:
        report = fuzz(
            build(Path(folder)),
            args.seed,
            seconds=args.seconds,
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )
    if args.json:
        print(json.dumps(report._asdict()))
    else:
        print(f"{report.executions} executions, {report.good} of them good signatures")
        print(f"{report.kept} inputs kept, {len(report.findings)} findings")
        print("\n".join(report.findings))
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
