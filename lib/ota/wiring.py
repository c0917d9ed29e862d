# SPDX-License-Identifier: MIT
"""The one place where the parts meet: adapters and the board are imported here and only here."""

import json
import sys

from ota.errors import StateError

_TRIAL_S = 300  # time for an application to come up and prove itself when nothing else is said


def board():
    """Return the Boot of the chip this runs on."""
    if sys.platform == "esp32":
        from ota_esp32 import Boot
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


def from_config(updater, folder, log):
    """Return `updater` (the class) over the parts that `folder`/config.json names."""
    try:
        return _join(updater, folder, _config(folder), log)
    except KeyError as error:
        raise StateError("configuration lacks", error.args[0])
    except ValueError as error:  # Http on its URLs, headers and CA
        raise StateError("configuration is wrong", error)


def _join(updater, folder, config, log):
    from ota.adapters.clock import Clock
    from ota.adapters.http import Http
    from ota.adapters.store import Store
    from ota.trust.client import Client

    boot = board()
    store = Store(folder)
    ca = _bytes(folder, config["ca"]) if config.get("ca") else None
    if not config["urls"]:
        raise KeyError("urls")
    fetcher = Http(config["urls"], ca=ca, headers=config.get("headers", {}).items())
    _open(folder, "root.json").close()
    trust = Client(store, lambda: _open(folder, "root.json"))
    device = {
        "product": config["product"],
        "board": config["board"],
        "channel": config["channel"],
        "groups": config.get("groups", []),
        "utc": config.get("utc", ""),
        "kind": "firmware",
        "chip": boot.chip,
        "id": boot.device_id,
        "library": _library(),
    }
    return updater(boot, fetcher, store, trust, Clock(), device, log)


def _config(folder):
    try:
        with open(folder + "/config.json") as file:
            config = json.load(file)
    except OSError:
        raise StateError("no configuration: run mpota provision", folder + "/config.json")
    except ValueError:
        config = None
    if type(config) is not dict:
        raise StateError("configuration is not JSON", folder + "/config.json")
    return config


def _open(folder, name):
    try:
        return open(folder + "/" + name, "rb")
    except OSError:
        raise StateError("missing: run mpota provision", folder + "/" + name)


def _bytes(folder, name):
    with _open(folder, name) as file:
        return file.read()


def _library():
    """Tell in which form this library is here: "source", a .mpy version, or "frozen"."""
    path = globals().get("__file__", "")
    if path.endswith(".py"):
        return "source" if "/" in path else "frozen"
    mpy = getattr(sys.implementation, "_mpy", 0)
    return "{}.{}".format(mpy & 0xFF, mpy >> 8 & 3) if path.endswith(".mpy") else "frozen"
