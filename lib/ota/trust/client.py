# SPDX-License-Identifier: MIT
"""A TUF client without input or output of its own: metadata in, trusted targets out.

Source: The Update Framework specification 1.0.x, section 5. The network is the driver's business;
what was accepted is kept through a `Store` (ota.ports).

    client = Client(store, root)
        store       ota.ports.Store; uses the record "trust" and the documents "m0", "m1", ...
        root        function that opens the factory root (a binary stream with readinto and close),
                    or returns None: there is none. It counts until a newer root is stored
        schemes     signature schemes, see ota.trust.keys; default: ed25519
        root_floor  no root below this version is accepted, whatever the store has lost
        on_clock    function called with a ClockError instead of raising it (the owner may choose
                    to warn); default None: refuse
        max_length  of one document other than root and timestamp; default 256 KiB

    client.refresh(certain, now)   generator; returns True if anything new was accepted
    client.find(path)              generator; returns a Target, or None: nobody vouches for it
    client.issued                  latest x-issued of root, targets and img-* ("" if none): a floor
                                   of the time; persisted
    client.root_version            version of the trusted root (0 before the first refresh); the
                                   caller keeps it outside the file system as `root_floor`

    Target: path, length, hashes ({"sha256": hex, ...}), custom (dict or None), role (name of the
    role that vouches for it), file (where it lies below "targets/": quoted, and with the hash in
    front of the name when the repository has consistent snapshots)

Time is a UTC string "YYYY-MM-DDTHH:MM:SSZ". `certain` is a time that has surely passed (floor and
uptime), `now` the best guess (RTC, NTP); what is below a floor is raised to it. Expired by
`certain`: ExpiredError. Expired only by `now`: ClockError, or `on_clock`.

Driving a generator. It yields
    None      there was long work, let others run; send None
    Request   fetch "metadata/" + request.file and hand every byte to request.write(buf), in order;
              then send True. Send False if the repository has no such file: status 404 or 403 and
              nothing else. `write` raises TrustError when the file is longer than it may be.
Any other trouble (500, time out, lost connection): close the generator and raise. Nothing is left
half done; the next refresh() starts fresh. Errors that leave the generator close it by themselves.

    def drive(work, fetcher, buf):                     # `await` where there is an event loop
        answer = None
        try:
            while True:
                request = work.send(answer)
                answer = request and fetch_into(request.file, request.write)
        except StopIteration as end:
            return end.value
        finally:
            work.close()

find() needs a refresh() of the same Client that came to its end, and uses its times.

Rules
    Nothing that is read from a document is used before its SHA-256 has been compared with that of
    the document whose signatures, length, hashes and version were checked.
    Each accepted role is recorded at once, by one save of the record. A download never goes into a
    document that the record refers to (unless it is damaged), so a cut leaves the old state or the
    new one.
    A recorded document that is lost or damaged is fetched again; its recorded version, and for
    root the highest one ever, still stand.
    Signatures of a stored document are checked again only if the keys or the threshold that
    vouched for it have changed (Authority.digest). If they no longer do, its version does not
    count either: that is TUF's recovery from fast-forward attacks.
    A delegated role is accepted for one delegator's keys, never because of its name.
"""

import json
from binascii import hexlify
from hashlib import sha256

from ota.errors import ClockError, ExpiredError, TrustError

from .keys import Authority, Votes, ed25519_scheme, read_keyids, read_keys, read_threshold
from .paths import matches, quote
from .reader import Reader

try:
    from micropython import const
except ImportError:

    def const(x):
        return x


_RECORD = const("trust")
_TOP = ("root", "targets", "snapshot", "timestamp")
_ROLE = ("keyids", "threshold")
_HEX = const("0123456789abcdef")
_ROOT_MAX = const(65536)  # bytes; a root with ten keys has 4,000
_TIMESTAMP_MAX = const(16384)  # bytes; 500 are usual
_ROTATIONS = const(64)  # new roots in one refresh; the next one goes on from there
_WALK = const(32)  # roles that one find() visits; python-tuf's default
_RECORDED = const(36)  # roles in the record: the top four and one walk; 8 KiB
_NAME = const(64)  # longest name of a role, in bytes
_PATTERN = const(512)  # longest path pattern
_CUSTOM = const(4096)  # budget for a target's "custom", see Reader.value
_BUFFER = const(256)

