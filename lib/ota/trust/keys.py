# SPDX-License-Identifier: MIT
"""Who may sign a role, and counting their votes (TUF 1.0.x, 4.2 and 5).

A *scheme table* maps the name of a TUF signature scheme to (keytypes, public_key, verifier):
    keytypes    the key types that go with the scheme
    public_key  function: text of "public" -> raw key as bytes, or None: not a key
    verifier    class: v = verifier(raw_key, signature); v.update(buf) ...; v.ok() -> bool.
                ValueError from its constructor: not a signature
Another scheme is one more entry: `schemes = ed25519_scheme(); schemes["name"] = (...)`.

Rules
    A key of an unknown scheme or type, or with a malformed value, cannot vote. It is no error.
    A keyid means what the document that delegates says, and only to the role it is named for. It
    is a label: it is neither computed nor looked up anywhere else.
    A raw key has one vote per scheme, whatever keyids or encodings it comes under.
    A second signature under one keyid is refused: which of the two counts would be a choice.
"""

from binascii import hexlify, unhexlify
from hashlib import sha256

from ota import const
from ota.errors import TrustError

try:
    import ota_ed25519 as native  # lib/ed25519, in C

    native = native.Verifier and native.sha512 and native
except Exception:  # noqa: BLE001
    # There is none; or one for another chip, damaged, too large for the heap, or a stray file of
    # that name: no reason to take no more updates.
    native = None

_KEYS = const(64)  # keys of one document, and of one role
_NAME = const(64)  # characters of a scheme or a key type
_KEYID = const(128)  # characters; usually 64
_PUBLIC = const(1024)  # characters of "public"; a 4096-bit RSA key as PEM has 800
_SIGNATURE = const(1024)  # characters of "sig", the same key's: 1024


def ed25519_scheme():
    """Return a new scheme table with ed25519 in it."""
    if native:
        Verifier = native.Verifier
    else:
        from .ed25519 import Verifier
    return {"ed25519": (("ed25519",), _unhex, Verifier)}


def sha512():
    """Return a new hash."""
    if native:
        return native.sha512()
    from .sha512 import sha512

    return sha512()


def read_keys(r, schemes):
    """Read an object of keys; return {keyid: (scheme, raw key, verifier)}: those that can vote."""
    keys = {}
    for keyid in r.keys():
        key = r.fields(
            {}, {"keytype": _NAME, "keyval": ({}, {"public": _PUBLIC}), "scheme": _NAME}
        )
        name = key.get("scheme")
        public = key.get("keyval", {}).get("public")
        if public and name in schemes:
            keytypes, public_key, verifier = schemes[name]
            raw = public_key(public)
            if raw and key.get("keytype") in keytypes:
                if len(keys) == _KEYS:
                    raise TrustError("too many keys")
                keys[keyid] = (name, raw, verifier)
    return keys


def read_keyids(r):
    """Read the array of a role's keyids: all different."""
    keyids = []
    for _ in r.items():
        keyid = r.string(_KEYID)
        if keyid is None or keyid in keyids or len(keyids) == _KEYS:
            raise TrustError("keyids of a role")
        keyids.append(keyid)
    return keyids


class Authority:
    """The keys of one role, as one delegating document binds them, and how many must sign.

    `digest`: hex, over keyids, schemes, keys and threshold. The same digest means: the same
    documents are accepted. 128 bits do: whoever could look for collisions, a delegator, can name
    any key anyway.
    """

    def __init__(self, keys, role):
        """`role`: "keyids" and "threshold" as a document states them beside its `keys`."""
        self.keys = {keyid: keys[keyid] for keyid in role["keyids"] if keyid in keys}
        self.threshold = role["threshold"]
        h = sha256(str(self.threshold).encode())
        for keyid in sorted(self.keys):
            h.update(repr((keyid, self.keys[keyid][:2])).encode())
        self.digest = hexlify(h.digest()[:16]).decode()


class Votes:
    """The signatures of one document that an Authority can check, while it is read."""

    def __init__(self, authority):
        self._authority = authority
        self._cast = {}  # keyid: verifier, or None if there is no signature to verify
        self.sinks = []  # the verifiers, to be fed the canonical form of "signed"

    def read(self, r):
        """Read the array of signatures."""
        keys = self._authority.keys
        for _ in r.items():
            vote = r.fields({}, {"keyid": _KEYID, "sig": _SIGNATURE})
            keyid = vote.get("keyid")
            if keyid in keys:
                if keyid in self._cast:
                    raise TrustError("two signatures under one keyid")
                self._cast[keyid] = None
                signature = _unhex(vote.get("sig", ""))
                if signature:
                    _, raw, verifier = keys[keyid]
                    try:
                        self._cast[keyid] = verifier(raw, signature)
                    except ValueError:
                        continue  # not a signature of this scheme: no vote
                    self.sinks.append(self._cast[keyid])

    def count(self):
        """Generator: check until the threshold is reached, with a yield before each signature.

        Returns the number of votes.
        """
        voted = set()
        for keyid, verifier in self._cast.items():
            key = self._authority.keys[keyid]
            if verifier and key not in voted:
                yield
                if verifier.ok():
                    voted.add(key)
                    if len(voted) == self._authority.threshold:
                        break
        return len(voted)


def _unhex(text):
    try:
        return unhexlify(text)
    except ValueError:
        return None
