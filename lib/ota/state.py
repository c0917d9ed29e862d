# SPDX-License-Identifier: MIT
"""What a device remembers about updates from boot to boot: one record of the Store, "update".

    minseq    floor: no image with a lower `seq` is installed; from the image that was confirmed
    utc       floor of time: a UTC string that has surely passed, "" if none is known
    images    identity -> [seq, minseq, version] of the images that may be in a slot
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


def load(store):
    """Return the memory as a dict; defaults for what was never saved."""
    memory = {
        "minseq": 0,
        "utc": "",
        "images": {},
        "trial": None,
        "rejected": [],
        "last": None,
    }
    content = store.load("update")
    if content:
        try:
            memory.update(json.loads(content))
        except (ValueError, TypeError):
            pass  # a whole record, but not ours: it counts as none
    return memory


def save(store, memory):
    """Store the memory. After a cut the old one or the new one is there."""
    store.save("update", json.dumps(memory).encode())


def image(memory, identity):
    """Return (seq, minseq, version) of an image; an unknown one counts as 0."""
    return memory["images"].get(identity, (0, 0, ""))


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