# What the record holds for a role: a list, indexed by these.
_DOCUMENT = const(0)  # name in the store, "" for the factory root, None when it is lost
_VERSION = const(1)
_LENGTH = const(2)
_SHA256 = const(3)  # of the document, in hex
_AUTHORITY = const(4)  # Authority.digest() that vouched for it
_EXPIRES = const(5)


class Target:
    def __init__(self, path, role, entry, is_consistent):
        self.path = path
        self.role = role
        self.length = entry["length"]
        self.hashes = entry["hashes"]
        self.custom = entry.get("custom")
        if is_consistent:
            cut = path.rfind("/") + 1
            digest = self.hashes.get("sha256") or self.hashes["sha512"]
            path = path[:cut] + digest + "." + path[cut:]
        self.file = quote(path, "/")


class Request:
    """One file to fetch. Nothing is written while it equals the document that is stored."""

    def __init__(self, store, document, file, max_length, stored, buf):
        self.file = file
        self.max_length = max_length
        self.document = document
        self._store = store
        self._view = memoryview(buf)
        self._length = 0
        self._same = 0  # length of the part that equals what is stored
        self._in = store.open(stored) if stored else None
        self._out = None

    def write(self, data):
        data = memoryview(data)
        self._length += len(data)
        if self._length > self.max_length:
            raise TrustError("metadata too long", self.max_length)
        while self._in and data:
            n = self._in.readinto(self._view[: min(len(data), _BUFFER)])
            if not n or self._view[:n] != data[:n]:
                self._differ()
            else:
                self._same += n
                data = data[n:]
        if data:
            if not self._out:
                self._out = self._store.create(self.document)
            self._out.write(data)

    def finish(self, length):
        """End the document; return whether it equals the stored one, which has `length` bytes."""
        same = self._in is not None and self._same == length
        if not same:
            self._differ()
        self.close()
        return same

    def close(self):
        for file in (self._in, self._out):
            if file:
                file.close()
        self._in = self._out = None

    def _differ(self):
        if not self._out:
            self._out = self._store.create(self.document)
        if self._in:
            self._in.seek(0)
            while self._same:
                n = self._in.readinto(self._view[: min(self._same, _BUFFER)])
                if not n:
                    raise TrustError("stored metadata damaged")
                self._out.write(self._view[:n])
                self._same -= n
            self._in.close()
            self._in = None


