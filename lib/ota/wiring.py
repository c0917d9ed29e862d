# SPDX-License-Identifier: MIT
"""The one place where the parts meet: adapters and the board are imported here and only here."""

import io
import json
import os
import sys

from ota import const
from ota.errors import StateError

_TRIAL_S = 300  # time for an application to come up and prove itself when nothing else is said

# Native code by the number in sys.implementation._mpy (MicroPython, py/persistentcode.h), from 1.
_ARCHS = const(
    "x86 x64 armv6 armv6m armv7m armv7em armv7emsp armv7emdp xtensa xtensawin rv32imc rv64imc"
)


def board():
    """Return the Boot of the firmware's slots. Raises StateError where there can be none."""
    try:
        if sys.platform == "esp32":
            from ota_esp32 import Boot
        elif sys.platform == "rp2":
            from ota_rp2 import Boot
        else:
            raise StateError("this platform takes application updates only", sys.platform)
    except ImportError:
        raise StateError("stock firmware: only application updates are possible on it")
    return Boot()


def trees(folder, firmware):
    """Return the Boot of the application's trees, which lie beside `folder`.

    `firmware`: the Boot of the slots, which keeps floors and has the watchdog, or None.
    """
    from ota.adapters.appdir import Boot

    return Boot(_root(folder), folder, firmware)


def boots(folder):
    """Return the Boots of what runs: (of the slots or None, of the trees or None).

    Of the trees once boot.py has put one into sys.path, and not in the firmware's own start: until
    then nobody knows which one runs.
    """
    root = _root(folder) + "/"
    if not any(path.startswith(root) for path in sys.path):
        return board(), None
    try:
        firmware = board()
    except StateError:
        firmware = None
    return firmware, trees(folder, firmware)


def guard(folder):
    """See ota.guard."""
    import ota.trial as trial

    for boot in boots(folder):
        if boot and boot.on_trial:
            # First the watchdog, with a length that needs no file; then the owner's.
            trial.guard(boot, _TRIAL_S)
            try:
                trial_s = config(folder).get("trial_s")
            except StateError:
                continue  # a trial with a broken file system is watched all the same
            if type(trial_s) is int and trial_s > 0:
                trial.guard(boot, trial_s)


def from_config(updater, folder, log, fetcher=None):
    """Return `updater` (the class) over the parts that `folder`/config.json names."""
    from ota.adapters.clock import Clock
    from ota.adapters.store import Store
    from ota.trust.client import Client

    device = {"groups": [], "utc": "", "headers": {}}
    device.update(config(folder))
    if not device.get("app") and not device.get("product"):
        raise StateError("configuration lacks", "product or app")
    for key in ("board", "channel", "urls"):
        if not device.get(key) and (key != "urls" or not fetcher):
            raise StateError("configuration lacks", key)
    store = Store(folder)
    servers = None if fetcher else Servers(folder, device)
    _open(folder, "root.json").close()
    fetcher = fetcher or servers(_adopted(store))
    try:
        os.mkdir(folder)
    except OSError:
        pass  # it is there, unless the file system is new
    found = products(folder, device, store)
    boot = found[0].boot
    trust = Client(store, lambda: _open(folder, "root.json"), root_floor=boot.root_floor)
    about = {"loaded_from": _loaded_from(), "shadowed": _shadowed(found[-1].boot)}
    if about["shadowed"] and log:
        log("ota is not loaded from where it should be", about["loaded_from"], about["shadowed"])
    clock = Clock(device.get("ntp"))
    return updater(found, fetcher, store, trust, clock, log, servers=servers, about=about)


def products(folder, device, store):
    """Return the Products of a device, firmware first. Raises StateError if it cannot have one."""
    from ota.product import Product

    found = []
    firmware = None
    try:
        firmware = board()
    except StateError:
        if device.get("product"):
            raise
    if device.get("product"):
        if firmware.spare is None:
            raise StateError("no firmware updates on this board", firmware.lacks)
        facts = dict(device, kind="firmware", library=_library())
        found.append(Product(firmware, facts, store))
    if device.get("app"):
        mpy = getattr(sys.implementation, "_mpy", 0)
        facts = dict(device, kind="app", product=device["app"])
        facts["mpy"] = _version(mpy) if mpy else None
        facts["arch"] = _archs(mpy)
        found.append(Product(trees(folder, firmware), facts, store))
    return found


