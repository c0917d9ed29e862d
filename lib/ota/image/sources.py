# SPDX-License-Identifier: MIT
"""Where the bytes of a missing block come from: a delta, a compressed pack, at last the image.

They are asked in this order for each block, and none is believed: what a pack gives is checked by
`put` like the image itself. A record that is damaged, a piece of the running image that is, or a
pack that cannot be had costs the bytes saved and nothing else. A pack with too many bad records
is asked no more.

There is one request at a time. It is made for all missing blocks that follow each other, and the
next block is read from it if it stands there already, or nearly.
"""

from ota import const
from ota.errors import FetchError, ImageError, SlotError, StoreError

_BAD_MAX = const(8)  # each costs a request to another source and one to come back
_SKIP_MAX = const(4096)  # to read on so far is cheaper than a request
_UNIT = const(4096)  # of a file system: what a document takes more than its length, at most


class OldSlot:
    """The image in a slot, as packs read it."""

    def __init__(self, slot):
        self.length = slot.size
        self._slot = slot

    def readinto(self, offset, buf):
        self._slot.readinto(0, buf, offset)


class _Source:
    def __init__(self, path, document, old, base):
        self.path = path
        self.document = document
        self.old = old
        self.base = base
        self.file = None
        self.pack = None
        self.bad = 0


class Sources:
    def __init__(self, fetcher, store, image, blocks, buf, log, room=None):
        """`image`: path of the raw image. `buf`: the block buffer, in which blocks come to be.

        `room`: bytes of the file system that the heads of packs may take; None: no matter.
        """
        self._fetcher = fetcher
        self._store = store
        self._image = image
        self._blocks = blocks
        self._buf = buf
        self._log = log
        self._room = room
        self._packs = []
        self._body = None
        self._path = self._inflater = None
        self._at = 0
        self._end = None

    def add(self, path, old=None, base=b""):
        """Ask this pack too, after those before it. `old`, `base`: see Pack."""
        self._packs.append(_Source(path, "delta" if old else "pack", old, base))

    async def bring(self, block, stop, put):
        """Have `put(block)` accept the content of `block`, from the first source that has it.

        The blocks up to `stop` are missing as well: one request is for all of them. Raises what
        the image itself comes to (FetchError, ImageError), or whatever `put` raises.
        """
        end = stop
        for source in self._packs[:]:
            if await self._build(source, block, end):
                try:
                    put(block)
                    return
                except ImageError as error:
                    self._blame(source, error)
            if source in self._packs:
                # It goes on with the next block.
                end = block + 1
        blocks = self._blocks
        begin = blocks.start(block)
        content = self._buf[: blocks.content(block)]
        end = blocks.start(end - 1) + blocks.content(end - 1)
        await self._stand(self._image, begin, begin + len(content), end)
        await self._read(content)
        put(block)

    async def close(self):
        """Drop the request, and what was kept of packs."""
        await self._leave()
        while self._packs:
            self._give_up(self._packs[0])

    async def _build(self, source, block, stop):
        """Return True: the buffer has what the pack says that `block` is."""
        try:
            if not source.pack:
                await self._open(source, block <= 1 and stop > block + 1)
            begin, end = source.pack.span(block, stop)
        except (FetchError, ImageError, StoreError, ImportError, MemoryError) as error:
            self._log("doing without a pack", error)
            self._give_up(source)
            return False
        try:
            size = source.pack.size(block)
            if not size:
                source.pack.build(block, self._buf)
                return True
            await self._stand(source.path, begin, begin + size, end)
            await self._read(self._buf[:1])
            kind = self._buf[0]
            await self._read(self._buf[: size - 1])
            source.pack.build(block, self._buf, kind, size - 1)
            return True
        except FetchError as error:
            self._log("doing without a pack", error)
            self._give_up(source)
        except (ImageError, SlotError, StoreError, MemoryError) as error:
            self._blame(source, error)
        return False

    async def _open(self, source, whole):
        """Fetch the head of a pack into a document. `whole`: the records behind it are next."""
        from ota.image.pack import HEADER, Pack, head_size

        await self._stand(source.path, 0, HEADER, None if whole else HEADER)
        header = self._buf[:HEADER]
        await self._read(header)
        size = head_size(header)
        if self._room is not None:
            # What the image itself needs was checked before, and is still to be written.
            self._room -= size + _UNIT
            if self._room < 0:
                raise StoreError("no space for a pack", size)
        file = self._store.create(source.document)
        try:
            file.write(header)
            while self._at < size:
                await self._stand(source.path, self._at, size, size)
                piece = self._buf[: min(len(self._buf), size - self._at)]
                await self._read(piece)
                file.write(piece)
        finally:
            file.close()
        source.file = file = self._store.open(source.document)
        pack = Pack(file, self._blocks, self._buf, source.old, source.base, self._inflater)
        self._inflater = pack.inflater
        source.pack = pack

    def _blame(self, source, error):
        self._log("record of no use", error)
        source.pack.inflater.drop()
        source.bad += 1
        if source.bad > _BAD_MAX:
            self._give_up(source)

    def _give_up(self, source):
        self._packs.remove(source)
        if source.pack:
            source.pack.inflater.drop()
        if source.file:
            source.file.close()
        self._store.remove(source.document)  # if it could not be written, too

    async def _stand(self, path, begin, need, end):
        """Have byte `begin` of a file come next. A new request goes up to `end`; None: to its end.

        `need`: where the bytes end that are wanted for certain.
        """
        if (
            self._body
            and path == self._path
            and 0 <= begin - self._at <= _SKIP_MAX
            and (self._end is None or need <= self._end)
        ):
            while self._at < begin:
                await self._read(self._buf[: min(len(self._buf), begin - self._at)])
            return
        await self._leave()
        self._body = await self._fetcher.open(path, begin, end)
        self._path = path
        self._at = begin
        self._end = end

    async def _read(self, buf):
        if not len(buf):
            return
        count = await self._body.readinto(buf)
        self._at += count
        if count != len(buf):
            raise FetchError("file ends early", self._path)

    async def _leave(self):
        body = self._body
        self._body = None
        if body:
            await body.close()