class Client:
    def __init__(self, store, root, schemes=None, root_floor=0, on_clock=None, max_length=262144):
        self._store = store
        self._factory = root
        self._schemes = schemes or ed25519_scheme()
        self._on_clock = on_clock
        self._max_length = max_length
        self._buf = bytearray(_BUFFER)
        self._ready = False
        self._load()
        self._floor = max(self._floor, root_floor)

    @property
    def root_version(self):
        return self._roles["root"][_VERSION] if "root" in self._roles else 0

    def refresh(self, certain, now):
        """Bring root, timestamp, snapshot and targets up to date; True if anything was new."""
        self._ready = self._new = False
        self._certain = max(certain, self.issued)
        self._now = now
        root = yield from self._refresh_root()
        self._consistent = root["consistent_snapshot"]
        meta = yield from self._refresh_timestamp(root["timestamp"])
        yield from self._obtain("snapshot", root["snapshot"], meta, False)
        meta = self._read_meta(self._roles["snapshot"], "targets")
        yield from self._obtain("targets", root["targets"], meta, True)
        self._ready = True
        return self._new

    def find(self, path):
        """Look a target up: depth first, in the order of the delegations (TUF 5.6.7)."""
        if not self._ready:
            raise ValueError("find() before refresh()")
        todo = [("targets", None, None)]
        visited = []
        while todo:
            role, authority, parent = todo.pop()
            if role in visited:
                continue
            if len(visited) == _WALK:
                raise TrustError("too many delegated roles")
            visited.append(role)
            if authority:
                # Only whom the offline keys name may move the floor of time: any other role can
                # delegate to a name of its choice.
                offline = parent == "targets" and role.startswith("img-")
                meta = self._read_meta(self._roles["snapshot"], role)
                yield from self._obtain(role, authority, meta, offline, visited)
            entry = self._roles[role]
            found = self._read(
                entry,
                {
                    "delegations": {"roles": lambda r: _read_delegations(r, path)},
                    "targets": {path: _read_target},
                },
                ("targets",),
            )
            target = found["targets"].get(path)
            if target:
                return Target(path, role, target, self._consistent)
            children = found.get("delegations", {}).get("roles")
            if children:
                if children[-1]["terminating"]:
                    todo = []
                wanted = set()
                for child in children:
                    wanted.update(child["keyids"])
                keys = self._read(
                    entry,
                    {"delegations": {"keys": lambda r: read_keys(r, self._schemes, wanted)}},
                )["delegations"].get("keys", {})
                for child in reversed(children):
                    authority = Authority(self._schemes, keys, child)
                    todo.append((child["name"], authority, role))
            yield
        return None

    # Root

    def _refresh_root(self):
        """Follow the chain of roots to the newest; return what it says (TUF 5.3)."""
        entry = self._roles.get("root")
        if entry is None or not self._is_intact(entry):
            entry = yield from self._accept_factory()
        root = self._read_root(entry)
        for _ in range(_ROTATIONS):
            version = entry[_VERSION] + 1
            request = yield from self._fetch(str(version) + ".root.json", _ROOT_MAX)
            if not request:
                break
            entry, root = yield from self._accept_root(request.document, version, root)
        else:
            raise TrustError("too many new roots at once", entry[_VERSION])
        if entry[_VERSION] < self._floor:
            raise TrustError("root version", entry[_VERSION], self._floor)
        self._check_fresh("root", entry)
        return root

    def _accept_factory(self):
        measure = self._measure("")
        if not measure:
            raise TrustError("factory root missing")
        length, digest = measure
        keys = self._read_root(["", 0, length, digest, "", ""])["root"]
        meta = {"hashes": {"sha256": digest}}
        entry, issued = yield from self._check("root", keys, "", length, meta)
        self._commit("root", entry, issued)
        return entry

    def _accept_root(self, document, version, old):
        """Check the next root: vouched for by the keys of the old one and by its own."""
        meta = {"version": version}
        entry, issued = yield from self._check("root", old["root"], document, _ROOT_MAX, meta)
        root = self._read_root(entry)
        if root["root"].digest() != entry[_AUTHORITY]:
            meta = {"hashes": {"sha256": entry[_SHA256]}}
            entry, _ = yield from self._check("root", root["root"], document, _ROOT_MAX, meta)
        self._commit("root", entry, issued)
        return entry, root

    def _read_root(self, entry):
        """Return {role: Authority} and "consistent_snapshot"."""

        def role(r):
            return r.fields({"keyids": read_keyids, "threshold": read_threshold}, _ROLE)

        found = self._read(
            entry,
            {
                "consistent_snapshot": Reader.boolean,
                "keys": lambda r: read_keys(r, self._schemes),
                "roles": lambda r: r.fields({name: role for name in _TOP}, _TOP),
            },
            ("keys", "roles"),
        )
        root = {"consistent_snapshot": found.get("consistent_snapshot", False)}
        for name in _TOP:
            root[name] = Authority(self._schemes, found["keys"], found["roles"][name])
        return root

    # Timestamp, snapshot, targets and delegated roles

    def _refresh_timestamp(self, authority):
        """Return what the newest timestamp says about the snapshot (TUF 5.4)."""
        old = yield from self._trusted("timestamp", authority)
        stored = old[_DOCUMENT] if old else None
        request = yield from self._fetch("timestamp.json", _TIMESTAMP_MAX, old)
        if not request:
            raise TrustError("metadata missing", "timestamp")
        entry = old
        if request.document != stored:
            entry, _ = yield from self._check(
                "timestamp", authority, request.document, _TIMESTAMP_MAX, {}
            )
            if old:
                if entry[_VERSION] < old[_VERSION]:
                    raise TrustError("rollback", "timestamp", entry[_VERSION], old[_VERSION])
                if entry[_VERSION] == old[_VERSION] and stored:
                    entry = old  # a version has one content: the one that came first
        meta = self._read_meta(entry, "snapshot")
        if entry is not old:
            if stored:
                version = self._read_meta(old, "snapshot")["version"]
                if meta["version"] < version:
                    raise TrustError("rollback", "snapshot", meta["version"], version)
            self._check_fresh("timestamp", entry)
            self._commit("timestamp", entry, None)
        else:
            self._check_fresh("timestamp", entry)
        return meta

    def _obtain(self, role, authority, meta, offline, walk=()):
        """Make the document of a role what `meta` says, fetching it only if it is another one.

        `offline`: its keys are, so its x-issued counts. `walk`: roles to keep in the record.
        """
        old = yield from self._trusted(role, authority)
        version = meta["version"]
        if (
            old
            and old[_DOCUMENT]
            and old[_VERSION] == version
            and meta.get("length", old[_LENGTH]) == old[_LENGTH]
            and meta.get("hashes", {}).get("sha256", old[_SHA256]) == old[_SHA256]
        ):
            self._check_fresh(role, old)
            return
        file = quote(role, "") + ".json"
        if self._consistent:
            file = str(version) + "." + file
        limit = min(meta.get("length", self._max_length), self._max_length)
        request = yield from self._fetch(file, limit)
        if not request:
            raise TrustError("metadata missing", role)
        entry, issued = yield from self._check(role, authority, request.document, limit, meta)
        if role == "snapshot" and old:
            self._check_snapshot(old, entry)
        self._check_fresh(role, entry)
        self._commit(role, entry, issued if offline else None, walk)

    def _check_snapshot(self, old, new):
        """Refuse a snapshot in which a role is missing or older than it was (TUF 5.5.5)."""
        if new[_VERSION] < old[_VERSION]:
            raise TrustError("rollback", "snapshot", new[_VERSION], old[_VERSION])
        if old[_DOCUMENT]:
            other = bytearray(_BUFFER)
            self._read(
                new,
                {
                    "meta": lambda n: self._read(
                        old, {"meta": lambda o: _check_metas(o, n)}, ("meta",), other
                    )
                },
                ("meta",),
            )
        else:  # the old one is lost: what is recorded of its roles has to do
            for role, entry in self._roles.items():
                if role not in ("root", "timestamp", "snapshot"):
                    version = self._read_meta(new, role)["version"]
                    if version < entry[_VERSION]:
                        raise TrustError("rollback", role, version, entry[_VERSION])

    def _read_meta(self, entry, role):
        """Return what a snapshot or timestamp says about a role."""
        name = role + ".json"

        def metas(r):
            return r.fields({name: _read_meta}, (name,))

        return self._read(entry, {"meta": metas}, ("meta",))["meta"][name]

    # Documents

    def _trusted(self, role, authority):
        """Return the record of a role if `authority` vouches for it, or None.

        Its document is None if it is lost: then only the version still counts.
        """
        entry = self._roles.get(role)
        if entry:
            if not self._is_intact(entry):
                entry[_DOCUMENT] = None
            elif entry[_AUTHORITY] != authority.digest():
                try:
                    entry, _ = yield from self._check(
                        role,
                        authority,
                        entry[_DOCUMENT],
                        entry[_LENGTH],
                        {"hashes": {"sha256": entry[_SHA256]}},
                    )
                    self._commit(role, entry, None)
                except TrustError:
                    pass  # it stays in the record until a better one takes its place
            if entry[_AUTHORITY] == authority.digest():
                return entry
        return None

    def _fetch(self, file, max_length, old=None):
        """Have a file fetched; return its finished Request, or None if there is no such file.

        Its `document` is that of `old` if it has the same content.
        """
        stored = old[_DOCUMENT] if old else None
        request = Request(self._store, self._spare(), file, max_length, stored, self._buf)
        try:
            answer = yield request
            if answer is None:
                raise ValueError("a Request wants True or False")
            if not answer:
                return None
            if request.finish(old[_LENGTH] if old else 0):
                request.document = stored
            return request
        finally:
            request.close()

    def _spare(self):
        """Return a document that the record does not refer to."""
        used = [entry[_DOCUMENT] for entry in self._roles.values()]
        n = 0
        while "m" + str(n) in used:
            n += 1
        return "m" + str(n)

    def _check(self, role, authority, document, limit, meta):
        """Check a document: length and hashes, signatures, header, version.

        Returns (what to record for it, x-issued or None). Changes no state.
        """
        hashes = meta.get("hashes", {})
        sinks = {"length": _Length(), "sha256": sha256()}
        if "sha512" in hashes:
            from .sha512 import sha512

            sinks["sha512"] = sha512()
        votes = Votes(authority)

        def signed(r):
            r.start(votes.sinks)
            header = r.fields(
                {
                    "_type": _NAME,
                    "expires": _read_time,
                    "spec_version": _NAME,
                    "version": _read_version,
                    "x-issued": _read_time,
                },
                ("_type", "expires", "spec_version", "version"),
            )
            r.stop()
            return header

        header = self._walk(
            document,
            limit,
            sinks.values(),
            {"signatures": votes.read, "signed": signed},
            ("signed", "signatures"),
        )["signed"]
        if header["_type"] != (role if role in _TOP else "targets"):
            raise TrustError("type of metadata", role)
        if not (header["spec_version"] or "").startswith("1."):
            raise TrustError("TUF version", role)
        total = sinks.pop("length").length
        if meta.get("length", total) != total:
            raise TrustError("metadata length", role, total, meta["length"])
        for name, h in sinks.items():
            digest = _hex(h)
            if hashes.get(name, digest) != digest:
                raise TrustError("metadata hash", role)
            if name == "sha256":
                sha = digest
        count = yield from votes.count()
        if count < authority.threshold:
            raise TrustError("signatures", role, count, authority.threshold)
        version = header["version"]
        if meta.get("version", version) != version:
            raise TrustError("metadata version", role, version, meta["version"])
        entry = [document, version, total, sha, authority.digest(), header["expires"]]
        return entry, header.get("x-issued")

    def _read(self, entry, sections, needed=(), buf=None):
        """Read "signed" of an accepted document as Reader.fields does."""
        h = sha256()
        found = self._walk(
            entry[_DOCUMENT],
            entry[_LENGTH],
            (h,),
            {"signed": lambda r: r.fields(sections, needed)},
            ("signed",),
            buf,
        )
        if _hex(h) != entry[_SHA256]:
            raise TrustError("stored metadata damaged")
        return found["signed"]

    def _walk(self, document, limit, sinks, wanted, needed, buf=None):
        file = self._open(document)
        if not file:
            raise TrustError("stored metadata missing")
        try:
            r = Reader(file, buf or self._buf, limit, sinks)
            found = r.fields(wanted, needed)
            r.end()
            return found
        finally:
            file.close()

    def _is_intact(self, entry):
        document = entry[_DOCUMENT]
        return document is not None and self._measure(document) == (entry[_LENGTH], entry[_SHA256])

    def _measure(self, document):
        """Return length and SHA-256 of a document, or None if it is absent."""
        file = self._open(document)
        if not file:
            return None
        h = sha256()
        length = 0
        view = memoryview(self._buf)
        try:
            while True:
                n = file.readinto(self._buf)
                if not n:
                    return length, _hex(h)
                h.update(view[:n])
                length += n
        finally:
            file.close()

    def _open(self, document):
        return self._factory() if document == "" else self._store.open(document)

    # Time

    def _check_fresh(self, role, entry):
        expires = entry[_EXPIRES]
        if expires <= self._certain:
            raise ExpiredError("metadata expired", role, expires, self._certain)
        if expires <= self._now:
            error = ClockError("metadata expired by the clock", role, expires, self._now)
            if not self._on_clock:
                raise error
            self._on_clock(error)

    # State

    def _load(self):
        """Take up the record; one that is not ours counts as none."""
        self._roles = {}
        self._floor = 0
        self.issued = ""
        data = self._store.load(_RECORD)
        try:
            state = json.loads(data) if data else None
            if state and all(len(entry) == 6 for entry in state["roles"].values()):
                self.issued = state["issued"]
                self._floor = state["root_floor"]
                self._roles = state["roles"]
        except (ValueError, KeyError, TypeError, AttributeError):
            pass

    def _commit(self, role, entry, issued, walk=()):
        """Record what was accepted."""
        roles = dict(self._roles)
        if role not in roles and len(roles) >= _RECORDED:
            for name in self._roles:
                if name not in _TOP and name not in walk:
                    del roles[name]
                    break
        roles[role] = entry
        floor = max(self._floor, entry[_VERSION]) if role == "root" else self._floor
        # The floor of time rises, unless the document would then have expired itself.
        if not issued or not self.issued < issued < entry[_EXPIRES]:
            issued = self.issued
        self._save(roles, floor, issued)
        self._new = True

    def _save(self, roles, floor, issued):
        """Save the record; memory follows the store, so a save that fails changes nothing."""
        state = {"roles": roles, "root_floor": floor, "issued": issued}
        self._store.save(_RECORD, json.dumps(state, separators=(",", ":")).encode())
        self._roles = roles
        self._floor = floor
        self.issued = issued
        self._certain = max(self._certain, issued)