class Servers:
    """Makes the fetcher of a device: servers(adopted settings) -> Fetcher.

    The owner's own servers, those in config.json, are asked last. The `headers` there may hold a
    token: they go to the servers that are named there and to no other.
    """

    def __init__(self, folder, device):
        self._folder = folder
        self._urls = device["urls"]
        self._ca = device.get("ca")
        self._headers = device["headers"].items()
        self.urls = []  # of the fetcher that was made last, in the order in which they are asked

    def __call__(self, adopted, alone=False):
        """`adopted`: list of (URLs, CA certificates or None: those of config.json).

        alone: ask nobody else, and not for long.
        """
        try:
            import socket  # noqa: F401
        except ImportError:
            raise StateError("no network in this firmware: give from_config a fetcher")
        from ota.adapters.http import Http

        ca = None
        if self._ca:
            with _open(self._folder, self._ca) as file:
                ca = file.read()
        known = [_server(url) for url in self._urls]
        sets = list(adopted)
        if not alone:
            sets.append((self._urls, ca))
            self.urls = []
        http = Http([], tries=1 if alone else 4)
        for urls, own in sets:
            for url in urls:
                try:
                    http.add([url], own or ca, self._headers if _server(url) in known else ())
                    if not alone:
                        self.urls.append(url)
                except ValueError as error:
                    # What was adopted before this library came may not be the end of all updates.
                    if alone or url in self._urls:
                        raise StateError("configuration is wrong", error)
        return http


def _server(url):
    return "/".join(url.split("/")[:3]).lower()


def _adopted(store):
    if not store.load("settings"):
        return ()
    from ota.settings import Settings

    return Settings(store).sets()


def config(folder):
    """Return config.json as a dict. Raises StateError."""
    with _open(folder, "config.json") as file:
        try:
            found = json.load(file)
        except ValueError:
            found = None
    if type(found) is not dict:
        raise StateError("configuration is not JSON", folder + "/config.json")
    return found


def _open(folder, name):
    """Open a file of `mpota provision`, or else what a firmware has frozen in its place."""
    try:
        return open(folder + "/" + name, "rb")
    except OSError:
        pass
    try:
        from ota_factory import FILES

        return io.BytesIO(FILES[name])
    except (ImportError, KeyError):
        raise StateError("missing: run mpota provision", folder + "/" + name)


def _root(folder):
    """Return the folder of the trees: /ota-app beside /ota-state."""
    return folder.rpartition("/")[0] + "/ota-app"


def _loaded_from():
    """Return the folder that this library was loaded from, or "frozen"."""
    path = globals().get("__file__", "")
    if path[:1] != "/":
        # What is frozen has a name without a folder of the file system; and so has what was found
        # through the current folder.
        try:
            os.stat(path)
        except OSError:
            return "frozen"
        path = os.getcwd().rstrip("/") + "/" + path
    return path.rpartition("/")[0]


def _shadowed(boot):
    """Return where the library should have been loaded from, if it was not; else None.

    boot.py puts the running tree first into sys.path; in the root of the file system a folder of
    this name is found before what is frozen and before /lib.
    """
    found = _loaded_from()
    expected = getattr(boot.running, "path", "") + "/lib/ota"
    if found in ("frozen", expected):
        return None
    if boot.chip is None:  # an application
        try:
            os.stat(expected)
            return expected
        except OSError:
            pass  # it does without a library of its own
    return "/lib/ota" if found == "/ota" else None


def _library():
    """Tell in which form this library is here: "source", a .mpy version, or "frozen"."""
    if _loaded_from() == "frozen":
        return "frozen"
    return _version(sys.implementation._mpy) if __file__.endswith(".mpy") else "source"


def _version(mpy):
    return "{}.{}".format(mpy & 0xFF, mpy >> 8 & 3)


def _archs(mpy):
    """Return the names of the native code that loads here."""
    last = mpy >> 10 & 15
    # A Thumb core takes the code of every smaller one.
    first = 4 if 4 <= last <= 8 else last
    return _ARCHS.split()[first - 1 : last] if last else ()
