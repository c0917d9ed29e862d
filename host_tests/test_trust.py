# SPDX-License-Identifier: MIT
"""The TUF client against a live repository: every rule, one test for each attack.

What each test did is played again by real MicroPython (trust_replay.py), which has to come to the
same outcomes.
"""

import json
from base64 import b64encode
from io import BytesIO

import pytest
from tuf.api.metadata import MetaFile

from ota.errors import ClockError, ExpiredError, FetchError, StoreError, TrustError
from ota.trust.client import Client
from ram_store import PowerCut, RamStore
from repo_sim import Repository, compact, sign, signer, time_text
from trust_replay import drive

IMAGE = "fw/demo/board/1/firmware.bin"
ROLLOUT = "rollout/demo/board/stable"


def solo(**arguments):
    """A repository with one release and its rollout."""
    repo = Repository(**arguments)
    repo.delegate("img-demo", ["fw/demo/*/*/*"], terminating=True)
    repo.delegate("rollout", ["rollout/*/*/*"], terminating=True)
    repo.add_target("img-demo", IMAGE, b"image", {"seq": 1, "boards": ["board"]})
    repo.add_target("rollout", ROLLOUT, b"", {"seq": 1})
    repo.publish("targets", "img-demo", "rollout")
    return repo


class Device:
    """A client with its store, and a record of all that it was told."""

    def __init__(self, repo, root=None, root_floor=0, nested=False):
        self.repo = repo
        self.nested = nested
        self.store = RamStore()
        self.root = root or repo.files["1.root.json"]
        self.script = []
        self.outcomes = []
        self.reboot(root_floor)

    def reboot(self, root_floor=0):
        self.client = Client(
            self.store, lambda: BytesIO(self.root), root_floor=root_floor, nested=self.nested
        )
        self._step("new", [b64encode(self.root).decode(), root_floor, self.nested])

    def refresh(self, day=0, clock=None):
        certain = time_text(day)
        now = certain if clock is None else time_text(clock)
        return self._run(self.client.refresh(certain, now), "refresh", [certain, now])

    def find(self, path):
        return self._run(self.client.find(path), "find", [path])

    def refuses(self, text, error=TrustError, day=0, clock=None):
        """A refresh must end with this error, exactly, and change nothing of what is trusted."""
        with pytest.raises(TrustError) as e:
            self.refresh(day, clock)
        assert (type(e.value), e.value.args[0]) == (error, text)
        return e.value.args[1:]

    def damage(self, name, data):
        self.store.documents[name] = bytearray(data)
        self._step("damage", [name, b64encode(data).decode()])

    def roles(self):
        """What is recorded of each role."""
        return dict(map(json.loads, self.store.records["trust"].splitlines()[2:]))

    def versions(self):
        return {role: entry[1] for role, entry in self.roles().items()}

    def document_of(self, role):
        return self.roles()[role][0]

    def _step(self, do, arguments):
        self.script.append({"do": do, "arguments": arguments, "answers": []})

    def _run(self, work, do, arguments):
        self._step(do, arguments)
        answers = self.script[-1]["answers"]

        def get(file):
            body = self.repo.get(file)
            if isinstance(body, Exception):
                self.script.pop()
                raise body
            answers.append([file, None if body is None else b64encode(body).decode()])
            return body

        try:
            value = drive(work, get)
        except TrustError as e:
            self.outcomes.append(type(e).__name__ + ": " + str(e.args[0]))
            raise
        if value is None or isinstance(value, bool):
            self.outcomes.append(str(value))
        else:
            self.outcomes.append(
                f"{value.path} by {value.role}, {value.length} bytes, {value.file}"
            )
        return value


@pytest.fixture
def device(micropython, run_micropython, tmp_path):
    """device(repo, ...) makes a Device; afterwards MicroPython plays what each of them did."""
    made = []

    def make(repo, **arguments):
        made.append(Device(repo, **arguments))
        return made[-1]

    yield make
    for one in made:
        script = tmp_path / "script.json"
        script.write_text(json.dumps(one.script))
        done = run_micropython(micropython, "host_tests/trust_replay.py", str(script))
        assert done.stdout.splitlines() == one.outcomes, done.stderr


# The ordinary course of things


def test_first_refresh_accepts_every_role_and_find_follows_the_delegations(device):
    d = device(solo())
    assert d.refresh() is True
    assert d.repo.requests == [
        "2.root.json",
        "timestamp.json",
        "2.snapshot.json",
        "2.targets.json",
    ]
    target = d.find(IMAGE)
    assert (target.role, target.length, target.custom) == (
        "img-demo",
        5,
        {"seq": 1, "boards": ["board"]},
    )
    assert target.file == "fw/demo/board/1/" + target.hashes["sha256"] + ".firmware.bin"
    assert d.find(ROLLOUT).role == "rollout"
    assert d.find("fw/demo/board/2/firmware.bin") is None
    assert d.repo.requests[4:] == ["1.img-demo.json", "1.rollout.json"]
    assert d.versions() == {
        "root": 1, "timestamp": 2, "snapshot": 2, "targets": 2, "img-demo": 1, "rollout": 1
    }  # fmt: skip


def test_steady_poll_is_two_requests_and_writes_nothing(device):
    d = device(solo())
    d.refresh()
    d.find(IMAGE)
    d.reboot()
    d.repo.requests.clear()
    writes = d.store.writes
    assert d.refresh() is False
    assert d.find(IMAGE).length == 5
    assert d.repo.requests == ["2.root.json", "timestamp.json"]
    assert d.store.writes == writes


def test_steady_poll_checks_no_signature():
    d = Device(solo())
    d.refresh()
    d.find(IMAGE)

    class Verifier:
        def __init__(self, key, signature):
            raise AssertionError("a signature was to be checked")

    schemes = {"ed25519": (("ed25519",), bytes.fromhex, Verifier)}
    client = Client(d.store, lambda: BytesIO(d.root), schemes)
    assert drive(client.refresh(time_text(), time_text()), d.repo.get) is False
    assert drive(client.find(IMAGE), d.repo.get).length == 5


def test_only_what_changed_is_fetched(device):
    d = device(solo())
    d.refresh()
    d.find(IMAGE)
    d.repo.publish("rollout")
    d.repo.requests.clear()
    assert d.refresh() is True
    assert d.find(IMAGE) and d.find(ROLLOUT)
    assert d.repo.requests == [
        "2.root.json",
        "timestamp.json",
        "3.snapshot.json",
        "2.rollout.json",
    ]


def test_repository_without_consistent_snapshots(device):
    d = device(solo(consistent=False))
    d.refresh()
    assert d.find(IMAGE).file == IMAGE
    assert d.repo.requests[2:] == ["snapshot.json", "targets.json", "img-demo.json"]


