# SPDX-License-Identifier: MIT
"""The client of the conformance suite, as that suite calls it: real MicroPython, real HTTP."""

import os
import subprocess
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from repo_sim import Repository


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.server.answer(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format, *args):
        pass


class Runner:
    def __init__(self, server, repo, folder, client):
        self.repo = repo
        self.targets = {}
        self.metadata_dir = folder / "metadata"
        self.target_dir = folder / "targets"
        self.metadata_dir.mkdir()
        self.target_dir.mkdir()
        self._root = folder / "root.json"
        self._root.write_bytes(repo.files["1.root.json"])
        self._url = "http://127.0.0.1:%d/" % server.server_address[1]
        self._client = client
        server.answer = self._answer

    def _answer(self, path):
        if path.startswith("/metadata/"):
            return self.repo.get(path[len("/metadata/") :])
        return self.targets.get(path[len("/targets/") :])

    def run(self, *arguments, command):
        words = [self._client, "--metadata-dir", self.metadata_dir, *arguments, *command]
        return subprocess.run(words, timeout=60, check=False).returncode

    def init(self):
        return self.run(command=["init", self._root])

    def refresh(self):
        return self.run("--metadata-url", self._url + "metadata/", command=["refresh"])

    def download(self, *names):
        words = [word for name in names for word in ("--target-name", name)]
        return self.run(
            "--metadata-url",
            self._url + "metadata/",
            *words,
            "--target-dir",
            self.target_dir,
            "--target-base-url",
            self._url + "targets/",
            command=["download"],
        )

    def trusted(self):
        return {path.name: path.read_bytes() for path in self.metadata_dir.glob("*.json")}

    def downloaded(self):
        return {path.name: path.read_bytes() for path in self.target_dir.iterdir()}


@pytest.fixture
def runner(tmp_path, repo, micropython):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # The process looks at the real clock.
    days = (datetime.now(timezone.utc) - Repository.START).days
    simulated = Repository(days=30 + max(days, 0))
    yield Runner(server, simulated, tmp_path, repo / "host_tests" / "tuf_conformance_client")
    server.shutdown()
    server.server_close()


def test_init_and_refresh(runner):
    assert runner.init() == 0
    assert runner.trusted() == {"root.json": runner.repo.files["1.root.json"]}
    assert runner.refresh() == 0
    assert runner.repo.requests == [
        "2.root.json",
        "timestamp.json",
        "1.snapshot.json",
        "1.targets.json",
    ]
    assert runner.trusted() == {
        role + ".json": runner.repo.document(role)
        for role in ("root", "timestamp", "snapshot", "targets")
    }


def test_failed_refresh_still_shows_what_is_trusted(runner):
    runner.init()
    runner.refresh()
    runner.repo.publish("root")
    runner.repo.publish("targets")
    runner.repo.lies["2.targets.json"] = b"{}"
    targets = runner.trusted()["targets.json"]
    assert runner.refresh() == 1
    assert runner.trusted() == {
        "root.json": runner.repo.document("root"),
        "timestamp.json": runner.repo.document("timestamp"),
        "snapshot.json": runner.repo.document("snapshot"),
        "targets.json": targets,
    }


def test_download(runner):
    target = b"data" * 1000
    runner.repo.add_target("targets", "a/b c", target, hashes=["sha256", "sha512"])
    runner.repo.delegate("../x?", ["d/*"])
    runner.repo.add_target("../x?", "d/e", b"other")
    runner.repo.publish("targets", "../x?")
    served = {}
    for role in ("targets", "../x?"):
        for path, info in runner.repo.signed(role).targets.items():
            folder, _, name = path.rpartition("/")
            body = target if path == "a/b c" else b"other"
            quoted = name.replace(" ", "%20")
            served["%s/%s.%s" % (folder, info.hashes["sha256"], quoted)] = body
    runner.targets = served
    runner.init()
    assert runner.download("a/b c", "d/e") == 0
    assert runner.downloaded() == {"a%2Fb%20c": target, "d%2Fe": b"other"}
    assert "..%2Fx%3F.json" in runner.trusted()
    assert runner.download("a/b c", "missing", "d/e") == 1
    runner.targets = {}
    assert runner.download("a/b c") == 0
    os.remove(runner.target_dir / "a%2Fb%20c")
    assert runner.download("a/b c") == 1
    runner.targets = dict.fromkeys(served, b"evil")
    assert runner.download("a/b c") == 1
    assert runner.downloaded() == {"d%2Fe": b"other"}
