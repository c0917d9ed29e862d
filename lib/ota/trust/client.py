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
        max_length  of one document other than root and timestamp; default 64 KiB
        nested      whether a delegated role may delegate further; default False: only the
                    delegations of the top-level targets count (docs/SPEC.md, 1)

    client.refresh(certain, now)   generator; returns True if anything new was accepted
    client.find(path)              generator; returns a Target, or None: nobody vouches for it
    client.issued                  latest x-issued of root, targets and img-* ("" if none): a floor
                                   of the time; persisted
    client.root_version            highest version of a trusted root, or `root_floor`; the caller
                                   keeps it outside the file system

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
    A recorded document that is lost, damaged or unreadable is fetched again; its recorded version,
    and for root the highest one ever, still stand.
    Signatures of a stored document are checked again only if the keys or the threshold that
    vouched for it have changed (Authority.digest). If they no longer do, its version does not
    count either: that is TUF's recovery from fast-forward attacks.
    A delegated role is accepted for one delegator's keys, never because of its name.
    What is kept does not grow at the will of an online key: the roles are those that the offline
    keys name, and one that a new snapshot no longer lists is forgotten with its document.
"""

import json
from binascii import hexlify
from hashlib import sha256

from ota import const
from ota.errors import ClockError, ExpiredError, StoreError, TrustError

from .keys import Authority, Votes, ed25519_scheme, read_keyids, read_keys, sha512
from .paths import matches, quote
from .reader import Reader

_RECORD = const("trust")
_TOP = ("root", "targets", "snapshot", "timestamp")
_ROLE = {"keyids": read_keyids, "threshold": Reader.positive}
_HEX = const("0123456789abcdef")
_ROOT_MAX = const(65536)  # bytes; a root with ten keys has 4,000
_TIMESTAMP_MAX = const(16384)  # bytes; 500 are usual
_ROTATIONS = const(64)  # new roots in one refresh; the next one goes on from there
_WALK = const(32)  # roles that one find() visits; python-tuf's default
_RECORDED = const(36)  # roles in the record: the top four and one walk, 300 bytes each at most
_RECORD_MAX = const(16384)  # bytes; what a Store takes
_NAME = const(64)  # longest name of a role, in bytes
_PATTERN = const(512)  # longest path pattern
_CUSTOM = const(4096)  # budget for a target's "custom", see Reader.value
_BUFFER = const(256)
_HELD = const(1024)  # a document up to this is not written if it is stored already

# What the record holds for a role: a list, indexed by these.
_DOCUMENT = const(0)  # name in the store, "" for the factory root, None when it is lost
_VERSION = const(1)
_LENGTH = const(2)
_SHA256 = const(3)  # of the document, in hex
_AUTHORITY = const(4)  # Authority.digest that vouched for it
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
    """One file to fetch. Up to `hold` bytes stay in RAM: they may be what is stored already."""

    def __init__(self, store, names, file, max_length, hold):
        self.file = file
        self.max_length = max_length
        self.digest = sha256()
        self._store = store
        self._names = names
        self._length = 0
        self._hold = hold
        self._held = bytearray()
        self._out = None

    def write(self, data):
        self._length += len(data)
        if self._length > self.max_length:
            raise TrustError("metadata too long", self.max_length)
        self.digest.update(data)
        if self._length <= self._hold:
            self._held += data
        else:
            self.flush()
            self._out.write(data)

    def flush(self):
        """Put what is held into a document: the first of the names that can be created."""
        while not self._out:
            self.document = self._names.pop(0)
            try:
                self._out = self._store.create(self.document)
                self._out.write(self._held)
            except StoreError:  # full, or this one file is broken
                if self._out or not self._names:
                    raise

    def close(self):
        if self._out:
            self._out.close()


class Client:
    def __init__(
        self,
        store,
        root,
        schemes=None,
        root_floor=0,
        on_clock=None,
        max_length=65536,
        nested=False,
    ):
        self._store = store
        self._factory = root
        self._schemes = schemes or ed25519_scheme()
        self._on_clock = on_clock
        self._max_length = max_length
        self._nested = nested
        self._buf = bytearray(_BUFFER)
        self._ready = False
        try:
            floor, self.issued, self._roles = _parse_record(store.load(_RECORD) or b"")
        except (TypeError, ValueError):  # there is none, or it is not ours
            floor, self.issued, self._roles = 0, "", {}
        self.root_version = max(floor, root_floor)

    def refresh(self, certain, now):
        """Bring root, timestamp, snapshot and targets up to date; True if anything was new."""
        self._ready = False
        self._certain = max(certain, self.issued)
        self._now = now
        before = self._roles
        root = yield from self._refresh_root()
        self._consistent = root["consistent_snapshot"]
        meta = yield from self._refresh_timestamp(root["timestamp"])
        yield from self._obtain("snapshot", root["snapshot"], meta, False)
        meta = self._read_meta(self._roles["snapshot"], "targets")
        yield from self._obtain("targets", root["targets"], meta, True)
        self._ready = True
        return self._roles is not before

    def find(self, path):
        """Look a target up: depth first, in the order of the delegations (TUF 5.6.7)."""
        if not self._ready:
            raise ValueError("refresh() first")
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
            keys = {"keys": lambda r: read_keys(r, self._schemes)}
            roles = {"roles": lambda r: _read_delegations(r, path)}
            found = self._read(
                self._roles[role],
                {"targets": ({}, {path: _read_target})},
                {"delegations": (keys, roles)} if self._nested or not authority else None,
            )
            if path in found["targets"]:
                return Target(path, role, found["targets"][path], self._consistent)
            found = found.get("delegations", {})
            children = found.get("roles")
            if children:
                if children[-1]["terminating"]:
                    todo = []
                for child in reversed(children):
                    todo.append((child["name"], Authority(found["keys"], child), role))
            yield
        return None

    # Root

    def _refresh_root(self):
        """Follow the chain of roots to the newest; return what it says (TUF 5.3)."""
        entry = self._roles.get("root")
        if entry and self._is_intact(entry):
            root = self._read_root(entry)
        else:
            entry, root = yield from self._accept_root("", {})
        for _ in range(_ROTATIONS):
            version = entry[_VERSION] + 1
            document = yield from self._fetch(str(version) + ".root.json", _ROOT_MAX)
            if not document:
                break
            entry, root = yield from self._accept_root(document, {"version": version}, root)
        else:
            raise TrustError("too many new roots at once", entry[_VERSION])
        _check_rollback("root", entry[_VERSION], self.root_version)
        self._check_fresh("root", entry)
        return root

    def _accept_root(self, document, meta, old=None):
        """Check a root: vouched for by its own keys and, if there is one, by the `old` root's."""
        meta["sha256"] = self._digest(document)
        # Read before it is checked, to learn its keys; the digest ties both to the same bytes.
        root = self._read_root([document, None, _ROOT_MAX, meta["sha256"]])
        own = root["root"]
        authority = old["root"] if old else own
        entry, issued = yield from self._check("root", authority, document, _ROOT_MAX, meta)
        if authority.digest != own.digest:
            entry, issued = yield from self._check("root", own, document, _ROOT_MAX, meta)
        self._commit("root", entry, issued)
        return entry, root

    def _read_root(self, entry):
        """Return {role: Authority} and "consistent_snapshot"."""
        found = self._read(
            entry,
            {
                "keys": lambda r: read_keys(r, self._schemes),
                "roles": (dict.fromkeys(_TOP, (_ROLE,)),),
            },
            {"consistent_snapshot": Reader.boolean},
        )
        root = {name: Authority(found["keys"], found["roles"][name]) for name in _TOP}
        root["consistent_snapshot"] = found.get("consistent_snapshot", False)
        return root

    # Timestamp, snapshot, targets and delegated roles

    def _refresh_timestamp(self, authority):
        """Return what the newest timestamp says about the snapshot (TUF 5.4)."""
        old = entry = yield from self._trusted("timestamp", authority)
        document = yield from self._fetch("timestamp.json", _TIMESTAMP_MAX, old)
        if not document:
            raise TrustError("metadata missing", "timestamp")
        if not old or document != old[_DOCUMENT]:
            entry, _ = yield from self._check("timestamp", authority, document, _TIMESTAMP_MAX, {})
        meta = self._read_meta(entry, "snapshot")
        if old and entry is not old:
            _check_rollback("timestamp", entry[_VERSION], old[_VERSION])
            if old[_DOCUMENT]:
                stored = self._read_meta(old, "snapshot")
                if entry[_VERSION] == old[_VERSION]:  # one content: the one that came first
                    entry, meta = old, stored
                _check_rollback("snapshot", meta["version"], stored["version"])
        self._check_fresh("timestamp", entry)
        if entry is not old:
            self._commit("timestamp", entry)
        return meta

    def _obtain(self, role, authority, meta, offline, walk=()):
        """Make the document of a role what `meta` says, fetching it only if it is another one.

        `offline`: its keys are, so its x-issued counts. `walk`: roles to keep in the record.
        """
        old = yield from self._trusted(role, authority)
        if (
            old
            and old[_DOCUMENT]
            and meta["version"] == old[_VERSION]
            and meta.get("length", old[_LENGTH]) == old[_LENGTH]
            and meta.get("sha256", old[_SHA256]) == old[_SHA256]
        ):
            self._check_fresh(role, old)
            return
        file = quote(role, "") + ".json"
        if self._consistent:
            file = str(meta["version"]) + "." + file
        limit = min(meta.get("length", self._max_length), self._max_length)
        document = yield from self._fetch(file, limit)
        if not document:
            raise TrustError("metadata missing", role)
        entry, issued = yield from self._check(role, authority, document, limit, meta)
        if role == "snapshot" and old:
            self._check_snapshot(old, entry)
        self._check_fresh(role, entry)
        self._commit(role, entry, issued if offline else "", walk)

    def _check_snapshot(self, old, new):
        """Refuse a snapshot in which a role is missing or older than it was (TUF 5.5.5)."""
        _check_rollback("snapshot", new[_VERSION], old[_VERSION])
        if old[_DOCUMENT]:

            def compare(news):
                wanted = {"meta": lambda olds: _check_metas(olds, news)}
                return self._read(old, wanted, None, bytearray(_BUFFER))

            self._read(new, {"meta": compare})
        else:  # the old one is lost: what is recorded of its roles has to do
            for role, entry in self._roles.items():
                if role not in ("root", "timestamp", "snapshot"):
                    _check_rollback(role, self._read_meta(new, role)["version"], entry[_VERSION])

    def _read_meta(self, entry, role):
        """Return what a snapshot or timestamp says about a role."""
        role += ".json"
        return self._read(entry, {"meta": ({role: _read_meta},)})["meta"][role]

    # Documents

    def _trusted(self, role, authority):
        """Return the record of a role if `authority` vouches for it, or None.

        Its document is None if it is lost: then only the version still counts.
        """
        entry = self._roles.get(role)
        if not entry:
            return None
        if not self._is_intact(entry):
            entry[_DOCUMENT] = None
        elif entry[_AUTHORITY] != authority.digest:
            try:
                entry, _ = yield from self._check(
                    role, authority, entry[_DOCUMENT], entry[_LENGTH], {"sha256": entry[_SHA256]}
                )
            except TrustError:
                return None  # it stays in the record until a better one takes its place
            self._commit(role, entry)
        return entry if entry[_AUTHORITY] == authority.digest else None

    def _fetch(self, file, max_length, old=None):
        """Have a file fetched; return the document it is in, or None if there is no such file.

        That is the document of `old` if it has the same content.
        """
        used = [entry[_DOCUMENT] for entry in self._roles.values()]
        names = ["m%d" % n for n in range(len(used) + 3)]
        names = [name for name in names if name not in used]
        request = Request(self._store, names, file, max_length, _HELD if old else 0)
        try:
            answer = yield request
            if answer is None:
                raise ValueError("True or False")
            if not answer:
                return None
            if old and old[_DOCUMENT] and _hex(request.digest) == old[_SHA256]:
                return old[_DOCUMENT]
            request.flush()
            return request.document
        finally:
            request.close()

    def _check(self, role, authority, document, limit, meta):
        """Check a document: what `meta` says of it, its header, its signatures.

        Returns (what to record for it, x-issued or ""). Changes no state.
        """
        sums = {"sha256": sha256()}
        if "sha512" in meta:
            sums["sha512"] = sha512()
        votes = Votes(authority)

        def signed(r):
            r.start(votes.sinks)
            header = r.fields(
                {
                    "_type": _NAME,
                    "expires": _read_time,
                    "spec_version": _NAME,
                    "version": Reader.positive,
                },
                {"x-issued": _read_time},
            )
            r.stop()
            return header

        wanted = {"signatures": votes.read, "signed": signed}
        found, length = self._walk(document, limit, sums.values(), wanted)
        facts = found["signed"]
        facts["length"] = length
        for name, h in sums.items():
            facts[name] = _hex(h)
        meta["_type"] = role if role in _TOP else "targets"
        for name in meta:
            if facts[name] != meta[name]:
                raise TrustError("metadata not as announced", role, name)
        if not facts["spec_version"].startswith("1."):
            raise TrustError("TUF version", role)
        count = yield from votes.count()
        if count < authority.threshold:
            raise TrustError("signatures", role, count, authority.threshold)
        entry = [
            document,
            facts["version"],
            length,
            facts["sha256"],
            authority.digest,
            facts["expires"],
        ]
        return entry, facts.get("x-issued", "")

    def _read(self, entry, needed, optional=None, buf=None):
        """Read "signed" of an accepted document as Reader.fields does."""
        h = sha256()
        wanted = {"signed": (needed, optional)}
        found, _ = self._walk(entry[_DOCUMENT], entry[_LENGTH], (h,), wanted, buf)
        if _hex(h) != entry[_SHA256]:
            raise TrustError("stored metadata")
        return found["signed"]

    def _walk(self, document, limit, sinks, needed, buf=None):
        """Read a document from front to end; return its fields and its length."""
        file = self._open(document)
        try:
            r = Reader(file, buf or self._buf, limit, sinks)
            found = r.fields(needed)
            r.end()
            return found, r.length
        finally:
            file.close()

    def _is_intact(self, entry):
        document = entry[_DOCUMENT]
        try:
            return document is not None and self._digest(document) == entry[_SHA256]
        except (StoreError, TrustError):
            return False

    def _digest(self, document):
        file = self._open(document)
        h = sha256()
        view = memoryview(self._buf)
        try:
            while n := file.readinto(view):
                h.update(view[:n])
            return _hex(h)
        finally:
            file.close()

    def _open(self, document):
        file = self._store.open(document) if document else self._factory()
        if not file:
            raise TrustError("stored metadata")
        return file

    # Time

    def _check_fresh(self, role, entry):
        expires = entry[_EXPIRES]
        if expires <= self._certain:
            raise ExpiredError("metadata expired", role, expires, self._certain)
        if expires <= self._now:
            error = ClockError("metadata expired, says the clock", role, expires, self._now)
            if not self._on_clock:
                raise error
            self._on_clock(error)

    # State

    def _commit(self, role, entry, issued="", walk=()):
        """Record what was accepted. A save that fails changes nothing."""
        roles = dict(self._roles)
        gone = []
        if role == "snapshot":  # under new keys it may no longer list every role
            wanted = {name + ".json": Reader.value for name in roles}
            listed = self._read(entry, {"meta": ({}, wanted)})["meta"]
            for name in self._roles:
                if name not in _TOP and name + ".json" not in listed:
                    gone.append(roles.pop(name)[_DOCUMENT])
        if role not in roles and len(roles) >= _RECORDED:
            for name in self._roles:
                if name not in _TOP and name not in walk:
                    del roles[name]
                    break
        roles[role] = entry
        floor = self.root_version
        if role == "root":
            floor = max(floor, entry[_VERSION])
        # The floor of time rises, unless the document would then have expired itself.
        if issued >= entry[_EXPIRES]:
            issued = ""
        issued = max(issued, self.issued)
        # One JSON text in each line: a single one would grow in steps, and each may be a new copy.
        lines = [json.dumps(part).encode() for part in [floor, issued] + list(roles.items())]
        record = b"\n".join(lines)
        if len(record) > _RECORD_MAX:
            raise TrustError("metadata too long", _RECORD_MAX)
        self._store.save(_RECORD, record)
        self._roles = roles
        self.root_version = floor
        self.issued = issued
        self._certain = max(self._certain, issued)
        for document in gone:
            if document:
                self._store.remove(document)


