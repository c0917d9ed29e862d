# SPDX-License-Identifier: MIT
"""`ota.trust` takes the verifier in C where there is one, and can say so."""

import hashlib
import importlib
import subprocess
import sys

import pytest

import ed25519_c
from ota.trust import ed25519, keys


@pytest.fixture(params=["native", "python"])
def choice(request, monkeypatch):
    """`ota.trust.keys` on a device with `ota_ed25519`, and on one without."""
    native = ed25519_c.load() if request.param == "native" else None
    monkeypatch.setitem(sys.modules, "ota_ed25519", native)
    yield request.param, native, importlib.reload(keys)
    monkeypatch.undo()
    importlib.reload(keys)


def test_signatures_are_checked_by_the_native_verifier_if_there_is_one(choice):
    _, native, trust = choice
    verifier = trust.ed25519_scheme()["ed25519"][2]
    assert verifier == (native.Verifier if native else ed25519.Verifier)


def test_hashes_are_made_by_the_native_module_if_there_is_one(choice):
    _, native, trust = choice
    h = trust.sha512()
    h.update(b"abc")
    assert h.digest() == hashlib.sha512(b"abc").digest()
    assert isinstance(h, ed25519_c.Sha512) == bool(native)


@pytest.mark.parametrize(
    "source", ["raise MemoryError", "raise OSError(5)", "x x", "Verifier = 1", None]
)
def test_broken_module_is_as_if_there_were_none(micropython, source, repo, tmp_path):
    """A stray folder of that name, too: MicroPython imports it as an empty package."""
    if source is None:
        (tmp_path / "ota_ed25519").mkdir()
    else:
        (tmp_path / "ota_ed25519.py").write_text(source)
    done = subprocess.run(
        [micropython, "-c", "from ota.trust.keys import native, sha512; sha512(); print(native)"],
        env={"MICROPYPATH": f".frozen:{tmp_path}:{repo / 'lib'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "None\n", done.stderr


@pytest.mark.parametrize("content", [b"M\x06\xff\x1f", b"M\x05", b"not even one"])
def test_module_for_another_chip_is_as_if_there_were_none(micropython, content, repo, tmp_path):
    """Its import raises ValueError."""
    (tmp_path / "ota_ed25519.mpy").write_bytes(content)
    program = "from ota.trust.keys import native; print(native)"
    done = subprocess.run(
        [micropython, "-c", program],
        env={"MICROPYPATH": f".frozen:{tmp_path}:{repo / 'lib'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None\n"
