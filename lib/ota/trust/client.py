# SPDX-License-Identifier: MIT
"""A TUF client without input or output of its own: metadata in, trusted targets out.

Source: The Update Framework specification 1.0.x, section 5. The network is the driver's business;
what was accepted is kept through a `Store` (ota.ports).

    client = Client(store, root)
        store       ota.ports.Store; uses the record "trust" and the documents "m0", "m1", ...
        root        function that opens the factory root (a binary stream with readinto and close)
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
    vouched for it have changed (Authority.digest). If they no longer do, its version is forgotten
    with it: that is TUF's recovery from fast-forward attacks.
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
    def __init__(self, path, role, length, hashes, custom, file):
        self.path = path
        self.role = role
        self.length = length
        self.hashes = hashes
        self.custom = custom
        self.file = file


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
        while self._in and len(data):
            n = self._in.readinto(self._view[: min(len(data), _BUFFER)])
            if not n or self._view[:n] != data[:n]:
                self._differ()
            else:
                self._same += n
                data = data[n:]
        if len(data):
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
    def __init__(
        self, store, root, schemes=None, root_floor=0, on_clock=None, max_length=262144
    ):
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
        yield from self._obtain("snapshot", root["snapshot"], meta)
        meta = self._in_snapshot("targets")
        yield from self._obtain("targets", root["targets"], meta)
        self._ready = True
        return self._new

    def find(self, path):
        """Look a target up: depth first, in the order of the delegations (TUF 5.6.7)."""
        if not self._ready:
            raise ValueError("find() before refresh()")
        todo = [("targets", None)]
        visited = []
        while todo:
            role, authority = todo.pop()
            if role in visited:
                continue
            if len(visited) == _WALK:
                raise TrustError("too many delegated roles")
            visited.append(role)
            if authority:
                yield from self._obtain(role, authority, self._in_snapshot(role), visited)
            entry = self._roles[role]
            found = self._read(
                entry,
                {
                    "delegations": lambda r: _read_delegations(r, path),
                    "targets": lambda r: _read_target(r, path),
                },
            )
            target = found.get("targets")
            if target:
                length, hashes, custom = target
                file = self._target_file(path, hashes)
                return Target(path, role, length, hashes, custom, file)
            children = found.get("delegations")
            if children:
                wanted = set()
                for child in children:
                    wanted.update(child[1])
                keys = self._read(
                    entry, {"delegations": lambda r: _read_delegated_keys(r, self._schemes, wanted)}
                )["delegations"]
                if children[-1][3]:
                    todo = []
                for name, keyids, threshold, _ in reversed(children):
                    todo.append((name, Authority(self._schemes, keys, keyids, threshold)))
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
        h = sha256()
        length = self._hash("", h)
        entry = ["", 0, length, _hex(h), "", ""]
        keys = self._read_root(entry)["root"]
        entry, issued = yield from self._check("root", keys, "", length, (None, length, {}))
        self._commit("root", entry, issued)
        return entry

    def _accept_root(self, document, version, old):
        """Check the next root: vouched for by the keys of the old one and by its own."""
        meta = (version, None, {})
        entry, issued = yield from self._check("root", old["root"], document, _ROOT_MAX, meta)
        root = self._read_root(entry)
        if root["root"].digest() != entry[_AUTHORITY]:
            meta = (version, entry[_LENGTH], {"sha256": entry[_SHA256]})
            entry, _ = yield from self._check("root", root["root"], document, _ROOT_MAX, meta)
        self._commit("root", entry, issued)
        return entry, root

    def _read_root(self, entry):
        """Return {role: Authority} and "consistent_snapshot"."""
        found = self._read(
            entry,
            {
                "consistent_snapshot": Reader.boolean,
                "keys": lambda r: read_keys(r, self._schemes),
                "roles": _read_roles,
            },
        )
        roles = found.get("roles") or {}
        root = {"consistent_snapshot": found.get("consistent_snapshot", False)}
        for role in _TOP:
            if role not in roles or "keys" not in found:
                raise TrustError("role missing in root", role)
            root[role] = Authority(self._schemes, found["keys"], *roles[role])
        return root

    # Timestamp, snapshot, targets and delegated roles

    def _refresh_timestamp(self, authority):
        """Return what the newest timestamp says about the snapshot (TUF 5.4)."""
        old = yield from self._trusted("timestamp", authority)
        stored = old[_DOCUMENT] if old else None
        request = yield from self._fetch("timestamp.json", _TIMESTAMP_MAX, old)
        if not request:
            raise TrustError("metadata missing", "timestamp")
        entry, issued = old, None
        if request.document != stored:
            entry, issued = yield from self._check(
                "timestamp", authority, request.document, _TIMESTAMP_MAX, (None, None, {})
            )
            if old:
                if entry[_VERSION] < old[_VERSION]:
                    raise TrustError("rollback", "timestamp", entry[_VERSION], old[_VERSION])
                if entry[_VERSION] == old[_VERSION] and stored:
                    entry = old  # a version has one content: the one that came first
        meta = self._read_meta(entry, "snapshot")
        if entry is not old:
            if stored:
                version = self._read_meta(old, "snapshot")[0]
                if meta[0] < version:
                    raise TrustError("rollback", "snapshot", meta[0], version)
            self._check_fresh("timestamp", entry)
            self._commit("timestamp", entry, issued)
        else:
            self._check_fresh("timestamp", entry)
        return meta

    def _obtain(self, role, authority, meta, walk=()):
        """Make the document of a role what `meta` says, fetching it only if it is another one."""
        old = yield from self._trusted(role, authority)
        version, length, hashes = meta
        if (
            old
            and old[_DOCUMENT]
            and old[_VERSION] == version
            and length in (None, old[_LENGTH])
            and hashes.get("sha256", old[_SHA256]) == old[_SHA256]
        ):
            self._check_fresh(role, old)
            return
        file = quote(role, "") + ".json"
        if self._consistent:
            file = str(version) + "." + file
        limit = self._max_length if length is None else min(length, self._max_length)
        request = yield from self._fetch(file, limit)
        if not request:
            raise TrustError("metadata missing", role)
        entry, issued = yield from self._check(role, authority, request.document, limit, meta)
        if role == "snapshot" and old:
            self._check_snapshot(old, entry)
        self._check_fresh(role, entry)
        self._commit(role, entry, issued, walk)

    def _check_snapshot(self, old, new):
        """Refuse a snapshot in which a role is missing or older than it was (TUF 5.5.5)."""
        if new[_VERSION] < old[_VERSION]:
            raise TrustError("rollback", "snapshot", new[_VERSION], old[_VERSION])
        if old[_DOCUMENT]:
            other = bytearray(_BUFFER)
            self._read(
                new,
                {"meta": lambda n: self._read(old, {"meta": lambda o: _check_metas(o, n)}, other)},
            )
        else:  # the old one is lost: what is recorded of its roles has to do
            for role, entry in self._roles.items():
                if role not in ("root", "timestamp", "snapshot"):
                    meta = self._read_meta(new, role)
                    if not meta or meta[0] < entry[_VERSION]:
                        raise TrustError("rollback", role, meta and meta[0], entry[_VERSION])

    def _in_snapshot(self, role):
        meta = self._read_meta(self._roles["snapshot"], role)
        if not meta:
            raise TrustError("role missing in snapshot", role)
        return meta

    def _read_meta(self, entry, role):
        """Return (version, length or None, hashes) of a role as a document says, or None."""
        name = role + ".json"
        meta = self._read(entry, {"meta": lambda r: _read_one_meta(r, name)}).get("meta")
        if not meta and role == "snapshot":
            raise TrustError("role missing in timestamp", role)
        return meta

    def _target_file(self, path, hashes):
        cut = path.rfind("/") + 1
        name = path[cut:]
        if self._consistent:
            name = (hashes.get("sha256") or hashes["sha512"]) + "." + name
        return quote(path[:cut] + name, "/")

    # Documents

    def _trusted(self, role, authority):
        """Return the record of a role if `authority` vouches for it, or None.

        Its document is None if it is lost: then only the version still counts.
        """
        entry = self._roles.get(role)
        if not entry:
            return None
        digest = authority.digest()
        if not self._is_intact(entry):
            entry[_DOCUMENT] = None
        elif entry[_AUTHORITY] != digest:
            meta = (entry[_VERSION], entry[_LENGTH], {"sha256": entry[_SHA256]})
            try:
                entry, _ = yield from self._check(
                    role, authority, entry[_DOCUMENT], entry[_LENGTH], meta
                )
                self._commit(role, entry, None)
            except TrustError:
                entry = None
        if entry and entry[_AUTHORITY] == digest:
            return entry
        roles = dict(self._roles)
        del roles[role]
        self._save(roles, self._floor, self.issued)
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
        version, length, hashes = meta
        sinks = {"sha256": sha256()}
        if "sha512" in hashes:
            from .sha512 import sha512

            sinks["sha512"] = sha512()
        votes = Votes(authority)
        header = None
        total = _Length()
        file = self._open(document)
        try:
            r = Reader(file, self._buf, limit, [total] + list(sinks.values()))
            for key in r.keys():
                if key == "signatures":
                    votes.read(r)
                elif key == "signed":
                    r.start(votes.sinks)
                    header = _read_header(r, role)
                    r.stop()
                else:
                    r.value()
            r.end()
        finally:
            file.close()
        if length is not None and total.length != length:
            raise TrustError("metadata length", role, total.length, length)
        for name in sinks:
            sinks[name] = _hex(sinks[name])
            if hashes.get(name, sinks[name]) != sinks[name]:
                raise TrustError("metadata hash", role)
        if not header:
            raise TrustError("nothing signed", role)
        count = yield from votes.count()
        if count < authority.threshold:
            raise TrustError("signatures", role, count, authority.threshold)
        if version is not None and header[0] != version:
            raise TrustError("metadata version", role, header[0], version)
        entry = [
            document,
            header[0],
            total.length,
            sinks["sha256"],
            authority.digest(),
            header[1],
        ]
        return entry, header[2]

    def _read(self, entry, sections, buf=None):
        """Read an accepted document; return {key: sections[key](reader)} of "signed"."""
        h = sha256()
        found = {}
        file = self._open(entry[_DOCUMENT])
        try:
            r = Reader(file, buf or self._buf, entry[_LENGTH], (h,))
            for key in r.keys():
                if key != "signed":
                    r.value()
                    continue
                for section in r.keys():
                    if section in sections:
                        found[section] = sections[section](r)
                    else:
                        r.value()
            r.end()
        finally:
            file.close()
        if _hex(h) != entry[_SHA256]:
            raise TrustError("stored metadata damaged")
        return found

    def _is_intact(self, entry):
        if entry[_DOCUMENT] is None:
            return False
        h = sha256()
        return self._hash(entry[_DOCUMENT], h) == entry[_LENGTH] and _hex(h) == entry[_SHA256]

    def _hash(self, document, h):
        """Feed a document to `h`; return its length, or None if it is absent."""
        file = self._factory() if document == "" else self._store.open(document)
        if not file:
            return None
        length = 0
        view = memoryview(self._buf)
        try:
            while True:
                n = file.readinto(self._buf)
                if not n:
                    return length
                h.update(view[:n])
                length += n
        finally:
            file.close()

    def _open(self, document):
        file = self._factory() if document == "" else self._store.open(document)
        if not file:
            raise TrustError("stored metadata missing")
        return file

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

    def _issue(self, role, entry, issued):
        """Return the floor of time, raised by a document that would not have expired by it."""
        if issued and self.issued < issued < entry[_EXPIRES]:
            if role in ("root", "targets") or role.startswith("img-"):
                return issued
        return self.issued

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
        self._save(roles, floor, self._issue(role, entry, issued))
        self._new = True

    def _save(self, roles, floor, issued):
        """Save the record; memory follows the store, so a save that fails changes nothing."""
        state = {"roles": roles, "root_floor": floor, "issued": issued}
        self._store.save(_RECORD, json.dumps(state).encode())
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


def _read_header(r, role):
    """Read "signed"; return (version, expires, x-issued or None)."""
    kind = role if role in _TOP else "targets"
    found = set()
    version = expires = issued = None
    for key in r.keys():
        found.add(key)
        if key == "_type":
            if r.string(_NAME) != kind:
                raise TrustError("type of metadata", role)
        elif key == "expires":
            expires = _read_time(r)
        elif key == "spec_version":
            parts = (r.string(_NAME) or "").split(".")
            if parts[0] != "1" or not 2 <= len(parts) <= 3 or not all(p.isdigit() for p in parts):
                raise TrustError("TUF version", role)
        elif key == "version":
            version = r.integer()
            if version < 1:
                raise TrustError("metadata version", role, version)
        elif key == "x-issued":
            issued = _read_time(r)
        else:
            r.value()
    if not found >= {"_type", "expires", "spec_version", "version"}:
        raise TrustError("metadata header", role)
    return version, expires, issued


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


def _read_roles(r):
    """Read the roles of a root; return {role: (keyids, threshold)}."""
    roles = {}
    for role in r.keys():
        if role not in _TOP:
            r.value()
            continue
        keyids = threshold = None
        for key in r.keys():
            if key == "keyids":
                keyids = read_keyids(r)
            elif key == "threshold":
                threshold = read_threshold(r)
            else:
                r.value()
        if keyids is None or threshold is None:
            raise TrustError("role in root", role)
        roles[role] = keyids, threshold
    return roles


def _read_meta_entry(r):
    version = length = None
    hashes = {}
    for key in r.keys():
        if key == "version":
            version = r.integer()
        elif key == "length":
            length = r.integer()
        elif key == "hashes":
            hashes = _read_hashes(r)
        else:
            r.value()
    if version is None or version < 1 or (length is not None and length < 0):
        raise TrustError("entry of a role")
    return version, length, hashes


def _read_hashes(r):
    """Read hashes; return those that are checked, at least one."""
    hashes = {}
    for name in r.keys():
        text = r.string(128)
        if name in ("sha256", "sha512"):
            hashes[name] = text
    if not hashes:
        raise TrustError("no hash that can be checked")
    return hashes


def _read_one_meta(r, name):
    meta = None
    for key in r.keys():
        if key == name:
            meta = _read_meta_entry(r)
        else:
            r.value()
    return meta


def _metas(r):
    for name in r.keys():
        yield name, _read_meta_entry(r)[0]


def _check_metas(old, new):
    """Walk two sorted maps side by side: no entry of the old one is missing or lower in the new."""
    news = _metas(new)
    for name, version in _metas(old):
        for new_name, new_version in news:
            if new_name == name:
                break
        else:
            raise TrustError("role missing in snapshot")
        if new_version < version:
            raise TrustError("rollback in snapshot", new_version, version)
    for _ in news:
        pass


def _read_target(r, path):
    """Read targets; return (length, hashes, custom) of the one at `path`, or None."""
    target = None
    for key in r.keys():
        if key != path:
            r.value()
            continue
        length = hashes = custom = None
        for key in r.keys():
            if key == "length":
                length = r.integer()
            elif key == "hashes":
                hashes = _read_hashes(r)
            elif key == "custom":
                custom = r.value(_CUSTOM)
            else:
                r.value()
        if hashes is None or length is None or length < 0:
            raise TrustError("entry of a target")
        target = length, hashes, custom
    return target


def _read_delegations(r, path):
    """Return [(role, keyids, threshold, terminating)] of those to visit for `path`, in order.

    None follows a terminating one.
    """
    children = []
    for key in r.keys():
        if key != "roles":
            r.value()
            continue
        for _ in r.items():
            is_match, child = _read_delegated_role(r, path)
            if is_match and not (children and children[-1][3]):
                children.append(child)
                if len(children) > _WALK:
                    raise TrustError("too many delegated roles")
    return children


def _read_delegated_role(r, path):
    name = keyids = threshold = terminating = None
    is_match = False
    for key in r.keys():
        if key == "name":
            name = r.string(_NAME)
        elif key == "keyids":
            keyids = read_keyids(r)
        elif key == "threshold":
            threshold = read_threshold(r)
        elif key == "terminating":
            terminating = r.boolean()
        elif key == "paths":
            for _ in r.items():
                is_match |= matches(_read_text(r), path)
        elif key == "path_hash_prefixes":
            digest = _hex(sha256(path.encode()))
            for _ in r.items():
                is_match |= digest.startswith(_read_text(r))
        else:
            r.value()
    if not name or name in _TOP or None in (keyids, threshold, terminating):
        raise TrustError("delegated role")
    return is_match, (name, keyids, threshold, terminating)


def _read_text(r):
    text = r.string(_PATTERN)
    if text is None:
        raise TrustError("path pattern too long")
    return text


def _read_delegated_keys(r, schemes, wanted):
    keys = {}
    for key in r.keys():
        if key == "keys":
            keys = read_keys(r, schemes, wanted)
        else:
            r.value()
    return keys
