# SPDX-License-Identifier: MIT
"""GitHub Pages, Releases and private repositories as the static server; nginx as documented.

Servers on this machine play github.com and its hosts, each over TLS with its own name and
certificate, and are as particular as the real ones: signed URLs that end, a storage that refuses
whoever sends it a token too, a front that says 404 to who may not know. Each test runs the
adapter on CPython and on real MicroPython, as a client process of its own.
"""

import hashlib
import json
import re
from contextlib import ExitStack

import pytest

import http_client
import servers
from test_http import CONTENT, is_content, is_refused

TOKEN = "github_pat_11AAAAAAA0aaaaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbb"
AUTHORIZATION = ["Authorization", "token " + TOKEN]
# What the front sends with everything: two cookies, and one line longer than our line buffer.
FRONT = (
    "Server: github.com\r\nVary: Accept-Encoding, Accept, X-Requested-With\r\n"
    "Set-Cookie: _gh_sess=" + "x" * 400 + "; path=/; secure; HttpOnly; SameSite=Lax\r\n"
    "Set-Cookie: _octo=GH1.1.1; domain=.github.com; secure; SameSite=Lax\r\n"
    "Content-Security-Policy: default-src 'none'; connect-src "
    + "'self' x.example " * 230
    + "\r\n"
)


@pytest.fixture(params=["cpython", "micropython"])
def fetch(request, tmp_path):
    """fetch(urls, steps…, hosts=, **job): plays the steps in a world of these hosts."""
    if request.param == "micropython":
        run = request.getfixturevalue("run_micropython")
        program = request.getfixturevalue("micropython")

    def fetch(urls, *steps, **job):
        urls = [urls] if isinstance(urls, str) else urls
        steps = [{"path": s} if isinstance(s, str) else s for s in steps]
        text = json.dumps({"urls": urls, "steps": steps, **job})
        if request.param == "cpython":
            return http_client.main(text)
        file = tmp_path / "job.json"
        file.write_text(text)
        done = run(program, "host_tests/http_client.py", file, timeout=60)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return json.loads(done.stdout)

    return fetch


class Internet:
    """Hosts by name. `add(name, script)`: a server whose `answer(request)` is told by script."""

    def __init__(self, folder):
        self._folder = folder
        self._stack = ExitStack()
        self.ca = servers.Ca()
        self.hosts = {}
        self.servers = {}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return self._stack.__exit__(*exc)

    def add(self, name, answer, tls=True, ca=None):
        def script(connection):
            while True:
                answer(connection, connection.request())

        if tls:
            pair = (ca or self.ca).issue(self._folder / name, name)
        server = self._stack.enter_context(servers.Liar(script, *(pair if tls else ())))
        self.hosts[f"{name}:{443 if tls else 80}"] = server.port
        self.servers[name if tls else "http://" + name] = server
        return server

    def job(self, **job):
        return {"hosts": self.hosts, "ca": self.ca.der.hex(), **job}


@pytest.fixture
def internet(tmp_path):
    with Internet(tmp_path) as internet:
        yield internet


