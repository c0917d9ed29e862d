# SPDX-License-Identifier: MIT
"""Send devices to other servers, over the air (SPEC 8).

A settings target holds base URLs and CA certificates. A device takes them over once a complete
check over them has succeeded, and keeps those before as fallback; so a mistake here costs nobody
their updates. But a mistake that reaches a fleet is a day lost all the same, so what devices would
refuse, and servers that do not have this repository, are refused before anything is signed.
"""

from __future__ import annotations

import base64
import io
import json
import ssl
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Timestamp
from tuf.api.serialization import DeserializationError

from mpota import names, sources
from mpota.errors import MpotaError
from mpota.keys import Keyring
from mpota.release import store
from mpota.repository import Committed, Repository, check_no_pending

MAX_LENGTH = 12288  # of the document: a device holds it in memory beside what it runs on
MAX_URLS = 8
_SOON = timedelta(days=180)
_MAX_TIMESTAMP = 16384
_RANGE = 16  # bytes that are asked for to see whether the server can answer with a part


@dataclass(frozen=True)
class Settings:
    """What is signed for one product and channel."""

    path: str
    content: bytes
    seq: int


@dataclass(frozen=True)
class Signed:
    settings: list[Settings]
    committed: Committed

    def facts(self) -> dict[str, Any]:
        return {
            "settings": [
                {"path": one.path, "seq": one.seq, **json.loads(one.content)}
                for one in self.settings
            ],
            "written": self.committed.written,
            "missing": [asdict(entry) for entry in self.committed.missing],
        }


def document(urls: Sequence[str], ca: bytes | None) -> bytes:
    """Return settings.json. `ca`: DER, one after the other; None: devices keep what they have."""
    from ota.errors import TrustError
    from ota.settings import parse

    if not 1 <= len(urls) <= MAX_URLS:
        raise MpotaError(f"{len(urls)} base URLs", "", f"devices take 1 to {MAX_URLS}")
    if len(set(urls)) != len(urls):
        raise MpotaError("base URL named twice", " ".join(urls), "name each once")
    content: dict[str, Any] = {"urls": list(urls)}
    if ca is not None:
        content["ca"] = base64.b64encode(ca).decode()
    data = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    if len(data) > MAX_LENGTH:
        what = f"settings of {len(data)} bytes, more than {MAX_LENGTH}"
        raise MpotaError(what, "", "give fewer CA certificates")
    try:
        parse(io.BytesIO(data))
    except TrustError as error:  # a rule that is not stated above
        facts = " ".join(str(fact) for fact in error.args)
        raise MpotaError(f"devices would refuse it ({facts})", " ".join(urls), "") from error
    return data


def check_ca(path: Path, now: datetime) -> tuple[bytes, list[str]]:
    """Return the certificates in `path` as DER, and warnings about them.

    Raises MpotaError for those that would end every connection of a device.
    """
    from mpota.devtls import to_der

    der = to_der(path)
    warnings = []
    for certificate in _certificates(der):
        who = certificate.subject.rfc4514_string() or "certificate"
        until = certificate.not_valid_after_utc
        if until <= now:
            what = f"{who} expired on {names.time_text(until)}"
            raise MpotaError(what, path, "give a newer one, or leave it out")
        if certificate.not_valid_before_utc > now:
            what = f"{who} is not valid before {names.time_text(certificate.not_valid_before_utc)}"
            raise MpotaError(what, path, "look at the clock, or wait until then")
        if not _is_for_devices(certificate):
            todo = "boards check RSA, P-256 and P-384: give a server certificate from such a CA"
            raise MpotaError(f"{who} has a key that boards cannot check", path, todo)
        if until - now < _SOON:
            warnings.append(f"{who} ends on {names.time_text(until)}: give its successor as well")
    return der, warnings


def _certificates(der: bytes) -> list[x509.Certificate]:
    """Return certificates that follow each other in DER."""
    found = []
    while der:
        head = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)
        length = int.from_bytes(der[2:head], "big") if der[1] & 0x80 else der[1]
        found.append(x509.load_der_x509_certificate(der[: head + length]))
        der = der[head + length :]
    return found


def _is_for_devices(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1))
    return isinstance(key, rsa.RSAPublicKey) and key.key_size <= 4096


