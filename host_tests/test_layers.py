# SPDX-License-Identifier: MIT
"""Who may import whom (docs/DESIGN.md, section 3), read from the sources.

Pure code decides, adapters touch the world, the story gets them as arguments, `wiring` alone joins
them. The check reads every import of a file, also those inside functions, and every name that
reaches the world without an import.
"""

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent

# What a module with no access to the world may use besides its own layers: computing, not doing.
_CODING = {"binascii", "deflate", "hashlib", "zlib"}
COMPUTING = _CODING | {"array", "gc", "io", "micropython", "struct"}
# What the story may use besides: waiting, and json for its own records. Never for signed bytes,
# it accepts too much.
ACTING = COMPUTING | {"asyncio", "json", "random", "time"}
TOUCHES_THE_WORLD = {"open", "print", "input", "exec", "eval", "__import__"}

# What every module may import: it reaches nothing.
EVERYONES = "ota.const"

# Layer of a file by the longest prefix of its path: modules of ours that it may import, others
# (None: any), and what it may do or import beyond that, with the reason.
PURE = ("ota.errors", "ota.trust", "ota.image", "ota.offer", "ota.settings", "ota_ed25519")
STORY = (
    *PURE,
    "ota.product",
    "ota.state",
    "ota.trial",
    "ota.updater",
    "ota.watch",
)
LAYERS = {
    "lib/ota/errors.py": {"ours": (), "other": set()},
    "lib/ota/ports.py": {"ours": ("ota.errors",), "other": set()},
    "lib/ota/offer.py": {"ours": ("ota.errors",), "other": COMPUTING},
    "lib/ota/settings.py": {
        "ours": ("ota.errors", "ota.trust"),
        "other": COMPUTING | {"json"},
    },
    "lib/ota/trust/": {"ours": ("ota.errors", "ota.trust", "ota_ed25519"), "other": COMPUTING},
    # Its own record of what it has seen is json; signed bytes go through ota.trust.reader.
    "lib/ota/trust/client.py": {
        "ours": ("ota.errors", "ota.trust"),
        "other": COMPUTING | {"json"},
    },
    "lib/ota/image/": {"ours": ("ota.errors", "ota.ports", "ota.image"), "other": COMPUTING},
    "lib/ota/adapters/": {"ours": ("ota.errors", "ota.ports", "ota.adapters"), "other": None},
    # A tree is judged by its own file list, at boot too.
    "lib/ota/adapters/appdir.py": {
        "ours": ("ota.errors", "ota.ports", "ota.adapters", "ota.image.tree"),
        "other": None,
    },
    "boards/": {"ours": ("ota.errors", "ota.ports"), "other": None},
    "boards/esp32/": {
        "ours": ("ota.errors", "ota.ports", "ota.adapters.wdt_esp32"),
        "other": None,
    },
    "boards/rp2040/": {
        "ours": ("ota.errors", "ota.ports", "ota.adapters.wdt_rp2", "ota_ed25519"),
        "other": None,
    },
    # boot.py and main.py of the root, and applications.
    "boards/app/": {"ours": ("ota",), "other": None},
    # What a board runs first, like a boot.py of the user's.
    "boards/esp32/_boot.py": {"ours": ("ota", "ota_esp32"), "other": None},
    "boards/rp2040/_boot.py": {"ours": ("ota", "ota_rp2"), "other": None},
    "lib/ota/wiring.py": {"ours": (*STORY, "ota.adapters", "ota_esp32", "ota_rp2"), "other": None},
    # Loads public names lazily, and has the plain calls around the asynchronous ones.
    "lib/ota/__init__.py": {
        "ours": (*STORY, "ota.running", "ota.wiring"),
        "other": {"asyncio", "sys", "__import__"},
    },
    # What main.py of the root calls: it starts the application.
    "lib/ota/running.py": {"ours": (*STORY, "ota.adapters", "ota.wiring"), "other": None},
    # Updater.from_config() is the public door to the wiring: only inside that function, so that
    # importing the story joins nothing.
    "lib/ota/updater.py": {"ours": STORY, "other": ACTING, "inside": {"ota.wiring.from_config"}},
    # All the rest of the library tells the story: sockets, files, slots and the chip reach it as
    # arguments.
    "lib/ota/": {"ours": STORY, "other": ACTING},
    # Fetches the module that fits the board; run once, by hand.
    "lib/ed25519/": {"ours": (), "other": None},
    "tools/": {"ours": (*PURE, "mpota"), "other": None},
    # Records of a device are read by the code that wrote them.
    "tools/mpota/doctor.py": {
        "ours": (*PURE, "mpota", "ota.adapters.store", "ota.__version__"),
        "other": None,
    },
}
OURS = ("ota", "ota_esp32", "ota_rp2", "ota_ed25519", "mpota")
FILES = sorted(
    str(path.relative_to(REPO))
    for folder in ("lib", "boards", "tools/mpota")
    for path in (REPO / folder).rglob("*.py")
)