@pytest.mark.parametrize("hashes", [(), ("sha512",), ("sha256", "sha512")])
def test_hashes_of_metadata_are_optional_and_may_be_sha512(device, hashes):
    d = device(solo(hashes=hashes))
    assert d.refresh() is True
    assert d.find(IMAGE)


def test_target_with_sha512_only(device):
    repo = solo()
    repo.add_target("img-demo", IMAGE, b"image", hashes=["sha512"])
    repo.publish("img-demo")
    d = device(repo)
    d.refresh()
    target = d.find(IMAGE)
    assert list(target.hashes) == ["sha512"]
    assert target.hashes["sha512"] in target.file


@pytest.mark.parametrize(
    "hashes", [{}, {"md5": "00"}, {"sha256": ""}, {"sha256": "../" + "0" * 61}, {"sha256": 1}]
)
def test_hashes_of_a_target_that_are_none(device, hashes):
    repo = solo()

    def change(signed):
        signed["targets"][IMAGE]["hashes"] = hashes

    repo.forge("img-demo", change)
    d = device(repo)
    d.refresh()
    with pytest.raises(TrustError):
        d.find(IMAGE)


def test_find_needs_a_refresh():
    d = Device(solo())
    with pytest.raises(ValueError):
        drive(d.client.find(IMAGE), d.repo.get)


def test_a_driver_has_to_answer_a_request():
    work = Device(solo()).client.refresh(time_text(), time_text())
    while work.send(None) is None:
        pass
    with pytest.raises(ValueError):
        work.send(None)


# Root


def rotate_root(repo):
    """Publish a root with a new root key, signed with the old one and with the new one."""
    old = repo.signers["root"]
    repo.rotate("root")
    repo.publish("root", signers=old + repo.signers["root"])


def test_chain_of_roots(device):
    repo = solo()
    d = device(repo)
    for _ in range(5):
        rotate_root(repo)
    assert d.refresh() is True
    assert d.client.root_version == 6
    assert repo.requests[:6] == ["%d.root.json" % n for n in range(2, 8)]


def test_root_not_signed_by_the_old_key(device):
    repo = solo()
    d = device(repo)
    d.refresh()
    repo.rotate("root")
    repo.publish("root")
    assert d.refuses("signatures") == ("root", 0, 1)
    assert d.client.root_version == 1


def test_root_not_signed_by_its_own_key(device):
    repo = solo()
    d = device(repo)
    old = repo.signers["root"]
    repo.rotate("root")
    repo.publish("root", signers=old)
    assert d.refuses("signatures") == ("root", 0, 1)
    assert d.client.root_version == 1


def test_root_that_skips_a_version(device):
    repo = solo()
    d = device(repo)
    repo.signed("root").version = 2
    repo.publish("root")
    repo.files["2.root.json"] = repo.files["3.root.json"]
    assert d.refuses("metadata not as announced") == ("root", "version")


def test_old_root_offered_as_new_one(device):
    repo = solo()
    d = device(repo)
    repo.publish("root")
    d.refresh()
    repo.lies["3.root.json"] = repo.files["2.root.json"]
    assert d.refuses("metadata not as announced") == ("root", "version")


def test_root_binds_an_old_keyid_to_another_key(device):
    """The signature is good under the attacker's key, whose keyid is the owner's."""
    repo = solo()
    d = device(repo)
    d.refresh()
    owner, attacker = repo.signers["root"][0], signer(99)
    keyid = owner.public_key.keyid

    def change(signed):
        signed["keys"][keyid] = attacker.public_key.to_dict()
        signed["version"] = 2

    signed = repo.signed("root").to_dict()
    change(signed)
    document = json.loads(sign(signed, [attacker]))
    document["signatures"][0]["keyid"] = keyid
    repo.files["2.root.json"] = compact(document)
    assert d.refuses("signatures") == ("root", 0, 1)


def test_vote_of_the_old_key_does_not_count_for_the_new_key_of_the_same_keyid(device):
    """The owner signs a root that binds the owner's keyid to another key: no vote of that key."""
    repo = solo()
    d = device(repo)
    keyid = repo.signers["root"][0].public_key.keyid

    def change(signed):
        signed["keys"][keyid] = signer(99).public_key.to_dict()

    repo.forge("root", change)
    assert d.refuses("signatures") == ("root", 0, 1)
    assert d.client.root_version == 1


@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_one_key_under_two_keyids_has_one_vote(device, spelling):
    repo = solo()
    d = device(repo)
    one = repo.signers["timestamp"][0]

    def change(signed):
        other = one.public_key.to_dict()
        other["keyval"]["public"] = spelling(other["keyval"]["public"])
        signed["keys"]["other"] = other
        signed["roles"]["timestamp"]["keyids"].append("other")
        signed["roles"]["timestamp"]["threshold"] = 2

    repo.forge("root", change)
    document = json.loads(repo.files["timestamp.json"])
    document["signatures"].append({"keyid": "other", "sig": document["signatures"][0]["sig"]})
    repo.files["timestamp.json"] = compact(document)
    assert d.refuses("signatures") == ("timestamp", 1, 2)


def test_two_signatures_under_one_keyid(device):
    repo = solo()
    d = device(repo)
    document = json.loads(repo.files["timestamp.json"])
    document["signatures"] *= 2
    repo.files["timestamp.json"] = compact(document)
    d.refuses("two signatures under one keyid")


def test_keyid_twice_in_a_role(device):
    repo = solo()
    d = device(repo)

    def change(signed):
        signed["roles"]["timestamp"]["keyids"] *= 2

    repo.forge("root", change)
    d.refuses("keyids of a role")


def test_threshold_is_reached_with_a_bad_signature_among_good_ones(device):
    repo = solo()
    d = device(repo)
    repo.add_key("timestamp")
    repo.add_key("timestamp")
    repo.signed("root").roles["timestamp"].threshold = 2
    repo.publish("root")
    repo.publish_timestamp()
    document = json.loads(repo.files["timestamp.json"])
    good = document["signatures"][0]["sig"]
    for bad in ("00" * 64, "zz", "", good[:-2], good + "00", "0" * 2000):
        document["signatures"][0]["sig"] = bad
        repo.files["timestamp.json"] = compact(document)
        assert d.refresh() in (True, False)
        repo.publish_timestamp()
        document = json.loads(repo.files["timestamp.json"])
    document["signatures"][0]["sig"] = document["signatures"][1]["sig"] = "00" * 64
    repo.files["timestamp.json"] = compact(document)
    assert d.refuses("signatures") == ("timestamp", 1, 2)


