# SPDX-License-Identifier: MIT
"""Path patterns against CPython's fnmatch, quoting against urllib."""

import fnmatch
import random
from urllib.parse import quote as url_quote

import pytest

from ota.trust.paths import matches, quote


def test_each_segment_matches_as_fnmatch_does():
    rng = random.Random(5)
    matched = 0
    for _ in range(60_000):
        pattern = "".join(rng.choice("ab/**?]!-\\^") for _ in range(rng.randrange(8)))
        path = "".join(rng.choice("aab//]![*\\^") for _ in range(rng.randrange(6)))
        parts, names = pattern.split("/"), path.split("/")
        expected = len(parts) == len(names) and all(map(fnmatch.fnmatchcase, names, parts))
        assert matches(pattern, path) == expected, (pattern, path)
        matched += expected
    assert matched > 1000


@pytest.mark.parametrize(
    "pattern, path, expected",
    [
        ("fw/*/*", "fw/a/b", True),
        ("fw/*/*", "fw/a/b/c", False),
        ("fw/*", "fw/a/b", False),
        ("*", "a/b", False),
        ("fw/?/b", "fw//b", False),
        ("rollout/*/*/*", "fw/a/b/c", False),
        ("", "", True),
        ("fw/*", "fw/", True),
        ("fw/*", "fw/*/", False),
        ("*/a", "b/c/a", False),
    ],
)
def test_wildcards_do_not_cross_a_slash(pattern, path, expected):
    assert matches(pattern, path) is expected


def test_pattern_of_many_stars_is_quick():
    assert not matches("*a" * 200, "a" * 400 + "b")


def test_quote_as_urllib_does():
    text = "".join(chr(i) for i in range(300)) + "€😀"
    assert quote(text, "") == url_quote(text, safe="")
    assert quote(text, "/") == url_quote(text, safe="/")