def say(connection, status, headers="", body=b""):
    connection.send(f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n", body)


def has_no_token(server):
    assert not [r for r in server.requests if "authorization" in r.headers]


# Releases


class Releases:
    """github.com/OWNER/REPO/releases/… and the storage behind it."""

    def __init__(self, internet, files):
        self.files = files
        self.valid = 1  # number of the signature that has not expired
        self.front = internet.add("github.com", self._front)
        self.storage = internet.add("release-assets.githubusercontent.com", self._storage)

    def _front(self, connection, request):
        before, _, rest = request.path.partition("/acme/sensor/releases/")
        if rest.startswith("latest/download/"):
            location = "https://github.com/acme/sensor/releases/download/v7/" + rest[16:]
        else:
            name = rest.removeprefix("download/v7/")
            if before or name not in self.files:
                return say(connection, "404 Not Found", FRONT, b"Not Found")
            location = (
                "https://release-assets.githubusercontent.com/github-production-release-asset"
                f"/123456789/0f8fad5b-d9cb-469f-a165-70867728950e?sp=r&sv=2018-11-09&sr=b"
                f"&rscd=attachment%3B+filename%3D{name}&rsct=application%2Foctet-stream"
                f"&sig={self.valid}&jwt={'e' * 700}&response-content-disposition=attachment"
                f"%3B%20filename%3D{name}&response-content-type=application%2Foctet-stream"
                + "&skoid=" + "a" * 250
            )  # fmt: skip
            assert len(location) > 1300
        return say(connection, "302 Found", f"{FRONT}Location: {location}\r\n")

    def _storage(self, connection, request):
        fields = dict(part.split("=", 1) for part in request.path.partition("?")[2].split("&"))
        if "authorization" in request.headers:
            return say(connection, "400 Only one auth mechanism allowed", body=b"<Error/>")
        if fields["sig"] != str(self.valid):
            return say(connection, "403 Server failed to authenticate the request.", body=b"<E/>")
        name = fields["rscd"].rpartition("%3D")[2]
        etag = '"0x%s"' % hashlib.md5(self.files[name]).hexdigest()
        return connection.serve(
            self.files[name], request, "Content-Disposition: attachment\r\n", etag
        )


FLAT = {
    "metadata.1.root.json": b'{"signed": 1}',
    "metadata.timestamp.json": b'{"signed": 2}',
    "targets.fw.thermostat.pico.1.0.0.8f434346648f6b96df89dda901c5176b.app.img": CONTENT,
}
IMAGE = "targets/fw/thermostat/pico/1.0.0/8f434346648f6b96df89dda901c5176b.app.img"


@pytest.mark.parametrize("base", ["download/v7", "latest/download"])
def test_release_as_a_flat_folder(fetch, internet, base):
    releases = Releases(internet, FLAT)
    results = fetch(
        f"https://github.com/acme/sensor/releases/{base}#flat",
        "metadata/1.root.json",
        "metadata/2.root.json",
        "metadata/timestamp.json",
        {"path": IMAGE, "start": 4096, "end": 8192},
        {"path": IMAGE, "start": 16384},
        IMAGE,
        **internet.job(headers=[AUTHORIZATION]),
    )
    assert results[0]["sha256"] == hashlib.sha256(FLAT["metadata.1.root.json"]).hexdigest()
    is_refused(results[1], "HTTP status", 404)
    assert results[2]["sha256"] == hashlib.sha256(FLAT["metadata.timestamp.json"]).hexdigest()
    is_content(results[3], 4096, 8192)
    is_content(results[4], 16384)
    is_content(results[5])
    assert results[6] == {"pauses": []}
    # Nothing that the base URL says behind "#" is sent; the token stays at the front door.
    assert not [r for r in releases.front.requests if "#" in r.path or "flat" in r.path]
    assert {r.headers["authorization"] for r in releases.front.requests} == {
        AUTHORIZATION[1].lower()
    }
    has_no_token(releases.storage)
    # The second and third part of the image came over the connection that was there.
    hops = 2 if base == "latest/download" else 1
    assert len(releases.front.requests) == 4 * hops
    assert len(releases.storage.requests) == 5


def test_signed_url_of_a_release_expires_between_two_parts(fetch, internet):
    """Then the front door is asked again: an update that pauses for an hour goes on."""
    releases = Releases(internet, FLAT)
    count = 0
    storage = releases._storage

    def expire(connection, request):
        nonlocal count
        count += 1
        if count == 2:
            releases.valid += 1
        storage(connection, request)

    releases._storage = expire
    internet.servers["release-assets.githubusercontent.com"]._script = lambda connection: [
        expire(connection, connection.request()) for _ in range(99)
    ]
    results = fetch(
        "https://github.com/acme/sensor/releases/download/v7#flat",
        {"path": IMAGE, "start": 0, "end": 4096},
        {"path": IMAGE, "start": 8192, "end": 12288},
        {"path": IMAGE, "start": 12288, "end": 16384},
        **internet.job(),
    )
    is_content(results[0], 0, 4096)
    is_content(results[1], 8192, 12288)
    is_content(results[2], 12288, 16384)
    assert results[3] == {"pauses": []}
    assert len(releases.front.requests) == 2


def test_connection_to_the_storage_is_lost_and_its_url_has_expired(fetch, internet):
    releases = Releases(internet, FLAT)

    def script(connection):
        request = connection.request()
        if connection.number == 0:
            connection.send(
                "HTTP/1.1 200 OK\r\nETag: \"1\"\r\n"
                f"Content-Length: {len(CONTENT)}\r\n\r\n", CONTENT[:7000]
            )  # fmt: skip
            releases.valid += 1
            connection.reset()
        elif f"sig={releases.valid}&" not in request.path:
            say(connection, "403 Server failed to authenticate the request.")
            request = connection.request()
        connection.serve(CONTENT, request)

    releases.storage._script = script
    results = fetch(
        "https://github.com/acme/sensor/releases/download/v7#flat", IMAGE, **internet.job()
    )
    is_content(results[0])
    lost_at = releases.storage.requests[1].range[0]
    assert 0 < lost_at == releases.storage.requests[2].range[0]
    assert len(releases.front.requests) == 2


def test_storage_that_fails_is_asked_once_for_each_way_through_the_front_door(fetch, internet):
    """And when it has moved meanwhile, the front door knows."""
    where = "one.example"

    def front(connection, request):
        say(connection, "302 Found", f"Location: https://{where}/1\r\n")

    def one(connection, request):
        nonlocal where
        if len(servers_[1].requests) < 3:
            return say(connection, "503 Service Unavailable")
        if len(servers_[1].requests) == 3:
            return connection.serve(CONTENT, request)
        where = "two.example"
        return connection.reset()

    servers_ = [
        internet.add("github.com", front),
        internet.add("one.example", one),
        internet.add("two.example", lambda c, r: c.serve(CONTENT, r)),
    ]
    results = fetch(
        "https://github.com/a",
        {"path": "f", "start": 1},
        {"path": "f", "start": 2},
        {"close": 1},
        {"path": "f", "start": 3},
        **internet.job(tries=3),
    )
    is_content(results[0], 1)
    is_content(results[1], 2)
    is_content(results[3], 3)
    assert [len(server.requests) for server in servers_] == [
        5,
        5,
        2,
    ]  # a reset of a kept connection is no answer


def test_token_follows_no_redirect_and_comes_back_to_its_host(fetch, internet):
    """Even when the way leads back to the host that may know it, and away again."""

    def front(connection, request):
        if request.path == "/a/f":
            say(connection, "302 Found", "Location: https://other.example/1\r\n")
        else:
            connection.serve(CONTENT, request)

    def other(connection, request):
        say(connection, "302 Found", "Location: https://github.com/2\r\n")

    home = internet.add("github.com", front)
    away = internet.add("other.example", other)
    results = fetch("https://github.com/a", "f", "f", **internet.job(headers=[AUTHORIZATION]))
    is_content(results[0])
    is_content(results[1])
    has_no_token(away)
    assert [r.path for r in home.requests] == ["/a/f", "/2", "/2"]
    assert len([r for r in home.requests if "authorization" in r.headers]) == 3
    assert len(away.requests) == 1


# Pages


def pages(content=CONTENT):
    def answer(connection, request):
        if request.path == "/updates/fw/image.bin":
            extra = "Cache-Control: max-age=600\r\nAge: 7\r\nVia: 1.1 varnish\r\n"
            connection.serve(content, request, extra, '"692a1b2c-4e20"')
        else:
            # A page for people, larger than what is worth reading on for.
            say(connection, "404 Not Found", "Server: GitHub.com\r\n", b"<!DOCTYPE html>" * 620)

    return answer


def test_pages(fetch, internet):
    server = internet.add("acme.github.io", pages())
    results = fetch(
        "https://acme.github.io/updates/",
        "fw/image.bin",
        "metadata/2.root.json",
        {"path": "fw/image.bin", "start": 4096, "end": 8192},
        **internet.job(),
    )
    is_content(results[0])
    is_refused(results[1], "HTTP status", 404)
    is_content(results[2], 4096, 8192)
    assert len(server.requests) == 3


def test_pages_turn_http_into_https(fetch, internet):
    """As `Enforce HTTPS` does. The token of an http base URL goes no further."""

    def plain(connection, request):
        say(connection, "301 Moved", f"Location: https://acme.github.io{request.path}\r\n")

    internet.add("acme.github.io", plain, tls=False)
    server = internet.add("acme.github.io", pages())
    results = fetch(
        "http://acme.github.io/updates/",
        "fw/image.bin",
        {"path": "fw/image.bin", "start": 9},
        **internet.job(headers=[AUTHORIZATION]),
    )
    is_content(results[0])
    is_content(results[1], 9)
    has_no_token(server)
    # The same path at the other origin is another place, so it is remembered too.
    assert len(internet.servers["http://acme.github.io"].requests) == 1
    # Without a CA it is refused, not followed blindly.
    results = fetch("http://acme.github.io/updates/", "fw/image.bin", hosts=internet.hosts)
    is_refused(results[0], "https needs ca")


def test_pages_with_a_domain_of_its_own(fetch, internet):
    """github.io answers 301 to the custom domain, whose path has lost the repository's name."""

    def moved(connection, request):
        path = request.path.removeprefix("/updates/")
        say(connection, "301 Moved", f"Location: https://ota.acme.example/updates/{path}\r\n")

    internet.add("acme.github.io", moved)
    internet.add("ota.acme.example", pages())
    result = fetch("https://acme.github.io/updates/", "fw/image.bin", **internet.job())[0]
    is_content(result)


def test_pages_moved_to_a_domain_with_a_certificate_of_another_ca(fetch, internet):
    """The CA of the base URL speaks for the way too: a second one goes into the same file."""

    def moved(connection, request):
        say(connection, "301 Moved", f"Location: https://ota.acme.example{request.path}\r\n")

    other = servers.Ca("Another")
    internet.add("acme.github.io", moved)
    server = internet.add("ota.acme.example", pages(), ca=other)
    base = "https://acme.github.io/updates/"
    is_refused(fetch(base, "fw/image.bin", **internet.job())[0], "certificate")
    assert server.requests == []
    both = internet.job(ca=(internet.ca.der + other.der).hex())
    is_content(fetch(base, "fw/image.bin", **both)[0])


# Private repositories


def raw(connection, request):
    """raw.githubusercontent.com: 404 for all whom the repository does not know."""
    allowed = request.headers.get("authorization") == AUTHORIZATION[1].lower()
    if allowed and request.path == "/acme/sensor/main/public/fw/image.bin":
        extra = "Cache-Control: max-age=300\r\nX-Frame-Options: deny\r\n"
        connection.serve(CONTENT, request, extra, '"%s"' % ("ab" * 32))
    else:
        say(connection, "404 Not Found", body=b"404: Not Found")


def test_private_repository_through_raw(fetch, internet):
    server = internet.add("raw.githubusercontent.com", raw)
    base = "https://raw.githubusercontent.com/acme/sensor/main/public"
    results = fetch(
        base,
        "fw/image.bin",
        {"path": "fw/image.bin", "start": 4096, "end": 8192},
        "fw/none",
        **internet.job(headers=[AUTHORIZATION]),
    )
    is_content(results[0])
    is_content(results[1], 4096, 8192)
    is_refused(results[2], "HTTP status", 404)
    assert server.connections == 1
    for headers in ([], [["Authorization", "token another"]]):
        result = fetch(base, "fw/image.bin", **internet.job(headers=headers))[0]
        is_refused(result, "HTTP status", 404)


def api(connection, request):
    """api.github.com …/contents/…: raw bytes for who asks for them; no part of a file."""
    if "user-agent" not in request.headers:
        return say(connection, "403 Forbidden", body=b"Request forbidden by administrative rules.")
    if request.headers.get("authorization") != AUTHORIZATION[1].lower():
        return say(connection, "404 Not Found", body=b'{"message": "Not Found"}')
    if request.headers.get("accept") != "application/vnd.github.raw+json":
        return say(connection, "200 OK", "Content-Type: application/json\r\n", b'{"content": ""}')
    return say(connection, "200 OK", 'ETag: W/"5"\r\n', CONTENT)


def test_private_repository_through_the_api(fetch, internet):
    """Whole files only: for metadata it would do, a part of an image is refused by us."""
    internet.add("api.github.com", api)
    results = fetch(
        "https://api.github.com/repos/acme/sensor/contents/public",
        "fw/image.bin",
        {"path": "fw/image.bin", "start": 4096, "end": 8192},
        **internet.job(headers=[AUTHORIZATION, ["Accept", "application/vnd.github.raw+json"]]),
    )
    is_content(results[0])
    is_refused(results[1], "HTTP status", 200)


# Limits


@pytest.mark.parametrize(
    ("status", "headers", "seen", "requests"),
    [
        ("429 Too Many Requests", "Retry-After: 60\r\n", 429, 2),
        ("429 Too Many Requests", "", 429, 2),
        ("403 Forbidden", "Retry-After: 60\r\nX-RateLimit-Remaining: 0\r\n", 429, 2),
        ("403 Forbidden", "", 403, 1),
    ],
)
def test_too_many_requests(fetch, internet, status, headers, seen, requests):
    """ "Later" in both of GitHub's spellings is tried again; it never reads as "absent"."""
    server = internet.add("raw.githubusercontent.com", lambda c, r: say(c, status, headers))
    results = fetch("https://raw.githubusercontent.com/a/b/main", "f", **internet.job(tries=2))
    is_refused(results[0], "HTTP status", seen)
    assert len(server.requests) == requests
    assert len(results[1]["pauses"]) == requests - 1


# Several servers, each with its own CA and token


def test_each_set_of_urls_keeps_its_ca_and_its_token(fetch, internet):
    other = servers.Ca("Another")
    first = internet.add("one.example", lambda c, r: say(c, "404 Not Found"))
    second = internet.add("two.example", lambda c, r: c.serve(CONTENT, r), ca=other)
    third = internet.add("three.example", lambda c, r: c.serve(CONTENT, r), ca=other)
    more = [
        {"urls": ["https://two.example"], "ca": other.der.hex(), "headers": [["X-Two", "2"]]},
        {"urls": ["https://three.example/"], "ca": internet.ca.der.hex()},
    ]
    job = internet.job(headers=[AUTHORIZATION], more=more)
    results = fetch("https://one.example/base", "f", "g", **job)
    is_content(results[0])
    is_content(results[1])
    assert [r.headers["authorization"] for r in first.requests] == [AUTHORIZATION[1].lower()]
    has_no_token(second)
    assert {r.headers["x-two"] for r in second.requests} == {"2"}
    assert second.connections == 1  # which answered last is asked first
    # A name that is vouched for by the other set's CA only is not believed, nor a connection that
    # was made while that CA was asked.
    more[0]["ca"] = internet.ca.der.hex()
    is_refused(fetch("https://one.example/base", "f", **job)[0], None, 404)
    twice = [{"urls": ["https://one.example/2"], "ca": other.der.hex()}]
    requests = len(first.requests)
    is_refused(fetch("https://one.example/base", "f", **{**job, "more": twice})[0], None, 404)
    assert len(first.requests) == requests + 1
    assert third.requests == []


@pytest.mark.parametrize("url", ["http://a.example/#flatt", "http://a.example/#", "#flat"])
def test_other_fragments_are_a_programming_error(fetch, url):
    expected = {"http://a.example/#": "no such host"}.get(url)
    result = fetch(url, "f", hosts={})
    if expected:
        is_refused(result[0], "connection")
    else:
        assert result == [{"error": "ValueError", "args": ["url"]}]


def test_nginx_as_documented(fetch, repo, internet, tmp_path):
    """The block of docs/SERVERS.md, as it stands there."""
    (block,) = re.findall(r"```nginx\n(.*?)```", (repo / "docs/SERVERS.md").read_text(), re.DOTALL)
    (tmp_path / "root/metadata").mkdir(parents=True)
    (tmp_path / "root/image.bin").write_bytes(CONTENT)
    (tmp_path / "root/metadata/timestamp.json").write_bytes(CONTENT)
    cert, key = internet.ca.issue(tmp_path / "cert", "updates.example.com")
    with servers.nginx(tmp_path / "nginx", tmp_path / "root", cert, key, block) as server:
        results = fetch(
            "https://updates.example.com/",
            "metadata/timestamp.json",
            {"path": "image.bin", "start": 4096, "end": 8192},
            ca=internet.ca.der.hex(),
            hosts={"updates.example.com:443": server.https_port},
        )
        log = server.access_log.read_text()
    is_content(results[0])
    is_content(results[1], 4096, 8192)
    assert log.count("ota") == 2