def test_keys_that_cannot_vote_are_no_error(device):
    repo = solo()
    d = device(repo)

    def change(signed):
        for i, key in enumerate(
            (
                {"keytype": "new", "scheme": "new", "keyval": {"public": "00" * 32}},
                {"keytype": "rsa", "scheme": "ed25519", "keyval": {"public": "00" * 32}},
                {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "zz"}},
                {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00" * 31}},
                {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "a" * 5000}},
                {"keytype": "ed25519", "scheme": "ed25519", "keyval": {}},
            )
        ):
            signed["keys"]["k%d" % i] = key
            signed["roles"]["timestamp"]["keyids"].append("k%d" % i)
        signed["roles"]["timestamp"]["keyids"].append("absent")

    repo.forge("root", change)
    document = json.loads(repo.files["timestamp.json"])
    for i in range(6):
        document["signatures"].append({"keyid": "k%d" % i, "sig": "00" * 64})
    repo.files["timestamp.json"] = compact(document)
    assert d.refresh() is True


@pytest.mark.parametrize("threshold", [0, -1, True, 10**15, 1.0, "1", None])
@pytest.mark.parametrize("role", ["root", "timestamp"])
def test_threshold_that_is_none(device, role, threshold):
    repo = solo()
    d = device(repo)

    def change(signed):
        signed["roles"][role]["threshold"] = threshold

    document = repo.signed("root").to_dict()
    document["version"] = 2
    change(document)
    if threshold == 1.0 and threshold is not True:
        document = json.loads(repo.files["1.root.json"].replace(b'"version":1', b'"version":2'))
        body = compact(document).replace(b'"threshold":1', b'"threshold":1.0')
        repo.files["2.root.json"] = body
    else:
        repo.files["2.root.json"] = sign(document, repo.signers["root"])
    with pytest.raises(TrustError):
        d.refresh()
    assert d.client.root_version == 1


def test_threshold_beyond_the_number_of_keys(device):
    repo = solo()
    d = device(repo)

    def change(signed):
        signed["roles"]["timestamp"]["threshold"] = 999999999999999

    repo.forge("root", change)
    assert d.refuses("signatures") == ("timestamp", 1, 999999999999999)


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_root_without_a_role(device, role):
    repo = solo()
    d = device(repo)

    def change(signed):
        del signed["roles"][role]

    repo.forge("root", change)
    assert d.refuses("missing in metadata") == (role,)


def test_root_server_trouble_does_not_mean_newest(device):
    repo = solo()
    d = device(repo)
    d.refresh()
    repo.lies["2.root.json"] = FetchError("status", status=500)
    before = d.store.records["trust"]
    with pytest.raises(FetchError):
        d.refresh()
    assert d.store.records["trust"] == before
    del repo.lies["2.root.json"]
    assert d.refresh() is False


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>log in</html>", b"{}", b"", b"[]", b'""'])
@pytest.mark.parametrize("file", ["2.root.json", "timestamp.json"])
def test_captive_portal_is_trouble_of_this_check_only(device, file, page):
    repo = solo()
    d = device(repo)
    d.refresh()
    before = d.store.records["trust"]
    repo.lies[file] = page
    with pytest.raises(TrustError):
        d.refresh()
    assert d.store.records["trust"] == before
    del repo.lies[file]
    assert d.refresh() is False


def test_stored_root_damaged_falls_back_to_the_factory_root(device):
    repo = solo()
    d = device(repo)
    rotate_root(repo)
    rotate_root(repo)
    d.refresh()
    assert d.client.root_version == 3
    d.damage(d.document_of("root"), b"damaged")
    d.reboot()
    repo.requests.clear()
    d.refresh()
    assert repo.requests[0] == "2.root.json"
    assert d.client.root_version == 3


def test_no_root_below_the_stored_floor_after_a_fall_back(device):
    repo = solo()
    d = device(repo)
    rotate_root(repo)
    rotate_root(repo)
    d.refresh()
    d.damage(d.document_of("root"), b"damaged")
    repo.lies["3.root.json"] = None
    d.reboot()
    assert d.refuses("rollback") == ("root", 2, 3)
    d.reboot()
    assert d.refuses("rollback") == ("root", 2, 3)
    del repo.lies["3.root.json"]
    assert d.refresh() in (True, False)


def test_no_root_below_the_floor_kept_elsewhere(device):
    repo = solo()
    d = device(repo, root_floor=2)
    assert d.refuses("rollback") == ("root", 1, 2)
    repo.publish("root")
    assert d.refresh() is True


def test_factory_root_not_signed(device):
    repo = solo()
    root = json.loads(repo.files["1.root.json"])
    root["signatures"][0]["sig"] = "00" * 64
    d = device(repo, root=compact(root))
    repo.requests.clear()
    d.refuses("signatures")
    assert repo.requests == []


def test_endless_chain_of_roots_goes_on_at_the_next_check():
    repo = solo()
    d = Device(repo)
    for _ in range(70):
        repo.publish("root")
    d.refuses("too many new roots at once")
    assert d.client.root_version == 65
    d.refresh()
    assert d.client.root_version == 71


# Documents that are not what they should be


def change_field(name, value):
    def change(signed):
        if value is None:
            del signed[name]
        else:
            signed[name] = value

    return change


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
@pytest.mark.parametrize(
    "name, value",
    [
        ("_type", "mirrors"),
        ("_type", None),
        ("_type", 1),
        ("spec_version", "2.0.0"),
        ("spec_version", "1"),
        ("spec_version", None),
        ("version", True),
        ("version", 0),
        ("version", -1),
        ("version", "1"),
        ("version", None),
        ("expires", "2030-01-01"),
        ("expires", "2030-01-01T00:00:00+00:00"),
        ("expires", "2030-13-01T00:00:00Z"),
        ("expires", "2030-01-01T25:00:00Z"),
        ("expires", "2030/01/01T00:00:00Z"),
        ("expires", 2030),
        ("expires", None),
        ("x-issued", "now"),
    ],
)
def test_header(role, name, value):
    repo = solo()
    d = Device(repo)
    d.refresh()
    before = d.versions()[role]
    repo.hashes = ()
    repo.forge(role, change_field(name, value))
    with pytest.raises(TrustError) as e:
        d.refresh()
    assert type(e.value) is TrustError
    assert d.versions()[role] == before


