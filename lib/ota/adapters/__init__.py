# SPDX-License-Identifier: MIT
"""The only code that touches sockets, files and clocks.

Imported by `ota.wiring` and by tests, no one else.
"""


def check_request(path, start, end):
    """Raise ValueError unless these are arguments of `Fetcher.open`: what every fetcher refuses.

    A path cannot climb ("", "." and ".." as a step), be absolute, break a line of a protocol, or
    mean something else on a file system with backslashes.
    """
    for step in path.split("/"):
        if not step.strip("."):
            raise ValueError("path")
    if "\\" in path:
        raise ValueError("path")
    check_text(path, "!")
    if start < 0 or (end is not None and end <= start):
        raise ValueError("range")


def check_text(text, first):
    """Raise ValueError unless all is printable ASCII from `first` (" " or "!") on."""
    for c in text:
        if not first <= c <= "~":
            raise ValueError("text")