def _layer(path):
    prefixes = [p for p in LAYERS if path == p or (p.endswith("/") and path.startswith(p))]
    assert prefixes, f"{path}: give it a layer in this file and in docs/DESIGN.md"
    return LAYERS[max(prefixes, key=len)]


def _package(path):
    """Dotted names of the package that a file of lib/ is in."""
    parts = Path(path).parts
    return list(parts[1:-1]) if parts[0] in ("lib", "tools") else []


def _imports(tree, package):
    """Every import by absolute name. `from a import b` gives `a.b`: b may be a module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                yield ".".join([*base, alias.name])


def _outside_functions(tree):
    """The statements that run when a module is imported."""
    found, todo = [], list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.append(node)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            todo += ast.iter_child_nodes(node)
    return found


def _within(module, allowed):
    return any(module == name or module.startswith(name + ".") for name in allowed)


def _breaches(path, source):
    layer = _layer(path)
    tree = ast.parse(source, path)
    outside = set(_imports(ast.Module(_outside_functions(tree), []), _package(path)))
    found = []
    for module in _imports(tree, _package(path)):
        if module == EVERYONES:
            continue
        if module in layer.get("inside", ()) and module not in outside:
            continue
        if module.split(".")[0] in OURS:
            if not _within(module, layer["ours"]):
                found.append(module)
        elif layer["other"] is not None and not _within(module, layer["other"]):
            found.append(module)
    if layer["other"] is not None:
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        found += sorted((names & TOUCHES_THE_WORLD) - layer["other"])
    return found


@pytest.mark.parametrize("path", FILES)
def test_imports_only_what_its_layer_may(path):
    assert _breaches(path, (REPO / path).read_text()) == []


@pytest.mark.parametrize(
    ("path", "source", "breach"),
    [
        ("lib/ota/errors.py", "import sys", ["sys"]),
        ("lib/ota/errors.py", "from ota import const, settle", ["ota.settle"]),
        ("lib/ota/offer.py", "def f():\n    import time", ["time"]),
        ("lib/ota/offer.py", "def f(p):\n    return open(p)", ["open"]),
        ("lib/ota/trust/client.py", "import socket", ["socket"]),
        ("lib/ota/trust/client.py", "from ota.adapters import http", ["ota.adapters.http"]),
        ("lib/ota/trust/client.py", "from ..image import blocks", ["ota.image.blocks"]),
        ("lib/ota/image/blocks.py", "import os", ["os"]),
        ("lib/ota/image/blocks.py", "from ota import updater", ["ota.updater"]),
        ("lib/ota/adapters/http.py", "from ota.trust import client", ["ota.trust.client"]),
        ("lib/ota/adapters/http.py", "from .. import updater", ["ota.updater"]),
        ("lib/ota/updater.py", "from ota.adapters.http import Http", ["ota.adapters.http.Http"]),
        ("lib/ota/updater.py", "import ota_esp32", ["ota_esp32"]),
        ("lib/ota/updater.py", "import machine", ["machine"]),
        ("lib/ota/updater.py", "from ota.wiring import from_config", ["ota.wiring.from_config"]),
        (
            "lib/ota/updater.py",
            "class U:\n    def f():\n        from ota.wiring import from_config",
            [],
        ),
        ("lib/ota/updater.py", "print('x')", ["print"]),
        ("lib/ota/trial.py", "from .wiring import join", ["ota.wiring.join"]),
        ("lib/ota/__init__.py", "from ota.adapters import http", ["ota.adapters.http"]),
        ("boards/esp32/ota_esp32.py", "from ota.trial import guard", ["ota.trial.guard"]),
        ("tools/mpota/verify.py", "from ota.updater import Updater", ["ota.updater.Updater"]),
        ("lib/ota/wiring.py", "import mpota", ["mpota"]),
        (
            "lib/ota/wiring.py",
            "import ota_esp32, machine\nfrom ota.adapters import http, store\nimport ota.updater",
            [],
        ),
        (
            "lib/ota/trust/client.py",
            "import hashlib\nfrom ota.errors import TrustError\nfrom . import json",
            [],
        ),
    ],
)
def test_the_rule_can_be_broken(path, source, breach):
    assert _breaches(path, source) == breach