def _parse_record(record):
    """Return (floor, issued, roles). ValueError or TypeError: it is not what _commit writes."""
    floor, issued, *roles = [json.loads(line) for line in record.split(b"\n")]
    kinds = [type(floor), type(issued)]
    for name, entry in roles:
        document, *facts = entry
        kinds += [type(part) for part in [name, document or ""] + facts]
    if kinds != [int, str] + [str, str, int, int, str, str, str] * len(roles):
        raise ValueError
    return floor, issued, dict(roles)


def _hex(h):
    return hexlify(h.digest()).decode()


def _check_rollback(role, new, old):
    if new < old:
        raise TrustError("rollback", role, new, old)


# Parts of documents: each function reads one value


def _read_time(r):
    text = r.string(20) or ""
    if (
        len(text) != 20
        or any(
            not low <= c <= high
            for c, low, high in zip(text, "0000-00-00T00:00:00Z", "9999-19-39T29:59:59Z")
        )
        or not "01" <= text[5:7] <= "12"
        or not "01" <= text[8:10] <= "31"
        or text[11:13] > "23"
    ):
        raise TrustError("date in metadata")
    return text


def _read_hashes(r):
    """Return the hashes that can be checked, at least one."""
    hashes = r.fields({}, {"sha256": 64, "sha512": 128})
    if not hashes or any(not text or text.strip(_HEX) for text in hashes.values()):
        raise TrustError("hashes in metadata")
    return hashes


