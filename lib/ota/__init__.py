# SPDX-License-Identifier: MIT
"""Over-the-air updates that a device on a roof can be trusted to: signed, resumable, reversible.

    import ota

    ota.guard()                          boot.py: arms the watchdog of a trial
    updater = ota.Updater.from_config()  main.py: settle, update, watch, status

Without asyncio: `ota.settle(healthy)`, `ota.update()`, `ota.status()` block and do the same.
Public names load on first use; `import ota` alone costs next to nothing.
"""

__version__ = "0.1.0"

_NAMES = {
    "Updater": "updater",
    "UP_TO_DATE": "updater",
    "READY": "updater",
    "DECLINED": "updater",
    "NOT_OFFERED": "updater",
    "DOWNLOADING": "updater",
    "TROUBLE": "updater",
    "OtaError": "errors",
    "TrustError": "errors",
    "ExpiredError": "errors",
    "ClockError": "errors",
    "FetchError": "errors",
    "ImageError": "errors",
    "SlotError": "errors",
    "StoreError": "errors",
    "StateError": "errors",
}


def const(value):
    """Mark a constant. Compilers of MicroPython fold the call away; CPython makes it."""
    return value


def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(name)
    module = __import__("ota." + _NAMES[name], None, None, (name,))
    value = getattr(module, name)
    globals()[name] = value
    return value


def guard(folder="/ota-state"):
    """Call first in boot.py: on trial, arm a watchdog that ends at the trial's deadline.

    The deadline is `trial_s` of the configuration, 300 seconds if there is none to be read.
    """
    from ota.wiring import guard as run

    run(folder)


def settle(healthy, within_s=120, folder="/ota-state"):
    """Blocking `Updater.settle`. False: call machine.reset()."""
    return _run(folder, "settle", healthy, within_s)


def update(progress=None, consent=None, should_continue=None, folder="/ota-state"):
    """Blocking `Updater.update`. Returns its Event; `.ready`: call machine.reset()."""
    return _run(folder, "update", progress, consent, should_continue)


def status(folder="/ota-state"):
    """Return `Updater.status()`."""
    from ota.updater import Updater

    return Updater.from_config(folder).status()


def _run(folder, method, *args):
    import asyncio

    from ota.updater import Updater

    return asyncio.run(getattr(Updater.from_config(folder), method)(*args))
