# SPDX-License-Identifier: MIT
"""`mpota settings`: what would cut devices off is refused before it is signed."""

import asyncio
import base64
import http.server
import io
import json
import threading
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mpota import devtls, names, serve, settings, sources
from mpota.cli import main
from mpota.errors import MpotaError, RefusedError
from mpota.repository import open_repository
from mpota_world import (
    APP,
    DAY,
    NOW,
    Client,
    clone,
    first_root,
    make_both,
    make_release,
    nobody,
    publish_to,
    see,
)
from ota.settings import parse

PATH = "fw/{}/settings/{}/settings.json"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    workspace = make_both(tmp_path_factory.mktemp("both") / "r")
    make_release(workspace, "1")
    return workspace


@pytest.fixture
def work(both, tmp_path):
    return clone(both, tmp_path / "r")


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A CA, and a certificate of this computer."""
    return devtls.ensure(tmp_path_factory.mktemp("tls"), ["127.0.0.1"], NOW)


@pytest.fixture
def here(both, tls, tmp_path, monkeypatch):
    clone(both, tmp_path / "ota-repo")
    (tmp_path / "ca.pem").write_bytes(tls.ca_pem.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sign(workspace, urls, ca=None, products=(APP,), channels=("stable",), keyring=True):
    return settings.sign(
        open_repository(workspace),
        workspace.keyring(nobody) if keyring else None,
        NOW,
        products=products,
        channels=channels,
        content=settings.document(urls, ca),
    )


# The document


def test_device_reads_what_is_written():
    urls, ca = [f"https://h{n}.example.com/p/#flat" for n in range(8)], bytes(range(256)) * 34
    data = settings.document(urls, ca)
    assert len(data) <= settings.MAX_LENGTH
    assert parse(io.BytesIO(data)) == (urls, ca)
    assert parse(io.BytesIO(settings.document(urls[:1], None))) == (urls[:1], None)


@pytest.mark.parametrize(
    ("urls", "ca", "words"),
    [
        ([], None, "0 base URLs"),
        ([f"https://h{n}/" for n in range(9)], None, "9 base URLs"),
        (["https://h/", "https://h/"], None, "named twice"),
        (["https://h/"], bytes(9300), "more than 12288"),
    ],
)
def test_document_that_no_device_takes_is_refused(urls, ca, words):
    with pytest.raises(MpotaError, match=words):
        settings.document(urls, ca)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://host", "https://host/"),
        ("https://host/a/b//", "https://host/a/b/"),
        ("https://host:8443/a", "https://host:8443/a/"),
        ("https://[::1]:8443/", "https://[::1]:8443/"),
        ("https://host/a#flat", "https://host/a/#flat"),
        ("https://host/a/#flat", "https://host/a/#flat"),
        ("https://h/" + "a" * 189, "https://h/" + "a" * 189 + "/"),
    ],
)
def test_base_url_is_written_as_devices_use_it(url, base):
    assert names.base_url(url) == base
    assert names.base_url(base) == base


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "host",
            "ftp://host/",
            "https://",
            "https:///a",
            "https://host/?a=b",
            "https://ho st/",
        ),
        *("https://host/#frag", "https://host/#flat#flat", "https://host:x/", "https://host:0/"),
        *("https://user@host/", "https://user:secret@host/", "https://host/ü", "http://host/"),
        *("https://h/" + "a" * 190, "https://host/?", "https://host/#", "file:///a"),
    ],
)
def test_what_is_no_base_url_is_refused(url):
    with pytest.raises(MpotaError) as said:
        names.base_url(url)
    assert "secret" not in str(said.value)


def test_http_is_taken_only_if_that_is_meant():
    assert names.base_url("http://host/a", allow_http=True) == "http://host/a/"
    with pytest.raises(MpotaError, match="not https"):
        names.base_url("http://host/a")


# The certificates


def certificate(key=None, start=-1, days=3650, name="CA"):
    key = key or ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW + timedelta(days=start))
        .not_valid_after(NOW + timedelta(days=days))
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def test_bundle_becomes_der_one_after_the_other(tmp_path):
    pems = [certificate(name="one"), certificate(rsa.generate_private_key(65537, 2048))]
    (tmp_path / "ca.pem").write_bytes(b"# comment\n" + b"\n".join(pems))
    der, warnings = settings.check_ca(tmp_path / "ca.pem", NOW)
    assert not warnings
    ders = [x509.load_pem_x509_certificate(p).public_bytes(Encoding.DER) for p in pems]
    assert der == b"".join(ders)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": -9, "days": -1}, "CN=CA expired on"),
        ({"start": 1}, "CN=CA is not valid before"),
        ({"key": ed25519.Ed25519PrivateKey.generate()}, "boards cannot check"),
        ({"key": ec.generate_private_key(ec.SECP521R1())}, "boards cannot check"),
    ],
)
def test_certificate_that_would_cut_devices_off_is_refused(tmp_path, changes, words):
    (tmp_path / "ca.pem").write_bytes(certificate() + certificate(**changes))
    with pytest.raises(MpotaError, match=words):
        settings.check_ca(tmp_path / "ca.pem", NOW)


@pytest.mark.parametrize("data", [b"", b"nonsense", certificate()[:-60] + certificate()[-26:]])
def test_file_that_is_no_certificate_is_refused(tmp_path, data):
    (tmp_path / "ca.pem").write_bytes(data)
    with pytest.raises(MpotaError, match="not a certificate"):
        settings.check_ca(tmp_path / "ca.pem", NOW)


def test_certificate_that_ends_soon_is_pointed_out(tmp_path):
    (tmp_path / "ca.pem").write_bytes(certificate(days=100) + certificate(days=200, name="B"))
    _, warnings = settings.check_ca(tmp_path / "ca.pem", NOW)
    assert len(warnings) == 1 and "CN=CA ends on" in warnings[0]


# The servers


@contextmanager
def served(folder, tls):
    """Serve a folder as `publish --serve` does; give the base URL."""
    ready, loop, port = threading.Event(), asyncio.new_event_loop(), []
    context = serve.tls_context(tls.cert, tls.key)

    def started(number):
        port.append(number)
        ready.set()

    server = serve.serve(folder, host="127.0.0.1", port=0, context=context, started=started)
    task = loop.create_task(server)

    def run():
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(10)
        yield f"https://127.0.0.1:{port[0]}/"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


@contextmanager
def plain(handler, context=None):
    """Serve with `handler`; give the port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Without Range, as Python's own."""

    def log_message(self, *_):
        pass


