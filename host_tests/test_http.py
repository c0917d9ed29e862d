# SPDX-License-Identifier: MIT
"""Http against nginx over TLS, and against a server that lies, hangs or breaks off at every point.

Each test runs the adapter on CPython and on real MicroPython, as a client process of its own.
"""

import asyncio
import gc
import hashlib
import json
import socket
import time
from contextlib import contextmanager

import pytest

import http_client
import servers
from ota.adapters.http import Http

CONTENT = bytes(i * i % 251 for i in range(20000))


@pytest.fixture(scope="module", autouse=True)
def _small_heap():
    """Http collects garbage before it connects: let that not be the garbage of all tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=["cpython", "micropython"])
def fetch(request, tmp_path):
    """fetch(urls, steps…, **job): plays the steps; returns their results."""
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
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        return json.loads(done.stdout)

    return fetch


@contextmanager
def within(seconds):
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def is_content(result, start=0, end=None, length="known"):
    part = CONTENT[start:end]
    assert result.get("sha256") == hashlib.sha256(part).hexdigest(), result
    assert result["count"] == len(part)
    assert result["length"] == (len(part) if length == "known" else length)


def is_refused(result, text=None, status=None, error="FetchError"):
    assert result.get("error") == error, result
    assert result.get("status") == status, result
    if text:
        assert result["args"][0] == text, result
    # Nothing that the server said is in an error: only our words and numbers.
    assert not any("evil" in str(a) for a in result["args"]), result


# TLS and a real server


@pytest.fixture(scope="module")
def ca():
    return servers.Ca()


@pytest.fixture(scope="module")
def web(ca, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    (folder / "root/fw").mkdir(parents=True)
    (folder / "root/fw/image.bin").write_bytes(CONTENT)
    (folder / "root/empty").write_bytes(b"")
    cert, key = ca.issue(folder / "cert", "localhost")
    with servers.nginx(folder / "nginx", folder / "root", cert, key) as server:
        yield server


def test_whole_file_ranges_and_absent_ones_over_one_connection(fetch, web, ca):
    n = len(CONTENT)
    before = len(web.access_log.read_text().splitlines())
    results = fetch(
        web.https,
        "fw/image.bin",
        {"path": "fw/image.bin", "size": 3},
        {"path": "fw/image.bin", "start": 0, "end": 1},
        {"path": "fw/image.bin", "start": 4096, "end": 8192},
        "fw/none",
        {"path": "fw/image.bin", "start": n - 1},
        "empty",
        {"path": "fw/image.bin", "start": n},
        {"path": "fw/image.bin", "start": 5, "end": n + 1},
        ca=ca.der.hex(),
    )
    is_content(results[0])
    is_content(results[1])
    is_content(results[2], 0, 1)
    is_content(results[3], 4096, 8192)
    is_refused(results[4], "HTTP status", 404)
    is_content(results[5], n - 1)
    is_content(results[6], n)
    is_refused(results[7], "HTTP status", 416)
    is_refused(results[8], "content range")
    assert results[9] == {"pauses": []}
    assert len(web.access_log.read_text().splitlines()) == before + 9


def test_several_certificates_in_one_ca_file(fetch, web, ca):
    other = servers.Ca("Another")
    for der in (other.der + ca.der, ca.der + other.der):
        is_content(fetch(web.https, "fw/image.bin", ca=der.hex())[0])


def test_wrong_ca(fetch, web):
    # The same name does not help: the key does.
    for name in ("Another", "Test CA"):
        result = fetch(web.https, "fw/image.bin", ca=servers.Ca(name).der.hex())
        is_refused(result[0], "certificate")
        assert result[1] == {"pauses": []}


def test_wrong_name(fetch, web, ca):
    for name in ("127.0.0.1", "localhost.localdomain", "xn--localhost"):
        url = web.https.replace("localhost", name)
        if name == "127.0.0.1":
            is_refused(fetch(url, "fw/image.bin", ca=ca.der.hex())[0], "certificate")


def test_https_without_ca_is_a_programming_error(fetch, web):
    assert fetch(web.https, "fw/image.bin") == [
        {"error": "ValueError", "args": ["https needs ca"]}
    ]


def test_ca_that_is_no_der(fetch, web, ca):
    for bad in (b"-----BEGIN CERTIFICATE-----\n", ca.der[:-1], ca.der + b"\x30", b"\x30\x82\0\1x"):
        is_refused(fetch(web.https, "fw/image.bin", ca=bad.hex())[0], error="FetchError")


def certificates(folder, ca):
    return {
        "expired": (ca.issue(folder / "0", "localhost", days=(-30, -1)), "ClockError"),
        "not yet valid": (ca.issue(folder / "1", "localhost", days=(5, 30)), "ClockError"),
        "another name": (ca.issue(folder / "2", "other.example"), "FetchError"),
        "expired, another name": (
            ca.issue(folder / "3", "other.example", days=(-30, -1)),
            None,  # either: CPython reports the first reason only
        ),
        "expired, another CA": (
            servers.Ca().issue(folder / "4", "localhost", days=(-30, -1)),
            "FetchError",
        ),
        "self-signed": (
            servers.Ca().issue(folder / "5", "localhost", self_signed=True),
            "FetchError",
        ),
    }


@pytest.mark.parametrize(
    "kind",
    ["expired", "not yet valid", "another name", "expired, another name", "expired, another CA",
     "self-signed"],
)  # fmt: skip
def test_certificate_that_is_refused_at_once(fetch, ca, tmp_path, kind):
    (cert, key), error = certificates(tmp_path, ca)[kind]
    with servers.Liar(lambda c: c.serve(CONTENT), cert, key) as liar:
        results = fetch(liar.url, "fw/image.bin", ca=ca.der.hex())
        assert results[0]["error"] in ((error,) if error else ("FetchError", "ClockError"))
        assert results[-1] == {"pauses": []}
        assert liar.connections == 1
        assert liar.requests == []


def test_stripped_tls(fetch, ca):
    with servers.Liar(lambda c: c.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")) as liar:
        url = liar.url.replace("http://127.0.0.1", "https://localhost")
        is_refused(fetch(url, "f", ca=ca.der.hex())[0], "connection")
        assert liar.requests == []


def test_tls_that_breaks_off_or_hangs_in_the_handshake(fetch, web, ca):
    # The first bytes of a true handshake, recorded by relaying the client's own first flight.
    def script(c):
        hello = c._guard(c._sock.recv, 4096)
        with socket.create_connection(("127.0.0.1", web.https_port)) as true:
            true.sendall(hello)
            answer = true.recv(4096)
        c.send(answer[: c.number * 50])
        if c.number % 2:
            c.hang()

    with servers.Liar(script) as liar, within(8):
        url = liar.url.replace("http://127.0.0.1", "https://localhost")
        result = fetch(url, "f", ca=ca.der.hex(), timeout_s=0.3, tries=6)
        is_refused(result[0], "connection")
        assert liar.connections == 6


# Redirects


def redirect(c, location, status=302):
    c.request()
    c.send(f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_on_the_same_server(fetch, status):
    def script(c):
        redirect(c, "/there?a=b#fragment", status)
        redirect(c, f"{liar.url}end", status)
        c.serve(CONTENT)

    with servers.Liar(script) as liar:
        token = [["Authorization", "secret"]]
        is_content(fetch(liar.url + "base", "a/f", headers=token)[0])
        assert [r.path for r in liar.requests] == ["/base/a/f", "/there?a=b", "/end"]
        assert {r.headers["authorization"] for r in liar.requests} == {"secret"}
        assert liar.connections == 1


def test_redirect_takes_no_credentials_to_another_host(fetch):
    with servers.Liar(lambda c: c.serve(CONTENT)) as other:
        for elsewhere in (other.url, other.url.replace("127.0.0.1", "localhost")):
            with servers.Liar(lambda c: redirect(c, elsewhere + "x")) as liar:  # noqa: B023
                token = [["Authorization", "secret"], ["X-Token", "2"]]
                is_content(fetch(liar.url, {"path": "f", "start": 7}, headers=token)[0], 7)
                assert liar.requests[0].headers["authorization"] == "secret"
                assert liar.requests[0].headers["x-token"] == "2"
    for request in other.requests:
        assert request.path == "/x"
        assert request.range == (7, None)
        assert not {"authorization", "x-token"} & set(request.headers)


def test_redirect_takes_no_credentials_to_another_scheme_of_the_host(fetch, ca, tmp_path):
    """Another scheme is another origin, even on the same name."""
    cert, key = ca.issue(tmp_path / "cert", "localhost")
    with servers.Liar(lambda c: c.serve(CONTENT), cert, key) as other:
        secure = other.url.replace("http:", "https:").replace("127.0.0.1", "localhost")
        with servers.Liar(lambda c: redirect(c, secure + "x")) as liar:
            plain = liar.url.replace("127.0.0.1", "localhost")
            token = [["Authorization", "secret"]]
            is_content(fetch(plain, "f", headers=token, ca=ca.der.hex())[0])
        assert [set(request.headers) & {"authorization"} for request in other.requests] == [set()]


def test_body_that_lost_its_connection_never_delivers_another_file():
    """Opening the next file takes the connection from a body that is not read to its end."""

    def serve(connection):
        while True:
            request = connection.request()
            content = request.path[-1:].encode() * 300
            start = request.range[0] if request.range else 0
            head = f"HTTP/1.1 206 x\r\nContent-Range: bytes {start}-299/300\r\n"
            connection.send(
                head if request.range else "HTTP/1.1 200 x\r\n",
                f"Content-Length: {300 - start}\r\n\r\n",
                content[start:],
            )

    async def play(url):
        http = Http([url])
        first = await http.open("a")
        begin = bytearray(10)
        assert await first.readinto(begin) == 10
        await http.open("b")
        rest = bytearray(290)
        assert await first.readinto(rest) == 290
        await http.close()
        return bytes(begin + rest)

    with servers.Liar(serve) as liar:
        assert asyncio.run(play(liar.url)) == b"a" * 300


def test_credentials_come_back_with_the_base(fetch):
    """One request was redirected elsewhere; the next one goes to the base again, with token."""
    with (
        servers.Liar(lambda c: c.serve(CONTENT)) as other,
        servers.Liar(lambda c: redirect(c, other.url)) as liar,
    ):
        results = fetch(liar.url, "f", "g", headers=[["Authorization", "secret"]])
        is_content(results[0])
        is_content(results[1])
        assert [r.path for r in liar.requests] == ["/f", "/g"]
        assert all("authorization" in r.headers for r in liar.requests)


def test_redirect_loop(fetch):
    def script(c):
        while True:
            redirect(c, "/again")

    with servers.Liar(script) as liar:
        is_refused(fetch(liar.url, "f")[0], "redirects")
        assert len(liar.requests) == 6


def test_redirect_from_https_to_http(fetch, ca, tmp_path):
    with servers.Liar(lambda c: c.serve(CONTENT)) as plain:
        script = lambda c: redirect(c, plain.url)  # noqa: E731
        with servers.Liar(script, *ca.issue(tmp_path, "localhost")) as liar:
            result = fetch(liar.url, "f", ca=ca.der.hex())[0]
            is_refused(result, "redirect to http")
        assert plain.connections == 0


def test_redirect_from_http_to_https(fetch, web, ca):
    with servers.Liar(lambda c: redirect(c, web.https + "fw/image.bin")) as liar:
        is_content(fetch(liar.url, "f", ca=ca.der.hex())[0])
        is_refused(fetch(liar.url, "f")[0], "https needs ca")


@pytest.mark.parametrize(
    "location",
    ["", "ftp://evil/", "http://", "http://evil@host/", "http://[::1]/", "http://evil:x/",
     "http://evil:0/", "http://evil:65536/", "http://evil:-1/",
     "/evil evil", "/evil\x01", "/evil\xe9",
     "https:///evil", "/" + "evil" * 1000, "//evil/x", "evil/x", "?evil"],
)  # fmt: skip
def test_redirect_to_nonsense(fetch, location):
    with servers.Liar(lambda c: redirect(c, location)) as liar:
        is_refused(fetch(liar.url, "f")[0], "redirect")


def test_long_signed_url_is_followed(fetch):
    def script(c):
        redirect(c, "/x?" + "s" * 1400)
        c.serve(CONTENT)

    with servers.Liar(script) as liar:
        is_content(fetch(liar.url, "f")[0])
        assert len(liar.requests[1].path) == 1403


def test_captive_portal(fetch):
    page = "<html>evil portal</html>"

    def portal(c):
        while True:
            c.request()
            c.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\n\r\n{page}")

    def sends_there(c):
        while True:
            redirect(c, "http://127.0.0.1:%d/login" % login.port)

    with servers.Liar(portal) as login, servers.Liar(sends_there) as liar:
        for url in (login.url, liar.url):
            results = fetch(url, {"path": "f", "end": 9}, "f")
            is_refused(results[0], "HTTP status", 200)
            # A whole document is handed on: who asked checks it, as always.
            assert results[1]["count"] == len(page)


# Framing


@pytest.mark.parametrize("size", [1, 2, 7, 100, 4096])
def test_chunked(fetch, size):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n")
        for i in range(0, 3000, size):
            part = CONTENT[i : min(i + size, 3000)]
            c.send(b"%X;evil=1\r\n" % len(part), part, b"\r\n")
        c.send("0\r\nTrailer: x\r\n\r\n")

    with servers.Liar(script) as liar:
        for step in ({"path": "f"}, {"path": "f", "size": 5}):
            is_content(fetch(liar.url, step)[0], 0, 3000, length=None)


def test_chunked_range(fetch):
    def script(c):
        c.request()
        c.send(
            "HTTP/1.1 206 Partial\r\nTransfer-Encoding: chunked\r\n"
            "Content-Range: bytes 5-14/20000\r\n\r\n7\r\n",
            CONTENT[5:12],
            "\r\n3\r\n",
            CONTENT[12:15],
            "\r\n0\r\n\r\n",
        )

    with servers.Liar(script) as liar:
        is_content(fetch(liar.url, {"path": "f", "start": 5, "end": 15})[0], 5, 15)


@pytest.mark.parametrize("line", ["", "evil", "-5", "100000000", "5" * 2000, ";", "\x00"])
def test_chunk_that_is_none(fetch, line):
    def script(c):
        c.request()
        c.send(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{line}\r\n\r\n")

    with servers.Liar(script) as liar:
        is_refused(fetch(liar.url, "f")[0], "chunk")


def test_body_without_length_ends_with_the_connection(fetch):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\n\r\n", CONTENT)

    with servers.Liar(script) as liar:
        results = fetch(liar.url, "f", "f")
        is_content(results[0], length=None)
        is_content(results[1], length=None)
        assert liar.connections == 2


def test_http_1_0(fetch):
    def script(c):
        c.request()
        c.send(f"HTTP/1.0 200 OK\nContent-Length: {len(CONTENT)}\n\n", CONTENT)

    with servers.Liar(script) as liar:
        results = fetch(liar.url, "f", "f")
        is_content(results[0])
        is_content(results[1])
        assert liar.connections == 2


def test_connection_close_is_obeyed(fetch):
    def script(c):
        c.serve(CONTENT, headers="Connection: Close\r\n")
        c.hang()

    with servers.Liar(script) as liar, within(5):
        results = fetch(liar.url, "f", "f")
        is_content(results[1])
        assert liar.connections == 2


def test_interim_answers_are_skipped(fetch):
    def script(c):
        c.request()
        c.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        c.send("HTTP/1.1 200\r\nContent-Length: 3\r\n\r\n", CONTENT[:3])

    with servers.Liar(script) as liar:
        is_content(fetch(liar.url, "f")[0], 0, 3)


def test_bytes_behind_an_answer_are_not_the_next_answer(fetch):
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    def script(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + CONTENT[:3] + smuggled)
        c.hang()

    with servers.Liar(script) as liar:
        results = fetch(liar.url, "f", "f")
        is_content(results[0], 0, 3)
        is_content(results[1], 0, 3)
        assert liar.connections == 2


@pytest.mark.parametrize("big", [600, 5000])
def test_error_page_is_passed_over(fetch, big):
    """A small one on the same connection; a big one costs a new connection and is not read."""

    def script(c):
        while True:
            request = c.request()
            if request.path == "/none":
                c.send(f"HTTP/1.1 404 No\r\nContent-Length: {big}\r\n\r\n", b"x" * big)
            else:
                c.serve(CONTENT, request)

    with servers.Liar(script) as liar:
        results = fetch(liar.url, "none", "f", "none", "f")
        is_refused(results[0], "HTTP status", 404)
        is_content(results[1])
        is_content(results[3])
        assert liar.connections == (1 if big < 4096 else 3)


def test_chunked_error_page(fetch):
    def script(c):
        while True:
            request = c.request()
            if request.path == "/none":
                c.send("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n"
                       "Content-Encoding: gzip\r\n\r\n4\r\nevil\r\n0\r\n\r\n")  # fmt: skip
            else:
                c.serve(CONTENT, request)

    with servers.Liar(script) as liar:
        results = fetch(liar.url, "none", "f")
        is_refused(results[0], "HTTP status", 404)
        is_content(results[1])


def test_rest_of_a_body_that_is_closed_early(fetch):
    def script(c):
        while True:
            c.serve(CONTENT)

    with servers.Liar(script) as liar:
        results = fetch(
            liar.url,
            {"path": "f", "size": 100, "stop": 200},  # too much is left: a new connection
            {"path": "f", "end": 500, "size": 100, "stop": 200},  # little: read over
            {"path": "f", "end": 500, "size": 100, "stop": 200, "keep": True},  # not closed at all
            "f",
        )
        is_content(results[3])
        assert [r["count"] for r in results[:3]] == [200] * 3
        assert liar.connections == 3


@pytest.mark.parametrize(
    "headers, text",
    [
        ("Content-Range: bytes 5-14/20000\r\nContent-Length: 10", None),
        ("content-range:bytes 5-14/20000", None),
        ("Content-Length: 10", "not HTTP"),
        ("Content-Range: bytes 5-14/*\r\nContent-Length: 10", "not HTTP"),
        ("Content-Range: bytes */20000\r\nContent-Length: 10", "content range"),
        ("Content-Range: bytes 4-13/20000\r\nContent-Length: 10", "content range"),
        ("Content-Range: bytes 4-14/20000\r\nContent-Length: 11", "content range"),
        ("Content-Range: bytes 6-14/20000\r\nContent-Length: 9", "content range"),
        ("Content-Range: bytes 5-13/20000\r\nContent-Length: 9", "content range"),
        ("Content-Range: bytes 5-15/20000\r\nContent-Length: 11", "content range"),
        ("Content-Range: bytes 5-14/14\r\nContent-Length: 10", "content range"),
        ("Content-Range: bytes 5-14/20000\r\nContent-Length: 9", "content range"),
        ("Content-Range: bytes 5-14/20000\r\nContent-Length: 11", "content range"),
        ("Content-Range: 5-14/20000\r\nContent-Length: 10", "content range"),
        ("Content-Range: bytes 5--14/20000\r\nContent-Length: 10", "content range"),
        ("Content-Range: bytes +5-14/20000\r\nContent-Length: 10", "content range"),
        ("Content-Range: bytes 5-14/99999999999\r\nContent-Length: 10", "not HTTP"),
        ("Content-Range: bytes 5-14/20000\r\nContent-Length: -1", "not HTTP"),
        ("Content-Range: bytes 5-14/20000\r\nContent-Length: 1_0", "not HTTP"),
        ("Content-Range: bytes 5-14/20000\r\nContent-Length: 0x0a", "not HTTP"),
        ("Content-Range: bytes 5-14/20000\r\nContent-Length: evil", "not HTTP"),
        ("Content-Range: bytes 5-14/20000\r\nContent-Length: 10\r\nContent-Length: 11",
         "header twice"),
        ("Content-Range: bytes 5-14/20000\r\nContent-Length: 10\r\nContent-Length: 10", None),
        ("Content-Range: bytes 5-14/20000\r\nContent-Range: bytes 6-15/20000", "header twice"),
        ("Content-Range: bytes 5-14/20000\r\nContent-Encoding: gzip", "encoding"),
        ("Content-Range: bytes 5-14/20000\r\nTransfer-Encoding: gzip", "encoding"),
        ("Content-Range: bytes 5-14/20000\r\nTransfer-Encoding: gzip, chunked",
         "encoding"),
        ("Content-Type: multipart/byteranges; boundary=evil", "not HTTP"),
    ],
)  # fmt: skip
def test_range_answers(fetch, headers, text):
    def script(c):
        c.request()
        c.send(f"HTTP/1.1 206 Partial\r\n{headers}\r\n\r\n", CONTENT[5:15])

    with servers.Liar(script) as liar:
        result = fetch(liar.url, {"path": "f", "start": 5, "end": 15}, timeout_s=2, tries=1)[0]
        if text:
            is_refused(result, text)
        else:
            is_content(result, 5, 15)


def test_server_that_ignores_range(fetch):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n", CONTENT)

    with servers.Liar(script) as liar:
        for span in ({"start": 5}, {"end": 20000}, {"start": 0, "end": 10}):
            is_refused(fetch(liar.url, {"path": "f", **span})[0], "HTTP status", 200)


def test_206_that_nobody_asked_for(fetch):
    def script(c):
        c.request()
        c.send("HTTP/1.1 206 P\r\nContent-Range: bytes 0-2/9\r\nContent-Length: 3\r\n\r\nabc")

    with servers.Liar(script) as liar:
        is_refused(fetch(liar.url, "f")[0], "HTTP status", 206)


@pytest.mark.parametrize("status", [204, 304, 400, 401, 403, 404, 410, 416, 451])
def test_status_that_is_final(fetch, status):
    def script(c):
        while True:
            c.request()
            c.send(f"HTTP/1.1 {status} evil\r\nContent-Length: 0\r\n\r\n")

    with servers.Liar(script) as liar:
        results = fetch(liar.url, "f")
        is_refused(results[0], "HTTP status", status)
        assert results[1] == {"pauses": []}
        assert len(liar.requests) == 1


@pytest.mark.parametrize(
    "garbage",
    ["", "\r\n", "evil\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 evil\r\n\r\n",
     "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 -20 OK\r\n\r\n",
     "\0" * 5000 + "\r\n",
     "ICY 200 OK\r\n\r\n", "SSH-2.0-evil\r\n", "220 evil ESMTP\r\n", "HTTP/1.1  200 OK\r\n\r\n",
     "\x15\x03\x01\0\2\2\x28\n"],
)  # fmt: skip
def test_garbage_instead_of_http(fetch, garbage):
    def script(c):
        c.request()
        c.send(garbage)

    with servers.Liar(script) as liar:
        result = fetch(liar.url, "f", timeout_s=1, tries=1)[0]
        assert result["args"][0] in ("not HTTP", "connection"), result
        is_refused(result)


def test_long_header_that_nobody_needs(fetch):
    with servers.Liar(lambda c: c.serve(CONTENT, headers=f"X-Policy: {'p' * 9000}\r\n")) as liar:
        is_content(fetch(liar.url, "f")[0])


def test_headers_of_any_length_and_place_in_the_buffer(fetch):
    """Lines end at every place of the read buffer, and just around its size."""

    def script(c):
        while True:
            request = c.request()
            n = int(request.path[1:])
            c.serve(CONTENT[:10], request, headers=f"X: {'p' * n}\r\nY: {'q' * 700}\r\n")

    sizes = [*range(700, 740), *range(1480, 1550), *range(3000, 3100, 7)]
    with servers.Liar(script) as liar:
        for result in fetch(liar.url, *map(str, sizes))[:-1]:
            is_content(result, 0, 10)


@pytest.mark.parametrize("line", ["X: evil\r\n", "X" * 1000, "HTTP/1.1 100 Go on\r\n\r\n"])
def test_endless_head(fetch, line):
    def script(c):
        c.request()
        c.send("HTTP/1.1 100 Go on\r\n\r\n" if line[0] == "H" else "HTTP/1.1 200 OK\r\nA: b\r\n")
        for _ in range(2000000 // len(line)):
            c.send(line)

    with servers.Liar(script) as liar, within(10):
        is_refused(fetch(liar.url, "f", tries=1)[0], "head too long")


def test_endless_body_ends_where_the_caller_stops(fetch):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\n\r\n")
        while True:
            c.send(b"evil" * 1000)

    with servers.Liar(script) as liar, within(10):
        assert fetch(liar.url, {"path": "f", "stop": 100000, "size": 1000})[0]["count"] == 100000


# Lost connections

HEAD = 'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 10\r\n\r\n'


@pytest.mark.parametrize("how", ["close", "reset", "hang"])
def test_connection_lost_after_every_byte_of_an_answer(fetch, how):
    """The first server breaks off after n bytes; the second try is answered in full."""
    answer = HEAD.encode() + CONTENT[:10]
    cuts = range(len(answer)) if how != "hang" else range(0, len(answer), 14)

    def script(c):
        request = c.request()
        n = int(request.path[1:])
        if sum(r.path == request.path for r in liar.requests) > 1:
            c.serve(CONTENT[:10], request)
            return
        c.send(answer[:n])
        if how == "hang":
            c.hang()
        elif how == "reset":
            time.sleep(0.005)
            c.reset()

    with servers.Liar(script) as liar, within(20):
        results = fetch(liar.url, *map(str, cuts), timeout_s=0.5 if how == "hang" else 5)
        assert len(results) == len(cuts) + 1
        for result in results[:-1]:
            is_content(result, 0, 10)
        assert len(liar.requests) == 2 * len(cuts)


def test_server_that_accepts_and_says_nothing(fetch):
    with servers.Liar(lambda c: c.hang()) as liar, within(5):
        results = fetch(liar.url, "f", timeout_s=0.2, tries=3)
        is_refused(results[0], "connection")
        assert liar.connections == 3
        assert len(results[1]["pauses"]) == 2


def test_server_that_never_accepts(fetch):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as s:
        url = "http://127.0.0.1:%d/" % s.getsockname()[1]
        with full_backlog(s.getsockname(), 3), within(5):
            is_refused(fetch(url, "f", timeout_s=0.2, tries=2)[0], "connection")


@contextmanager
def full_backlog(address, n):
    """Fill the backlog of a server that does not accept."""
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.setblocking(False)
        s.connect_ex(address)
    yield
    for s in sockets:
        s.close()


def test_nobody_listens(fetch):
    url = f"http://127.0.0.1:{servers.free_port()}/"
    results = fetch(url, "f", tries=3)
    is_refused(results[0], "connection")
    assert len(results[1]["pauses"]) == 2


def test_dripping_head_and_dripping_body(fetch):
    """Some byte always comes in time, but never enough of them."""

    def head(c):
        c.request()
        c.drip(HEAD.encode(), 0.05)

    def body(c):
        request = c.request()
        c.send("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (
            ("200 OK", 20000, "") if not request.range else
            ("206 P", 20000 - request.range[0],
             f"Content-Range: bytes {request.range[0]}-19999/20000\r\n")))  # fmt: skip
        c.drip(CONTENT[(request.range or [0])[0] :], 0.05)

    for script in (head, body):
        with servers.Liar(script) as liar, within(6):
            is_refused(fetch(liar.url, "f", timeout_s=0.4, tries=2)[0], "connection")


def test_body_goes_on_at_the_same_byte(fetch):
    """Each connection gives 3,000 bytes and dies; the caller sees a steady stream."""

    def script(c):
        request = c.request()
        start, end = request.range or (0, None)
        end = len(CONTENT) if end is None else end
        status = "200 OK"
        if request.range:
            status = f"206 P\r\nContent-Range: bytes {start}-{end - 1}/{len(CONTENT)}"
        c.send(f'HTTP/1.1 {status}\r\nETag: "1"\r\nContent-Length: {end - start}\r\n\r\n')
        c.send(CONTENT[start : min(end, start + 3000)])

    with servers.Liar(script) as liar:
        is_content(fetch(liar.url, "f", tries=9)[0])
        assert [r.range for r in liar.requests] == [None] + [
            (i, 20000) for i in range(3000, 20000, 3000)
        ]
        is_content(
            fetch(liar.url, {"path": "f", "start": 1000, "end": 9500}, tries=9)[0], 1000, 9500
        )
        is_content(fetch(liar.url, {"path": "f", "start": 1000}, tries=9)[0], 1000)


def test_body_gives_up_when_its_tries_are_spent(fetch):
    def script(c):
        request = c.request()
        start = request.range[0]
        c.send(f"HTTP/1.1 206 P\r\nContent-Range: bytes {start}-19999/20000\r\n\r\n")
        c.send(CONTENT[start : start + 10])

    with servers.Liar(script) as liar:
        results = fetch(liar.url, {"path": "f", "start": 1}, tries=3)
        is_refused(results[0], "connection")
        assert liar.connections == 4
        assert len(results[1]["pauses"]) == 2


def test_long_body_has_its_tries_again_after_progress(fetch):
    n = 600000

    def script(c):
        request = c.request()
        start = request.range[0]
        c.send(f"HTTP/1.1 206 P\r\nContent-Range: bytes {start}-{n - 1}/{n}\r\n\r\n")
        c.send(bytes(min(70000, n - start)))

    with servers.Liar(script) as liar:
        result = fetch(liar.url, {"path": "f", "end": n}, tries=1)[0]
        assert result["count"] == n, result
        assert liar.connections == 9


@pytest.mark.parametrize(
    "changed",
    [{"etag": '"2"'}, {"content": CONTENT + b"x"}, {"content": CONTENT[:-1]}, {"status": 200},
     {"etag": ""}, {"status": 416}, {"status": 404}],
)  # fmt: skip
def test_file_that_changes_while_it_is_read(fetch, changed):
    def script(c):
        request = c.request()
        if c.number == 0:
            c.send('HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 20000\r\n\r\n', CONTENT[:5000])
        elif "status" in changed:
            c.send(f"HTTP/1.1 {changed['status']} X\r\nContent-Length: 20000\r\n\r\n", CONTENT)
        else:
            c.serve(changed.get("content", CONTENT), request, etag=changed.get("etag", '"1"'))

    with servers.Liar(script) as liar:
        result = fetch(liar.url, "f")[0]
        text = "HTTP status" if "status" in changed else None
        is_refused(result, text, changed.get("status"))
        assert liar.connections == 2


def test_body_without_length_is_not_taken_up_again(fetch):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nabc")

    with servers.Liar(script) as liar:
        is_refused(fetch(liar.url, "f")[0], "connection")
        assert liar.connections == 1


def test_idle_connection_that_the_server_has_ended(fetch):
    def script(c):
        c.serve(CONTENT)  # and closes, without having said so

    with servers.Liar(script) as liar:
        results = fetch(liar.url, "f", "f", "f", tries=1)
        for result in results[:3]:
            is_content(result)
        assert liar.connections == 3


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_status_that_means_later(fetch, status):
    def script(c):
        request = c.request()
        if c.number < 2:
            c.send(f"HTTP/1.1 {status} evil\r\nContent-Length: 9999\r\n\r\n")
        else:
            c.serve(CONTENT, request)

    with servers.Liar(script) as liar:
        results = fetch(liar.url, "f", tries=3)
        is_content(results[0])
        assert results[1]["pauses"] == [1, 2]
    with servers.Liar(script) as liar:
        is_refused(fetch(liar.url, "f", tries=2)[0], "HTTP status", status)


def test_pauses_grow_to_a_bound_and_are_half_chance(fetch):
    with servers.Liar(lambda c: None) as liar:
        assert fetch(liar.url, "f", tries=8)[1]["pauses"] == [1, 2, 4, 8, 15, 15, 15]
        assert fetch(liar.url, "f", tries=3, rand=255)[1]["pauses"] == [511 / 256, 511 / 128]


@pytest.mark.parametrize("value", ["0", "30", "9" * 50, "evil", "-5"])
def test_retry_after_neither_hurries_nor_stops_a_device(fetch, value):
    def script(c):
        c.request()
        c.send(f"HTTP/1.1 503 X\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n")

    with servers.Liar(script) as liar:
        results = fetch(liar.url, "f")
        is_refused(results[0], "HTTP status", 503)
        assert results[1]["pauses"] == [1]


def test_cancelled_in_every_wait(fetch):
    """Cancelled while it waits for a head or a body; the next request works."""

    def script(c):
        request = c.request()
        if request.path == "/f":
            c.serve(CONTENT, request)
            return
        if request.path == "/body":
            c.send("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n", CONTENT[:100])
        c.hang()

    with servers.Liar(script) as liar, within(5):
        steps = [{"path": p, "cancel_ms": 150} for p in ("head", "body")]
        results = fetch(liar.url, steps[0], "f", steps[1], "f")
        assert results[0] == results[2] == {"error": "CancelledError"}
        is_content(results[1])
        is_content(results[3])
        assert liar.connections == 4


# Several base URLs


def test_next_base_when_one_is_down_and_then_stay_there(fetch):
    down = f"http://127.0.0.1:{servers.free_port()}/"

    def script(c):
        while True:
            c.serve(CONTENT)

    with servers.Liar(script) as liar:
        results = fetch([down, liar.url + "b"], "f", "f")
        is_content(results[0])
        is_content(results[1])
        assert results[2] == {"pauses": []}
        assert liar.connections == 1
        assert {r.path for r in liar.requests} == {"/b/f"}


@pytest.mark.parametrize("status", [200, 403, 404, 500])
def test_next_base_when_one_is_of_no_use(fetch, status):
    def old(c):
        c.request()
        c.send(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")

    with servers.Liar(old) as gone, servers.Liar(lambda c: c.serve(CONTENT)) as liar:
        is_content(fetch([gone.url, liar.url], {"path": "f", "end": 20000})[0])


def test_next_base_when_the_certificate_of_one_is_wrong(fetch, web, ca):
    is_content(
        fetch([web.https.replace("localhost", "127.0.0.1"), web.https], "fw/image.bin",
              ca=ca.der.hex())[0]
    )  # fmt: skip


def test_absent_on_one_base_while_the_other_is_down_is_absent(fetch, web):
    down = f"http://127.0.0.1:{servers.free_port()}/"
    for urls in ([web.http, down], [down, web.http]):
        results = fetch(urls, "none")
        is_refused(results[0], "HTTP status", 404)
        assert results[1] == {"pauses": []}


# What is refused before anything is sent


def test_arguments(fetch, web):
    n = len(web.access_log.read_text())
    paths = ["", "/f", "../f", "a/../f", "a\r\nX: y", "a b", "a\\b", "é", "a\0", "a//b", "."]
    for result in fetch(web.http, *paths)[:-1]:
        is_refused(result, error="ValueError")
    for span in ({"start": -1}, {"end": 0}, {"start": 5, "end": 5}, {"start": 5, "end": 4}):
        is_refused(fetch(web.http, {"path": "f", **span})[0], "range", error="ValueError")
    assert len(web.access_log.read_text()) == n


@pytest.mark.parametrize(
    "url",
    ["", "host/x", "ftp://host/", "http://", "http:///x", "http://a b/", "http://a:b/",
     "http://user@host/", "http://host/\r\nX: y", "http://h\xf6st/", "http://host:0/",
     "http://[::1]/", "HTTP://host/", "//host/"],
)  # fmt: skip
def test_base_urls_that_are_none(fetch, url):
    assert fetch(url, "f")[0]["error"] == "ValueError"


def test_headers_that_would_break_the_request(fetch):
    for header in (["X", "a\r\nY: b"], ["X\n", "a"], ["X", "\xe9"], ["X", "\0"]):
        assert fetch("http://host/", "f", headers=[header])[0]["error"] == "ValueError"
