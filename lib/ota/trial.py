# SPDX-License-Identifier: MIT
"""The trial of a new image: guard it, ask whether it is healthy, confirm it or go back.

    NEW -> on trial -> confirmed          `healthy` said so within the deadline
                    -> rejected, revert   it said no, raised, or the deadline passed
                    -> reverted           power, crash, watchdog: the bootloader goes back by
                                          itself, and three such ends reject the bytes too

`guard` runs in boot.py, before any application code; from then on only a confirmation keeps the
watchdog from ending the trial, whatever main.py does. The reverse order of saving and switching
would lose facts in a cut: the trial is saved before the switch, a rejection before the way back,
and what a confirmation changes is derived again at every start (`look_back`).
"""

import ota.state as state
from ota.errors import OtaError

# The watchdog ends a trial a little later than `settle` does, so that a deadline that passes in
# good order leaves its reason behind.
_MARGIN_MS = 10_000


def guard(boot, trial_s):
    """Arm the watchdog if the running image is on trial: `trial_s` seconds from now.

    Reads flash and nothing else: no file system and no record can keep it from arming.
    """
    if boot.on_trial:
        boot.arm(trial_s * 1000)


async def settle(products, healthy, within_s, log):
    """End the trial of what is on trial, firmware or application. See Updater.settle."""
    for product in products:
        boot = product.boot
        if boot.switch_pending:
            # Another image waits for the reset, or this one is given up.
            return not (boot.on_trial or _is_given_up(product))
    trying = [product for product in products if product.boot.on_trial]
    for product in trying:
        product.boot.arm(int(within_s * 1000) + _MARGIN_MS)
    if trying:
        why = await _failing(healthy, within_s)
        if not why and any(_is_given_up(product) for product in trying):
            why = "rejected before"
        if why:
            for product in trying:
                give_up(product, why, log)
            return False
        for product in trying:
            product.boot.confirm()
            product.boot.disarm()
    for product in products:
        try:
            look_back(product)
        except OtaError as error:
            # A full file system must not stop an application at each of its starts; the next one
            # makes up for it.
            log("memory not in line yet", error)
    return True


def _is_given_up(product):
    """Tell whether the running image was given up before a reset that was not a hard one.

    A boot that `try_next` made has its trial in the memory; a verdict takes it out.
    """
    try:
        memory = product.load()
    except OtaError:
        return False
    identity = product.boot.identity(product.boot.running)
    trial = memory["trial"]
    if trial and trial["identity"] == identity:
        return False
    return identity in [entry[0] for entry in memory["rejected"]]


def give_up(product, why, log):
    """Reject the running image and go back, whatever becomes of the record."""
    boot = product.boot
    try:
        identity = boot.identity(boot.running)
        memory = product.load()
        trial = memory["trial"]
        attempt = trial["attempt"] if trial and trial["identity"] == identity else 0
        state.reject(memory, identity, attempt, why)
        product.save(memory)
    except OtaError as error:
        # Without the record the end counts as unexplained: three of them reject the image too.
        log("rejection not saved", error)
    finally:
        boot.revert()
    log("rejected", why)


def look_back(product):
    """Bring the memory in line with what runs. The running image must not be on trial.

    What a confirmation changes is done here, at every start, so a cut anywhere between the
    confirmation and the last of these steps heals itself: raise the floor, forget the trial, and
    make an image below the floor unbootable.
    """
    boot = product.boot
    memory = product.load()
    before = product.load()
    running = boot.identity(boot.running)
    spare = boot.identity(boot.spare) if boot.spare else None
    _, minseq, version, _ = state.image(memory, running)
    # What the board keeps outside the file system outlives a lost one.
    memory["minseq"] = max(memory["minseq"], minseq, boot.seq_floor)
    trial = memory["trial"]
    if trial and trial["identity"] == running:
        memory["trial"] = None
        memory["last"] = {"outcome": "confirmed", "version": version, "why": ""}
    elif trial and trial["told"] != trial["tries"]:
        trial["told"] = trial["tries"]
        memory["last"] = {
            "outcome": "reverted",
            "version": state.image(memory, trial["identity"])[2],
            "why": "ended without a word",
        }
    if memory != before:
        product.save(memory)
    boot.raise_seq_floor(memory["minseq"])
    if spare and state.image(memory, spare)[0] < memory["minseq"]:
        boot.spare.erase(0)


async def _failing(healthy, within_s):
    """Return why the image is not healthy, or None: it is."""
    import asyncio

    async def ask():
        while True:
            answer = healthy()
            if hasattr(answer, "send"):
                answer = await answer
            if answer is not None:
                return answer
            await asyncio.sleep(1)

    try:
        return None if await asyncio.wait_for(ask(), within_s) else "health check said no"
    except asyncio.TimeoutError:
        return "no health check passed in time"
    except Exception as error:  # noqa: BLE001
        # Whatever an application raises here is a verdict on it, and must not end the trial's
        # bookkeeping. Cancellation and resets are no Exceptions.
        return "health check raised " + type(error).__name__