def test_version_of_two_to_the_63(device):
    repo = solo()
    d = device(repo)
    repo.forge("timestamp", change_field("version", 2**63))
    d.refuses("metadata syntax")


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_signature_over_another_role(device, role):
    """All roles are signed by one key, and one role's document stands in for another."""
    repo = solo()
    for other in ("timestamp", "snapshot", "targets"):
        repo.signed("root").add_key(signer(0).public_key, other)
        repo.signers[other] = [signer(0)]
    repo.publish("root", "targets")
    d = device(repo)
    stand_in = repo.document("snapshot" if role == "timestamp" else "timestamp")
    repo.hashes = ()
    repo.put(role, stand_in)
    if role == "targets":
        repo.publish_snapshot()
    elif role == "snapshot":
        repo.publish_timestamp()
    assert d.refuses("metadata not as announced") == (role, "_type")


def test_delegated_role_stands_in_for_targets(device):
    """Both are of type targets: the keys of the one do not sign for the other."""
    repo = solo()
    d = device(repo)
    repo.hashes = ()
    repo.put("targets", repo.document("rollout"), version=1)
    repo.publish_snapshot()
    assert d.refuses("signatures") == ("targets", 0, 1)


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "img-demo"])
def test_truncated_at_every_offset(role):
    repo = solo(hashes=())
    d = Device(repo)
    file = {"root": "2.root.json", "timestamp": "timestamp.json"}.get(role)
    if role == "root":
        repo.publish("root")
    file = file or [name for name in repo.files if name.endswith(role + ".json")][-1]
    body = repo.files[file]
    for end in range(len(body)):
        repo.lies[file] = body[:end]
        with pytest.raises(TrustError):
            d.refresh()
            d.find(IMAGE)
    repo.lies.clear()
    d.refresh()
    assert d.find(IMAGE)


@pytest.mark.parametrize("role", ["timestamp", "targets"])
def test_every_flipped_bit_is_refused_or_means_the_same(role):
    repo = solo(hashes=())
    file = "timestamp.json" if role == "timestamp" else "2.targets.json"
    body = repo.files[file]
    good = Device(repo)
    good.refresh()
    for i in range(0, len(body), 3):
        repo.lies[file] = body[:i] + bytes((body[i] ^ 1 << i % 8,)) + body[i + 1 :]
        d = Device(repo)
        try:
            d.refresh()
        except TrustError:
            continue
        # Only what is not signed may differ: the key of an unknown top-level field, upper-case
        # hex of a signature. What is trusted then is the same.
        assert json.loads(repo.lies[file])["signed"] == json.loads(body)["signed"]


@pytest.mark.parametrize(
    "old, new, text",
    [
        (b'{"signatures"', b'{"signatures":[],"signatures"', "keys in metadata not ascending"),
        (b'"version":', b'"version":1,"version":', "keys in metadata not ascending"),
        (b'"_type"', b'"zzz":1,"_type"', "keys in metadata not ascending"),
        (b'"version":', b'"u":1.5,"version":', "metadata syntax"),
        (b'"version":', b'"u":1e400,"version":', "metadata syntax"),
        (b'"version":', b'1:1,"version":', "metadata syntax"),
        (b'"version":', b'"u":[1 2],"version":', "metadata syntax"),
        (b'"version":', b'"u":01,"version":', "metadata syntax"),
        (b'"version":', b'"u":-0,"version":', "metadata syntax"),
        (b'"version":', b'"u":"\\ud800","version":', "metadata syntax"),
        (b'"version":', b'"u":"\xed\xa0\x80","version":', "metadata syntax"),
        (b'"version":', b'"u":"\n","version":', "metadata syntax"),
        (b'"version":', b'"u":' + b"[" * 17 + b"]" * 17 + b',"v":', "metadata nests too deep"),
        (b'"version":', b'"u":' + b"[" * 9999 + b',"version":', "metadata nests too deep"),
        (b'"version":', b'"u' + b"x" * 600 + b'":1,"version":', "key in metadata too long"),
    ],
)  # fmt: skip
def test_json_that_parsers_disagree_about(device, old, new, text):
    repo = solo()
    d = device(repo)
    repo.files["timestamp.json"] = repo.files["timestamp.json"].replace(old, new, 1)
    d.refuses(text)


def test_text_after_the_document(device):
    repo = solo()
    d = device(repo)
    repo.files["timestamp.json"] += b"\n \n"
    assert d.refresh() is True
    repo.publish_timestamp()
    repo.files["timestamp.json"] += b"{}"
    d.refuses("metadata goes on after its end")


@pytest.mark.parametrize("file", ["2.root.json", "timestamp.json", "2.snapshot.json"])
def test_endless_body(file):
    repo = solo(hashes=())
    d = Device(repo)
    work = d.client.refresh(time_text(), time_text())
    sent = 0
    with pytest.raises(TrustError) as e:
        answer = None
        while True:
            request = work.send(answer)
            answer = None
            if request:
                body = repo.get(request.file)
                answer = body is not None
                if request.file == file:
                    while True:
                        request.write(b"[" * 1000)
                        sent += 1000
                if answer:
                    request.write(body)
    work.close()
    assert e.value.args == ("metadata too long", request.max_length)
    assert sent <= request.max_length <= 65536


def test_string_of_10_megabytes_costs_no_memory():
    import tracemalloc

    from ota.trust.reader import Reader

    class Long:
        left = 10_000_000

        def readinto(self, buf):
            n = min(len(buf), self.left)
            start = b'"' if self.left == 10_000_000 else b"x"
            self.left -= n
            buf[:n] = (start + b"x" * n)[:n] if self.left else b"x" * (n - 1) + b'"'
            return n

    reader = Reader(Long(), bytearray(256), 20_000_000)
    tracemalloc.start()
    assert reader.string() is None
    assert tracemalloc.get_traced_memory()[1] < 20_000
    tracemalloc.stop()


def test_custom_beyond_its_budget(device):
    repo = solo()
    repo.add_target("img-demo", IMAGE, b"image", {"x": ["yyyyyyyyyy"] * 400})
    repo.publish("img-demo")
    d = device(repo)
    d.refresh()
    with pytest.raises(TrustError):
        d.find(IMAGE)
    assert d.find(ROLLOUT)


def test_unknown_fields_are_signed_and_ignored(device):
    repo = solo()
    for role in ("root", "targets", "snapshot", "timestamp", "img-demo"):
        repo.signed(role).unrecognized_fields["extra"] = {"a": [1, {"b": None}, '\u00e9\\ "']}
    repo.publish("root", "targets", "img-demo")
    d = device(repo)
    d.refresh()
    assert d.find(IMAGE)


# Rollback, freeze, mix and match


def test_rollback_of_timestamp(device):
    repo = solo()
    d = device(repo)
    old = repo.files["timestamp.json"]
    repo.publish_timestamp()
    d.refresh()
    repo.lies["timestamp.json"] = old
    assert d.refuses("rollback") == ("timestamp", 2, 3)
    d.reboot()
    assert d.refuses("rollback") == ("timestamp", 2, 3)


