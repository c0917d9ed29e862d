# SPDX-License-Identifier: MIT
"""A repository made by mpota, with releases for the simulated ESP32: for tests and benches."""

import json
from datetime import datetime, timezone

from mpota import release, rollout
from mpota.repository import open_repository
from mpota.setup import init
from mpota.workspace import Board, open_workspace
from sim import image, table

PRODUCT = "thermo"
BOARD = "devkit"


class World:
    """`folder`/repository is ready to be served; releases are made with `release`."""

    def __init__(self, folder, slot, profile="solo", now=None):
        self.folder = folder
        self.slot = slot
        self.now = now or datetime.now(timezone.utc).replace(microsecond=0)
        init(
            folder,
            profile=profile,
            products=[PRODUCT],
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

    def release_again(self, version, **wanted):
        what = release.Wanted(PRODUCT, [BOARD], version, "stable", **wanted)
        with self.workspace.lock():
            repository = open_repository(self.workspace)
            made = release.prepare_again(repository, what)
            return release.publish_release(repository, made, what, self.keyring(), self.now)

    def roll_out(self, **settings):
        """Change the rollout: percent, groups, halt, not_before, retry (mpota.rollout.Change)."""
        with self.workspace.lock():
            repository = open_repository(self.workspace)
            rollout.roll_out(
                repository,
                self.keyring(),
                self.now,
                product=PRODUCT,
                board=BOARD,
                channel="stable",
                version=None,
                what=rollout.Change(**settings),
            )

    def config(self, urls=(), **more):
        """Return what `mpota provision` writes into config.json, as a dict."""
        facts = {
            "product": PRODUCT,
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
