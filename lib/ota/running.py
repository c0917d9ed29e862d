# SPDX-License-Identifier: MIT
"""main.py of a device whose application is a tree of files: see ota.run."""

import os
import sys

import ota.wiring as wiring
from ota.errors import OtaError, StateError


def run(folder):
    tree = wiring.trees(folder, None)
    if tree.identity(tree.running) is None:
        raise StateError("there is no application: mpota push brings one", tree.running.path)
    path = tree.running.path
    del tree  # the heap is the application's
    os.chdir(path)
    try:
        _start(path)
    except Exception as error:
        # Whatever an application raises is a verdict on it.
        if not _go_back(folder, error):
            raise
        import machine

        machine.reset()


def _start(path):
    try:
        os.stat(path + "/main.py")
    except OSError:
        __import__("main")  # a main.mpy: the tree comes first in sys.path
        return
    scope = __import__("__main__").__dict__  # MicroPython has it in no table
    if sys.implementation.name == "micropython":
        execfile(path + "/main.py", scope)  # noqa: F821
    else:
        with open(path + "/main.py") as file:
            exec(compile(file.read(), path + "/main.py", "exec"), scope)


def _go_back(folder, error):
    """Switch to what ran before if that is better. Return whether a reset is due."""
    import ota.trial as trial
    from ota.adapters.store import Store
    from ota.product import Product

    try:
        firmware, tree = wiring.boots(folder)
        for kind, boot in (("firmware", firmware), ("app", tree)):
            if boot and boot.on_trial:
                _show(error)
                product = Product(boot, {"product": "", "kind": kind}, Store(folder))
                why = "main.py raised " + type(error).__name__
                try:
                    trial.give_up(product, why, lambda *facts: None)
                except OtaError:
                    pass  # the reset ends the trial too
                return True
        if tree.is_whole(tree.running) or not tree.is_whole(tree.spare):
            return False
        tree.fall_back()
    except OtaError:
        return False
    _show(error)
    return True


def _show(error):
    """Write the trace that the interpreter would have written."""
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
