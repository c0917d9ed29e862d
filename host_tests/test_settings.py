# SPDX-License-Identifier: MIT
"""Settings over the air: servers and certificates that the owner replaces, over real TLS.

The device runs 1.0.0 and has the old server and its CA in config.json; the repository offers
2.0.0. What is adopted counts from the next check on, however the device gets there.
"""

import asyncio
import base64
import contextlib
import json
import sys
import threading
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pytest

import ota.adapters.http
import world as worlds
from in_process import Device, build, clone
from mpota import settings
from mpota.repository import open_repository
from ota.adapters.http import Http
from ota.errors import FetchError, TrustError
from ota.settings import Settings, parse
from ota.updater import NOT_OFFERED, UP_TO_DATE, Updater
from ram_store import RamStore
from servers import Ca, free_port, nginx
from sim.flash import PowerCut

V1, V2 = build("1.0.0"), build("2.0.0")
PATH = "fw/thermo/settings/stable/settings.json"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = worlds.World(tmp_path_factory.mktemp("world") / "repo", 0x10000)
    made.release("1.0.0", V1)
    made.release("2.0.0", V2)
    return made


@pytest.fixture(scope="module")
def authorities():
    return Ca("old"), Ca("new")


@pytest.fixture
def own(world, tmp_path):
    made = clone(world, tmp_path / "own")
    made.roll_out(halt=True)  # an update that says "halted" has come to its end
    return made


@pytest.fixture
def serve(own, authorities, tmp_path):
    """serve(name, ca): a context in which a server with its own certificate has the repository."""

    def serve(name, ca, **certificate):
        folder = tmp_path / name
        cert, key = ca.issue(folder, "localhost", **certificate)
        return nginx(folder, own.repository, cert, key)

    return serve


@pytest.fixture
def old(serve, authorities):
    stack = contextlib.ExitStack()
    server = stack.enter_context(serve("old", authorities[0]))
    server.stop = stack.close
    yield server
    stack.close()


@pytest.fixture
def new(serve, authorities):
    stack = contextlib.ExitStack()
    server = stack.enter_context(serve("new", authorities[1]))
    server.stop = stack.close
    yield server
    stack.close()


class Provisioned:
    """A Device whose updater is joined by wiring.py, anew in each life."""

    def __init__(self, device, own):
        self.device = device
        self.folder = device.folder / "state"
        (self.folder / "root.json").write_bytes(own.root)
        self.log = []

    def configure(self, own, urls, ca, **more):
        (self.folder / "ca.der").write_bytes(ca.der)
        config = own.config(urls, ca="ca.der", **more)
        (self.folder / "config.json").write_text(json.dumps(config))
        return self.boot()

    def boot(self):
        self.updater = Updater.from_config(str(self.folder), log=lambda *f: self.log.append(f))
        return self

    def check(self):
        """Update in a life of its own. Return the Event."""
        self.boot()
        self.log.clear()
        return self.go_on()

    def go_on(self):
        return asyncio.run(self.updater.update())

    @property
    def urls(self):
        return self.updater.status()["urls"]

    @property
    def refused(self):
        return [facts[1] for facts in self.log if facts[0] == "settings are not adopted"]


@pytest.fixture
def device(own, old, authorities, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "esp32")
    # Nobody waits here for a server that is gone.
    monkeypatch.setattr(ota.adapters.http, "_PAUSE_S", 0)
    made = Device(tmp_path / "device", own, V1)
    yield Provisioned(made, own).configure(own, [old.https], authorities[0])
    made.close()


def halted(event):
    return event.kind == NOT_OFFERED and event.reason == ("halted",)


def resign(own, **changes):
    """Sign the settings with another custom."""
    repository = open_repository(own.workspace)
    target = repository.role("img-thermo").signed.targets[PATH]
    target.unrecognized_fields["custom"].update(changes)
    repository.touch("img-thermo")
    repository.commit(own.keyring(), own.now)


def sign(own, content):
    """Sign any bytes as settings."""
    repository = open_repository(own.workspace)
    settings.sign(
        repository,
        own.keyring(),
        own.now,
        products=["thermo"],
        channels=["stable"],
        content=content,
    )


# Moving


def test_server_and_certificates_replaced_while_the_device_slept(
    device, own, old, new, authorities
):
    """The old server is there for one check only, and everything is new after it."""
    own.sign_settings([new.https], authorities[1].der)
    own.roll_out(halt=False)
    assert device.check().ready  # the images are not kept waiting
    assert ("settings adopted", 1) in device.log
    old.stop()
    device.device.reset()
    device.boot()
    assert asyncio.run(device.updater.settle(lambda: True))
    assert device.check().kind == UP_TO_DATE
    assert device.urls == [new.https, old.https]


def test_adopted_settings_count_in_the_same_life(device, own, old, new, authorities):
    own.sign_settings([new.https], authorities[1].der)
    device.check()
    old.stop()
    assert halted(device.go_on())


