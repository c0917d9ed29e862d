# SPDX-License-Identifier: MIT
"""A short run of the fuzzer, and proof that it finds what is wrong."""

import shutil

import pytest

from ed25519_fuzz import fuzz, target
from ed25519_fuzz.mutate import seeds

# Words of ed25519.c, and others with which a rule is not kept.
LAX = {
    "S < L": ("!equal(&m.scalar[1], check->s) || ", ""),
    "A of small order": ("|| multiply(&m)", "|| (multiply(&m), 0)"),
    "R of small order": (" && !is_zero(&m.r[T])", ""),
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    return fuzz.build(tmp_path_factory.mktemp("ed25519_fuzz"))


def test_nothing_is_found(programs, soak):
    report = fuzz.fuzz(programs, seed=20260101, limit=200_000 if soak else 1200)
    assert not report.findings, "\n".join(report.findings)
    assert report.executions >= 1200
    assert report.executions > report.good > 50
    # Coverage comes through: some inputs reach something new, most do not.
    assert 20 < report.kept < report.executions // 2


@pytest.mark.parametrize("rule", LAX)
def test_a_rule_that_is_not_kept_is_found(rule, tmp_path):
    """Beginning with honest signatures only: the fuzzer has to make one that tells."""
    sources = shutil.copytree(target.SOURCES, tmp_path / "sources")
    strict = (sources / "ed25519.c").read_text()
    words, lax = LAX[rule]
    assert strict.count(words) == 1
    (sources / "ed25519.c").write_text(strict.replace(words, lax))
    program = target.build(tmp_path / "lax", ("-O2",), coverage=True, sources=sources)
    report = fuzz.fuzz([program], seed=1, limit=50_000, corpus=seeds()[:8], stop_at=1)
    assert report.findings
