# SPDX-License-Identifier: MIT
"""Paths of targets and names of roles: which delegation covers a path, how names become files.

Patterns are those of CPython's fnmatch, one for each segment between slashes, as TUF 1.0.x, 4.5,
and python-tuf have it (host_tests/test_paths.py compares).
"""

_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"


def quote(text, safe):
    """Percent-encode all but letters, digits, `_.-~` and the characters in `safe` (RFC 3986)."""
    safe = safe.encode()
    out = ""
    for c in text.encode():
        out += chr(c) if c in _PLAIN or c in safe else "%{:02X}".format(c)
    return out


def matches(pattern, path):
    """Return whether a delegation's path pattern covers `path`. Wildcards never match a slash."""
    pattern = pattern.split("/")
    path = path.split("/")
    return len(pattern) == len(path) and all(
        _is_match(part, name) for part, name in zip(pattern, path)
    )


def _is_match(pattern, name):
    # Upon a mismatch only the last star has to take one character more: no recursion, and at most
    # len(pattern) * len(name) steps.
    p = n = 0
    star = -1
    taken = 0
    while n < len(name):
        after = 0
        if p < len(pattern):
            if pattern[p] == "*":
                p += 1
                star = p
                taken = n
                continue
            after = _one(pattern, p, name[n])
        if after:
            p = after
            n += 1
        elif star >= 0:
            taken += 1
            p = star
            n = taken
        else:
            return False
    while p < len(pattern) and pattern[p] == "*":
        p += 1
    return p == len(pattern)


def _one(pattern, p, c):
    """Match one character; return where the pattern goes on, or 0."""
    if pattern[p] == "[":
        start = p + 1
        negative = pattern[start : start + 1] == "!"
        if negative:
            start += 1
        end = pattern.find("]", start + 1)
        if end > 0:
            return end + 1 if _in_set(pattern[start:end], c) != negative else 0
    return p + 1 if pattern[p] in ("?", c) else 0


def _in_set(chars, c):
    i = 0
    while i < len(chars):
        if chars[i + 1 : i + 2] == "-" and i + 2 < len(chars):
            if chars[i] <= c <= chars[i + 2]:
                return True
            i += 3
        elif chars[i] == c:
            return True
        else:
            i += 1
    return False