class _Length:
    """A sink that counts."""

    length = 0

    def update(self, data):
        self.length += len(data)


def _hex(h):
    return hexlify(h.digest()).decode()


# Parts of documents: each function reads one value


def _read_version(r):
    version = r.integer()
    if version < 1:
        raise TrustError("metadata version", version)
    return version


def _read_length(r):
    length = r.integer()
    if length < 0:
        raise TrustError("length in metadata", length)
    return length


def _read_time(r):
    text = r.string(20)
    if (
        text is None
        or len(text) != 20
        or any(
            not "0" <= c <= "9" if form == "0" else c != form
            for c, form in zip(text, "0000-00-00T00:00:00Z")
        )
        or not "01" <= text[5:7] <= "12"
        or not "01" <= text[8:10] <= "31"
        or not (text[11:13] < "24" and text[14:16] < "60" and text[17:19] < "60")
    ):
        raise TrustError("date in metadata")
    return text


def _read_hashes(r):
    """Return the hashes that can be checked, at least one."""
    hashes = r.fields({"sha256": 64, "sha512": 128})
    if not hashes or any(not text or text.strip(_HEX) for text in hashes.values()):
        raise TrustError("hashes in metadata")
    return hashes


def _read_meta(r):
    wanted = {"version": _read_version, "length": _read_length, "hashes": _read_hashes}
    return r.fields(wanted, ("version",))