def check(workspace, url, ca, now=NOW):
    return settings.check_server(open_repository(workspace), url, ca, now)


@pytest.fixture(scope="module")
def www(both, tmp_path_factory):
    folder = tmp_path_factory.mktemp("www")
    publish_to(both, folder / "tree")
    publish_to(both, folder / "flat", flat=True)
    return folder


def test_server_that_has_the_repository_is_taken(both, www, tls):
    ca = tls.ca_der.read_bytes()
    with served(www, tls) as url:
        assert check(both, url + "tree/", ca) == []
        assert check(both, url + "flat/#flat", ca) == []
        for wrong in ("flat/", "tree/#flat", "elsewhere/"):
            with pytest.raises(MpotaError, match="server answers 404"):
                check(both, url + wrong, ca)


def test_only_the_given_ca_opens_the_server(both, www, tls, tmp_path):
    other = devtls.ensure(tmp_path, ["127.0.0.1"], NOW).ca_der.read_bytes()
    assert sources.tls_context(other).cert_store_stats()["x509"] == 1, "this computer's as well"
    with served(www / "tree", tls) as url:
        with pytest.raises(MpotaError, match="certificate verify failed"):
            check(both, url, other)
        with pytest.raises(MpotaError, match="certificate verify failed"):
            check(both, url, None)
        # Without one: those that devices may have, of the development server or settings before.
        work = clone(both, tmp_path / "r")
        sign(work, [url], tls.ca_der.read_bytes())
        assert len(check(work, url, None)) == 1


def test_another_repository_is_refused(both, tls, tmp_path):
    other = make_both(tmp_path / "other")
    publish_to(other, tmp_path / "www")
    with served(tmp_path / "www", tls) as url:
        with pytest.raises(MpotaError, match="not this repository"):
            check(both, url, tls.ca_der.read_bytes())
        (tmp_path / "www" / "metadata" / "timestamp.json").write_text("<html>moved</html>")
        with pytest.raises(MpotaError, match="not this repository"):
            check(both, url, tls.ca_der.read_bytes())