def test_adopted_once(device, own, new, authorities):
    own.sign_settings([new.https], authorities[1].der)
    device.check()
    before = device.device.store.load("settings")
    assert halted(device.check()) and device.log == []
    assert device.device.store.load("settings") == before


def test_server_dies_later_and_the_old_one_takes_its_place(device, own, new, authorities):
    own.sign_settings([new.https], authorities[1].der)
    device.check()
    new.stop()
    own.roll_out(halt=False)
    assert device.check().ready


def test_two_moves_keep_the_servers_of_the_first(device, own, old, new, authorities, serve):
    own.sign_settings([new.https], authorities[1].der)
    device.check()
    with serve("third", authorities[0]) as third:
        own.sign_settings([third.https], authorities[0].der)
        assert halted(device.check())
        device.boot()
        assert device.urls == [third.https, new.https, old.https]
        old.stop()
    assert halted(device.check())  # over the new one: the third is gone, and so is the old one


def test_settings_without_certificates_keep_those_in_use(
    device, own, old, new, authorities, serve
):
    own.sign_settings([new.https], authorities[1].der)
    device.check()
    with serve("third", authorities[1]) as third, serve("fourth", authorities[1]) as fourth:
        for server in (third, fourth):
            own.sign_settings([server.https])
            assert halted(device.check()) and not device.refused
        for server in (old, new):
            server.stop()
        device.boot()
        assert device.urls == [fourth.https, third.https, old.https]
        assert halted(device.check())


def test_old_certificates_do_not_open_the_new_server(device, own, old, new, authorities):
    """Each server is held to its own CA: one that was given up vouches for its own server only."""
    own.sign_settings([new.https])  # without the CA that new.https needs
    assert halted(device.check())
    assert isinstance(device.refused[0], FetchError)


# Slips of the owner. Each update goes on over the old server.


def test_server_that_cannot_be_reached_is_not_adopted(device, own, old):
    own.sign_settings([f"http://127.0.0.1:{free_port()}/"])
    for _ in range(2):  # tried again at every update
        assert halted(device.check())
        assert isinstance(device.refused[0], FetchError)
    assert device.device.store.load("settings") is None
    assert device.boot().urls == [old.https]


def test_wrong_certificates_are_not_adopted_and_right_ones_heal(
    device, own, old, new, authorities
):
    own.sign_settings([new.https], authorities[0].der)
    assert halted(device.check())
    assert device.refused[0].args == ("certificate",)
    own.sign_settings([new.https], authorities[1].der)
    assert halted(device.check()) and not device.refused
    assert device.urls[0] == new.https


def test_certificates_that_are_none_are_not_adopted(device, own, new):
    own.sign_settings([new.https], b"no DER")
    assert halted(device.check())
    assert device.refused and device.device.store.load("settings") is None


def test_server_without_images_is_not_adopted(device, own, tmp_path):
    """One that has the metadata and nothing else: half of a move."""
    half = tmp_path / "half"
    half.mkdir()
    (half / "metadata").symlink_to(own.repository / "metadata")
    with recorder(half) as server:
        own.sign_settings([server.url])
        assert halted(device.check())
    assert device.refused[0].status == 404


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"urls":[]}',
        b'{"urls":"https://localhost/"}',
        b'{"urls":[5]}',
        b'{"urls":[""]}',
        b'{"urls":["ftp://localhost/"]}',
        b'{"urls":["https://user@localhost/"]}',
        b'{"urls":["http://localhost/' + b"x" * 200 + b'"]}',
        b'{"urls":[' + b",".join([b'"http://localhost/"'] * 9) + b"]}",
        b'{"ca":5,"urls":["http://localhost/"]}',
        b'{"ca":"%%%","urls":["http://localhost/"]}',
        b'{"ca":"AAA","urls":["http://localhost/"]}',
        b'{"urls":["http://localhost/"],"urls":["http://localhost/"]}',
        b'{"urls":["http://localhost/"]}{}',
        b'{"more":"' + b"x" * 12288 + b'","urls":["http://localhost/"]}',
    ],
)
def test_settings_that_are_nonsense_are_refused(content):
    with pytest.raises((TrustError, ValueError)):
        urls, ca = parse(BytesIO(content))
        Http(urls, ca)


def test_settings_that_are_nonsense_are_not_adopted(device, own):
    for content in (b'{"urls":[]}', b'{"urls":["ftp://localhost/"]}'):
        sign(own, content)
        assert halted(device.check())
        assert len(device.refused) == 1
    assert device.device.store.load("settings") is None


@pytest.mark.parametrize(
    "custom",
    [
        None,
        5,
        {"seq": 1},
        {"kind": "firmware", "seq": 1},
        {"kind": "settings"},
        {"kind": "settings", "seq": "1"},
        {"kind": "settings", "seq": 0},
        {"kind": "settings", "seq": -1},
    ],
)
def test_settings_with_a_custom_that_is_nonsense_are_refused(custom):
    with pytest.raises(TrustError):
        Settings(RamStore()).propose(Target("img-thermo", custom), "thermo")


