# SPDX-License-Identifier: MIT
"""What a device remembers about updates from boot to boot: one record of the Store per product.

    minseq    floor: no image with a lower `seq` is installed; from the image that was confirmed
    utc       floor of time: a UTC string that has surely passed, "" if none is known
    images    identity -> [seq, minseq, version, needs] of the images that may be in a slot; needs:
              None, or [product, min, max or None]: the firmware that an application runs on
    trial     None, or {identity, attempt, tries, told}: saved before the bootloader is switched
    rejected  the last few [identity, attempt, why]
    last      None, or {outcome, version, why}: how the last trial ended

One record, because these facts change together and a cut must leave all of them old or all new.
It is keyed by identities, which are read from flash: an image that somebody put there over USB is
unknown, not mistaken for what a record says. A lost record costs memory, not safety: metadata has
its own floors, and the bootloader its own state.
"""

import json

_REJECTED = 4  # enough for the attempts of one release; each costs about 100 bytes of the record


def load(store, record="update"):
    """Return the memory as a dict; defaults for what was never saved."""
    memory = {
        "minseq": 0,
        "utc": "",
        "images": {},
        "trial": None,
        "rejected": [],
        "last": None,
    }
    content = store.load(record)
    if content:
        try:
            memory.update(json.loads(content))
        except (ValueError, TypeError):
            pass  # a whole record, but not ours: it counts as none
    return memory


def save(store, memory, record="update"):
    """Store the memory. After a cut the old one or the new one is there."""
    store.save(record, json.dumps(memory).encode())


def image(memory, identity):
    """Return (seq, minseq, version, needs) of an image; an unknown one counts as 0."""
    known = memory["images"].get(identity, (0, 0, "", None))
    return known if len(known) == 4 else known + [None]  # written before there were applications


def reject(memory, identity, attempt, why):
    """Never install these bytes again in this attempt of the rollout."""
    memory["rejected"] = memory["rejected"][1 - _REJECTED :] + [[identity, attempt, why]]
    memory["last"] = {
        "outcome": "rejected",
        "version": image(memory, identity)[2],
        "why": why,
    }
    trial = memory["trial"]
    if trial and trial["identity"] == identity:
        memory["trial"] = None
