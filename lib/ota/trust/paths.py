# SPDX-License-Identifier: MIT
"""Paths of targets and names of roles: which delegation covers a path, how names become files.

Patterns have the wildcards `*` and `?` of CPython's fnmatch, one segment between slashes at a
time, as python-tuf has it (host_tests/test_paths.py compares). Sets, `[seq]`, the caller has to
refuse.
"""

_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"


def quote(text, safe):
    """Percent-encode all but letters, digits, `_.-~` and the character `safe` (RFC 3986)."""
    out = ""
    for c in text.encode():
        out += chr(c) if c in _PLAIN or chr(c) == safe else "%%%02X" % c
    return out


def matches(pattern, path):
    """Return whether a delegation's path pattern covers `path`. Wildcards never match a slash."""
    # Upon a mismatch only the last star has to take one character more: no recursion, and at most
    # len(pattern) * len(path) steps.
    p = n = taken = 0
    star = None
    while n < len(path):
        c = pattern[p : p + 1]
        if c == "*":
            p += 1
            star = p
            taken = n
        elif c == path[n] or (c == "?" and path[n] != "/"):
            p += 1
            n += 1
        elif star is not None and path[taken] != "/":
            taken += 1
            p = star
            n = taken
        else:
            return False
    return not pattern[p:].strip("*")