def test_server_that_is_behind_is_pointed_out_and_expired_refused(work, www, tls):
    make_release(work, "2")
    with served(www / "tree", tls) as url:
        (said,) = check(work, url, tls.ca_der.read_bytes())
        assert "has timestamp 2, here it is 3" in said
        with pytest.raises(MpotaError, match="expired metadata"):
            check(work, url, tls.ca_der.read_bytes(), NOW + 400 * DAY)


def test_server_without_ranges_is_refused(both, www, tls):
    handler = partial(Quiet, directory=str(www / "tree"))
    refused = pytest.raises(MpotaError, match="does not answer Range requests")
    with plain(handler, serve.tls_context(tls.cert, tls.key)) as port, refused:
        check(both, f"https://127.0.0.1:{port}/", tls.ca_der.read_bytes())


def test_redirect_to_http_is_refused(both, www, tls):
    with plain(partial(Quiet, directory=str(www / "tree"))) as open_port:

        class Redirect(Quiet):
            def do_GET(self):
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.1:{open_port}{self.path}")
                self.end_headers()

        refused = pytest.raises(MpotaError, match="redirects to http")
        with plain(Redirect, serve.tls_context(tls.cert, tls.key)) as port, refused:
            check(both, f"https://127.0.0.1:{port}/", tls.ca_der.read_bytes())


# What is signed


def test_both_clients_find_signed_settings(work, tmp_path):
    ca = x509.load_pem_x509_certificate(certificate()).public_bytes(Encoding.DER)
    sign(work, ["https://new.example.com/"], ca, products=[APP, "sensor"])
    for flat in (False, True):
        folder = tmp_path / f"www{flat}"
        publish_to(work, folder, flat=flat)
        seen = see(folder, first_root(work))
        assert [(s.path, s.seq, s.urls, s.problem) for s in seen.settings] == [
            (PATH.format(product, "stable"), 1, ["https://new.example.com/"], "")
            for product in (APP, "sensor")
        ]
    client = Client(tmp_path / "wwwFalse", first_root(work), tmp_path / "client")
    path = PATH.format(APP, "stable")
    assert client.find(path).custom == {"kind": "settings", "seq": 1}
    said = json.loads(client.download(path))
    assert said == {"ca": base64.b64encode(ca).decode(), "urls": ["https://new.example.com/"]}


def test_number_rises_over_all_channels_of_a_product(work):
    sign(work, ["https://a/"])
    assert [one.seq for one in sign(work, ["https://b/"], channels=["beta"]).settings] == [2]
    both = sign(work, ["https://c/"], products=[APP, "sensor"], channels=["stable", "beta"])
    assert [one.seq for one in both.settings] == [3, 3, 1, 1]
    assert [one.seq for one in sign(work, ["https://d/"]).settings] == [4]


def test_releases_take_settings_for_what_they_are(work):
    sign(work, ["https://a/"], products=["sensor"])
    for version in range(2, 9):
        make_release(work, str(version))
    repository = open_repository(work)
    assert [path.split("/")[2] for path in repository.images("sensor")] == ["board"] * 4
    assert list(settings.current(repository, "sensor")) == ["stable"]
    assert repository.images("sensor")["fw/sensor/board/8"].custom["seq"] == 8


def test_tampered_settings_are_refused(work, tmp_path):
    sign(work, ["https://a/"])
    publish_to(work, tmp_path / "www")
    (file,) = (tmp_path / "www").rglob("*.settings.json")
    file.write_bytes(file.read_bytes().replace(b"https://a/", b"https://b/"))
    seen = see(tmp_path / "www", first_root(work))
    assert seen.problems == [PATH.format(APP, "stable") + ": is not what was signed"]


def test_settings_of_a_fleet_wait_for_the_second_key(tmp_path, monkeypatch, capsys):
    make_both(tmp_path / "ota-repo", profile="fleet")
    for number in (2, 3):
        (tmp_path / "ota-repo" / "keys" / f"release-{number}.pem").unlink()
    monkeypatch.chdir(tmp_path)
    assert main("settings --url https://h.example.com/ --no-check".split()) == 1
    assert "waits in pending/ for 1 more of" in capsys.readouterr().err


# The command


