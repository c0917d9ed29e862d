# SPDX-License-Identifier: MIT
"""Path patterns against CPython's fnmatch, quoting against urllib."""

import fnmatch
import random
from urllib.parse import quote as url_quote

import pytest

from ota.trust.paths import matches, quote


def is_odd(pattern):
    """Whether a set has a range that is reversed: fnmatch then changes the rest of the set."""
    return any(
        c == "-" and pattern[i - 1 : i] > pattern[i + 1 : i + 2] for i, c in enumerate(pattern)
    )


def test_one_segment_matches_as_fnmatch_does():
    rng = random.Random(5)
    matched = 0
    for _ in range(60_000):
        pattern = "".join(rng.choice("ab*?[]!-c\\^") for _ in range(rng.randrange(8)))
        name = "".join(rng.choice("abc-]![*\\^") for _ in range(rng.randrange(6)))
        if not is_odd(pattern):
            expected = fnmatch.fnmatchcase(name, pattern)
            assert matches(pattern, name) == expected, (pattern, name)
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
        ("fw/[!a]", "fw//", False),
        ("rollout/*/*/*", "fw/a/b/c", False),
        ("", "", True),
        ("fw/*", "fw/", True),
        ("fw/[b-a]", "fw/a", False),
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
