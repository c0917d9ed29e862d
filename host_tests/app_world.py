# SPDX-License-Identifier: MIT
"""Two versions of an application, signed, and as they lie in the trees of a device."""

import json
from hashlib import sha256

import world
from mpota import app


def noise(length, seed):
    """Return bytes that no two seeds share."""
    pieces = (sha256(b"%d %d" % (seed, n)).digest() for n in range(length // 32 + 1))
    return b"".join(pieces)[:length]


def versions():
    """Return {"v1": files, "v2": files}: whatever can become of a file happens to one of them.

    Their main.py calls `application.run(name)`, a module of the test's.
    """
    asset = bytearray(noise(3 * 4096 + 100, 1))
    both = {
        "assets/same.bin": noise(2 * 4096 + 7, 2),
        "lib/same.py": b"x = 1\n",
        "lib/deep/er/same.py": b"y = 1\n" * 100,
        "empty": b"",
    }
    one = {
        **both,
        "main.py": b"import application\n\napplication.run('v1')\n",
        "assets/part.bin": bytes(asset),
        "lib/changed.py": b"z = 1\n" * 900,
        "gone/with/it.py": b"",
        "turns": b"a file",
        "folder/x.py": b"into a file",
        "shorter": noise(5000, 3),
    }
    asset[2 * 4096] ^= 1
    two = {
        **both,
        "main.py": b"import application\n\napplication.run('v2')\n",
        "assets/part.bin": bytes(asset),
        "lib/changed.py": b"z = 2\n" * 900,
        "lib/new.py": b"new = 1\n",
        "turns/into.py": b"a folder",
        "folder": b"is a file",
        "shorter": noise(5000, 3)[:4096],
    }
    return {"v1": one, "v2": two}


def write_tree(folder, files):
    """Write an application as a tree of a device holds it."""
    for path, data in {**files, ".ota-list": app.file_list(files)}.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def one_line_changed():
    """Return {"v0", "v1", "v2"}: 40 files, 200 KB, and each version changes one line of them."""
    found = {}
    for name in ("v0", "v1", "v2"):
        found[name] = world.make_app(marks={5: name})
        found[name]["main.py"] = b"import application\n\napplication.run()\n"
    return found


def two_releases(folder, files=None, **config):
    """Sign v1, then v2, which is offered. Return the World.

    `folder` then has, besides the repository: each version as a tree; config.json and root.json.
    """
    files = files or versions()
    made = world.World(folder, 0, app=world.APP)
    for number, name in enumerate(sorted(files)):
        made.release_app(f"{number}.0.0" if "v0" in files else f"{number + 1}.0.0", files[name])
    for name, content in files.items():
        write_tree(folder / name, content)
    (folder / "config.json").write_text(json.dumps(made.config(**config)))
    (folder / "root.json").write_bytes(made.root)
    return made