def check_server(repository: Repository, url: str, ca: bytes | None, now: datetime) -> list[str]:
    """Fetch timestamp.json as a device would, and see whether it is this repository's.

    Returns warnings. Raises MpotaError when devices could not be updated from there.
    """
    context = sources.tls_context(ca)
    if ca is None:  # nobody here knows which ones devices have: those that they may have
        for known in _known_cas(repository):
            context.load_verify_locations(cadata=known)
    data = _fetch(url, context)
    todo = "run mpota publish to there first, or give --no-check"
    try:
        document: Metadata[Timestamp] = Metadata.from_bytes(data)
        if not isinstance(document.signed, Timestamp):
            raise MpotaError("no timestamp metadata", url, todo)
        repository.root.signed.verify_delegate(
            "timestamp", document.signed_bytes, document.signatures
        )
    except (RepositoryError, DeserializationError, ValueError) as error:
        raise MpotaError("not this repository", url, todo) from error
    if document.signed.expires <= now:
        raise MpotaError("expired metadata", url, todo)
    newest = repository.documents()["timestamp"].signed.version
    if document.signed.version < newest:
        behind = f"has timestamp {document.signed.version}, here it is {newest}"
        return [f"{url} {behind}: devices turn to it once it is published there"]
    return []


def _known_cas(repository: Repository) -> list[bytes]:
    """Return the CAs of earlier settings and of the development server, as DER."""
    found = []
    for product in repository.workspace.settings.products:
        for target in current(repository, product).values():
            found.append(base64.b64decode(read(repository, target).get("ca", "")))
    development = repository.workspace.tls / "ca.der"
    if development.is_file():
        found.append(development.read_bytes())
    return [der for der in found if der]


def _fetch(url: str, context: ssl.SSLContext) -> bytes:
    """Return timestamp.json of a base URL, having seen that the server answers Range requests."""
    web = sources.Web(url, context)
    file = web.url("metadata/timestamp.json")
    headers = {"Accept-Encoding": "identity", "Range": f"bytes=0-{_RANGE - 1}"}
    try:
        with urlopen(Request(file), timeout=sources.TIMEOUT_S, context=web.context) as answer:
            data = bytes(answer.read(_MAX_TIMESTAMP + 1))
            if url.startswith("https:") and not answer.url.startswith("https:"):
                raise MpotaError("redirects to http, which devices refuse", url, "correct that")
        part = Request(file, headers=headers)
        with urlopen(part, timeout=sources.TIMEOUT_S, context=web.context) as answer:
            if answer.status != 206 or answer.read(_RANGE + 1) != data[:_RANGE]:
                todo = "devices could not go on where they stopped: use another server"
                raise MpotaError("server does not answer Range requests", url, todo)
    except HTTPError as error:
        todo = "run mpota publish to there first, or give --no-check"
        raise MpotaError(f"server answers {error.code}", file, todo) from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        todo = "devices would not reach it either; --ca? --no-check signs it all the same"
        raise MpotaError(f"cannot fetch ({reason})", file, todo) from error
    return data


def current(repository: Repository, product: str) -> dict[str, TargetFile]:
    """Return the settings targets of a product, by channel."""
    targets = repository.role(names.img_role(product)).signed.targets
    return {
        path.split("/")[3]: target
        for path, target in sorted(targets.items())
        if target.custom and target.custom.get("kind") == "settings"
    }


def read(repository: Repository, target: TargetFile) -> dict[str, Any]:
    """Return what is signed in a settings target."""
    path = repository.workspace.targets / target.get_prefixed_paths()[0]
    try:
        data = path.read_bytes()
        target.verify_length_and_hashes(data)
        content = json.loads(data)
    except (OSError, ValueError, RepositoryError) as error:
        raise MpotaError("cannot read what was signed", path, "restore it") from error
    return dict(content)


def sign(
    repository: Repository,
    keyring: Keyring | None,
    now: datetime,
    *,
    products: Sequence[str],
    channels: Sequence[str],
    content: bytes,
) -> Signed:
    """Sign `content` for each product and channel. Without a keyring: only say what would be."""
    made: list[Settings] = []
    for product in products:
        role = names.img_role(product)
        if keyring is not None:
            check_no_pending(repository.workspace, role)
        targets = repository.role(role).signed.targets
        seq = 1 + _last_seq(repository, role)
        for channel in channels:
            path = names.settings_path(product, channel)
            target = TargetFile.from_data(path, content, ["sha256"])
            target.unrecognized_fields["custom"] = {"kind": "settings", "seq": seq}
            made.append(Settings(path, content, seq))
            if keyring is not None:
                store(repository.workspace, target, content)
                targets[path] = target
                repository.touch(role)
    return Signed(made, Committed({}) if keyring is None else repository.commit(keyring, now))


def _last_seq(repository: Repository, role: str) -> int:
    """Return the highest number that settings of a product ever had, over all channels."""
    last = 0
    for targets in repository.history(role):
        for target in targets.values():
            if target.custom and target.custom.get("kind") == "settings":
                last = max(last, int(target.custom["seq"]))
    return last