def test_timestamp_of_the_same_version_with_other_content_is_ignored(device):
    repo = solo()
    d = device(repo)
    d.refresh()
    before = repo.files["timestamp.json"]
    repo.publish("targets")
    repo.signed("timestamp").version -= 1
    repo.publish("timestamp", bump=False)
    assert repo.files["timestamp.json"] != before
    assert d.refresh() is False
    assert d.versions()["snapshot"] == 2


def test_rollback_of_snapshot_by_timestamp(device):
    repo = solo()
    d = device(repo)
    repo.publish("targets")
    d.refresh()
    repo.signed("timestamp").snapshot_meta = MetaFile(2)
    repo.publish("timestamp")
    assert d.refuses("rollback") == ("snapshot", 2, 3)


@pytest.mark.parametrize("role", ["targets", "img-demo"])
def test_rollback_of_a_role_by_snapshot(device, role):
    repo = solo()
    d = device(repo)
    repo.publish(role)
    d.refresh()
    repo.signed(role).version -= 1
    repo.publish(role, bump=False)
    d.refuses("rollback")


@pytest.mark.parametrize("role", ["targets", "img-demo", "rollout"])
def test_role_that_vanishes_from_snapshot(device, role):
    repo = solo()
    d = device(repo)
    d.refresh()
    del repo.signed("snapshot").meta[role + ".json"]
    repo.publish("snapshot")
    repo.publish_timestamp()
    d.refuses("role missing in snapshot")


def test_new_roles_between_the_old_ones_in_snapshot(device):
    repo = solo()
    d = device(repo)
    d.refresh()
    for name in ("a", "img-zzz", "zzz"):
        repo.delegate(name, ["none"])
        repo.publish(name)
    repo.publish("targets")
    assert d.refresh() is True


def test_mix_and_match(device):
    """A new timestamp with an old snapshot, an old targets with a new snapshot."""
    repo = solo(hashes=())
    d = device(repo)
    d.refresh()
    repo.publish("targets")
    repo.lies["3.snapshot.json"] = repo.files["2.snapshot.json"]
    assert d.refuses("metadata not as announced") == ("snapshot", "version")
    del repo.lies["3.snapshot.json"]
    repo.lies["3.targets.json"] = repo.files["2.targets.json"]
    assert d.refuses("metadata not as announced") == ("targets", "version")


@pytest.mark.parametrize("hashes", [("sha256",), ("sha512",)])
def test_mix_and_match_within_one_version(device, hashes):
    """Another document of the same version, signed too: its hash is not the one in snapshot."""
    repo = solo(hashes=hashes)
    d = device(repo)
    document = repo.files["2.targets.json"]
    repo.forge("targets", change_field("x-other", 1), bump=False)
    repo.files["2.targets.json"] = document
    assert d.refuses("metadata not as announced") == ("targets", "length")


def test_metadata_of_the_right_length_with_another_hash(device):
    repo = solo()
    d = device(repo)
    document = json.loads(repo.files["2.targets.json"])
    document["signatures"][0]["sig"] = document["signatures"][0]["sig"].upper()
    repo.files["2.targets.json"] = compact(document)
    assert d.refuses("metadata not as announced") == ("targets", "sha256")


def test_frozen_repository(device):
    d = device(solo())
    d.refresh()
    assert d.refuses("metadata expired", ExpiredError, day=31)[0] == "root"


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "img-demo"])
def test_expired_role(device, role):
    repo = solo()
    d = device(repo)
    repo.forge(role, change_field("expires", time_text(1)))
    with pytest.raises(ExpiredError) as e:
        d.refresh(day=2)
        d.find(IMAGE)
    assert e.value.args[1] == role
    fresh = device(repo)
    fresh.refresh()
    assert fresh.find(IMAGE)
    with pytest.raises(ExpiredError) as e:
        fresh.refresh(day=2)
        fresh.find(IMAGE)
    assert e.value.args[1] == role


def test_expired_root_is_replaced_before_its_date_counts(device):
    repo = solo()
    d = device(repo)
    repo.signed("root").expires = repo.signed("root").expires.replace(year=2028)
    repo.publish("root")
    for role in ("targets", "snapshot", "timestamp"):
        repo.signed(role).expires = repo.signed("root").expires
    repo.publish("targets")
    assert d.refresh(day=100) is True


def test_expired_by_floor_and_expired_by_clock_are_told_apart(device):
    d = device(solo())
    assert d.refuses("metadata expired, says the clock", ClockError, day=0, clock=31)[0] == "root"
    assert d.refuses("metadata expired", ExpiredError, day=31, clock=0)[0] == "root"
    assert d.refresh(day=0, clock=29) is True


def test_the_owner_may_choose_to_be_warned_of_the_clock():
    repo = solo()
    seen = []
    root = repo.files["1.root.json"]
    client = Client(RamStore(), lambda: BytesIO(root), on_clock=seen.append)
    assert drive(client.refresh(time_text(), time_text(31)), repo.get) is True
    assert [e.args[1] for e in seen] == ["root", "timestamp", "snapshot", "targets"]
    with pytest.raises(ExpiredError):
        drive(client.refresh(time_text(31), time_text(31)), repo.get)


# Issued: the floor of time


def test_issued_is_the_latest_of_root_targets_and_images(device):
    repo = solo()
    d = device(repo)
    for role, day in (("root", 1), ("targets", 2), ("img-demo", 4), ("rollout", 9)):
        repo.signed(role).unrecognized_fields["x-issued"] = time_text(day)
    repo.signed("timestamp").unrecognized_fields["x-issued"] = time_text(10)
    repo.signed("snapshot").unrecognized_fields["x-issued"] = time_text(11)
    repo.publish("root", "targets", "img-demo", "rollout")
    d.refresh()
    assert d.client.issued == time_text(2)
    d.find(IMAGE)
    d.find(ROLLOUT)
    assert d.client.issued == time_text(4)
    d.reboot()
    assert d.client.issued == time_text(4)


def test_issued_of_a_role_that_the_online_key_named(device):
    """The thief of the online key names a role like an image role, to send the clock to 9999."""
    repo = solo()
    d = device(repo, nested=True)
    repo.delegate("img-evil", ["rollout/*/*/*"], delegator="rollout")
    repo.signed("img-evil").unrecognized_fields["x-issued"] = time_text(29)
    repo.publish("rollout", "img-evil")
    d.refresh()
    assert d.find("rollout/demo/board/other") is None
    assert d.versions()["img-evil"] == 1
    assert d.client.issued == ""


