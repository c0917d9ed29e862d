# SPDX-License-Identifier: MIT
"""One product of this device: where its images lie, what an offer must fit, what it remembers.

A device has one or two: the firmware in the slots of the flash, and an application in two folders.
They share network, trust and clock; everything that is about an image is here, once for each.
"""

import ota.state as state


class Product:
    """`boot`: ports.Boot. `device`: dict of product, kind ("firmware" or "app"), board, channel,
    groups (list), utc (a time that has surely passed, or ""), and what ota.offer.fits wants to
    know besides what the Boot tells.

    Attributes: `name`, `kind`, `boot`, `device`.
    """

    def __init__(self, boot, device, store):
        self.name = device["product"]
        self.kind = device["kind"]
        self.boot = boot
        self.device = dict(
            device, chip=boot.chip, slot=boot.slot, counter=boot.counter, id=boot.device_id
        )
        self._store = store
        self._record = "update-app" if self.kind == "app" else "update"

    def load(self):
        """Return the memory (ota.state) of this product."""
        return state.load(self._store, self._record)

    def save(self, memory):
        state.save(self._store, memory, self._record)

    def running(self, memory):
        """Return what `memory` knows of the running image: (seq, minseq, version, needs)."""
        return state.image(memory, self.boot.identity(self.boot.running))

    def status(self):
        """Return this product's part of Updater.status()."""
        memory = self.load()
        identity = self.boot.identity(self.boot.running)
        seq, _, version, _ = state.image(memory, identity)
        return {
            "product": self.name,
            "kind": self.kind,
            "version": version,
            "seq": seq,
            "identity": identity,
            "on_trial": self.boot.on_trial,
            "switch_pending": self.boot.switch_pending,
            "minseq": memory["minseq"],
            "last": memory["last"],
        }
