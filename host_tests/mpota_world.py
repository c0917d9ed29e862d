# SPDX-License-Identifier: MIT
"""A repository for tests of `mpota`, clients that judge it, and power cuts on the host.

Two clients that know nothing of each other look at what was made: python-tuf's own, and
the device's (`mpota.verify` runs it).
"""

import os
import shutil
import struct
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from mpota import bootkeys, publish, release, rp2040, setup, sources, verify
from mpota.repository import open_repository
from mpota.workspace import KNOWN_BOARDS, Board, open_workspace
from sim import image

NOW = datetime.now(timezone.utc).replace(microsecond=0)  # ngclient looks at the real clock
DAY = timedelta(days=1)
BOARD = "board"
SLOT = 0x10000
BOARDS = {BOARD: Board("esp32", SLOT), "other": Board("esp32c3", SLOT)}
PRODUCT = "sensor"
IMAGE = "fw/sensor/board/{}/firmware.bin"
ROLLOUT = "rollout/sensor/board/{}"


def nobody(name):
    """An `ask` for keys without a passphrase."""
    raise AssertionError(f"asked for the passphrase of {name}")


def make(folder, profile="solo", **changes):
    """Make a repository with open keys in `folder` and return its Workspace."""
    wanted = {"products": [PRODUCT], "boards": BOARDS, "passphrase": None, "now": NOW}
    setup.init(folder, profile=profile, **{**wanted, **changes})
    return open_workspace(folder)


def build(version="1", length=20000, chip="esp32"):
    return image.build(chip, length=length, version=version)


def put_image(folder, version="1", **changes):
    """Write an honest image into a file and return its path."""
    path = Path(folder) / f"app-{version}.bin"
    path.write_bytes(build(version, **changes))
    return path


def wanted(version, **changes):
    return release.Wanted(
        **{"product": PRODUCT, "boards": [BOARD], "version": version, "channel": "stable"}
        | changes
    )


def make_release(workspace, version="1", path=None, now=NOW, keyring=None, **changes):
    """Release an image of its own for `version`, and return what `publish_release` did."""
    path = path or put_image(workspace.folder, version)
    repository = open_repository(workspace)
    what = wanted(version, **changes)
    made = release.prepare(repository, what, path)
    keyring = keyring or workspace.keyring(nobody)
    return release.publish_release(repository, made, what, keyring, now)


APP = "panel"
APP_IMAGE = "fw/panel/board/{}/app.img"
APP_FILES = {"main.py": b"import shown\n", "shown.py": b"x = 1\n" * 900, "logo.bin": bytes(9000)}


def make_both(folder, **changes):
    """Make a repository with a firmware and an application product."""
    return make(folder, apps=[APP], **changes)


def make_app_release(workspace, version="1", files=None, now=NOW, custom=None, **changes):
    """Release an application, `files` (path -> bytes) as they are."""
    repository = open_repository(workspace)
    what = wanted(version, product=APP, **changes)
    tree = release.Tree(files or {**APP_FILES, "version.txt": version.encode()}, custom or {})
    made = release.prepare_app(repository, what, tree)
    return release.publish_release(repository, made, what, workspace.keyring(nobody), now)


def put_files(folder, files):
    """Write files (path -> bytes or text) below `folder` and return it."""
    for path, data in files.items():
        file = Path(folder) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
    return Path(folder)


PICO = "OTA_PICO"


def make_pico(folder, **changes):
    """Make a repository for an RP2040 board and return its Workspace."""
    return make(folder, boards={PICO: KNOWN_BOARDS[PICO]}, **changes)


def link(number, version="1", length=9000, slot_size=None, **changes):
    """Return what looks like a firmware that is linked for slot A (0) or B (1)."""
    slot = rp2040.SLOT_A + number * (slot_size or KNOWN_BOARDS[PICO].slot)
    base = rp2040.XIP_BASE + slot + 0x100
    vectors = struct.pack("<II", 0x20042000, base + 0xC0 | 1).ljust(0xC0, b"\0")
    info = binary_info(base + 0xC0, base + length, **changes)
    return (vectors + info + version.encode()).ljust(length, b"\x46")