def _read_meta(r):
    """Return {"version", "length", "sha256", "sha512"}, as far as they are given."""
    meta = r.fields(
        {"version": Reader.positive}, {"length": Reader.natural, "hashes": _read_hashes}
    )
    meta.update(meta.pop("hashes", {}))
    return meta


def _read_target(r):
    return r.fields(
        {"length": Reader.natural, "hashes": _read_hashes},
        {"custom": lambda r: r.value(_CUSTOM)},
    )


def _check_metas(olds, news):
    """Walk two sorted maps side by side: the new one has every entry of the old, none lower."""
    names = news.keys()
    for old_name in olds.keys():
        old = _read_meta(olds)
        for name in names:
            new = _read_meta(news)
            if name == old_name:
                _check_rollback(name, new["version"], old["version"])
                break
        else:
            raise TrustError("role missing in snapshot")
    for _ in names:
        news.value()


def _read_delegations(r, path):
    """Return the roles to visit for `path`, in order. None follows a terminating one."""
    digest = _hex(sha256(path.encode()))
    needed = {
        "keyids": read_keyids,
        "name": _NAME,
        "terminating": Reader.boolean,
        "threshold": Reader.positive,
    }
    optional = {
        "path_hash_prefixes": lambda r: _is_any(r, digest.startswith),
        "paths": lambda r: _is_any(r, lambda pattern: matches(pattern, path)),
    }
    children = []
    for _ in r.items():
        role = r.fields(needed, optional)
        name = role["name"]
        if not name or name in _TOP or min(name) < " " or max(name) > "~":
            raise TrustError("name of a delegated role")
        if (role.get("paths") or role.get("path_hash_prefixes")) and not (
            children and children[-1]["terminating"]
        ):
            if len(children) == _WALK:
                raise TrustError("too many delegated roles")
            children.append(role)
    return children


def _is_any(r, covers):
    """Read an array of patterns; return whether one of them covers the path."""
    found = False
    for _ in r.items():
        pattern = r.string(_PATTERN)
        # Not knowing what a set covers, nobody could say what a later delegation may cover.
        if pattern is None or "[" in pattern:
            raise TrustError("path pattern")
        found = covers(pattern) or found
    return found
