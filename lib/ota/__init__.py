# SPDX-License-Identifier: MIT
"""Over-the-air updates that a device on a roof can be trusted to: signed, resumable, reversible.

    import ota

    ota.guard()                          boot.py: arms the watchdog of a trial
    ota.run()                            main.py on the root: starts the application of the tree
    updater = ota.Updater.from_config()  main.py: settle, update, watch, status

Without asyncio: `ota.settle(healthy)`, `ota.update()`, `ota.status()` block and do the same.
Public names load on first use; `import ota` alone costs next to nothing.
"""

__version__ = "0.1.0"

_STORY = ("Updater", "UP_TO_DATE", "READY", "DECLINED", "NOT_OFFERED", "DOWNLOADING", "TROUBLE")


def const(value):
    """Mark a constant. Compilers of MicroPython fold the call away; CPython makes it."""
    return value


def __getattr__(name):
    module = "ota.updater" if name in _STORY else "ota.errors"
    return getattr(__import__(module, None, None, (name,)), name)


def guard(folder="/ota-state"):
    """Call first in boot.py: on trial, arm a watchdog that ends at the trial's deadline.

    On trial may be the firmware or, where there are trees, the application.

    The deadline is `trial_s` of the configuration, 300 seconds if there is none to be read.
    """
    from ota.wiring import guard as run

    run(folder)


def run(folder="/ota-state"):
    """Run main.py (or main.mpy) of the application's tree, as `__main__`, in its folder.

    An exception on trial rejects what is on trial and resets the chip. Later one passes, as from
    any main.py, unless the application's files are damaged and those of the other tree are not:
    then that one is switched back to, and the chip is reset. KeyboardInterrupt and SystemExit
    always pass.
    """
    from ota.running import run as start

    start(folder)


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
