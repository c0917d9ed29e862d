# SPDX-License-Identifier: MIT
"""Private keys: made, encrypted, and found again by URI.

A key is named in `mpota.json` by a URI. `file:` is ours: an Ed25519 key in a PKCS#8 PEM file of
mode 0600, encrypted by PBES2 with scrypt and AES-256-CBC (RFC 8018, RFC 7914), which OpenSSL reads
too. Every other scheme (`hsm:`, `gcpkms:`, `awskms:`, ...) goes to securesystemslib's table
SIGNER_FOR_URI_SCHEME, so a token or a KMS is a matter of the URI.

scrypt is set by hand because the `cryptography` package writes PBKDF2 with 2,048 rounds, which is
too cheap to guess through for a key that a fleet hangs on.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from mpota import files
from mpota.errors import MpotaError

# OWASP's advice for 16 MiB of memory, the most that OpenSSL's reader allows: about 0.15 s a try.
_SCRYPT_N = 1 << 14
_SCRYPT_R = 8
_SCRYPT_P = 5

_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES256_CBC = bytes.fromhex("060960864801650304012a")

# Name of the key -> passphrases to try in turn; asked for one at a time, and only when needed.
AskPassphrase = Callable[[str], Iterator[str]]


def make_key(path: Path, passphrase: str | None) -> SSlibKey:
    """Make an Ed25519 key, store it in the new file `path`, and return its public half."""
    private = Ed25519PrivateKey.generate()
    if passphrase is None:
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    else:
        der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        pem = _pem(encrypt_pkcs8(der, passphrase.encode()))
    try:
        files.write_new(path, pem, mode=files.PRIVATE)
    except FileExistsError:
        raise MpotaError("key exists already", path, "a key is never overwritten") from None
    return SSlibKey.from_crypto(private.public_key())


def encrypt_pkcs8(der: bytes, passphrase: bytes) -> bytes:
    """Return PKCS#8 `der` as an EncryptedPrivateKeyInfo (RFC 5958, RFC 8018 A.4, RFC 7914 7)."""
    salt, iv = os.urandom(16), os.urandom(16)
    key = Scrypt(salt, 32, _SCRYPT_N, _SCRYPT_R, _SCRYPT_P).derive(passphrase)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    secret = encryptor.update(padder.update(der) + padder.finalize()) + encryptor.finalize()
    costs = b"".join(_der(0x02, n.to_bytes(n.bit_length() // 8 + 1, "big"))
                     for n in (_SCRYPT_N, _SCRYPT_R, _SCRYPT_P))  # fmt: skip
    kdf = _der(0x30, _SCRYPT + _der(0x30, _der(0x04, salt) + costs))
    cipher = _der(0x30, _AES256_CBC + _der(0x04, iv))
    scheme = _der(0x30, _PBES2 + _der(0x30, kdf + cipher))
    return _der(0x30, scheme + _der(0x04, secret))


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def _pem(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    head, tail = b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"-----END ENCRYPTED PRIVATE KEY-----"
    return b"\n".join([head, *lines, tail, b""])


def key_path(uri: str, folder: Path) -> Path | None:
    """Return the file that a `file:` URI names, relative ones below `folder`; else None."""
    parts = urlsplit(uri)
    return folder / unquote(parts.path) if parts.scheme == "file" else None


def load_signer(name: str, uri: str, public: Key, folder: Path, ask: AskPassphrase) -> Signer:
    """Return the signer that `uri` names. `ask` is called only if the key is encrypted."""
    path = key_path(uri, folder)
    if path is None:
        try:
            return Signer.from_priv_key_uri(uri, public, lambda _secret: next(ask(name)))
        except Exception as error:  # every token and service has exceptions of its own
            raise MpotaError(f"cannot open key {name} ({error})", uri, "check its URI") from error
    if not isinstance(public, SSlibKey):
        raise MpotaError("this kind of key cannot live in a file", path, "give its own URI")
    try:
        pem = path.read_bytes()
    except OSError as error:
        todo = "put the key file there, or change its URI in mpota.json"
        raise MpotaError(f"cannot read key {name}", path, todo) from error
    private = _open_pem(pem, ask(name) if b"ENCRYPTED" in pem[:40] else iter(()))
    if private is None:
        raise MpotaError(f"cannot open key {name}", path, "check the passphrase")
    try:
        return CryptoSigner(private, public)
    except Exception as error:  # its KeyMismatchError and ValueError say the same here
        todo = "this is not the key that the repository names"
        raise MpotaError(f"wrong key for {name}", path, todo) from error


def _open_pem(pem: bytes, passphrases: Iterator[str]) -> PrivateKeyTypes | None:
    """Return the private key, or None if it is no key or no passphrase opens it."""
    for passphrase in passphrases:
        try:
            return load_pem_private_key(pem, passphrase.encode())
        except (ValueError, TypeError):
            continue
    try:
        return load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        return None


class Keyring:
    """The private keys at hand, each opened once, when it is first needed."""

    def __init__(self, folder: Path, uris: dict[str, str], ask: AskPassphrase) -> None:
        self._folder = folder
        self._uris = uris  # name -> URI
        self._ask = ask
        self._open: dict[str, Signer] = {}  # keyid -> signer

    def is_open(self, keyid: str) -> bool:
        return keyid in self._open

    def is_at_hand(self, name: str) -> bool:
        """Tell whether trying to open the key `name` makes sense: a file has to be there."""
        uri = self._uris.get(name)
        if uri is None:
            return False
        path = key_path(uri, self._folder)
        return path is None or path.is_file()

    def signer(self, name: str, public: Key) -> Signer:
        signer = self._open.get(public.keyid)
        if signer is None:
            uri = self._uris[name]
            signer = load_signer(name, uri, public, self._folder, self._ask)
            self._open[public.keyid] = signer
        return signer