def _read_target(r):
    wanted = {
        "length": _read_length,
        "hashes": _read_hashes,
        "custom": lambda r: r.value(_CUSTOM),
    }
    return r.fields(wanted, ("length", "hashes"))


def _versions(r):
    for name in r.keys():
        yield name, _read_meta(r)["version"]


def _check_metas(old, new):
    """Walk two sorted maps side by side: the new one has every entry of the old, none lower."""
    news = _versions(new)
    for name, version in _versions(old):
        for new_name, new_version in news:
            if new_name == name:
                if new_version < version:
                    raise TrustError("rollback in snapshot", new_version, version)
                break
        else:
            raise TrustError("role missing in snapshot")
    for _ in news:
        pass


def _read_delegations(r, path):
    """Return the roles to visit for `path`, in order. None follows a terminating one."""

    def paths(r):
        return any([matches(_read_text(r), path) for _ in r.items()])

    def prefixes(r):
        digest = _hex(sha256(path.encode()))
        return any([digest.startswith(_read_text(r)) for _ in r.items()])

    wanted = {
        "keyids": read_keyids,
        "name": _NAME,
        "path_hash_prefixes": prefixes,
        "paths": paths,
        "terminating": Reader.boolean,
        "threshold": read_threshold,
    }
    children = []
    for _ in r.items():
        role = r.fields(wanted, ("keyids", "name", "terminating", "threshold"))
        if not role["name"] or role["name"] in _TOP:
            raise TrustError("name of a delegated role")
        if (role.get("paths") or role.get("path_hash_prefixes")) and not (
            children and children[-1]["terminating"]
        ):
            if len(children) == _WALK:
                raise TrustError("too many delegated roles")
            children.append(role)
    return children


def _read_text(r):
    text = r.string(_PATTERN)
    if text is None:
        raise TrustError("path pattern too long")
    return text
