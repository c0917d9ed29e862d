# SPDX-License-Identifier: MIT
"""Two releases for the simulated ESP32 that have something in common, with packs between them."""

import random

from sim import image, table
from world import World


def related(length):
    """Return images v1 and v2 of about so many bytes: a few lines of text apart."""
    text = ""
    dice = random.Random(length)
    while len(text) < length:
        text += f"{len(text)} = {dice.random()}\n"
    other = text.replace("7 = ", "seven = ", length // 2000)
    return {
        name: image.build(version=name, modules={"main.py": "# " + name, "table.py": content})
        for name, content in (("v1", text), ("v2", "# new\n" + other))
    }


def two_releases(folder, rows=table.SMALL, length=40_000, only=("delta", "compressed", "raw")):
    """Make a world in which v1 runs and v2 is released, as world.two_releases does.

    `only`: how v2 is to be had; the other files are not there.
    """
    slot = next(row[3] for row in rows if row[1] == table.OTA_0 and row[0] == table.APP)
    world = World(folder, slot)
    images = related(length)
    world.release("1.0.0", images["v1"], minseq=1)
    made = world.release("2.0.0", images["v2"], minseq=1, deltas=1)
    packs = made.release.custom["packs"]
    names = {"compressed": packs[""], "raw": "." + made.release.parts[0].name}
    names["delta"] = next(packs[base] for base in packs if base)
    for kind, name in names.items():
        if kind not in only:
            for path in (world.repository / "targets" / made.release.path).iterdir():
                if path.name.endswith(name):
                    path.unlink()
    world.write_for_device(rows, **images)
    return world
