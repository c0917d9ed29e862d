# SPDX-License-Identifier: MIT
"""The types of the public API (lib/ota/*.pyi) say what the code is; no device gets them.

docs/API.md is made of them and of the docstrings.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mpota import apidoc, library

GOOD = """
import asyncio
import ota
from ota.adapters.folder import Folder
from ota.offer import Offer
from ota.ports import Body

def consent(offer: Offer) -> bool:
    return offer.version != "1.0.0" and offer.image.length < 500_000

async def healthy() -> bool | None:
    return None

class Radio:
    needs_clock = False
    async def open(self, path: str, start: int = 0, end: int | None = None) -> Body:
        raise ota.FetchError("no radio", status=None)
    def skip(self) -> bool:
        return False
    async def close(self) -> None: ...

async def main() -> None:
    ota.guard()
    updater = ota.Updater.from_config(log=print, fetcher=Radio())
    assert await updater.settle(healthy, within_s=1.5)
    event = await updater.update(progress=print, consent=consent)
    print(event.ready, event.reason, event.product, updater.status()["last"])
    async for event in updater.watch(every_s=10):
        if event.kind == ota.TROUBLE and isinstance(event.error, ota.FetchError):
            print(event.error.status)
    ota.Updater.from_config(fetcher=Folder("/sd"))

if not ota.settle(lambda: True):
    asyncio.run(main())
"""
BAD = {
    "ota.guard(3)": "arg-type",
    "ota.settle(True)": "arg-type",
    "ota.update(consent=lambda: True)": "arg-type",
    "ota.update().version": "attr-defined",
    "ota.status()['vers']": "typeddict-item",
    "ota.Event": "attr-defined",
    "ota.Updater.from_config(fetcher=open)": "arg-type",
    "ota.Updater.from_config().update().ready": "attr-defined",
}


@pytest.fixture(scope="module")
def stubs(repo, tmp_path_factory):
    """A folder with nothing but the stubs, so that no source can speak for them."""
    folder = tmp_path_factory.mktemp("stubs")
    for path in (repo / "lib").rglob("*.pyi"):
        target = folder / path.relative_to(repo / "lib")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (folder / "ota/adapters/__init__.pyi").touch()
    (folder / "ota/py.typed").touch()
    (folder / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    return folder


def run(stubs, repo, *command):
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=stubs,
        env={**os.environ, "MYPYPATH": str(stubs), "PYTHONPATH": str(repo / "lib")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_stubs_are_the_code(stubs, repo):
    """Every name, parameter and default, by mypy's own comparison with the modules as imported."""
    options = ("--concise", "--ignore-missing-stub", "--mypy-config-file", "mypy.ini")
    done = run(stubs, repo, "mypy.stubtest", "ota", *options)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_readme_does_type_checks_and_mistakes_do_not(stubs, repo, tmp_path):
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text("import ota\n" + "".join(f"{line}\n" for line in BAD))
    done = run(stubs, repo, "mypy", "--config-file", "mypy.ini",
               str(tmp_path / "good.py"), str(tmp_path / "bad.py"))  # fmt: skip
    found = [line for line in done.stdout.splitlines() if "error:" in line]
    assert not [line for line in found if "good.py" in line], done.stdout
    for number, (line, code) in enumerate(BAD.items(), 2):
        assert any(f"bad.py:{number}:" in text and f"[{code}]" in text for text in found), line


def test_no_device_gets_stubs(repo):
    files = [*library.sources(esp32=True), (repo / "package.json").read_text()]
    files += [path.read_text() for path in (repo / "boards").rglob("manifest.py")]
    assert not [text for text in files if ".pyi" in text or "py.typed" in text]
    assert Path(repo / "lib/ota/py.typed").exists()


def test_api_reference_is_up_to_date(repo):
    assert (repo / "docs/API.md").read_text() == apidoc.markdown(), "run: make docs"
