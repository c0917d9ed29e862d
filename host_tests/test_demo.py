# SPDX-License-Identifier: MIT
"""The demo tells the truth: when a step does not happen, it says so and exits 1."""

import importlib.util

import pytest


@pytest.fixture
def demo(repo):
    spec = importlib.util.spec_from_file_location("demo", repo / "examples" / "demo" / "demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "source", "complaint"),
    [
        ("2.0.0", "HEALTHY = False", "device says: up to date"),
        ("3.0.0", "HEALTHY = True", "this life should have come to an end"),
    ],
)
def test_a_broken_step_is_seen(
    demo, micropython, tmp_path, monkeypatch, capsys, version, source, complaint
):
    monkeypatch.setattr(demo, "WAIT_S", 12)
    monkeypatch.setitem(demo.RELEASES, version, source)
    folder = tmp_path / "demo"
    monkeypatch.setattr(
        "sys.argv", ["demo", "--folder", str(folder), "--micropython", str(micropython)]
    )
    assert demo.main() == 1
    assert complaint in capsys.readouterr().err
