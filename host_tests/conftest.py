# SPDX-License-Identifier: MIT
"""Fixtures that tests share: the programs of the set-up, how to call them, how deep to dig.

A program that this machine cannot get is named at the start of the run and skips the tests that
need it. In CI (CI=true) nothing may be skipped or expected to fail: such a test counts as failed,
so that green means that everything ran.
"""

import gc
import os
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
BUILD = REPO / "build"
CI = os.environ.get("CI") == "true"
NEEDED = (
    *(f"bin/{name}" for name in ("micropython", "micropython32", "mpy-cross")),
    *(f"bin/micropython-{chip}" for chip in ("usermod", "armv6m", "armv7emsp", "rv32imc")),
    *(
        f"natmod/{architecture}/ota_ed25519.mpy"
        for architecture in ("x64", "armv6m", "armv7m", "armv7emsp", "rv32imc", "xtensawin")
    ),
    *(
        "clang/clang",
        "node_modules/rp2040js",
        "rp2040/test/firmware-b.bin",
        "rp2040/stock/firmware.bin",
    ),
)

# What `import` finds in a MicroPython of the tests, first to last; relative to the root, where
# tests run.
MICROPYPATH = ":".join((".frozen", "lib", "boards/esp32", "host_tests", "host_tests/mp"))


def _built(name):
    path = BUILD / name
    if not path.exists():
        pytest.skip(f"no build/{name} on this machine: see `make setup chips`")
    return path


@pytest.fixture(scope="session")
def built():
    """built(name): path of what the set-up makes, in build/."""
    return _built


@pytest.fixture(scope="session")
def repo():
    """The root folder of the project."""
    return REPO


@pytest.fixture(scope="session")
def micropython():
    """Path of the unix MicroPython, 64-bit."""
    return _built("bin/micropython")


@pytest.fixture(scope="session")
def micropython32():
    """Path of the unix MicroPython, 32-bit: heap figures like a board's."""
    return _built("bin/micropython32")


@pytest.fixture(scope="session")
def mpy_cross():
    """Path of the compiler to .mpy."""
    return _built("bin/mpy-cross")


@pytest.fixture(scope="session", params=["micropython", "micropython32"])
def any_micropython(request):
    """Each MicroPython in turn."""
    return _built(f"bin/{request.param}")


@pytest.fixture(scope="session")
def micropython_env():
    """Environment in which MicroPython, run in the root, finds library, adapter and tests."""
    return {**os.environ, "MICROPYPATH": MICROPYPATH}


@pytest.fixture(scope="session")
def run_micropython(micropython_env):
    """run(program, arguments..., heap=, timeout=): runs a MicroPython in the root to its end."""

    def run(program, *arguments, heap="8m", timeout=300):
        return subprocess.run(
            [program, "-X", f"heapsize={heap}", *arguments],
            cwd=REPO,
            env=micropython_env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            errors="replace",
            timeout=timeout,
        )

    return run


@pytest.fixture(scope="module")
def quick_collections():
    """For tests of code that collects garbage each time it is called: pytest's heap is large."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def soak():
    """True under `make soak`: tests over many cases then take all of them."""
    return os.environ.get("SOAK") == "1"


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes seconds; left out by `make test-fast`")


def pytest_report_header(config):
    lacking = [name for name in NEEDED if not (BUILD / name).exists()]
    return [f"LACKING, tests are SKIPPED: build/{name} (`make setup chips`)" for name in lacking]


def _forbid_skip(report):
    if CI and (report.skipped or hasattr(report, "wasxfail")):
        why = getattr(report, "wasxfail", None) or report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped or expected to fail, which CI does not allow: {why}"
        if hasattr(report, "wasxfail"):
            del report.wasxfail
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    return _forbid_skip((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    return _forbid_skip((yield))
