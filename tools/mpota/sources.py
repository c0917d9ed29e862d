# SPDX-License-Identifier: MIT
"""Where a published repository can be read: a folder or a web server, in either layout.

In the flat layout there are no folders: every "/" in a path is a "." (`publish --flat`, and base
URLs that end in "#flat"). Nothing that is read here is trusted.
"""

from __future__ import annotations

import io
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import unquote
from urllib.request import Request, urlopen

from mpota.errors import MpotaError

TIMEOUT_S = 30
FLAT = "#flat"


class Source(Protocol):
    """Where the repository is. Nothing that it returns is trusted."""

    @property
    def name(self) -> str:
        """What the user called it."""

    def open(self, path: str) -> io.BufferedIOBase | None:
        """Open a file below the base, or return None: the repository has no such file."""


def flat_name(path: str) -> str:
    """Return the name of a repository's file in the flat layout."""
    return path.replace("/", ".")


@dataclass(frozen=True)
class Folder:
    name: str
    flat: bool = False

    def open(self, path: str) -> io.BufferedIOBase | None:
        path = unquote(path)
        folder = Path(self.name.removesuffix(FLAT))
        file = folder / (flat_name(path) if self.flat else path)
        try:
            return file.open("rb")
        except FileNotFoundError:
            if not folder.is_dir():
                raise MpotaError("no such folder", folder, "check the path") from None
            return None
        except OSError as error:
            raise MpotaError("cannot read", file, error.strerror or "") from error


@dataclass(frozen=True)
class Web:
    name: str
    context: ssl.SSLContext

    def url(self, path: str) -> str:
        base, flat, _ = self.name.partition(FLAT)
        return base.rstrip("/") + "/" + (flat_name(path) if flat else path)

    def open(self, path: str) -> io.BufferedIOBase | None:
        url = self.url(path)
        try:
            answer = urlopen(Request(url), timeout=TIMEOUT_S, context=self.context)
        except HTTPError as error:
            if error.code in (403, 404):
                return None
            raise MpotaError(f"server answers {error.code}", url, "look at its log") from error
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise MpotaError(f"cannot fetch ({reason})", url, "is it served? --ca?") from error
        assert isinstance(answer, io.BufferedIOBase)
        return answer


def open_source(where: str, ca: Path | None) -> Source:
    """Return the folder or the web server that `where` names."""
    if "://" not in where:
        folder = Path(where)
        flat = where.endswith(FLAT) or (
            not (folder / "metadata").is_dir()
            and (folder / flat_name("metadata/timestamp.json")).is_file()
        )
        return Folder(where, flat)
    if not where.startswith("https://"):
        raise MpotaError("not an https URL", where, "write it like https://host/path/")
    der = None
    if ca is not None:
        from mpota.devtls import to_der

        der = to_der(ca)
    return Web(where, tls_context(der))


def tls_context(ca: bytes | None) -> ssl.SSLContext:
    """Return what checks a server as a device does: against these certificates and no others.

    `ca`: DER, one after the other; None: those that this computer trusts.
    """
    if ca is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # each one is a root, for Mbed TLS
    context.load_verify_locations(cadata=ca)
    return context
