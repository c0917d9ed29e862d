# SPDX-License-Identifier: MIT
"""LittleFS on the simulated flash survives every power cut, within one process of MicroPython."""


def test_every_cut_leaves_a_file_system(any_micropython, run_micropython):
    done = run_micropython(any_micropython, "host_tests/mp/disk_cuts.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[-2]) > 50
