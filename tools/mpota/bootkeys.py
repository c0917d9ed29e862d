# SPDX-License-Identifier: MIT
"""The keys that the bootloader of an RP2040 knows (`boot_keys` in mpota.json).

They are no TUF keys: TUF decides what a device installs, these what its bootloader runs at all. A
bootloader is never updated, so it gets more than one from the start, and an image that any of them
signed passes. The first one signs; the others are for the day when it is lost, and are best kept
elsewhere until then.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import Signer, SSlibKey

from mpota.errors import MpotaError
from mpota.keys import AskPassphrase, key_path, load_signer
from mpota.workspace import Workspace


class BootSigner:
    """See `rp2040.BootSigner`."""

    def __init__(self, public: bytes, signer: Signer) -> None:
        self.public = public
        self._signer = signer

    def sign(self, data: bytes) -> bytes:
        return bytes.fromhex(self._signer.sign(data).signature)


def publics(workspace: Workspace) -> list[bytes]:
    """Return the raw public keys for a bootloader."""
    return [_public(name, key.public) for name, key in workspace.settings.boot_keys.items()]


def open_signer(workspace: Workspace, ask: AskPassphrase) -> BootSigner:
    """Open the first key that is at hand."""
    keys = workspace.settings.boot_keys
    for name, key in keys.items():
        path = key_path(key.uri, workspace.folder)
        if path is None or path.is_file():
            public = _public(name, key.public)
            known = SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public))
            return BootSigner(public, load_signer(name, key.uri, known, workspace.folder, ask))
    if not keys:
        todo = "restore it from a copy: the boards know the keys that were there"
        raise MpotaError("no boot_keys", workspace.folder / "mpota.json", todo)
    todo = "put one there, or correct its URI in mpota.json"
    raise MpotaError("no private key of the bootloader at hand", ", ".join(keys), todo)


def _public(name: str, text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
        Ed25519PublicKey.from_public_bytes(raw)
        return raw
    except ValueError:
        raise MpotaError("not an Ed25519 public key", name, "correct mpota.json") from None
