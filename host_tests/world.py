# SPDX-License-Identifier: MIT
"""A repository made by mpota, with releases for the simulated ESP32 and applications: for tests
and benches."""

import json
from datetime import datetime, timezone

from mpota import names, release, rollout, settings
from mpota.repository import open_repository
from mpota.setup import init
from mpota.workspace import Board, open_workspace
from sim import image, table

PRODUCT = "thermo"
APP = "display"
BOARD = "devkit"


class World:
    """`folder`/repository is ready to be served; releases are made with `release`.

    With `app` it has an application product of this name too, for `release_app`; with `slot` 0
    nothing but that.
    """

    def __init__(self, folder, slot, profile="solo", now=None, app=None):
        self.app = app
        self.folder = folder
        self.slot = slot
        self.now = now or datetime.now(timezone.utc).replace(microsecond=0)
        init(
            folder,
            profile=profile,
            products=[PRODUCT] if slot else [],
            apps=[app] if app else [],
            boards={BOARD: Board("esp32", slot)},
            passphrase=None,
            now=self.now,
        )
        self.workspace = open_workspace(folder)
        self.repository = folder / "repository"

    @property
    def root(self):
        """The first root, which is what a device was given."""
        return (self.repository / "metadata" / "1.root.json").read_bytes()

    def keyring(self):
        return self.workspace.keyring(lambda name: "")

    def release(self, version, content, **wanted):
        """Sign `content` as an image, and roll it out to everybody. Return the Released."""
        file = self.folder / "image.bin"
        file.write_bytes(content)
        what = release.Wanted(PRODUCT, [BOARD], version, "stable", **wanted)
        with self.workspace.lock():
            repository = open_repository(self.workspace)
            made = release.prepare(repository, what, file)
            return release.publish_release(repository, made, what, self.keyring(), self.now)

    def release_app(self, version, files, custom=None, **wanted):
        """Sign `files` (path -> str or bytes) as an application, for everybody.

        `custom`: its mpy, arch, firmware, library. Nothing is added to the files or compiled.
        """
        files = {p: f.encode() if isinstance(f, str) else f for p, f in files.items()}
        what = release.Wanted(self.app, [BOARD], version, "stable", **wanted)
        with self.workspace.lock():
            repository = open_repository(self.workspace)
            made = release.prepare_app(repository, what, release.Tree(files, custom or {}))
            return release.publish_release(repository, made, what, self.keyring(), self.now)

    def release_again(self, version, product=PRODUCT, **wanted):
        what = release.Wanted(product, [BOARD], version, "stable", **wanted)
        with self.workspace.lock():
            repository = open_repository(self.workspace)
            made = release.prepare_again(repository, what)
            return release.publish_release(repository, made, what, self.keyring(), self.now)

    def sign_settings(self, urls, ca=None, product=None, channel="stable"):
        """Sign base URLs and CA certificates (DER) for devices. Return the Signed."""
        product = product or self.app or PRODUCT
        content = settings.document([names.base_url(url, allow_http=True) for url in urls], ca)
        with self.workspace.lock():
            repository = open_repository(self.workspace)
            return settings.sign(
                repository,
                self.keyring(),
                self.now,
                products=[product],
                channels=[channel],
                content=content,
            )

    def roll_out(self, product=PRODUCT, **changes):
        """Change the rollout: percent, groups, halt, not_before, retry (mpota.rollout.Change)."""
        with self.workspace.lock():
            repository = open_repository(self.workspace)
            rollout.roll_out(
                repository,
                self.keyring(),
                self.now,
                product=product,
                board=BOARD,
                channel="stable",
                version=None,
                what=rollout.Change(**changes),
            )

    def config(self, urls=(), **more):
        """Return what `mpota provision` writes into config.json, as a dict."""
        products = {"product": PRODUCT} if self.slot else {}
        if self.app:
            products["app"] = self.app
        facts = {
            **products,
            "board": BOARD,
            "channel": "stable",
            "urls": list(urls),
            "groups": [],
            "trial_s": 60,
            "utc": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        facts.update(more)
        return facts

    def write_for_device(self, rows, **images):
        """Write what host_tests/power_cuts.py reads: table, configuration, root and images."""
        (self.folder / "table.json").write_text(json.dumps(rows))
        (self.folder / "config.json").write_text(json.dumps(self.config()))
        (self.folder / "root.json").write_bytes(self.root)
        for name, content in images.items():
            (self.folder / (name + ".bin")).write_bytes(content)


def make_app(length=200_000, count=40, marks=None):
    """Return an application of `count` files and about `length` bytes, by path.

    `marks`: number of a file -> text for its first line, to make a version that differs there.
    """
    marks = marks or {}
    files = {"main.py": f"print('application', {marks.get(0, '')!r})\n"}
    for number in range(1, count):
        path = f"lib/part/module{number}.py" if number % 4 else f"assets/data{number}.txt"
        lines = [f"# file {number} of an application {marks.get(number, '')}\n"]
        lines += [f"value_{n} = {n} * {number}\n" for n in range(length // count // 19)]
        files[path] = "".join(lines)
    return {path: text.encode() for path, text in files.items()}


def app_release(folder, files, version="1.0.0", **wanted):
    """Make a world with one application release and no firmware. Return the World."""
    world = World(folder, 0, app=APP)
    world.release_app(version, files, **wanted)
    return world


def two_releases(folder, rows=table.SMALL, length=None, **wanted):
    """Make a world in which v1 runs and v2 is released. Return the World."""
    slot = next(row[3] for row in rows if row[1] == table.OTA_0 and row[0] == table.APP)
    length = length or slot - 1008
    world = World(folder, slot)
    images = {
        name: image.build(length=length, version=name, modules={"main.py": "# " + name})
        for name in ("v1", "v2")
    }
    world.release("2.0.0", images["v2"], **wanted)
    world.write_for_device(rows, **images)
    return world
