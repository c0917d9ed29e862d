# SPDX-License-Identifier: MIT
"""`mpota publish`: no client ever sees half of it; the development server."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from cryptography import x509
from tuf.api.exceptions import RepositoryError

from mpota import devtls, publish, sources, verify
from mpota.cli import main
from mpota.errors import MpotaError, RefusedError
from mpota.repository import open_repository
from mpota.workspace import open_workspace
from mpota_world import (
    DAY,
    IMAGE,
    NEVER,
    NOW,
    ROLLOUT,
    Client,
    PowerCut,
    build,
    clone,
    cut_at,
    first_root,
    make,
    make_release,
    nobody,
    publish_to,
    see,
)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """(working folder, destination): release 1 is published, release 2 and a new root are not."""
    folder = tmp_path_factory.mktemp("two")
    workspace = make(folder / "r")
    make_release(workspace, "1")
    publish_to(workspace, folder / "www")
    repository = open_repository(workspace)
    repository.touch("root")
    repository.commit(workspace.keyring(nobody), NOW)
    make_release(workspace, "2")
    return workspace, folder / "www"


@pytest.fixture
def pair(two, tmp_path):
    shutil.copytree(two[1], tmp_path / "www")
    return clone(two[0], tmp_path / "r"), tmp_path / "www"


def files_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_new_files_come_first_and_timestamp_last(pair):
    written = publish_to(*pair).written
    kinds = [path.partition("/")[0] for path in written]
    assert kinds == sorted(kinds, reverse=True)  # targets, then metadata
    metadata = [path for path in written if path.startswith("metadata/")]
    assert metadata[0] == "metadata/2.root.json"
    assert metadata[-2:] == ["metadata/4.snapshot.json", "metadata/timestamp.json"]


def test_second_time_writes_nothing(pair):
    publish_to(*pair)
    assert publish_to(*pair).written == []


def test_dry_run_writes_nothing(pair):
    before = files_of(pair[1])
    assert publish_to(*pair, dry_run=True).written
    assert files_of(pair[1]) == before


def test_nothing_published_is_ever_changed_but_the_timestamp(pair):
    before = files_of(pair[1])
    publish_to(*pair)
    after = files_of(pair[1])
    changed = [name for name, data in before.items() if after[name] != data]
    assert changed == ["metadata/timestamp.json"]


def test_private_keys_and_pending_changes_stay_at_home(pair, tmp_path):
    publish_to(pair[0], tmp_path / "new")
    kinds = {path.split("/")[0] for path in files_of(tmp_path / "new")}
    assert kinds == {"metadata", "targets"}
    assert not any(b"PRIVATE KEY" in data for data in files_of(tmp_path / "new").values())


def test_leftovers_of_a_cut_are_not_published(pair, tmp_path):
    workspace = pair[0]
    (workspace.metadata / "9.snapshot.json").write_bytes(b"orphan")
    (workspace.metadata / ".timestamp.json.part").write_bytes(b"half")
    publish_to(workspace, tmp_path / "new")
    names = [Path(name).name for name in files_of(tmp_path / "new")]
    assert "9.snapshot.json" not in names and ".timestamp.json.part" not in names


def visible(folder):
    """What clients can ask for: path -> content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("[!.]*")
        if path.is_file()
    }


@pytest.mark.parametrize("flat", [False, True])
def test_cut_anywhere_in_publish_leaves_the_old_or_the_new(two, tmp_path, flat):
    workspace, old = two
    root = first_root(workspace)
    if flat:
        old = tmp_path / "old"
        old.mkdir()
        for path, data in visible(two[1]).items():
            (old / path.replace("/", ".")).write_bytes(data)
    number, checked, seen_seqs, end = 0, [], set(), None
    while True:
        www = tmp_path / f"at-{number}"
        shutil.copytree(old, www)
        try:
            with cut_at(number):
                publish_to(workspace, www, flat=flat)
            break
        except PowerCut:
            pass
        number += 1
        if visible(www) not in checked:  # most cuts leave what the one before left
            checked.append(visible(www))
            seen = see(www, root)
            (seq,) = (rollout.seq for rollout in seen.rollouts)
            assert not seen.problems
            seen_seqs.add(seq)
            if not flat:
                client = Client(www, root, tmp_path / "client")
                assert client.find(ROLLOUT.format("stable")).custom["seq"] == seq
                assert client.download(IMAGE.format(seq)) == build(str(seq))
        with cut_at(NEVER):
            publish_to(workspace, www, flat=flat)
        end = end or visible(www)
        assert visible(www) == end
    assert not see(www, root).problems and visible(www) == end
    assert number > 40 and len(checked) > 6 and seen_seqs == {1, 2}


def test_client_in_the_middle_of_a_check_finishes_it(pair, tmp_path):
    """It has read the old timestamp and snapshot; what they lead to must still be there."""
    workspace, www = pair
    client = Client(www, first_root(workspace), tmp_path / "client")
    publish_to(workspace, www)
    assert client.download(IMAGE.format("1")) == build("1")