def binary_info(at, end, board="pico", modules=("ota",), storage=0x1FE000, texts=()):
    """Return binary info that begins at this address, as the SDK and MicroPython make it."""
    texts = [*texts, *((0x504D, 0x4A99D719, name) for name in modules)]
    if board is not None:
        texts.append((0x5052, 0xB63CFFBB, board))
    count = 2 + len(texts)
    table = at + 20
    first = table + 4 * count  # of the entries, 16 bytes for each
    entries = [
        struct.pack("<HHII", 5, 0x5052, 0x68F465DE, end),
        struct.pack("<HHIII", 7, 0x504D, 0, 0x10002000, storage),
    ]
    strings = b""
    for tag, key, text in texts:
        entries.append(struct.pack("<HHII", 6, tag, key, first + 16 * count + len(strings)))
        strings += text.encode() + b"\0"
    return (
        struct.pack("<5I", 0x7188EBF2, table, first, 0, 0xE71AA390)
        + struct.pack(f"<{count}I", *(first + 16 * number for number in range(count)))
        + b"".join(entry.ljust(16, b"\0") for entry in entries)
        + strings
    )


def put_links(folder, version="1", **changes):
    """Write both links of a firmware into files and return their paths."""
    paths = [Path(folder) / f"{version}-firmware-{slot}.bin" for slot in "ab"]
    for number, path in enumerate(paths):
        path.write_bytes(link(number, version, **changes))
    return paths


def make_pico_release(workspace, version="1", paths=None, now=NOW, **changes):
    paths = paths or put_links(workspace.folder, version)
    repository = open_repository(workspace)
    what = wanted(version, boards=[PICO], frozen=True, **changes)
    made = release.prepare_slots(repository, what, paths, bootkeys.open_signer(workspace, nobody))
    return release.publish_release(repository, made, what, workspace.keyring(nobody), now)


def publish_to(workspace, destination, **changes):
    return publish.publish(open_repository(workspace), Path(destination), **changes)


def clone(workspace, folder):
    """Return a copy of a working folder, to try something on."""
    shutil.copytree(workspace.folder, folder)
    return open_workspace(folder)


def first_root(workspace):
    return (workspace.metadata / "1.root.json").read_bytes()


class FolderFetcher(FetcherInterface):
    """Gives python-tuf's client the files below a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def _fetch(self, url):
        path = self.folder / unquote(urlsplit(url).path).lstrip("/")
        if not path.is_file():
            raise DownloadHTTPError("absent", 404)
        yield path.read_bytes()


class Client:
    """python-tuf's client, starting anew from a trusted root."""

    def __init__(self, served, root, scratch):
        shutil.rmtree(scratch, ignore_errors=True)
        (Path(scratch) / "targets").mkdir(parents=True)
        self.updater = Updater(
            str(scratch),
            "https://repository/metadata/",
            str(Path(scratch) / "targets"),
            "https://repository/targets/",
            FolderFetcher(served),
            bootstrap=root,
        )
        self.updater.refresh()

    def find(self, path):
        return self.updater.get_targetinfo(path)

    def download(self, path):
        return Path(self.updater.download_target(self.find(path))).read_bytes()


def see(served, root, now=NOW):
    """What a device would say about the repository in the folder `served`."""
    return verify.verify(sources.open_source(str(served), None), root, now)


NEVER = 1 << 30  # for `cut_at`: the same file operations, none of them cut


class PowerCut(BaseException):
    """So that no handler in the code under test can swallow it."""


@contextmanager
def cut_at(number):
    """Cut the power at the `number`-th file operation, yield the list of operations that began.

    Even numbers cut before the operation, odd ones after it. A cut before fsync leaves half
    of the file, the worst that a file system may do with bytes that were not synced.
    """
    began = []
    names = ("open", "fsync", "replace", "rename", "link", "mkdir", "unlink", "rmdir")
    real = {name: getattr(os, name) for name in names}
    real["fsync"] = os.fstat  # nothing is lost here, and waiting for the disk takes most of a test

    def wrap(name):
        def operation(*args, **kwargs):
            began.append(name)
            mine = len(began) - 1 == number // 2
            if mine and number % 2 == 0:
                if name == "fsync":
                    tear(args[0])
                raise PowerCut
            try:
                result = real[name](*args, **kwargs)
            except OSError:
                if mine:
                    raise PowerCut from None
                raise
            if mine:
                if name == "open":
                    os.close(result)
                raise PowerCut
            return result

        return operation

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(os, name, wrap(name))
        yield began


def tear(fd):
    size = os.fstat(fd).st_size
    if os.path.isfile(f"/proc/self/fd/{fd}") and size:
        os.truncate(f"/proc/self/fd/{fd}", size // 2)
