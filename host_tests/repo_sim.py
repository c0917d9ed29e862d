# SPDX-License-Identifier: MIT
"""A live TUF repository in memory, made with python-tuf, for tests of the client.

    repo = Repository()                        root, targets, snapshot, timestamp
    repo.delegate("img-demo", ["fw/demo/*/*/*"])
    repo.add_target("img-demo", "fw/demo/b/1/firmware.bin", b"...", custom={"seq": 1})
    repo.publish("img-demo")                   next version, signed; then snapshot and timestamp
    repo.get("timestamp.json")                 what a server would answer, None: absent

`repo.signed(role)` is the python-tuf object: change it and publish. What python-tuf would not
write, `forge` signs: it takes the dictionary of "signed", changed at will. `repo.lies` overrides
what the server answers.
"""

import json
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

TOP = ("root", "targets", "snapshot", "timestamp")
NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)

_SIGNERS = []


def signer(number):
    """Return the Ed25519 signer `number`: the same one whenever a process asks."""
    while len(_SIGNERS) <= number:
        _SIGNERS.append(CryptoSigner.generate_ed25519())
    return _SIGNERS[number]


def time_text(days=0):
    """Return the UTC string of NOW and so many days."""
    return (NOW + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def compact(document):
    """Return a document as bytes, as TUF repositories write it."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def sign(signed, signers):
    """Return a document with any dictionary as "signed"."""
    message = encode_canonical(signed).encode()
    signatures = [
        {"keyid": one.public_key.keyid, "sig": one.sign(message).signature} for one in signers
    ]
    return compact({"signatures": signatures, "signed": signed})


class Repository:
    START = NOW

    def __init__(self, hashes=("sha256",), consistent=True, days=30):
        self.files = {}
        self.lies = {}
        self.requests = []
        self.hashes = (
            hashes  # of metadata, in snapshot and timestamp; () leaves out length as well
        )
        self.signers = {role: [signer(i)] for i, role in enumerate(TOP)}
        self._next_signer = len(TOP)
        self._published = {}  # role: newest document
        self._expires = expires = NOW + timedelta(days=days)
        self.mds = {
            "root": Metadata(Root(expires=expires, consistent_snapshot=consistent)),
            "targets": Metadata(Targets(expires=expires)),
            "snapshot": Metadata(Snapshot(expires=expires)),
            "timestamp": Metadata(Timestamp(expires=expires)),
        }
        for role in TOP:
            self.signed("root").add_key(self.signers[role][0].public_key, role)
            self.mds[role].signed.version = 0
        self.publish("root", "targets")

    def signed(self, role):
        return self.mds[role].signed

    def get(self, file):
        """Answer one request as a server does."""
        self.requests.append(file)
        return self.lies[file] if file in self.lies else self.files.get(file)

    def document(self, role):
        """Return the newest document of a role."""
        return self._published[role]

    def new_signer(self):
        self._next_signer += 1
        return signer(self._next_signer - 1)

    def delegate(self, name, paths=None, delegator="targets", signers=None, **fields):
        """Delegate to a role, new or not. The delegator has to be published."""
        signers = signers or [self.new_signer()]
        parent = self.signed(delegator)
        if parent.delegations is None:
            parent.delegations = Delegations({}, {})
        fields = {"threshold": 1, "terminating": False, **fields}
        parent.delegations.roles[name] = DelegatedRole(name, [], paths=paths, **fields)
        for one in signers:
            parent.add_key(one.public_key, name)
        if name not in self.mds:
            self.mds[name] = Metadata(Targets(expires=self._expires))
            self.mds[name].signed.version = 0
            self.signers[name] = []
        self.signers[name] = self.signers[name] + signers

    def add_target(self, role, path, data=b"", custom=None, hashes=("sha256",)):
        target = TargetFile.from_data(path, data, list(hashes))
        if custom is not None:
            target.unrecognized_fields["custom"] = custom
        self.signed(role).targets[path] = target

    def add_key(self, role):
        one = self.new_signer()
        self.signed("root").add_key(one.public_key, role)
        self.signers[role].append(one)

    def rotate(self, role):
        """Replace the keys of a top-level role by one new key. The root has to be published."""
        for one in self.signers[role]:
            self.signed("root").revoke_key(one.public_key.keyid, role)
        self.signers[role] = []
        self.add_key(role)

    def publish(self, *roles, bump=True, signers=None):
        """Sign the next version of roles; then of snapshot and timestamp if a targets role was."""
        for role in roles:
            self.signed(role).version += bump
            md = self.mds[role]
            md.signatures.clear()
            for one in signers or self.signers[role]:
                md.sign(one, append=True)
            self.put(role, md.to_bytes(JSONSerializer(compact=True)))
        if set(roles) - {"root", "snapshot", "timestamp"}:
            self.publish_snapshot()

    def publish_snapshot(self, bump=True):
        snapshot = self.signed("snapshot")
        for role in self._published:
            if role not in ("root", "snapshot", "timestamp"):
                snapshot.meta[role + ".json"] = self._meta(role)
        self.publish("snapshot", bump=bump)
        self.publish_timestamp()

    def publish_timestamp(self, bump=True):
        self.signed("timestamp").snapshot_meta = self._meta("snapshot")
        self.publish("timestamp", bump=bump)

    def put(self, role, document, version=None):
        """Serve a document as the newest one of a role."""
        self._published[role] = document
        version = version or self.signed(role).version
        name = quote(role, safe="") + ".json"
        if role == "root" or (role != "timestamp" and self.signed("root").consistent_snapshot):
            name = "%d.%s" % (version, name)
        self.files[name] = document

    def forge(self, role, change, signers=None, bump=True):
        """Publish a role whose "signed" went through `change(dictionary)`, properly signed."""
        self.signed(role).version += bump
        signed = self.signed(role).to_dict()
        signed = change(signed) or signed
        self.put(role, sign(signed, signers or self.signers[role]))
        if role == "snapshot":
            self.publish_timestamp()
        elif role not in ("root", "timestamp"):
            self.publish_snapshot()

    def _meta(self, role):
        data = self._published[role]
        version = json.loads(data)["signed"].get("version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            version = self.signed(role).version
        if not self.hashes:
            return MetaFile(version)
        return MetaFile.from_data(version, data, list(self.hashes))