def test_another_repositorys_destination_is_refused(pair, tmp_path):
    other = make(tmp_path / "other")
    before = files_of(pair[1])
    for _ in range(8):  # so that its timestamp is the newer one
        repository = open_repository(other)
        repository.touch("rollout")
        repository.commit(other.keyring(nobody), NOW)
    with pytest.raises(MpotaError, match="another repository's file"):
        publish_to(other, pair[1])
    assert {k: v for k, v in files_of(pair[1]).items() if k in before} == before


def test_older_copy_of_the_folder_is_refused(two, tmp_path):
    workspace, www = two
    publish_to(workspace, tmp_path / "www")
    old = make(tmp_path / "old")
    with pytest.raises(MpotaError, match="publish from the newer copy"):
        publish_to(old, tmp_path / "www")
    assert www


def test_damaged_image_is_not_published(pair):
    workspace, www = pair
    target = open_repository(workspace).images("sensor")["fw/sensor/board/2"]
    (workspace.targets / target.get_prefixed_paths()[0]).write_bytes(build("x"))
    before = files_of(www)
    with pytest.raises(MpotaError, match="not the bytes that were signed"):
        publish_to(workspace, www)
    assert files_of(www) == before


def test_damaged_image_at_the_destination_is_repaired(pair):
    workspace, www = pair
    publish_to(workspace, www)
    image = next(www.rglob("*.firmware.bin"))
    whole = image.read_bytes()
    image.write_bytes(b"rotten")
    publish_to(workspace, www)
    assert image.read_bytes() == whole


def test_working_copy_is_no_destination(pair):
    with pytest.raises(MpotaError, match="is the working copy"):
        publish_to(pair[0], pair[0].metadata.parent)


