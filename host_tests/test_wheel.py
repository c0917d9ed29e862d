# SPDX-License-Identifier: MIT
"""`pip install .` brings all that mpota needs: the wheel works without this checkout."""

import json
import os
import subprocess
import sys
import zipfile

import pytest

# mpota, if it and the library are those of the wheel.
RUN = """
import sys
import mpota.cli, ota
site = sys.argv.pop(1)
assert mpota.__file__.startswith(site) and ota.__file__.startswith(site)
sys.exit(mpota.cli.main())
"""


@pytest.fixture(scope="module")
def installed(repo, tmp_path_factory):
    """A folder with what the wheel holds, as pip unpacks it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
         "-w", folder, repo],
        check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("mpota-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def mpota(installed, tmp_path, mpy_cross):
    """mpota(words…) runs the command of the wheel in a folder far from the checkout."""

    def mpota(*words):
        done = subprocess.run(
            [sys.executable, "-c", RUN, installed, *words],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(installed),
                "MPOTA_PASSPHRASE": "secret",
                "MPY_CROSS": str(mpy_cross),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    return mpota


def test_wheel_holds_what_is_copied_onto_devices(installed, repo):
    """Each file of it is the one in the checkout, and none that is needed is missing."""
    wanted = {
        f"ota/{p.relative_to(repo / 'lib/ota')}": p
        for p in (repo / "lib/ota").rglob("*")
        if p.suffix in (".py", ".pyi", ".typed")
    }
    wanted |= {
        f"mpota/_device/app/{p.relative_to(repo / 'boards/app')}": p
        for p in (repo / "boards/app").rglob("*.py")
    }
    wanted |= {
        f"mpota/_device/ed25519/{p.parent.name}/{p.name}": p
        for p in (repo / "lib/ed25519").glob("*_6.3/*.mpy")
        if "x64" not in p.parent.name
    }
    wanted["mpota/_device/ota_esp32.py"] = repo / "boards/esp32/ota_esp32.py"
    for name, path in wanted.items():
        assert (installed / name).read_bytes() == path.read_bytes(), name
    assert (installed / "ota/py.typed").exists()


def test_application_from_nothing_to_a_folder_that_can_be_served(mpota, installed, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print('at work')\n")
    mpota("init", "--app", "display", "--board", "devkit")
    released = json.loads(mpota("release", "app", "--version", "1.0.0", "--json"))
    assert released
    paths = [p for p in (tmp_path / "ota-repo").rglob("*app.img") if p.is_file()]
    assert len(paths) == 1
    # The device library came out of the wheel, not out of the checkout.
    assert b"Over-the-air" not in paths[0].read_bytes()
    assert len(paths[0].read_bytes()) > 20_000
