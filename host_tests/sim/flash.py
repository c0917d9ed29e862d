# SPDX-License-Identifier: MIT
"""NOR flash in RAM or in a file: erasing sets a sector to 0xFF, programming only clears bits.

Every erase of a sector and every program is one operation with a number, `ops`, from 0. Set
`cut_at` to a number and power fails in that operation; `tear` says what it left behind:

    before  nothing happened                 after   all of it happened
    head    only a front part                tail    only an end part
    bits    a random half of the bits that were to change
    dirt    erase: a front part is 0x00 (parts clear a sector before they erase it), the rest is
            old. program: a front part, then one byte that is half done

Random choices come from `seed` and the number of the operation, so that a cut can be repeated.
From a cut on, every operation, reads included, raises PowerCut until `power_on`.

The same file runs on CPython and MicroPython.
"""

import hashlib

SECTOR = 4096
TEARS = ("before", "after", "head", "tail", "bits", "dirt")
_ERASED = b"\xff" * SECTOR


class PowerCut(BaseException):
    """Power failed. Not an Exception, so that no handler of the code under test swallows it."""


def random_bytes(seed, number, count):
    """Return `count` bytes that depend on nothing but `seed` and `number`."""
    out = b""
    while len(out) < count:
        out += hashlib.sha256(b"%d %d %d" % (seed, number, len(out))).digest()
    return out[:count]


def _mix(old, new, mask):
    """Return `new` where `mask` has a 1 and `old` elsewhere."""
    count = len(old)
    old = int.from_bytes(old, "little")
    new = int.from_bytes(new, "little")
    mask = int.from_bytes(mask, "little")
    return (old ^ ((old ^ new) & mask)).to_bytes(count, "little")


def _and(old, new):
    if old == _ERASED[: len(old)]:
        return bytes(new)
    value = int.from_bytes(old, "little") & int.from_bytes(new, "little")
    return value.to_bytes(len(old), "little")