def test_destination_that_cannot_be_written_is_one_line(pair, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((MpotaError, OSError)):
        publish_to(pair[0], tmp_path / "file" / "www")


@pytest.mark.parametrize("name", ["timestamp.json", "4.snapshot.json", "2.root.json"])
def test_damaged_working_copy_is_refused(pair, name):
    path = pair[0].metadata / name
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(MpotaError):
        open_repository(pair[0])


# The development server


@pytest.fixture(scope="module")
def server(two):
    """(base URL on loopback, CA file) of a real `mpota publish --serve` in its own process."""
    workspace, www = two
    command = [sys.executable, "-m", "mpota", "publish", str(www), "--serve", "--json"]
    command += ["--repo", str(workspace.folder), "--host", "127.0.0.1", "--port", "0"]
    paths = [str(Path(__file__).parent.parent / name) for name in ("tools", "lib")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as process:
        try:
            said = json.loads(process.stdout.readline())
            yield said["url"], said["ca"]
        finally:
            process.terminate()


def fetch(server, path, headers=None, ca=None):
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=Path(ca or server[1]).read_bytes())
    request = Request(server[0] + path, headers=headers or {})
    return urlopen(request, timeout=10, context=context)


def image_path(two):
    target = open_repository(two[0]).images("sensor")["fw/sensor/board/2"]
    return "targets/" + target.get_prefixed_paths()[0]


def test_server_serves_over_the_made_ca(server, two):
    with fetch(server, image_path(two)) as answer:
        assert answer.status == 200 and answer.read() == build("2")


def test_server_answers_a_range_with_206(server, two):
    with fetch(server, image_path(two), {"Range": "bytes=4096-8191"}) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes 4096-8191/{len(build('2'))}"
        assert answer.read() == build("2")[4096:8192]


def test_server_says_404_and_lists_nothing(server):
    for path in ("metadata/9.root.json", "metadata/", ""):
        with pytest.raises(OSError, match=r"HTTP Error 40[34]"):
            fetch(server, path)


def test_server_does_not_climb(server):
    for path in ("../r/keys/owner.pem", "metadata/%2e%2e/%2e%2e/r/keys/owner.pem"):
        with pytest.raises(OSError, match=r"HTTP Error 40[34]"):
            fetch(server, path)


def test_another_ca_does_not_open_the_server(server, tmp_path):
    other = devtls.ensure(tmp_path, ["127.0.0.1"], NOW)
    with pytest.raises(OSError, match="certificate verify failed"):
        fetch(server, "metadata/timestamp.json", ca=other.ca_der)


def test_verify_works_over_https(server, two):
    source = sources.open_source(server[0], Path(server[1]))
    assert not verify.verify(source, first_root(two[0]), NOW).problems


def test_ca_stays_and_the_certificate_follows_the_names(tmp_path):
    first = devtls.ensure(tmp_path, ["localhost"], NOW)
    ca, cert = first.ca_der.read_bytes(), first.cert.read_bytes()
    devtls.ensure(tmp_path, ["localhost"], NOW)
    assert first.cert.read_bytes() == cert
    devtls.ensure(tmp_path, ["localhost", "192.0.2.7"], NOW)
    assert first.cert.read_bytes() != cert and first.ca_der.read_bytes() == ca
    made = x509.load_pem_x509_certificate(first.cert.read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]
    assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", "192.0.2.7"}


def test_certificate_is_made_again_before_it_runs_out(tmp_path):
    tls = devtls.ensure(tmp_path, ["localhost"], NOW)
    cert = tls.cert.read_bytes()
    devtls.ensure(tmp_path, ["localhost"], NOW + 300 * DAY)
    assert tls.cert.read_bytes() != cert


def test_tls_keys_are_private(tmp_path):
    devtls.ensure(tmp_path, ["localhost"], NOW)
    for name in ("ca.key", "server.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_server_certificate_cannot_act_as_a_ca(tmp_path):
    tls = devtls.ensure(tmp_path, ["localhost"], NOW)
    made = x509.load_pem_x509_certificate(tls.cert.read_bytes())
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_port_in_use_is_one_line(two):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        argv = ["publish", str(two[1]), "--serve", "--host", "127.0.0.1", "--port", port]
        assert main([*argv, "--repo", str(two[0].folder)]) == 1


def test_tampered_publication_is_refused_by_both_clients(pair, tmp_path):
    workspace, www = pair
    publish_to(workspace, www)
    path = www / "metadata" / "3.rollout.json"
    path.write_bytes(path.read_bytes().replace(b'"percent":10000', b'"percent":10001'))
    with pytest.raises(RefusedError):
        see(www, first_root(workspace))
    with pytest.raises(RepositoryError):
        Client(www, first_root(workspace), tmp_path / "client").find(ROLLOUT.format("stable"))


# Old images


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    """A folder that had releases 1 to 7 published day by day; 4 to 7 are still named."""
    folder = tmp_path_factory.mktemp("week")
    workspace = make(folder / "r", now=NOW - 9 * DAY)
    for number in range(1, 8):
        made = NOW - (8 - number) * DAY
        make_release(workspace, str(number), now=made)
        for name, flat in (("www", False), ("flat", True)):
            for path in publish_to(workspace, folder / name, flat=flat).written:
                os.utime(folder / name / path, (made.timestamp(), made.timestamp()))
    return folder


@pytest.fixture
def pruned(week, tmp_path):
    shutil.copytree(week, tmp_path, dirs_exist_ok=True)
    return open_workspace(tmp_path / "r")


def releases_in(folder):
    found = {path.parent.name for path in folder.glob("targets/fw/sensor/board/*/*.firmware.bin")}
    return sorted(found | {path.name.split(".")[4] for path in folder.glob("targets.*.bin")})


def run_prune(workspace, folder, days, **changes):
    repository = open_repository(workspace)
    return publish.prune(repository, folder, NOW, days=days, **changes)


@pytest.mark.parametrize(
    ("days", "left"), [(0, "4567"), (1.5, "34567"), (2.5, "234567"), (30, "1234567")]
)
@pytest.mark.parametrize("flat", [False, True])
def test_images_are_removed_when_no_metadata_has_named_them_for_days(
    pruned, tmp_path, days, left, flat
):
    folder = tmp_path / ("flat" if flat else "www")
    would = run_prune(pruned, folder, days, flat=flat, dry_run=True)
    assert releases_in(folder) == list("1234567")
    assert run_prune(pruned, folder, days, flat=flat) == would
    assert releases_in(folder) == list(left)
    assert len(would) == 2 * (7 - len(left)), "an image and its block list each"
    if days == 0 and flat:
        assert not see(folder, first_root(pruned)).problems
        assert publish_to(pruned, folder, flat=flat).written == []


def test_day_of_publication_counts_and_not_of_signing(pruned, tmp_path):
    publish_to(pruned, tmp_path / "late")  # all at once, today
    assert releases_in(tmp_path / "late") == list("4567")
    make_release(pruned, "8", now=NOW)
    publish_to(pruned, tmp_path / "late")
    assert run_prune(pruned, tmp_path / "late", 1) == []
    assert releases_in(tmp_path / "late") == list("45678")


def test_only_files_of_releases_are_removed(pruned, tmp_path):
    www = tmp_path / "www"
    others = ["index.html", "targets/readme.txt", "targets/fw/sensor/board/7/delta.pack"]
    for name in others:
        (www / name).write_text("mine")
    (www / "targets/fw/sensor/board/1/delta.pack").write_text("of an old release")
    run_prune(pruned, www, 0)
    assert [name for name in others if not (www / name).exists()] == []
    assert not (www / "targets/fw/sensor/board/1/delta.pack").exists()


def test_prune_is_asked_for(pruned, tmp_path, capsys):
    line = ["publish", str(tmp_path / "www"), "--repo", str(pruned.folder), "--json"]
    assert main(line) == 0 and json.loads(capsys.readouterr().out)["removed"] == []
    assert main([*line, "--prune", "--prune-days", "2"]) == 0
    assert len(json.loads(capsys.readouterr().out)["removed"]) == 4
    assert main([*line, "--prune", "--prune-days", "-1"]) == 2