def test_issued_never_falls(device):
    repo = solo()
    d = device(repo)
    repo.signed("targets").unrecognized_fields["x-issued"] = time_text(5)
    repo.publish("targets")
    d.refresh()
    repo.signed("targets").unrecognized_fields["x-issued"] = time_text(3)
    repo.publish("targets")
    d.refresh()
    assert d.client.issued == time_text(5)


def test_issued_after_its_own_expiry_is_ignored(device):
    repo = solo()
    d = device(repo)
    repo.signed("targets").unrecognized_fields["x-issued"] = time_text(31)
    repo.publish("targets")
    d.refresh()
    assert d.client.issued == ""


def test_issued_counts_as_certain_at_once(device):
    """A clock that was set back does not make metadata fresh that the owner has outdated."""
    repo = solo()
    d = device(repo)
    repo.signed("targets").unrecognized_fields["x-issued"] = time_text(5)
    repo.publish("targets")
    d.refresh()
    repo.forge("timestamp", change_field("expires", time_text(4)))
    assert d.refuses("metadata expired", ExpiredError)[0] == "timestamp"


# Keys that change


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_rotated_key(device, role):
    repo = solo()
    d = device(repo)
    d.refresh()
    repo.rotate(role)
    repo.publish("root")
    with pytest.raises(TrustError):
        d.refresh()
    repo.publish("targets")
    assert d.refresh() is True
    assert d.refresh() is False


def test_recovery_from_fast_forward_of_timestamp(device):
    repo = solo()
    d = device(repo)
    repo.signed("timestamp").version = 99999
    repo.publish("timestamp")
    d.refresh()
    repo.rotate("timestamp")
    repo.publish("root")
    repo.signed("timestamp").version = 4
    repo.publish("timestamp")
    assert d.refresh() is True
    assert d.versions()["timestamp"] == 5


def test_recovery_from_fast_forward_of_snapshot_and_targets(device):
    repo = solo()
    d = device(repo)
    repo.signed("targets").version = 99999
    repo.signed("snapshot").version = 99999
    repo.publish("targets")
    d.refresh()
    repo.rotate("snapshot")
    repo.rotate("timestamp")
    repo.publish("root")
    repo.signed("targets").version = 5
    repo.signed("snapshot").version = 5
    repo.publish("targets")
    assert d.refresh() is True
    assert (d.versions()["targets"], d.versions()["snapshot"]) == (6, 6)


def test_no_recovery_without_a_new_key(device):
    """A new root alone does not make the device forget versions."""
    repo = solo()
    d = device(repo)
    old = repo.files["timestamp.json"]
    repo.publish("targets")
    d.refresh()
    repo.add_key("timestamp")
    repo.publish("root")
    repo.lies["timestamp.json"] = old
    d.refuses("rollback")


# Delegations


@pytest.mark.parametrize("name", ["root", "targets", "snapshot", "timestamp", ""])
def test_delegated_role_with_a_name_of_the_top(device, name):
    repo = solo()
    d = device(repo)

    def change(signed):
        signed["delegations"]["roles"][0]["name"] = name

    repo.forge("targets", change)
    d.refresh()
    with pytest.raises(TrustError) as e:
        d.find(IMAGE)
    assert e.value.args == ("name of a delegated role",)


@pytest.mark.parametrize(
    "name, file",
    [
        ("a/b", "a%2Fb"),
        ("../../up", "..%2F..%2Fup"),
        ("50%", "50%25"),
        ("what?", "what%3F"),
        ("a#b c", "a%23b%20c"),
    ],
)
def test_strange_name_of_a_role(device, name, file):
    repo = solo()
    repo.delegate(name, ["x/*"])
    repo.add_target(name, "x/y", b"data")
    repo.publish("targets", name)
    d = device(repo)
    d.refresh()
    assert d.find("x/y").role == name
    assert repo.requests[-1] == "1." + file + ".json"


@pytest.mark.parametrize("name", ["\u00e9", "\x01", "a\nb", "\x7f"])
def test_name_of_a_role_that_is_not_printable_ascii(device, name):
    """JSON escapes a control character: names of them made the record six times as long."""
    repo = solo()
    repo.delegate(name, ["x/*"])
    repo.publish("targets", name)
    d = device(repo)
    d.refresh()
    with pytest.raises(TrustError) as e:
        d.find("x/y")
    assert e.value.args == ("name of a delegated role",)


def test_name_of_a_role_that_is_too_long(device):
    repo = solo()
    repo.delegate("n" * 65, ["x/*"])
    repo.publish("targets", "n" * 65)
    d = device(repo)
    d.refresh()
    with pytest.raises(TrustError):
        d.find("x/y")


def test_role_accepted_for_one_delegator_is_not_trusted_for_another(device):
    """A may name keys of its own for a role that B delegates to: B's paths do not fall to them."""
    repo = solo(hashes=())
    thief = signer(90)
    repo.delegate("A", ["a/*"])
    repo.delegate("B", ["b/*"])
    repo.delegate("shared", ["b/*"], delegator="B")
    repo.delegate("shared", ["a/*"], delegator="A", signers=[thief])
    repo.add_target("shared", "a/x", b"data")
    repo.add_target("shared", "b/x", b"data")
    repo.publish("targets", "A", "B")
    repo.publish("shared", signers=[thief])
    d = device(repo, nested=True)
    d.refresh()
    assert d.find("a/x").role == "shared"
    with pytest.raises(TrustError) as e:
        d.find("b/x")
    assert e.value.args == ("signatures", "shared", 0, 1)
    d.reboot()
    d.refresh()
    with pytest.raises(TrustError):
        d.find("b/x")


def test_delegator_that_takes_a_key_back(device):
    """The stored document of the role was good; its key has since lost the delegator's trust."""
    repo = solo()
    d = device(repo)
    d.refresh()
    d.find(IMAGE)
    old = repo.signers["img-demo"][0]
    new = repo.new_signer()
    repo.signed("targets").revoke_key(old.public_key.keyid, "img-demo")
    repo.signed("targets").add_key(new.public_key, "img-demo")
    repo.publish("targets")
    d.refresh()
    with pytest.raises(TrustError) as e:
        d.find(IMAGE)
    assert e.value.args == ("signatures", "img-demo", 0, 1)
    repo.signers["img-demo"] = [new]
    repo.publish("img-demo")
    d.refresh()
    assert d.find(IMAGE)


def test_image_role_signed_by_the_online_key(device):
    """The thief of the online key publishes an image of their own."""
    repo = solo()
    d = device(repo)
    d.refresh()
    repo.add_target("img-demo", IMAGE, b"evil")
    repo.publish("img-demo", signers=repo.signers["rollout"])
    d.refresh()
    with pytest.raises(TrustError) as e:
        d.find(IMAGE)
    assert e.value.args == ("signatures", "img-demo", 0, 1)


