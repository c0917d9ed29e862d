# SPDX-License-Identifier: MIT
"""The story of an update, top to bottom: check, ask, install, switch.

Everything that touches the world comes in as an argument (ports.py): `wiring.from_config` joins
the parts on a device, a test joins others. A cut at any point is continued by calling `update`
again: metadata is accepted role by role, blocks are found in the slot, and the trial is saved
before the bootloader is switched.
"""

import asyncio
import binascii
from hashlib import sha256

import ota.offer as offer
import ota.state as state
import ota.trial as trial
from ota.errors import ClockError, FetchError, ImageError, StateError, TrustError
from ota.image.blocks import BlockList
from ota.image.install import Install

UP_TO_DATE = "up to date"
READY = "ready"  # the next hard reset boots the new image, on trial
DECLINED = "declined"
NOT_OFFERED = "not offered"
DOWNLOADING = "downloading"
TROUBLE = "trouble"  # `watch` only: an OtaError; it tries again by itself


class Event:
    """What happened: `kind` is one of the names above; `str()` is for people.

    reason  tuple of the facts: why not, or the error's arguments
    offer   the Offer, once one is made
    done, total  blocks that are in place, of how many
    """

    def __init__(self, kind, reason=(), offer=None, done=0, total=0, error=None):
        self.kind = kind
        self.reason = reason
        self.offer = offer
        self.done = done
        self.total = total
        self.error = error

    @property
    def ready(self):
        return self.kind == READY

    def __str__(self):
        if self.total:
            return "{} {} %".format(self.kind, self.done * 100 // self.total)
        name = type(self.error).__name__ if self.error else self.kind
        facts = [str(fact) for fact in self.reason]
        return " ".join([name + ":"] + facts if facts else [name])


class Updater:
    """One updater for one product on this device."""

    def __init__(self, boot, fetcher, store, trust, clock, device, log=None):
        """Join the parts.

        boot, fetcher, store: ports.py; trust: ota.trust.client.Client; clock: adapters.clock
        device: dict of product, board, channel, kind, chip, groups (list), id (bytes), library
        ("source", a .mpy version, or "frozen"), utc (a time that has surely passed, or "")
        log: called with a constant text and facts, for the owner's eyes
        """
        # The one block buffer, allocated first: later the heap may have no room of that length.
        block_size = boot.spare.block_size if boot.spare else 4096
        self._buf = memoryview(bytearray(block_size))
        self._boot = boot
        self._fetcher = fetcher
        self._store = store
        self._trust = trust
        self._clock = clock
        self._device = dict(device, block_size=block_size)
        self._log = log or _silent
        self._busy = False
        self._booted_at = max(state.load(store)["utc"], device.get("utc", ""))

    @classmethod
    def from_config(cls, path="/ota-state", log=None, fetcher=None):
        """Return the updater that `mpota provision` configured in the folder `path`.

        `fetcher` (ports.py) takes the place of the web servers that are named there. Raises
        StateError when something is missing, and says what.
        """
        from ota.wiring import from_config

        return from_config(cls, path, log, fetcher)

    async def settle(self, healthy, within_s=120):
        """End the trial of the running image, if it is on trial. Call once at every start.

        `healthy` (function or coroutine function) answers True: keep this image; False: go back;
        None: ask again in a second. Raising, or no answer in `within_s` seconds, means go back.
        Returns True: nothing is pending, go on. Returns False: the image was given up; reset now
        (machine.reset(), not a deep sleep) to boot the one before. Before it has returned, a deep
        sleep ends the trial too, and a soft reset does not give its time back.
        """
        return await trial.settle(self._boot, self._store, healthy, within_s, self._log)

    async def update(self, progress=None, consent=None, should_continue=None):
        """Bring the newest release that is meant for this device into the spare slot.

        progress(done, total): after each block. consent(offer) (function or coroutine function):
        False declines. should_continue(): asked before each block; False stops, the next call
        goes on from there.

        Returns an Event: READY (reset to try the new image), UP_TO_DATE, DECLINED or NOT_OFFERED.
        Raises OtaError; see errors.py for what to do about which. A cut, or the cancellation of
        the task, loses one block at most. One update at a time: a second one raises StateError.
        """

        async def report(event):
            if progress:
                progress(event.done, event.total)

        return await self._update(report, consent, should_continue)

    def watch(self, every_s=6 * 3600, consent=None, should_continue=None):
        """Check again and again: `async for event in updater.watch(): …`.

        Trouble is an event, not an exception, and is tried again sooner than `every_s` (first
        after a minute, then doubling). Work goes on only while the loop asks for the next event;
        who leaves the loop before the device is reset calls `close()` of what was returned here.
        """
        from ota.watch import Watch

        return Watch(self._update, every_s, consent, should_continue)

    def status(self):
        """Return a dict: version, seq, identity, on_trial, switch_pending, boot_keys, minseq, utc,
        verifier, last.

        boot_keys: how many keys the bootloader knows that images may be signed with; None if it
        is not one of ours. 0: it checks images for damage, not for signatures.
        verifier: "native" or "python", what checks signatures of metadata.
        """
        from ota.trust.keys import native

        memory = state.load(self._store)
        identity = self._boot.identity(self._boot.running)
        seq, _, version = state.image(memory, identity)
        return {
            "version": version,
            "seq": seq,
            "identity": identity,
            "on_trial": self._boot.on_trial,
            "switch_pending": self._boot.switch_pending,
            "boot_keys": self._boot.boot_keys,
            "minseq": memory["minseq"],
            "utc": self._certain(),
            "verifier": "native" if native else "python",
            "last": memory["last"],
        }

    async def _update(self, report, consent, should_continue):
        boot = self._boot
        if boot.spare is None:
            raise StateError("this board has no second slot")
        if self._busy:
            raise StateError("another update is under way")
        if boot.switch_pending:
            return Event(READY)
        if boot.on_trial:
            raise StateError("the running image is on trial: settle it first")
        boot.disarm()
        trial.look_back(boot, self._store)
        self._busy = True
        try:
            while True:
                try:
                    return await self._bring(report, consent, should_continue)
                except offer.NotOffered as why:
                    return Event(UP_TO_DATE if why.up_to_date else NOT_OFFERED, why.args)
                except (TrustError, ImageError) as error:
                    # This source lies, or lags behind: another one may have it right.
                    if not self._fetcher.skip():
                        raise
                    self._log("turning to another source", error)
        finally:
            try:
                await self._fetcher.close()
            finally:
                self._busy = False

    async def _bring(self, report, consent, should_continue):
        """Check, ask, install, switch."""
        boot = self._boot
        found = await self._check()
        running = boot.identity(boot.running)
        if running and running in (found.identity, found.twin):
            # What runs, released again: nothing but its number is new.
            found.identity = running
            self._remember_image(found)
            trial.look_back(boot, self._store)
            return Event(UP_TO_DATE, (), found)
        if consent and not await _answer(consent(found)):
            return Event(DECLINED, ("no consent",), found)
        blocks = await self._block_list(found)
        try:
            if not await self._install(found, blocks, report, should_continue):
                return Event(DECLINED, ("stopped",), found)
        finally:
            blocks.close()
        self._switch(found)
        return Event(READY, (found.version,), found)

    async def _check(self):
        """Return the Offer. Raises NotOffered with the reason, or OtaError."""
        certain = self._certain()
        claimed = self._clock.utc()
        if claimed < certain and self._fetcher.needs_clock:
            raise ClockError("the clock is behind what is certain: set it", claimed, certain)
        now = max(claimed, certain)
        await self._follow(self._trust.refresh(certain, now))
        boot = self._boot
        boot.raise_root_floor(self._trust.root_version)
        memory = self._remember_time(self._certain())
        device = self._device
        installed = state.image(memory, boot.identity(boot.running))[0]
        rollout = await self._follow(
            self._trust.find(
                "rollout/{}/{}/{}".format(device["product"], device["board"], device["channel"])
            )
        )
        path, attempt = offer.wanted(device, memory, installed, boot.image_name, now, rollout)
        image = await self._follow(self._trust.find(path))
        seq = rollout.custom["seq"]
        return offer.fits(device, memory, installed, boot.spare.size, seq, attempt, image)

    async def _block_list(self, found):
        """Return the BlockList of an Offer, from the store if it is there already."""
        size = self._boot.spare.block_size
        target = await self._follow(self._trust.find(found.blocks))
        if target is None or target.role != found.image.role:
            raise TrustError("block list is not signed", found.blocks)
        if target.length != (found.image.length + size - 1) // size * found.digest_size:
            raise TrustError("block list of a wrong length", target.length)
        if not self._is_stored("blocks", target):
            await self._fetch_target(target, "blocks")
            if not self._is_stored("blocks", target):
                raise ImageError("block list is not what was signed", found.blocks)
        file = self._store.open("blocks")
        return BlockList(file, found.image.length, size, found.digest_size)

    async def _install(self, found, blocks, report, should_continue):
        """Bring the spare slot to hold the image. Return False if told to stop."""
        boot = self._boot
        self._remember_image(found)
        install = Install(boot.spare, blocks, self._buf, boot.check_image)
        for _ in install.scan():
            await asyncio.sleep(0)
        size = blocks.block_size
        path = "targets/" + found.image.file
        while True:
            run = install.next_run()
            if run is None:
                return True
            first, stop = run
            end = min(stop * size, blocks.length)
            body = await self._fetcher.open(path, first * size, end)
            try:
                for block in range(first, stop):
                    if should_continue and not should_continue():
                        return False
                    content = blocks.content(block)
                    if await body.readinto(self._buf[:content]) != content:
                        raise FetchError("image ends early", block)
                    install.put(block)
                    done = blocks.count - install.left
                    await report(Event(DOWNLOADING, (), found, done, blocks.count))
            finally:
                await body.close()

    def _switch(self, found):
        """Save the trial, then make the next hard reset boot the spare slot."""
        boot = self._boot
        identity = boot.identity(boot.spare)
        if identity != found.identity:
            raise ImageError("the slot holds another image than the release names", identity)
        memory = state.load(self._store)
        old = memory["trial"]
        again = old and old["identity"] == identity and old["attempt"] == found.attempt
        tries = old["tries"] if again else 0
        if old and not again:
            # Its tries are forgotten with it, so two images that crash could take turns for ever.
            state.reject(memory, old["identity"], old["attempt"], "ended without a word")
        memory["trial"] = {
            "identity": identity,
            "attempt": found.attempt,
            "tries": tries + 1,
            "told": tries,
        }
        state.save(self._store, memory)
        try:
            boot.try_next(boot.spare)
        except ImageError:
            state.reject(memory, identity, found.attempt, "the bootloader would refuse it")
            state.save(self._store, memory)
            raise

    def _certain(self):
        """Return a UTC string that has surely passed: no clock of the device enters it."""
        booted_at = self._booted_at
        return max(self._clock.later(booted_at) if booted_at else "", self._trust.issued or "")

    def _remember_time(self, certain):
        """Persist the floor of time, once a day at most. Return the memory."""
        memory = state.load(self._store)
        if certain[:10] > memory["utc"][:10]:
            memory["utc"] = certain
            state.save(self._store, memory)
        return memory

    def _remember_image(self, found):
        """Know the image by its identity before the first byte of it is in the slot."""
        memory = state.load(self._store)
        images = memory["images"]
        boot = self._boot
        # The spare image stays known until it is gone: an unknown one may be below the floor.
        held = (boot.identity(boot.running), boot.identity(boot.spare))
        memory["images"] = {key: images[key] for key in images if key in held}
        memory["images"][found.identity] = [found.seq, found.minseq, found.version]
        state.save(self._store, memory)

    async def _follow(self, steps):
        """Drive a generator of the trust client: fetch what it asks for, return its result."""
        answer = None
        try:
            while True:
                request = steps.send(answer)
                answer = None
                if request is None:
                    await asyncio.sleep(0)
                else:
                    answer = await self._fetch_metadata(request)
        except StopIteration as stop:
            return stop.value
        finally:
            steps.close()

    async def _fetch_metadata(self, request):
        """Hand a metadata file to the trust client. Return False if the repository has none."""
        try:
            body = await self._fetcher.open("metadata/" + request.file)
        except FetchError as error:
            if error.status in (403, 404):
                return False
            raise
        try:
            while True:
                count = await body.readinto(self._buf)
                if not count:
                    return True
                request.write(self._buf[:count])
        finally:
            await body.close()

    async def _fetch_target(self, target, document):
        """Fetch a target into a document; its length is right then, its content unchecked."""
        body = await self._fetcher.open("targets/" + target.file)
        try:
            file = self._store.create(document)
            try:
                left = target.length
                while left:
                    count = await body.readinto(self._buf[: min(left, len(self._buf))])
                    if not count:
                        raise FetchError("file ends early", target.path)
                    file.write(self._buf[:count])
                    left -= count
            finally:
                file.close()
        finally:
            await body.close()

    def _is_stored(self, document, target):
        """Tell whether a stored document is what was signed."""
        file = self._store.open(document)
        if file is None:
            return False
        signed = target.hashes.get("sha256")
        try:
            digest = sha256()
            while True:
                count = file.readinto(self._buf)
                if not count:
                    return binascii.hexlify(digest.digest()).decode() == signed
                digest.update(self._buf[:count])
        finally:
            file.close()


async def _answer(answer):
    """Return what a function, or the coroutine that it returned, answered."""
    if hasattr(answer, "send"):
        answer = await answer
    return answer


def _silent(*facts):
    pass
