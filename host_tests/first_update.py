# SPDX-License-Identifier: MIT
"""From an empty board to its first update, with the commands that a newcomer types.

Each command is a process of its own, run from a wheel that is built and installed as `pip install
.` does it; its requirements are those of the Python that runs this. The board is a simulated stock
ESP32 with one slot. It has real MicroPython, its own file system, Wi-Fi that comes up, and fetches
over HTTPS from `mpota publish --serve`.
"""

import os
import select
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import cable

REPO = Path(__file__).resolve().parent.parent
APP = """import asyncio

import machine

import ota


async def main():
    updater = ota.Updater.from_config()
    if not await updater.settle(lambda: True):
        machine.reset()
    print("hello from", updater.status()["version"])


asyncio.run(main())
"""
AIR = """SSID, PASSWORD, TRIES = "workshop", "workshop secret", ["up"]
"""


@dataclass
class First:
    """`commands` that were typed, with the seconds each took; `seconds` until the application of
    the release has confirmed itself on the board."""

    commands: list[tuple[str, float]] = field(default_factory=list)
    seconds: float = 0
    console: bytes = b""


class Newcomer:
    """A terminal in an empty folder, on a computer where only Python is."""

    def __init__(self, folder, mpy_cross):
        self.folder = Path(folder)
        self.first = First()
        self._server = None
        self._env = {
            **os.environ,
            "HOME": str(folder),
            "PYTHONPATH": str(self.folder / "site"),
            "MPY_CROSS": str(mpy_cross),
            "MPOTA_PASSPHRASE": "correct horse battery",
            "MPOTA_WIFI_PASSWORD": "workshop secret",
        }

    def install(self):
        """`pip install .`, without looking for requirements that are there."""
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        how = ["--no-deps", "--no-build-isolation", "--target", str(self.folder / "site")]
        source = self.folder / "source"  # building leaves nothing in the checkout
        kept = shutil.ignore_patterns("build", ".*", "__pycache__")
        shutil.copytree(REPO, source, ignore=kept)
        self._run("pip install .", [*pip, *how, str(source)])

    def mpota(self, line):
        self._run(f"mpota {line}", [sys.executable, "-m", "mpota", *line.split()])

    def serve(self, line):
        """Run a command that goes on until `stop`."""
        start = time.monotonic()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "mpota", *line.split()],
            cwd=self.folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ready = select.select([self._server.stdout], [], [], 30)[0]
        said = self._server.stdout.readline() if ready else ""
        if not said.startswith("serving "):
            raise AssertionError(f"mpota {line}: {said}{self.stop()}")
        self.first.commands.append((f"mpota {line}", time.monotonic() - start))

    def stop(self):
        if self._server is None:
            return ""
        self._server.terminate()
        said = self._server.communicate()[0]
        self._server = None
        return said

    def _run(self, shown, command):
        start = time.monotonic()
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            raise AssertionError(f"{shown}: {done.returncode}\n{done.stdout}{done.stderr}")
        self.first.commands.append((shown, time.monotonic() - start))


def first_update(folder, micropython, mpy_cross, timeout=90):
    """Do it in an empty `folder`; return a First."""
    folder = Path(folder)
    flash = cable.make_flash(folder / "flash")
    (folder / "app").mkdir()
    (folder / "app" / "main.py").write_text(APP)
    (folder / "air").mkdir()
    (folder / "air" / "air.py").write_text(AIR)
    frozen = [REPO / "host_tests" / "air", folder / "air"]
    newcomer = Newcomer(folder, mpy_cross)
    start = time.monotonic()
    with cable.esp32(micropython, flash, clock=cable.UNSET, frozen=frozen) as desk:
        try:
            newcomer.install()
            newcomer.mpota("init")
            newcomer.mpota(f"provision {desk.port} --wifi workshop --ntp none")
            newcomer.mpota("release ./app --version 1.0.0")
            newcomer.serve("publish --serve")
            newcomer.first.console = desk.wait("hello from 1.0.0\n", timeout)
        finally:
            newcomer.stop()
    newcomer.first.seconds = time.monotonic() - start
    return newcomer.first
