# SPDX-License-Identifier: MIT
"""Every portable test file under real MicroPython. CPython runs them through pytest itself."""

import re
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent / "portable").glob("test_*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_under_micropython(file, any_micropython, run_micropython, repo):
    done = run_micropython(any_micropython, "host_tests/mp/run.py", str(file.relative_to(repo)))
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    # Its own count, too: a test that ended the process with status 0 would have run nothing after
    # itself.
    assert re.fullmatch(r"[1-9]\d* passed, 0 failed", done.stdout.splitlines()[-1])


BROKEN = {
    "unequal": "def test(self): self.assertEqual(1, 2)",
    "not_raised": "def test(self): self.assertRaises(ValueError, int)",
    "other_raised": "def test(self): self.assertRaises(ValueError, {}.pop, 1)",
    "power_cut": "def test(self): raise BaseException('cut')",
    "exit": "def test(self): raise SystemExit(0)",
    "tear_down": "def tearDown(self): self.fail()\n    def test(self): pass",
    "no_test": "pass",
    "no_module": "import no_such_module",
    "no_syntax": "1 +",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_the_runner_can_fail(body, any_micropython, run_micropython, tmp_path):
    file = tmp_path / "test_it.py"
    file.write_text(f"import unittest\nclass T(unittest.TestCase):\n    {body}\n")
    done = run_micropython(any_micropython, "host_tests/mp/run.py", str(file))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "0 passed, 1 failed"