def test_rollout_role_cannot_name_an_image(device):
    repo = solo()
    d = device(repo)
    path = "fw/demo/board/9/firmware.bin"
    repo.add_target("rollout", path, b"evil")
    repo.publish("rollout")
    d.refresh()
    assert d.find(path) is None
    assert "1.rollout.json" not in repo.requests


def test_image_role_cannot_name_a_rollout(device):
    repo = solo()
    d = device(repo)
    path = "rollout/demo/board/beta"
    repo.add_target("img-demo", path, b"")
    repo.publish("img-demo")
    d.refresh()
    assert d.find(path) is None
    assert "2.img-demo.json" not in repo.requests


def test_role_that_snapshot_does_not_name(device):
    repo = solo()
    repo.delegate("ghost", ["x/*"])
    repo.publish("targets")
    d = device(repo)
    d.refresh()
    with pytest.raises(TrustError) as e:
        d.find("x/y")
    assert e.value.args == ("missing in metadata", "ghost.json")


def graph(repo, *edges):
    for parent, child, fields in edges:
        repo.delegate(child, delegator=parent, **{"paths": ["*"], **fields})
    repo.publish("targets", *sorted({child for _, child, _ in edges}))


@pytest.mark.parametrize(
    "edges, visited",
    [
        ("targets-A targets-B A-C A-D", "ACDB"),
        ("targets-A targets-B A-C! A-D C-E", "ACE"),
        ("targets-A targets-B B-C C-D D-B", "ABCD"),
        ("targets-A targets-B B-C A-C", "ACB"),
        ("targets-A! targets-B", "A"),
        ("targets-A A-A", "A"),
    ],
)
def test_order_of_the_walk(device, edges, visited):
    repo = Repository()
    graph(repo, *((e[:-2].rstrip("-"), e.rstrip("!")[-1], {"terminating": "!" in e})
                  if "!" not in e else (e[:-3], e[-2], {"terminating": True})
                  for e in edges.split()))  # fmt: skip
    d = device(repo, nested=True)
    d.refresh()
    repo.requests.clear()
    assert d.find("nothing") is None
    assert "".join(file.split(".")[1] for file in repo.requests) == visited


def test_walk_is_bounded(device):
    repo = Repository()
    for i in range(40):
        repo.delegate("r%02d" % i, ["*"])
    repo.publish("targets", *("r%02d" % i for i in range(40)))
    d = device(repo)
    d.refresh()
    with pytest.raises(TrustError) as e:
        d.find("nothing")
    assert e.value.args == ("too many delegated roles",)


def test_set_in_a_path_pattern_is_refused(device):
    """A device that passed over it would ask a later role for what this one is to terminate."""
    repo = Repository()
    repo.delegate("first", ["fw/[ab]/*"], terminating=True)
    repo.delegate("second", ["fw/*/*"])
    repo.add_target("second", "fw/a/x", b"data")
    repo.publish("targets", "first", "second")
    d = device(repo)
    d.refresh()
    with pytest.raises(TrustError) as e:
        d.find("fw/a/x")
    assert e.value.args == ("path pattern",)


def test_delegation_by_hash_prefix(device):
    from hashlib import sha256

    repo = Repository()
    digest = sha256(b"some/path").hexdigest()
    repo.delegate("bin", path_hash_prefixes=[digest[:3]])
    repo.delegate("other", path_hash_prefixes=["%x" % (15 - int(digest[0], 16))])
    repo.add_target("bin", "some/path", b"data")
    repo.publish("targets", "bin", "other")
    d = device(repo)
    d.refresh()
    assert d.find("some/path").role == "bin"


def test_many_roles_do_not_fill_the_record():
    repo = Repository()
    for i in range(60):
        repo.delegate("role%02d" % i, ["%d/*" % i])
        repo.add_target("role%02d" % i, "%d/x" % i, b"data")
    repo.publish("targets", *("role%02d" % i for i in range(60)))
    d = Device(repo)
    d.refresh()
    for i in range(60):
        assert d.find("%d/x" % i)
    assert len(d.versions()) <= 36
    assert len(d.store.documents) <= 37
    assert d.refresh() is False


def test_online_key_cannot_fill_the_device_with_roles(device):
    """`rollout` is signed online: what it delegates to is neither fetched nor kept."""
    repo = solo()
    d = device(repo)
    d.refresh()
    d.find(ROLLOUT)
    online = repo.signers["rollout"]
    del repo.signed("rollout").targets[ROLLOUT]
    junk = ["\x01" * 62 + "%02d" % i for i in range(30)] + ["junk"]
    for name in junk:
        repo.delegate(name, ["rollout/*/*/*"], delegator="rollout", signers=online)
        repo.add_target(name, ROLLOUT, b"")
    repo.publish("rollout", *junk)
    d.reboot()
    d.refresh()
    assert d.find(ROLLOUT) is None
    assert set(d.versions()) == {"root", "timestamp", "snapshot", "targets", "rollout"}
    assert len(d.store.documents) <= 6
    assert d.find(IMAGE)


def test_delegation_within_a_delegated_role_is_ignored_whatever_it_says(device):
    repo = solo()
    repo.forge("rollout", change_field("delegations", [{"no": 1}, None]))
    d = device(repo)
    d.refresh()
    assert d.find(ROLLOUT).role == "rollout"


def test_role_that_a_snapshot_under_new_keys_no_longer_lists_is_forgotten(device):
    repo = solo()
    repo.delegate("img-old", ["x/*"])
    repo.add_target("img-old", "x/y", b"data")
    repo.publish("targets", "img-old")
    d = device(repo)
    d.refresh()
    assert d.find("x/y")
    assert d.find(IMAGE)
    name = d.document_of("img-old")
    repo.rotate("snapshot")
    repo.publish("root")
    del repo.signed("snapshot").meta["img-old.json"]
    repo._published.pop("img-old")
    repo.publish_snapshot()
    d.refresh()
    assert "img-old" not in d.versions()
    assert "img-demo" in d.versions()
    assert name not in d.store.documents or name in [entry[0] for entry in d.roles().values()]
    d.reboot()
    assert d.refresh() is False
    assert d.find(IMAGE)