def test_settings_by_another_role_are_refused():
    """The online key must not send a fleet elsewhere."""
    with pytest.raises(TrustError, match="another role"):
        Settings(RamStore()).propose(Target("rollout", {"kind": "settings", "seq": 1}), "thermo")


class Target:
    length = 100

    def __init__(self, role, custom):
        self.role = role
        self.custom = custom
        self.hashes = {}


def test_older_settings_are_not_adopted(device, own, old, new, authorities):
    own.sign_settings([new.https], authorities[1].der)
    device.check()
    own.sign_settings([old.https], authorities[0].der)
    resign(own, seq=1)
    assert halted(device.check())
    assert device.refused[0].args == ("settings are not newer", 1, 1)


def test_settings_signed_by_the_online_key_are_not_seen(device, own, old, new, authorities):
    own.sign_settings([new.https], authorities[1].der)
    repository = open_repository(own.workspace)
    targets = repository.role("img-thermo").signed.targets
    repository.role("rollout").signed.targets[PATH] = targets.pop(PATH)
    repository.touch("img-thermo")
    repository.touch("rollout")
    repository.commit(own.keyring(), own.now)
    assert halted(device.check())
    assert device.boot().urls == [old.https]


# Cuts and damage


@pytest.mark.parametrize("after", [False, True])
def test_cut_while_settings_are_adopted(device, own, new, authorities, after):
    own.sign_settings([new.https], authorities[1].der)
    store = device.updater._store
    save = store.save

    def cut(name, data):
        if name != "settings" or after:
            save(name, data)
        if name == "settings":
            raise PowerCut

    store.save = cut
    with pytest.raises(PowerCut):
        device.go_on()
    assert halted(device.check()) and not device.refused
    assert device.boot().urls[0] == new.https


@pytest.mark.parametrize("damage", ["torn", "lost", "changed", "record"])
def test_damaged_settings_drop_out_and_are_fetched_again(
    device, own, old, new, authorities, damage
):
    own.sign_settings([new.https], authorities[1].der)
    device.check()
    if damage == "record":
        device.device.store.save("settings", b"[[]]")
    else:
        document = device.folder / "s0"
        content = document.read_bytes()
        document.unlink()
        if damage == "torn":
            document.write_bytes(content[:-7])
        elif damage == "changed":
            document.write_bytes(content.replace(b"https://localhost", b"https://nobody.is"))
    assert device.boot().urls == [old.https]
    assert halted(device.check()) and not device.refused
    assert device.boot().urls == [new.https, old.https]


def test_adopted_settings_that_this_library_does_not_take_are_passed_over(device, old):
    content = b'{"urls":["quic://localhost/"]}'
    (device.folder / "s0").write_bytes(content)
    entry = ["s0", sha256(content).hexdigest(), 1, None, None]
    device.device.store.save("settings", json.dumps([entry]).encode())
    assert device.boot().urls == [old.https]
    assert halted(device.check())


@pytest.mark.parametrize("content", [b"5", b"null", b"{}", b"[5]", b"[[1, 2]]", b"\xff"])
def test_record_that_is_not_ours_counts_as_none(device, old, content):
    device.device.store.save("settings", content)
    assert device.boot().urls == [old.https]
    assert halted(device.check())


# Tokens


@contextlib.contextmanager
def recorder(folder):
    """A plain server that keeps the headers of all requests in `.seen`."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def do_GET(self):
            self.server.seen.append(dict(self.headers))
            super().do_GET()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []
    server.url = "http://127.0.0.1:%d/" % server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_tokens_go_to_servers_that_the_owner_named_and_to_no_other(device, own, authorities):
    with recorder(own.repository) as named, recorder(own.repository) as other:
        headers = {"Authorization": "Bearer secret"}
        device.configure(own, [named.url], authorities[0], headers=headers)
        own.sign_settings([other.url, named.url])
        assert halted(device.check()) and not device.refused
        device.check()
    assert other.seen and not [seen for seen in other.seen if "Authorization" in seen]
    assert named.seen and all(seen["Authorization"] == "Bearer secret" for seen in named.seen)


def test_module_is_loaded_only_where_there_are_settings(device, own, new, authorities):
    sys.modules.pop("ota.settings", None)
    device.check()
    assert "ota.settings" not in sys.modules
    own.sign_settings([new.https], authorities[1].der)
    device.check()
    assert "ota.settings" in sys.modules


def test_fetcher_of_the_application_is_not_replaced(device, own, new, authorities):
    """Who brings bytes in some other way is not sent to a web server."""
    own.sign_settings([new.https], authorities[1].der)
    fetcher = device.device.source
    updater = Updater.from_config(str(device.folder), fetcher=fetcher)
    assert halted(asyncio.run(updater.update()))
    assert device.device.store.load("settings") is None


def test_content_is_what_mpota_writes(authorities):
    """The format itself (docs/SPEC.md), so that neither side drifts."""
    content = settings.document(["https://localhost/"], authorities[0].der)
    assert json.loads(content) == {
        "ca": base64.b64encode(authorities[0].der).decode(),
        "urls": ["https://localhost/"],
    }