def run(capsys, *line):
    assert main([*line, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_all_products_get_them_and_are_shown(here, capsys):
    done = run(capsys, *"settings --url https://h.example.com --ca ca.pem --no-check".split())
    assert [one["path"] for one in done["settings"]] == [
        PATH.format(product, "stable") for product in ("sensor", APP)
    ]
    shown = run(capsys, "settings")["settings"]
    assert sorted(one["path"] for one in shown) == sorted(one["path"] for one in done["settings"])
    assert shown[0]["urls"] == ["https://h.example.com/"] and "ca" in shown[0]


def test_dry_run_signs_nothing(here, capsys):
    line = "settings --url https://h.example.com --no-check --dry-run".split()
    assert run(capsys, *line)["written"] == {}
    assert run(capsys, "settings") == {"settings": []}


def test_urls_are_tried_before_anything_is_signed(here, www, tls, capsys):
    with served(www / "tree", tls) as url:
        assert main(["settings", "--url", url, "--url", url + "absent/", "--ca", "ca.pem"]) == 1
        assert "server answers 404" in capsys.readouterr().err
        assert run(capsys, "settings") == {"settings": []}
        done = run(capsys, "settings", "--url", url, "--ca", "ca.pem")
    assert done["written"]["img-panel"] == 2


def test_channels_that_are_left_out_are_named(here, capsys):
    run(capsys, "rollout", "1", "--channel", "beta")
    assert main("settings --url https://h.example.com --no-check".split()) == 0
    assert "devices on channel beta keep their settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("settings --url http://h.example.com --no-check", 1, "not https"),
        ("settings --url h.example.com --no-check", 1, "not a base URL"),
        ("settings --ca ca.pem", 2, "no URL"),
        ("settings --url https://h/ --ca absent.pem", 1, "cannot read"),
        ("settings --url https://h/ --product absent --no-check", 1, "no such product"),
        ("settings --url https://h/ --channel a/b --no-check", 1, "not a name for a channel"),
        ("settings --url https://127.0.0.1:9/", 1, "cannot fetch"),
    ],
)
def test_what_makes_no_sense_is_one_line(here, capsys, line, code, words):
    assert main(line.split()) == code
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert run(capsys, "settings") == {"settings": []}


# The flat layout


def test_python_tuf_reads_the_flat_layout_through_its_names(work, tmp_path):
    publish_to(work, tmp_path / "flat", flat=True)
    publish_to(work, tmp_path / "tree")
    flat = {path.name: path.read_bytes() for path in (tmp_path / "flat").iterdir()}
    tree = {
        path.relative_to(tmp_path / "tree").as_posix(): path.read_bytes()
        for path in (tmp_path / "tree").rglob("*")
        if path.is_file()
    }
    assert flat == {name.replace("/", "."): data for name, data in tree.items()}
    assert list(tmp_path.rglob("flat/*/*")) == []


def test_flat_publication_is_verified_and_tampering_seen(work, tmp_path):
    publish_to(work, tmp_path / "flat", flat=True)
    assert not see(f"{tmp_path / 'flat'}#flat", first_root(work)).problems
    (snapshot,) = (tmp_path / "flat").glob("metadata.*.snapshot.json")
    snapshot.write_bytes(snapshot.read_bytes()[:-1] + b" ")
    with pytest.raises(RefusedError):
        see(tmp_path / "flat", first_root(work))


def test_layouts_do_not_mix(work, tmp_path):
    publish_to(work, tmp_path / "flat", flat=True)
    publish_to(work, tmp_path / "tree")
    for name, flat in (("flat", False), ("tree", True)):
        with pytest.raises(MpotaError, match="has the other layout"):
            publish_to(work, tmp_path / name, flat=flat)
    assert publish_to(work, tmp_path / "flat", flat=True).written == []


def test_flat_publication_ends_with_the_timestamp(work, tmp_path):
    written = publish_to(work, tmp_path / "flat", flat=True).written
    kinds = [name.split(".")[0] for name in written]
    assert kinds == sorted(kinds, reverse=True) and written[-1] == "metadata.timestamp.json"


def test_two_files_of_one_name_are_refused(work, tmp_path, monkeypatch):
    from mpota import publish

    plan = [("targets/a.b/x", b"1"), ("targets/a/b.x", b"2")]
    monkeypatch.setattr(publish, "_plan_targets", lambda _: plan)
    with pytest.raises(MpotaError, match="two files would have one name"):
        publish_to(work, tmp_path / "flat", flat=True)
    assert not (tmp_path / "flat").exists()


def test_flat_name_of_a_url(tls):
    web = sources.Web("https://h/p#flat", None)
    assert web.url("metadata/1.root.json") == "https://h/p/metadata.1.root.json"
    assert sources.Web("https://h/p", None).url("targets/a/b") == "https://h/p/targets/a/b"
