# SPDX-License-Identifier: MIT
"""How many signatures C and Python verifiers judged alike in a run of the fuzzer.

A minute; half an hour with SOAK=1. `make fuzz-ed25519` is the same with other lengths and seeds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
SECONDS = 60
SECONDS_SOAK = 1800


def figures() -> dict[str, float]:
    seconds = SECONDS_SOAK if os.environ.get("SOAK") == "1" else SECONDS
    run = subprocess.run(
        [sys.executable, "-m", "ed25519_fuzz", "--json", "--seconds", str(seconds)],
        cwd=REPO / "host_tests",
        env={**os.environ, "PYTHONPATH": str(REPO / "lib")},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    report = json.loads(run.stdout)
    for finding in report["findings"]:
        print(finding, file=sys.stderr)
    return {
        "fuzz_ed25519_executions": report["executions"],
        "fuzz_ed25519_findings": len(report["findings"]),
    }


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