# What is stored


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "img-demo"])
@pytest.mark.parametrize("content", [b"", b"foreign", None])
def test_damaged_document_is_fetched_again(device, role, content):
    repo = solo()
    d = device(repo)
    repo.publish("root")
    d.refresh()
    d.find(IMAGE)
    name = d.document_of(role)
    if content is None:
        content = bytes(d.store.documents[name][:-1]) + b" "
    d.damage(name, content)
    d.reboot()
    d.refresh()
    assert d.find(IMAGE)
    assert d.client.root_version == 2


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "img-demo"])
@pytest.mark.parametrize("at", ["open", "readinto"])
def test_unreadable_document_is_fetched_again(monkeypatch, role, at):
    """A file system that cannot read a file may be unable to write it as well."""
    repo = solo()
    repo.publish("root")
    d = Device(repo)
    d.refresh()
    d.find(IMAGE)
    broken = d.document_of(role)
    open_, create = d.store.open, d.store.create

    def fail(*_):
        raise StoreError("file system", broken, 5)

    def open_but_one(name):
        if name == broken and at == "open":
            fail()
        file = open_(name)
        if name == broken:
            file.readinto = fail
        return file

    monkeypatch.setattr(d.store, "open", open_but_one)
    monkeypatch.setattr(d.store, "create", lambda n: fail() if n == broken else create(n))
    for _ in range(3):
        d.reboot()
        d.refresh()
        assert d.find(IMAGE)
        assert d.document_of(role) != broken
        repo.publish("root", "targets", "img-demo")
    assert d.client.root_version == 4


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_version_of_a_lost_document_still_stands(device, role):
    repo = solo(hashes=())
    old = {name: repo.files[name] for name in ("timestamp.json", "2.snapshot.json")}
    d = device(repo)
    repo.publish("targets")
    d.refresh()
    d.damage(d.document_of(role), b"lost")
    repo.lies["timestamp.json"] = old["timestamp.json"]
    d.reboot()
    d.refuses("rollback")
    d.reboot()
    d.refuses("rollback")


def test_versions_of_roles_still_stand_when_snapshot_is_lost(device):
    repo = solo()
    d = device(repo)
    repo.publish("targets")
    d.refresh()
    d.damage(d.document_of("snapshot"), b"lost")
    repo.signed("targets").version -= 1
    repo.publish("targets", bump=False)
    assert d.refuses("rollback") == ("targets", 2, 3)


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[]", b"{}", b'{"roles":1}', b'{"roles":{"root":[1]}}', b"\xff\xfe"]
)
def test_foreign_record_counts_as_none(record):
    d = Device(solo())
    d.refresh()
    d.store.records["trust"] = record
    d.reboot()
    assert d.refresh() is True


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [b'"7"', *lines[1:]],
        lambda lines: [lines[0], b"null", *lines[2:]],
        lambda lines: [*lines, b"7"],
        lambda lines: [*lines, b'"ab"'],
        lambda lines: [*lines, b"{}"],
        lambda lines: [*lines, b'["a", 7]'],
        lambda lines: [*lines, b'["a", {"0": 1}]'],
        lambda lines: [*lines, b'["a", []]'],
        lambda lines: [*lines, lines[-1][:-2] + b", 1]]"],
        lambda lines: [*lines, b"[[1]" + lines[-1][lines[-1].index(b",") :]],
        lambda lines: [line.replace(b'["m', b'[7, "m') for line in lines],
        lambda lines: [line.replace(b'["m', b'[["m"], "') for line in lines],
    ],
)
def test_record_of_another_shape_counts_as_none(change):
    d = Device(solo())
    d.refresh()
    d.find(IMAGE)
    lines = d.store.records["trust"].split(b"\n")
    d.store.records["trust"] = b"\n".join(change(lines))
    d.reboot()
    assert d.client.root_version == 0
    assert d.refresh() is True
    assert d.find(IMAGE)


def test_record_that_a_store_would_not_take():
    d = Device(solo())
    d.refresh()
    old = b"".join(b'\n["%02d%s", [null, 1, 1, "", "", ""]]' % (i, b"x" * 530) for i in range(29))
    d.store.records["trust"] = record = d.store.records["trust"].split(b"\n[", 2)[0] + old
    assert 15000 < len(record) <= 16384
    d.reboot()
    with pytest.raises(TrustError) as e:
        d.refresh()
    assert e.value.args == ("metadata too long", 16384)
    assert len(d.store.records["trust"]) <= 16384


def test_documents_of_the_record_are_never_written(monkeypatch):
    repo = solo()
    d = Device(repo)
    create = d.store.create

    def checked(name):
        if "trust" in d.store.records:
            assert name not in [entry[0] for entry in d.roles().values()]
        return create(name)

    monkeypatch.setattr(d.store, "create", checked)
    for _ in range(4):
        d.refresh()
        d.find(IMAGE)
        d.find(ROLLOUT)
        repo.publish("root", "targets", "img-demo", "rollout")
    assert len(d.store.documents) == 7


def power_cut_story(repo, device):
    """The second of these brings something new for every role."""
    device.refresh()
    assert device.find(IMAGE)
    assert device.find(ROLLOUT)


def prepared():
    repo = solo()
    d = Device(repo)
    power_cut_story(repo, d)
    old = dict(repo.files)
    rotate_root(repo)
    repo.rotate("timestamp")
    repo.publish("root", "targets", "img-demo", "rollout")
    return repo, d, old


@pytest.mark.parametrize("late", [False, True])
def test_power_cut_at_every_write(late):
    repo, d, old = prepared()
    records, documents = dict(d.store.records), dict(d.store.documents)
    first = d.store.writes
    power_cut_story(repo, d)
    total = d.store.writes - first
    after = d.versions()
    assert total > 20
    for cut in range(1, total + 1):
        d.store = RamStore()
        d.store.records = dict(records)
        d.store.documents = {name: bytearray(data) for name, data in documents.items()}
        d.store.cut, d.store.late = cut, late
        d.reboot()
        with pytest.raises(PowerCut):
            power_cut_story(repo, d)
        d.store.cut = 0
        between = d.versions()
        d.reboot()
        # Nothing that was accepted is lost, and what is recorded is there.
        for role, entry in d.roles().items():
            assert entry[1] == between[role]
            assert role == "timestamp" or entry[1] in (1, 2, 3, after[role])
            assert entry[0] == "" or len(d.store.documents[entry[0]]) == entry[2]
        # Old metadata is refused once newer is recorded.
        if between["snapshot"] == after["snapshot"]:
            repo.lies = {**old, "2.root.json": repo.files["2.root.json"]}
            with pytest.raises(TrustError):
                d.refresh()
            repo.lies = {}
        power_cut_story(repo, d)
        assert d.versions() == after


def test_full_file_system_changes_nothing(monkeypatch):
    repo, d, _ = prepared()
    before = dict(d.store.records)
    save = d.store.save

    def full(name, data):
        raise StoreError("full")

    monkeypatch.setattr(d.store, "save", full)
    with pytest.raises(StoreError):
        d.refresh()
    assert d.store.records == before
    assert d.client.root_version == 1
    monkeypatch.setattr(d.store, "save", save)
    power_cut_story(repo, d)
