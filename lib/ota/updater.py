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
from ota import const
from ota.errors import ClockError, FetchError, ImageError, OtaError, StateError, TrustError

UP_TO_DATE = "up to date"
READY = "ready"  # the next hard reset boots the new image, on trial
DECLINED = "declined"
NOT_OFFERED = "not offered"
DOWNLOADING = "downloading"
TROUBLE = "trouble"  # `watch` only: an OtaError or MemoryError; it tries again by itself

_FILE_LIST_MAX = const(65536)  # bytes of an application's list
_UNSET = const("2025-01-01T00:00:00Z")  # a clock before this was never set: 1970, 2000, 2021


class Event:
    """What happened: `kind` is one of the names above; `str()` is for people.

    reason   tuple of the facts: why not, or the error's arguments
    offer    the Offer, once one is made
    product  name of the product that it is about; None for trouble, which is about all
    done, total  blocks that are in place, of how many
    """

    def __init__(self, kind, reason=(), offer=None, done=0, total=0, error=None, product=None):
        self.kind = kind
        self.reason = reason
        self.offer = offer
        self.product = product
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
    """One updater for all products on this device: the firmware, an application, or both."""

    def __init__(self, products, fetcher, store, trust, clock, log=None, servers=None, about=()):
        """Join the parts.

        products: list of ota.product.Product, firmware first
        fetcher, store: ports.py; trust: ota.trust.client.Client; clock: adapters.clock
        log: called with a constant text and facts, for the owner's eyes
        servers: wiring.Servers, which makes the fetcher anew when the owner has changed its
        settings over the air; None: no settings are followed
        about: further facts for `status`, a dict
        """
        # The one block buffer, allocated first: later the heap may have no room of that length.
        self._buf = memoryview(bytearray(offer.BLOCK))
        self._products = products
        self._fetcher = fetcher
        self._store = store
        self._trust = trust
        self._clock = clock
        self._log = log or _silent
        self._servers = servers
        self._about = about
        self._busy = False
        self._told = None  # the last answer of an NTP server, which set the clock
        self._doubted = None  # the same, once it has contradicted something
        self._booted_at = _UNSET
        for product in products:
            for utc in (product.load()["utc"], product.device.get("utc", "")):
                self._booted_at = max(self._booted_at, utc)

    @classmethod
    def from_config(cls, path="/ota-state", log=None, fetcher=None):
        """Return the updater that `mpota provision` configured in the folder `path`.

        `fetcher` (ports.py) takes the place of the web servers that are named there. Raises
        StateError when something is missing, and says what.
        """
        from ota.wiring import from_config

        return from_config(cls, path, log, fetcher)

    async def settle(self, healthy, within_s=120):
        """End the trial of what runs, if it is on trial. Call once at every start.

        `healthy` (function or coroutine function) answers True: keep this image; False: go back;
        None: ask again in a second. Raising, or no answer in `within_s` seconds, means go back.
        Returns True: nothing is pending, go on. Returns False: the image was given up; reset now
        (machine.reset(), not a deep sleep) to boot the one before. Before it has returned, a deep
        sleep ends the trial too, and a soft reset does not give its time back.
        """
        return await trial.settle(self._products, healthy, within_s, self._log)

    async def update(self, progress=None, consent=None, should_continue=None):
        """Bring the newest release that is meant for this device into the spare slot.

        One release at a time: the firmware; the application when there is none of the firmware.

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

        Trouble (OtaError, MemoryError) is an event, not an exception, and is tried again sooner
        than `every_s` (first after a minute, then doubling). Work goes on only while the loop asks
        for the next event; who leaves the loop before the device is reset calls `close()` of what
        was returned here.
        """
        from ota.watch import Watch

        return Watch(self._update, every_s, consent, should_continue)

    def status(self):
        """Return a dict: product, kind, version, seq, identity, on_trial, switch_pending, minseq,
        last, boot_keys, utc, verifier, urls, loaded_from, shadowed, app.

        boot_keys: how many keys the bootloader knows that images may be signed with; None if it
        is not one of ours. 0: it checks images for damage, not for signatures.
        verifier: "native" or "python", what checks signatures of metadata.
        urls: the servers in the order in which they are asked.
        loaded_from: the folder that `ota` was loaded from, or "frozen"; shadowed: None, or the
        folder that it should have come from.
        app: None, or if the device has firmware and application: a dict of the application's
        product to last, while these keys here are the firmware's.
        """
        from ota.trust.keys import native

        found = [product.status() for product in self._products]
        found[0].update(self._about)
        found[0].update(
            {
                "boot_keys": self._products[0].boot.boot_keys,
                "utc": self._certain(),
                "verifier": "native" if native else "python",
                "urls": self._servers.urls if self._servers else [],
                "app": found[1] if len(found) > 1 else None,
            }
        )
        return found[0]

    async def _update(self, report, consent, should_continue):
        if self._busy:
            raise StateError("another update is under way")
        for product in self._products:
            boot = product.boot
            if boot.spare is None:
                raise StateError("this board has no second slot", boot.lacks)
            if boot.switch_pending:
                return Event(READY, product=product.name)
            if boot.on_trial:
                raise StateError("the running image is on trial: settle it first")
        for product in self._products:
            product.boot.disarm()
            trial.look_back(product)
        self._busy = True
        try:
            while True:
                try:
                    return await self._bring_one(report, consent, should_continue)
                except (TrustError, ImageError) as error:
                    if isinstance(error, ClockError):
                        self._doubted = self._told
                    # This source lies, or lags behind: another one may have it right.
                    if not self._fetcher.skip():
                        raise
                    self._log("turning to another source", error)
        finally:
            try:
                await self._fetcher.close()
            finally:
                self._busy = False

    async def _bring_one(self, report, consent, should_continue):
        """Bring the release of the first product that has one. If none has, say why."""
        now = await self._refresh()
        if await self._adopt_settings():
            now = await self._refresh()
        answer = trouble = None
        for product in self._products:
            try:
                return await self._bring(product, now, report, consent, should_continue)
            except offer.NotOffered as why:
                if not answer or answer.kind == UP_TO_DATE:
                    kind = UP_TO_DATE if why.up_to_date else NOT_OFFERED
                    answer = Event(kind, why.args, why.offer, product=product.name)
            except OtaError as error:
                if isinstance(error, FetchError) and error.status is None:
                    raise  # the network is down, for both
                # What is wrong with one product must not keep the other one from its updates.
                trouble = trouble or error
        if trouble:
            raise trouble
        return answer

    async def _refresh(self):
        """Bring the metadata of all roles up to date. Return what time it is, as a UTC string."""
        certain = self._certain()
        claimed = self._clock.utc()
        # A clock that was set since by who knows the time is back before that answer.
        doubtful = self._doubted and claimed >= self._doubted
        if self._fetcher.needs_clock and (claimed < certain or doubtful):
            claimed = await self._ask_time(certain)
        now = max(claimed, certain)
        await self._follow(self._trust.refresh(certain, now))
        # The first product's, which is the firmware's where there is one, keeps what both need.
        self._products[0].boot.raise_root_floor(self._trust.root_version)
        self._remember_time(self._certain())
        return now

    async def _ask_time(self, certain):
        """Have the clock set, which is behind what is certain. Return what it claims then.

        Nobody is asked for the time but for a clock that is surely wrong: whoever can forge the
        answer could turn a good clock back to when a stolen certificate was valid. A clock that
        was told a time in this way is no better than the next answer: a forged one must not
        outlast whoever forged it.
        """
        try:
            if await self._clock.ask():
                self._told = self._clock.utc()
                self._doubted = None
        except OtaError as error:
            self._log("no time from the NTP server", error)
        claimed = self._clock.utc()
        if claimed < certain:
            raise ClockError("the clock is behind what is certain: set it", claimed, certain)
        return claimed

    async def _adopt_settings(self):
        """Adopt the settings that the owner has released, if they work. Trouble is only logged.

        Returns whether another server was asked meanwhile, so that metadata must be read again.
        """
        if self._servers is None:
            return False
        before = self._fetcher
        is_asked = False
        product = self._products[-1]
        path = "fw/{}/settings/{}/settings.json".format(product.name, product.device["channel"])
        try:
            target = await self._follow(self._trust.find(path))
            if target is None:
                return False
            from ota.settings import Settings

            settings = Settings(self._store)
            if settings.is_adopted(target):
                return False
            document = settings.propose(target, product.name)
            await self._fetch_target(target, document)
            proposed = settings.proposed()
            await before.close()
            self._fetcher = self._servers([proposed], alone=True)
            is_asked = True
            # One complete check: metadata, and the same file once more.
            await self._refresh()
            await self._fetch_target(target, document)
            settings.proposed()
            settings.adopt()
            await self._fetcher.close()
            before = self._servers(settings.sets())
            self._log("settings adopted", settings.seq)
        except OtaError as error:
            self._log("settings are not adopted", error)
        finally:
            if self._fetcher is not before:
                await self._fetcher.close()
                self._fetcher = before
        return is_asked

    async def _bring(self, product, now, report, consent, should_continue):
        """Check, ask, install, switch. Raises NotOffered with the reason, or OtaError."""
        boot = product.boot
        found = await self._check(product, now)
        running = boot.identity(boot.running)
        if running and running in (found.identity, found.twin):
            # What runs, released again: nothing but its number is new.
            found.identity = running
            _remember_image(product, found)
            trial.look_back(product)
            raise offer.UpToDate(offer=found)
        if consent and not await _answer(consent(found)):
            return Event(DECLINED, ("no consent",), found, product=product.name)
        blocks = await self._block_list(found)
        try:
            if not await self._install(product, found, blocks, report, should_continue):
                return Event(DECLINED, ("stopped",), found, product=product.name)
        finally:
            blocks.close()
        _switch(product, found)
        return Event(READY, (found.version,), found, product=product.name)

    async def _check(self, product, now):
        """Return the Offer. Raises NotOffered with the reason, or OtaError."""
        boot = product.boot
        device = product.device
        memory = product.load()
        installed = product.running(memory)[0]
        rollout = await self._follow(
            self._trust.find(
                "rollout/{}/{}/{}".format(device["product"], device["board"], device["channel"])
            )
        )
        path, attempt = offer.wanted(device, memory, installed, boot.image_name, now, rollout)
        image = await self._follow(self._trust.find(path))
        seq = rollout.custom["seq"]
        for other in self._products:
            # Firmware and application have to go together (DESIGN 9).
            if other is not product:
                known = other.running(other.load())
                device = dict(device, firmware=(other.name, known[0]), needs=known[3])
        return offer.fits(device, memory, installed, boot.spare.size, seq, attempt, image)

    async def _block_list(self, found):
        """Return the list of an Offer's blocks, from the store if it is there already."""
        target = await self._follow(self._trust.find(found.blocks))
        if target is None or target.role != found.image.role:
            raise TrustError("block list is not signed", found.blocks)
        if found.kind == "app":
            from ota.image.tree import FileList as List

            if target.hashes.get("sha256") != found.identity:
                raise TrustError("file list of another application", found.blocks)
            is_right = target.length <= _FILE_LIST_MAX
        else:
            from ota.image.blocks import BlockList as List

            count = (found.image.length + offer.BLOCK - 1) // offer.BLOCK
            is_right = target.length == count * found.digest_size
        if not is_right:
            raise TrustError("block list of a wrong length", target.length)
        if not self._is_stored("blocks", target):
            await self._fetch_target(target, "blocks")
            if not self._is_stored("blocks", target):
                raise ImageError("block list is not what was signed", found.blocks)
        file = self._store.open("blocks")
        return List(file, found.image.length, offer.BLOCK, found.digest_size)

    async def _install(self, product, found, blocks, report, should_continue):
        """Bring the spare slot to hold the image. Return False if told to stop."""
        boot = product.boot
        _remember_image(product, found)
        if found.kind == "app":
            from ota.image.tree import TreeInstall

            install = TreeInstall(boot.spare, blocks, self._buf, boot.running)
        else:
            from ota.image.install import Install

            install = Install(boot.spare, blocks, self._buf, boot.check_image, boot.running)
        for _ in install.scan():
            await asyncio.sleep(0)
        sources = self._sources(boot, found, blocks, install.room)
        try:
            while True:
                for _ in install.fill():
                    await asyncio.sleep(0)
                run = install.next_run()
                if run is None:
                    return True
                first, stop = run
                for block in range(first, stop):
                    if should_continue and not should_continue():
                        return False
                    await sources.bring(block, stop, install.put)
                    done = blocks.count - install.left
                    await report(
                        Event(DOWNLOADING, (), found, done, blocks.count, product=product.name)
                    )
                    await asyncio.sleep(0)  # a block may have come without the network
        finally:
            await sources.close()

    def _sources(self, boot, found, blocks, room):
        """Return where missing blocks come from: packs that suit what runs, then the image."""
        from ota.image.sources import OldSlot, Sources

        path = "targets/" + found.image.file
        sources = Sources(self._fetcher, self._store, path, blocks, self._buf, self._log, room)
        base = boot.identity(boot.running) or ""
        delta = found.pack(base[:16]) if base else None
        if delta:
            old = boot.running.content() if found.kind == "app" else OldSlot(boot.running)
            if old:
                sources.add(delta, old, binascii.unhexlify(base[:16]))
        pack = found.pack("")
        if pack:
            sources.add(pack)
        return sources

    def _certain(self):
        """Return a UTC string that has surely passed: no clock of the device enters it."""
        return max(self._clock.later(self._booted_at), self._trust.issued or "")

    def _remember_time(self, certain):
        """Persist the floor of time, once a day at most."""
        memory = self._products[0].load()
        if certain[:10] > memory["utc"][:10]:
            memory["utc"] = certain
            self._products[0].save(memory)

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


