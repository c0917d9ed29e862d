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

from ota.errors import TrustError

try:
    from micropython import const
except ImportError:

    def const(x):
        return x


_KEYS = const(64)  # keys of one document, and of one role
_NAME = const(64)  # characters of a scheme or a key type
_KEYID = const(128)  # characters; usually 64
_PUBLIC = const(1024)  # characters of "public"; a 4096-bit RSA key as PEM has 800
_SIGNATURE = const(1024)  # characters of "sig", the same key's: 1024


def ed25519_scheme():
    """Return a new scheme table with ed25519 in it."""
    return {"ed25519": (("ed25519",), _unhex, _verifier()[1])}


def verifier_name():
    """Return which Ed25519 verifier is used: "ota_ed25519" (native) or "ota.trust.ed25519"."""
    return _verifier()[0]


def _verifier():
    try:
        from ota_ed25519 import Verifier

        return "ota_ed25519", Verifier
    except ImportError:
        from ota.trust.ed25519 import Verifier

        return "ota.trust.ed25519", Verifier


def read_keys(r, schemes, wanted=None):
    """Read an object of keys; return {keyid: (scheme, raw key)} of those that can vote.

    `wanted`: only these keyids are kept.
    """
    keys = {}
    for keyid in r.keys():
        key = r.fields({"keytype": _NAME, "keyval": {"public": _PUBLIC}, "scheme": _NAME})
        scheme = schemes.get(key.get("scheme"))
        public = key.get("keyval", {}).get("public")
        if scheme and public and (wanted is None or keyid in wanted):
            raw = scheme[1](public) if key.get("keytype") in scheme[0] else None
            if raw:
                if len(keys) == _KEYS:
                    raise TrustError("too many keys")
                keys[keyid] = (key["scheme"], raw)
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


def read_threshold(r):
    threshold = r.integer()
    if threshold < 1:
        raise TrustError("threshold")
    return threshold


class Authority:
    """The keys of one role, as one delegating document binds them, and how many must sign."""

    def __init__(self, schemes, keys, role):
        """`role`: "keyids" and "threshold" as a document states them beside its `keys`."""
        self.schemes = schemes
        self.keys = {keyid: keys[keyid] for keyid in role["keyids"] if keyid in keys}
        self.threshold = role["threshold"]

    def digest(self):
        """Return a hex digest over keyids, schemes, keys and threshold.

        The same digest means: the same documents are accepted. 128 bits do: whoever could look for
        collisions, a delegator, can name any key anyway.
        """
        h = sha256(str(self.threshold).encode())
        for keyid in sorted(self.keys):
            h.update(repr((keyid, self.keys[keyid])).encode())
        return hexlify(h.digest()[:16]).decode()


class Votes:
    """The signatures of one document that an Authority can check, while it is read."""

    def __init__(self, authority):
        self._authority = authority
        self._by_keyid = {}
        self.sinks = []  # the verifiers, to be fed the canonical form of "signed"

    def read(self, r):
        """Read the array of signatures."""
        authority = self._authority
        for _ in r.items():
            vote = r.fields({"keyid": _KEYID, "sig": _SIGNATURE})
            keyid = vote.get("keyid")
            if keyid in authority.keys:
                if keyid in self._by_keyid:
                    raise TrustError("two signatures under one keyid")
                scheme, raw = authority.keys[keyid]
                verifier = None
                signature = _unhex(vote.get("sig") or "")
                if signature:
                    try:
                        verifier = authority.schemes[scheme][2](raw, signature)
                    except ValueError:
                        pass  # not a signature of this scheme: no vote
                self._by_keyid[keyid] = verifier
                if verifier:
                    self.sinks.append(verifier)

    def count(self):
        """Generator: check until the threshold is reached, with a yield before each signature.

        Returns the number of votes.
        """
        authority = self._authority
        voted = set()
        for keyid, verifier in self._by_keyid.items():
            key = authority.keys[keyid]
            if verifier and key not in voted:
                yield
                if verifier.ok():
                    voted.add(key)
                    if len(voted) == authority.threshold:
                        break
        return len(voted)


def _unhex(text):
    try:
        return unhexlify(text)
    except ValueError:
        return None
