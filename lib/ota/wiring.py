# SPDX-License-Identifier: MIT
"""The one place where the parts meet: adapters and the board are imported here and only here."""

import io
import json
import os
import sys

from ota.errors import StateError

_TRIAL_S = 300  # time for an application to come up and prove itself when nothing else is said


def board():
    """Return the Boot of the chip this runs on."""
    if sys.platform == "esp32":
        from ota_esp32 import Boot
    elif sys.platform == "rp2":
        try:
            from ota_rp2 import Boot
        except ImportError:
            raise StateError("stock firmware: only application updates are possible on it")
    else:
        raise StateError("no update support for this platform", sys.platform)
    return Boot()


def guard(folder):
    """See ota.guard."""
    import ota.trial as trial

    boot = board()
    if boot.on_trial:
        # First the watchdog, with a length that needs no file; then the one that the owner chose.
        trial.guard(boot, _TRIAL_S)
        try:
            trial_s = _config(folder).get("trial_s")
        except StateError:
            return  # a trial with a broken file system is watched all the same
        if type(trial_s) is int and trial_s > 0:
            trial.guard(boot, trial_s)


def from_config(updater, folder, log, fetcher=None):
    """Return `updater` (the class) over the parts that `folder`/config.json names."""
    from ota.adapters.clock import Clock
    from ota.adapters.store import Store
    from ota.product import Product
    from ota.trust.client import Client

    device = {"groups": [], "utc": "", "headers": {}}
    device.update(_config(folder))
    for key in ("product", "board", "channel", "urls"):
        if not device.get(key) and (key != "urls" or not fetcher):
            raise StateError("configuration lacks", key)
    fetcher = fetcher or _http(folder, device)
    _open(folder, "root.json").close()
    try:
        os.mkdir(folder)
    except OSError:
        pass  # it is there, unless the file system is new
    store = Store(folder)
    boot = board()
    trust = Client(store, lambda: _open(folder, "root.json"), root_floor=boot.root_floor)
    device["kind"] = "firmware"
    device["chip"] = boot.chip
    device["slot"] = boot.slot
    device["counter"] = boot.counter
    device["id"] = boot.device_id
    device["library"] = _library()
    return updater([Product(boot, device, store)], fetcher, store, trust, Clock(), log)


def _http(folder, device):
    try:
        import socket  # noqa: F401
    except ImportError:
        raise StateError("no network in this firmware: give from_config a fetcher")
    from ota.adapters.http import Http

    ca = None
    if device.get("ca"):
        with _open(folder, device["ca"]) as file:
            ca = file.read()
    try:
        return Http(device["urls"], ca=ca, headers=device["headers"].items())
    except ValueError as error:
        raise StateError("configuration is wrong", error)


def _config(folder):
    with _open(folder, "config.json") as file:
        try:
            config = json.load(file)
        except ValueError:
            config = None
    if type(config) is not dict:
        raise StateError("configuration is not JSON", folder + "/config.json")
    return config


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


def _library():
    """Tell in which form this library is here: "source", a .mpy version, or "frozen"."""
    path = globals().get("__file__", "")
    if path.endswith(".py"):
        return "source" if "/" in path else "frozen"
    mpy = getattr(sys.implementation, "_mpy", 0)
    return "{}.{}".format(mpy & 0xFF, mpy >> 8 & 3) if path.endswith(".mpy") else "frozen"