def _remember_image(product, found):
    """Know the image by its identity before the first byte of it is in the slot."""
    memory = product.load()
    images = memory["images"]
    boot = product.boot
    # The spare image stays known until it is gone: an unknown one may be below the floor.
    held = (boot.identity(boot.running), boot.identity(boot.spare))
    memory["images"] = {key: images[key] for key in images if key in held}
    memory["images"][found.identity] = [found.seq, found.minseq, found.version, found.needs]
    product.save(memory)


def _switch(product, found):
    """Save the trial, then make the next hard reset boot the spare slot."""
    boot = product.boot
    identity = boot.identity(boot.spare)
    if identity != found.identity:
        raise ImageError("the slot holds another image than the release names", identity)
    memory = product.load()
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
    product.save(memory)
    try:
        boot.try_next(boot.spare)
    except ImageError:
        state.reject(memory, identity, found.attempt, "the bootloader would refuse it")
        product.save(memory)
        raise
    except OtaError:
        if not boot.switch_pending:
            memory["trial"]["tries"] = tries  # nothing was tried
            product.save(memory)
        raise


async def _answer(answer):
    """Return what a function, or the coroutine that it returned, answered."""
    if hasattr(answer, "send"):
        answer = await answer
    return answer


def _silent(*facts):
    pass
