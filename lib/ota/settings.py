# SPDX-License-Identifier: MIT
"""Settings over the air: base URLs and CA certificates that the owner has signed (SPEC 5).

    settings.json    {"ca": base64 of DER certificates, one after the other, "urls": [...]}
    without "ca"     the certificates in use stay

Settings lie as they came, in documents "s0" to "s4"; the record "settings" says which of them are
adopted and which were before, each as [document, its SHA-256, seq, CA document, its SHA-256]. The
CA document is the one that a list of URLs without "ca" has its certificates from, None: those of
config.json. Whatever is damaged drops out and the next ones count; config.json is always the last.

Who adopts (Updater) has made one complete check over the new settings before: an owner's slip, an
unreachable server or a wrong certificate, never takes the way away over which it can be put right.
"""

import binascii
import json
from hashlib import sha256

from ota import const
from ota.errors import StoreError, TrustError
from ota.trust.reader import Reader

_RECORD = const("settings")
_MAX = const(12288)  # bytes of settings.json
_URLS = const(8)
_URL = const(200)  # characters
_KEPT = const(2)  # the adopted ones and those before; each holds two documents at most
_BUFFER = const(128)

# Places of an entry in the record.
_DOCUMENT = const(0)
_SHA256 = const(1)
_SEQ = const(2)
_CA = const(3)
_CA_SHA256 = const(4)


class Settings:
    def __init__(self, store):
        self._store = store
        try:
            entries = json.loads(store.load(_RECORD) or b"[]")
            self._entries = [entry for entry in entries if self._is_intact(*entry)]
        except (ValueError, TypeError):
            self._entries = []  # a whole record, but not ours: it counts as none

    @property
    def seq(self):
        """Number of the adopted settings; 0: there are none."""
        return self._entries[0][_SEQ] if self._entries else 0

    def is_adopted(self, target):
        return bool(self._entries) and self._entries[0][_SHA256] == target.hashes.get("sha256")

    def propose(self, target, product):
        """Return the name of a document for these settings to be fetched into.

        Raises TrustError unless `target` is the product's and newer than what is adopted.
        """
        if target.role != "img-" + product:
            raise TrustError("settings by another role", target.role)
        custom = target.custom if type(target.custom) is dict else {}
        seq = custom.get("seq")
        if custom.get("kind") != "settings" or type(seq) is not int or target.length > _MAX:
            raise TrustError("malformed settings", target.length)
        if seq <= self.seq:
            raise TrustError("settings are not newer", seq, self.seq)
        held = [entry[at] for entry in self._entries for at in (_DOCUMENT, _CA)]
        document = next(name for name in ("s0", "s1", "s2", "s3", "s4") if name not in held)
        self._proposed = [document, target.hashes.get("sha256"), seq, None, None]
        return document

    def proposed(self):
        """Return (URLs, CA certificates or None) of what was proposed and fetched.

        Raises TrustError unless it is what was signed and well formed.
        """
        entry = self._proposed
        urls, ca = self._read(entry[_DOCUMENT], entry[_SHA256])
        if ca is not None:
            entry[_CA:] = entry[:_SEQ]
        elif self._entries:
            entry[_CA:] = self._entries[0][_CA:]
            ca = self._certificates(entry)
        return urls, ca

    def adopt(self):
        """Put what was proposed first. After a cut it is adopted, or will be proposed again."""
        entries = [self._proposed] + self._entries[: _KEPT - 1]
        self._store.save(_RECORD, json.dumps(entries).encode())
        self._entries = entries

    def sets(self):
        """Return a list of (URLs, CA certificates or None), the adopted settings first."""
        return [
            (self._read(entry[_DOCUMENT], entry[_SHA256])[0], self._certificates(entry))
            for entry in self._entries
        ]

    def _is_intact(self, document, digest, seq, ca, ca_digest):
        try:
            self._read(document, digest)
            return type(seq) is int and (not ca or self._read(ca, ca_digest)[1] is not None)
        except (TrustError, StoreError):
            return False

    def _certificates(self, entry):
        return self._read(entry[_CA], entry[_CA_SHA256])[1] if entry[_CA] else None

    def _read(self, document, signed):
        """Return (URLs, CA certificates or None) of a document. Raises TrustError, StoreError."""
        file = self._store.open(document)
        if file is None:
            raise TrustError("settings are missing", document)
        digest = sha256()
        try:
            found = parse(file, (digest,))
        finally:
            file.close()
        if binascii.hexlify(digest.digest()).decode() != signed:
            raise TrustError("settings are not what was signed", document)
        return found


def parse(file, raw=()):
    """Return (URLs, CA certificates or None) of a settings.json. Raises TrustError.

    `file`: readinto; `raw`: sinks (update) for every byte of it.
    """
    reader = Reader(file, bytearray(_BUFFER), _MAX, raw)
    found = reader.fields({"urls": _urls}, {"ca": _MAX})
    reader.end()
    ca = found.get("ca")
    if ca is not None:
        try:
            ca = binascii.a2b_base64(ca)
        except ValueError:
            ca = None
        if not ca:
            raise TrustError("malformed settings", "ca")
    return found["urls"], ca


def _urls(reader):
    urls = []
    for _ in reader.items():
        url = reader.string(_URL)
        if not url or len(urls) == _URLS:
            raise TrustError("malformed settings", "urls")
        urls.append(url)
    if not urls:
        raise TrustError("malformed settings", "urls")
    return urls
