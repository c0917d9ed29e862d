# SPDX-License-Identifier: MIT
"""Names, paths and times as docs/SPEC.md writes them."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from urllib.parse import urlsplit

from mpota.errors import MpotaError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")
_TIME = "%Y-%m-%dT%H:%M:%SZ"

MAX_URL = 200  # characters, so that a device's buffer has room for the path as well

IMAGE_NAME = "firmware.bin"  # the name that an ESP32 looks for inside a release
APP_IMAGE = "app.img"
SLOTS = ("a", "b")  # an RP2040 looks for the image that is linked for its spare slot
BLOCKS_SUFFIX = ".blocks"


def check_name(kind: str, name: str) -> str:
    """Return `name` if it may be part of a target path (SPEC 1)."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise MpotaError(f"not a name for a {kind}", name, "use 1 to 32 of A-Z a-z 0-9 . _ -")
    return name


def check_product(name: str) -> str:
    """Return `name` if it may name a product: its role's name must not be too long (SPEC 1)."""
    check_name("product", name)
    if len(img_role(name)) > 32:
        raise MpotaError("not a name for a product", name, "use at most 28 characters")
    return name


def img_role(product: str) -> str:
    return f"img-{product}"


def release_path(product: str, board: str, version: str) -> str:
    return f"fw/{product}/{board}/{version}"


def image_name(slot: str | None) -> str:
    """Return the file name, inside a release, of the image for a slot. None: it fits any."""
    return IMAGE_NAME if slot is None else f"firmware-{slot}.bin"


def rollout_path(product: str, board: str, channel: str) -> str:
    return f"rollout/{product}/{board}/{channel}"


def settings_path(product: str, channel: str) -> str:
    return f"fw/{product}/settings/{channel}/settings.json"


def base_url(url: str, *, allow_http: bool = False) -> str:
    """Return `url` as devices take it for the base of a repository, or raise MpotaError.

    It ends in "/", or in "/#flat" for a server without folders (SPEC 1).
    """
    bare, fragment, layout = url.partition("#")
    todo = "write it like https://host/path/"
    try:
        parts = urlsplit(bare)
        port = parts.port
    except ValueError:
        raise MpotaError("not a base URL", url, todo) from None
    schemes = ("https", "http") if allow_http else ("https",)
    if parts.scheme == "http" and not allow_http:
        raise MpotaError("not https: everybody could read what devices ask for", url, todo)
    if parts.scheme not in schemes or not parts.hostname or port == 0 or "?" in bare:
        raise MpotaError("not a base URL", url, todo)
    if fragment and layout != "flat":
        raise MpotaError("not a base URL", url, "#flat is all that may follow it")
    if parts.username is not None or parts.password is not None:
        raise MpotaError("credentials in the URL", parts.hostname, "put them into headers")
    whole = bare.rstrip("/") + "/" + ("#flat" if fragment else "")
    if len(whole) > MAX_URL or not all("!" <= char <= "~" for char in whole):
        raise MpotaError("not a base URL", url, f"use at most {MAX_URL} characters of ASCII")
    return whole


def time_text(moment: datetime) -> str:
    return moment.strftime(_TIME)


def parse_time(text: str) -> datetime:
    """Return the moment that `text` names, or raise MpotaError."""
    try:
        moment = datetime.strptime(text, _TIME)
    except ValueError:
        raise MpotaError("not a UTC time", text, "write it like 2030-01-31T08:00:00Z") from None
    return moment.replace(tzinfo=timezone.utc)


def utc_now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)