class Flash:
    """`size` bytes of flash; with `path`, in that file, which is made if it is absent.

    Attributes
      ops           operations done since the object was made, a cut one included
      cut_at, tear  see above; `cut_at` None: never
      erases        number of erases of each sector
      changes       number of operations on each sector, and of restored snapshots
      bad_programs  programs that asked a bit to go from 0 to 1: silent on a real part
      strict        True: such a program raises AssertionError instead
      lives         number of power_on; whoever belongs to an earlier life is dead
      trace         None, or a list that gets ("erase", addr) and ("program", addr, length)
    """

    def __init__(self, size, path=None, seed=0):
        if size % SECTOR:
            raise ValueError("size")
        self.size = size
        self.seed = seed
        self.ops = 0
        self.cut_at = None
        self.tear = "before"
        self.erases = [0] * (size // SECTOR)
        self.changes = [0] * (size // SECTOR)
        self.bad_programs = 0
        self.strict = False
        self.lives = 0
        self.powered = True
        self.trace = None
        self._store = _FileStore(path, size) if path else _RamStore()

    def read(self, addr, buf):
        """Fill `buf` from `addr` on."""
        self._check(addr, len(buf))
        view = memoryview(buf)
        done = 0
        while done < len(buf):
            sector, start = divmod(addr + done, SECTOR)
            count = min(SECTOR - start, len(buf) - done)
            view[done : done + count] = self._store.get(sector, start, count)
            done += count

    def erase(self, addr):
        """Set the sector at `addr` to 0xFF."""
        self._check(addr, SECTOR)
        if addr % SECTOR:
            raise ValueError("not a sector", addr)
        if self.trace is not None:
            self.trace.append(("erase", addr))
        sector = addr // SECTOR
        self.erases[sector] += 1
        self._apply(sector, 0, self._store.get(sector, 0, SECTOR), _ERASED, True)

    def program(self, addr, data):
        """Clear the bits that are 0 in `data`; it must lie in one sector."""
        sector, start = divmod(addr, SECTOR)
        if start + len(data) > SECTOR:
            raise ValueError("crosses a sector", addr, len(data))
        self._check(addr, len(data))
        if self.trace is not None:
            self.trace.append(("program", addr, len(data)))
        old = self._store.get(sector, start, len(data))
        new = _and(old, data)
        if new != bytes(data):
            if self.strict:
                raise AssertionError("program of flash that is not erased", addr)
            self.bad_programs += 1
        self._apply(sector, start, old, new, False)

    def write(self, addr, data):
        """Erase and program any range: for tests that prepare a flash, not numbered."""
        view = memoryview(data)
        done = 0
        while done < len(data):
            sector, start = divmod(addr + done, SECTOR)
            count = min(SECTOR - start, len(data) - done)
            self._store.put(sector, start, bytes(view[done : done + count]))
            self.changes[sector] += 1
            done += count

    def wipe(self, addr, size):
        """Erase whole sectors: for tests that prepare a flash, not numbered."""
        for sector in range(addr // SECTOR, (addr + size) // SECTOR):
            self._store.put(sector, 0, _ERASED)
            self.changes[sector] += 1

    def power_on(self):
        """Begin a life. Objects of earlier lives keep off the flash by looking at `lives`."""
        self.lives += 1
        self.powered = True

    def power_off(self):
        self.powered = False

    def snapshot(self):
        """Return the content, for `restore`; cheap for a flash in RAM."""
        return self._store.snapshot()

    def restore(self, content):
        """Put a snapshot's content back; counters go on."""
        self._store.restore(content)
        for sector in range(len(self.changes)):
            self.changes[sector] += 1

    def generation(self, addr, size):
        """Return a number that changes when the content of this range may have changed."""
        return sum(self.changes[addr // SECTOR : (addr + size + SECTOR - 1) // SECTOR])

    def _check(self, addr, length):
        if not self.powered:
            raise PowerCut("no power")
        if addr < 0 or addr + length > self.size:
            raise ValueError("outside the flash", addr, length)

    def _apply(self, sector, start, old, new, erasing):
        number = self.ops
        self.ops += 1
        self.changes[sector] += 1
        cut = number == self.cut_at
        if cut:
            new = self._torn(number, old, new, erasing)
        if new != old:
            self._store.put(sector, start, new)
        if cut:
            self.powered = False
            raise PowerCut(number, self.tear)

    def _torn(self, number, old, new, erasing):
        tear = self.tear
        if tear == "before" or not old:
            return old
        if tear == "after":
            return new
        chance = random_bytes(self.seed, number, 8)
        at = int.from_bytes(chance[:4], "little") % len(old)
        if tear == "head":
            return new[:at] + old[at:]
        if tear == "tail":
            return old[:at] + new[at:]
        if tear == "bits":
            return _mix(old, new, random_bytes(self.seed, number, len(old)))
        if tear == "dirt":
            if erasing:
                return bytes(at) + old[at:]
            half = _mix(old[at : at + 1], new[at : at + 1], chance[4:5])
            return new[:at] + half + old[at + 1 :]
        raise ValueError("tear", tear)


class _RamStore:
    """Sectors as immutable bytes; one that is not there is erased."""

    def __init__(self):
        self._sectors = {}

    def get(self, sector, start, count):
        content = self._sectors.get(sector, _ERASED)
        return content if count == SECTOR else content[start : start + count]

    def put(self, sector, start, data):
        if len(data) < SECTOR:
            old = self._sectors.get(sector, _ERASED)
            data = old[:start] + data + old[start + len(data) :]
        if data == _ERASED:
            self._sectors.pop(sector, None)
        else:
            self._sectors[sector] = bytes(data)

    def snapshot(self):
        return dict(self._sectors)

    def restore(self, content):
        self._sectors = dict(content)


class _FileStore:
    """A file without buffering: what was done is in it even if this process is killed."""

    def __init__(self, path, size):
        self._size = size
        try:
            self._file = open(path, "r+b", 0)
        except OSError:
            with open(path, "wb") as file:
                for _ in range(size // SECTOR):
                    file.write(_ERASED)
            self._file = open(path, "r+b", 0)
        if self._file.seek(0, 2) != size:
            raise ValueError("the flash file has another size", path)

    def get(self, sector, start, count):
        self._file.seek(sector * SECTOR + start)
        return self._file.read(count)

    def put(self, sector, start, data):
        self._file.seek(sector * SECTOR + start)
        self._file.write(data)

    def snapshot(self):
        self._file.seek(0)
        return self._file.read(self._size)

    def restore(self, content):
        self._file.seek(0)
        self._file.write(content)
