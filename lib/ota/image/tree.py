# SPDX-License-Identifier: MIT
"""An application as a tree of files: its signed list, and how a tree comes to hold exactly that.

The image of an application is the content of all its files, one after the other, sorted by path.
Its *file list* names each file with its size and a digest for each block of it (SPEC 7); blocks
are numbered through all files and never span two. So files travel and are checked like a firmware:
each block on its own, in RAM, before it is written.

`TreeInstall` makes the spare tree hold what a list says, whatever it held before:

    scan      hash what is there; what the spare tree lacks comes from the running tree where that
              has it, from the network otherwise; nothing is touched before there is space for all
    open      remove `.ota-list`, without which no tree is started; then all that is not wanted
    write     file by file in the order of the list, blocks in order, appended to what is right
    check     read back what was written
    seal      write `.ota-list`, read it back

Progress is what the tree holds: after a cut the same steps find it. The running tree is only read.
"""

import binascii
from array import array
from hashlib import sha256

from ota import const
from ota.errors import ImageError, StoreError

LIST = ".ota-list"  # of a whole tree: its file list; its SHA-256 is the application's identity

# As long as a list that mpota writes can be (tools/mpota/app.py holds it to the same bounds).
_LIST_MAX = const(65536)
_PATH_MAX = const(96)
_FILES_MAX = const(1000)
_DEPTH_MAX = const(8)
_TOTAL_MAX = const(1 << 24)
_LETTERS = const("abcdefghijklmnopqrstuvwxyz0123456789._-")

# What a file system keeps free for its own work: LittleFS writes anew before it gives up the old.
_RESERVE = const(6)  # allocation units
# A folder of LittleFS; its `statvfs` in MicroPython counts each twice.
_FOLDER_UNITS = const(4)
# What is left over when an install begins, for the power cuts on its way: so what began ends.
_SLACK = const(24576)  # bytes
_FOLDER = const(-2)  # Tree.length of a folder


class FileList:
    """The list's rules are checked here, once; whoever uses the object need not ask again.

    Heap: twelve bytes for each file. Paths and digests stay in the document.
    """

    def __init__(self, file, length=None, block_size=4096, digest_size=32):
        """Read the list from `file` (seek, readinto), a document that was checked as a whole.

        `length` is the image's, in bytes; None: whatever the files add up to. Raises ImageError
        for a list that breaks a rule: no path of it can leave the tree, name a file of the
        library's, or mean the same file as another, on FAT neither.
        """
        if not 16 <= digest_size <= 32:
            raise ImageError("file list with impossible digests", digest_size)
        self.block_size = block_size
        self._file = file
        self._want = bytearray(digest_size)
        self._block = -1  # whose digest is in `_want`; the next one's is where the file stands
        self._entries = array("I")  # of each file: where its digests begin in the document,
        self._starts = array("I")  # where it begins in the image,
        self._firsts = array("I")  # its first block; each with one more, for the end
        self.identity = self._parse()
        self.files = len(self._starts) - 1
        self.listed = self._entries[self.files]  # bytes of the list itself
        self.length = self._starts[self.files]
        self.count = self._firsts[self.files]
        if not self.files or length not in (None, self.length):
            raise ImageError("file list of another image", self.length, length)

    def _parse(self):
        """Fill the index; return the SHA-256 of the document in hex."""
        sha = sha256()
        self._file.seek(0)
        taken = set()  # names in lower case, as a hash: a clash by chance fails the release
        before = ""
        folders = []  # that the file before lies in
        at = start = first = 0
        head = bytearray(1)
        size = bytearray(4)
        while self._file.readinto(head):
            if len(self._starts) == _FILES_MAX:
                raise ImageError("file list of too many files")
            sha.update(head)
            name = bytearray(head[0])
            self._take(name, sha)
            path = path_of(name)
            if path is None or path <= before:
                raise ImageError("file list with a wrong path", len(self._starts))
            steps = path.split("/")
            # What one folder has follows one another, so a folder that the file before is not in
            # is new.
            known = 0
            while known < min(len(steps) - 1, len(folders)) and steps[known] == folders[known]:
                known += 1
            for end in range(known + 1, len(steps) + 1):
                key = binascii.crc32("/".join(steps[:end]).lower().encode()) & 0x3FFFFFFF
                if key in taken:
                    raise ImageError("file list with paths that clash", len(self._starts))
                taken.add(key)
            before = path
            folders = steps[:-1]
            self._take(size, sha)
            at += 5 + len(name)
            self._add(at, start, first)
            length = int.from_bytes(size, "little")
            count = (length + self.block_size - 1) // self.block_size
            start += length
            first += count
            at += count * len(self._want)
            if start > _TOTAL_MAX or at > _LIST_MAX:
                raise ImageError("file list of too much", start, at)
            for _ in range(count):
                self._take(self._want, sha)
        self._add(at, start, first)
        return binascii.hexlify(sha.digest()).decode()

    def _take(self, buf, sha):
        if self._file.readinto(buf) != len(buf):
            raise ImageError("file list ends early")
        sha.update(buf)

    def _add(self, at, start, first):
        self._entries.append(at)
        self._starts.append(start)
        self._firsts.append(first)

    def close(self):
        self._file.close()

    def start(self, block):
        """Return where `block` begins in the image."""
        file = self.file_of(block)
        return self._starts[file] + (block - self._firsts[file]) * self.block_size

    def content(self, block):
        """Return how many bytes `block` has."""
        file = self.file_of(block)
        at = (block - self._firsts[file]) * self.block_size
        return min(self.block_size, self.size(file) - at)

    def matches(self, block, buf):
        """Tell whether `buf` (all of the block) is what was signed."""
        return self.is_digest(block, sha256(buf).digest())

    def is_digest(self, block, digest):
        """Tell whether `digest`, SHA-256 of a whole block, is the one that was signed."""
        want = self._want
        if block != self._block:
            file = self.file_of(block)
            if block != self._block + 1 or block == self._firsts[file]:
                self._file.seek(self._entries[file] + (block - self._firsts[file]) * len(want))
            self._block = -2  # unless the read succeeds nobody knows where the file stands
            if self._file.readinto(want) != len(want):
                raise ImageError("file list too short", block)
            self._block = block
        return digest[: len(want)] == want

    # Files, by their number

    def path(self, file):
        """Return the path as str."""
        self._block = -2
        before = self._entries[file - 1] + self.blocks(file - 1) * len(self._want) if file else 0
        name = bytearray(self._entries[file] - before - 5)
        self._file.seek(before + 1)
        if self._file.readinto(name) != len(name):
            raise ImageError("file list too short", file)
        return name.decode()

    def size(self, file):
        return self._starts[file + 1] - self._starts[file]

    def first(self, file):
        """Return the file's first block; of an empty file, which has none, the next one's."""
        return self._firsts[file]

    def blocks(self, file):
        return self._firsts[file + 1] - self._firsts[file]

    def offset(self, file):
        """Return where the file begins in the image."""
        return self._starts[file]

    def file_of(self, block):
        """Return the file that `block` belongs to."""
        return _last(self._firsts, block)

    def file_at(self, offset):
        """Return the file that has the byte at `offset` of the image."""
        return _last(self._starts, offset)

    def find(self, path):
        """Return the number of the first file whose path is not before `path`."""
        low, high = 0, self.files
        while low < high:
            middle = (low + high) // 2
            if self.path(middle) < path:
                low = middle + 1
            else:
                high = middle
        return low

    def copy(self, at, buf):
        """Fill `buf` with the document from `at` on; return the count, 0 at its end."""
        self._block = -2
        self._file.seek(at)
        return self._file.readinto(buf)


class TreeInstall:
    """See ota.image.install.Install: the same seam, for a tree.

    `scan`, then until it answers None: `fill`, `next_run`, `put` of that run's blocks in order.
    """

    def __init__(self, tree, blocks, buf, running_tree):
        """`buf`: a writable memoryview of one block. Of `running_tree` nothing is written."""
        if blocks.length > tree.size or blocks.block_size > len(buf):
            raise ImageError("application does not fit", blocks.length, tree.size)
        self.left = blocks.count  # blocks that the tree does not hold yet, as far as is known
        self.room = 0  # bytes that others may take of the file system, known after `scan`
        self._tree = tree
        self._blocks = blocks
        self._buf = buf
        self._running = running_tree
        self._right = bytearray((blocks.count + 7) // 8)  # blocks that scan found in place
        self._wanted = bytearray((blocks.count + 7) // 8)  # blocks that nobody here has
        self._at = 0  # the next block to bring in place
        self._is_open = False  # the tree can be changed
        self._is_done = False

    def scan(self):
        """Generator: hash what both trees hold, a block for each step. Writes nothing.

        Raises StoreError("no space", needed, free), in bytes, when the rest cannot fit.
        """
        blocks, tree = self._blocks, self._tree
        self.left = 0
        sealed = tree.identity()
        self._is_done = blocks.identity == sealed
        unit, free = tree.space()
        needed = _RESERVE + _units(blocks.listed, unit)
        has_folder = tree.length("") == _FOLDER
        if sealed or not has_folder:
            needed += (_SLACK + unit - 1) // unit
        if not has_folder:
            needed += _FOLDER_UNITS
        small = 0  # bytes that share allocation units: names, and files too small for one
        folders = []
        for file in range(blocks.files):
            path, size, first = blocks.path(file), blocks.size(file), blocks.first(file)
            held = tree.length(path)
            kept = first
            stop = first + blocks.blocks(file)
            if 0 < held <= size:
                while kept < stop and self._holds(tree, path, kept):
                    _set(self._right, kept)
                    kept += 1
                    yield
            is_there = kept < stop and self._running.length(path) > 0
            for block in range(kept, stop):
                self.left += 1
                if not (is_there and self._holds(self._running, path, block)):
                    _set(self._wanted, block)
                yield
            steps = path.split("/")
            for end in range(1, len(steps)):
                if steps[:end] != folders[:end] and tree.length("/".join(steps[:end])) != _FOLDER:
                    needed += _FOLDER_UNITS
            folders = steps[:-1]
            if held != size or kept < stop:
                self._is_done = False
                small += 64 + 2 * len(steps[-1])
                needed += _units(size, unit) - (_units(held, unit) - 1 if kept > first else 0)
        given = 0
        for path, held in tree.names():
            if not self._is_kept(path, held):
                self._is_done = False
                if held > unit // 8:  # a smaller one may lie inside its folder
                    given += (held + unit - 1) // unit
            yield
        needed = (needed + small // unit * 2) * unit
        free += given * unit
        self.room = free - needed
        if not self._is_done and needed > free:
            raise StoreError("no space", needed, free)

    def fill(self):
        """Generator: do all that can be done without the next missing block, a bit for each step.

        A cut loses what was written to one file since it was flushed, 32 KiB at most.
        """
        blocks, tree = self._blocks, self._tree
        if self._is_done:
            return
        if not self._is_open:
            tree.erase(0)
            for path, held in tree.names():
                if not self._is_kept(path, held):
                    tree.remove(path)
                yield
            self._is_open = True
        while self._at < blocks.count and not _get(self._wanted, self._at):
            block = self._at
            if not _get(self._right, block):
                file = blocks.file_of(block)
                if not self._holds(self._running, blocks.path(file), block):
                    raise StoreError("file changed under the install", block)
                self._write(block)
            self._at += 1
            yield
        if self._at == blocks.count:
            for _ in self._finish():
                yield

    def next_run(self):
        """Return (first, stop): the blocks to `put` next, in this order. None: all is there."""
        for _ in self.fill():
            pass
        if self._is_done:
            return None
        first = stop = self._at
        while stop < self._blocks.count and _get(self._wanted, stop):
            stop += 1
        return first, stop

    def put(self, block):
        """Write `block`, whose content is in the buffer, if that is what was signed.

        Raises ImageError (wrong bytes, nothing written) or StoreError.
        """
        if block != self._at or not _get(self._wanted, block):
            raise ValueError("block", block)
        if not self._blocks.matches(block, self._buf[: self._blocks.content(block)]):
            raise ImageError("block is not what was signed", block)
        self._write(block)
        self._at += 1

    def _write(self, block):
        """Append a block, whose content is in the buffer, checked."""
        blocks = self._blocks
        file = blocks.file_of(block)
        at = blocks.start(block) - blocks.start(blocks.first(file))
        self._tree.write(blocks.path(file), at, self._buf[: blocks.content(block)])
        self.left -= 1

    def _finish(self):
        """Read back what was written, then seal the tree."""
        blocks, tree = self._blocks, self._tree
        for file in range(blocks.files):
            path, size = blocks.path(file), blocks.size(file)
            if not size and tree.length(path):
                tree.write(path, 0, b"")
            tree.flush()
            if tree.length(path) != size:
                raise StoreError("file of a wrong size", file)
            first = blocks.first(file)
            for block in range(first, first + blocks.blocks(file)):
                if not _get(self._right, block) and not self._holds(tree, path, block):
                    raise StoreError("file reads back differently", file)
                yield
        at = 0
        while True:
            count = blocks.copy(at, self._buf)
            if not count:
                break
            tree.write(LIST, at, self._buf[:count])
            at += count
            yield
        tree.flush()
        if tree.identity() != blocks.identity:
            raise StoreError("file list reads back differently")
        self._is_done = True

    def _holds(self, tree, path, block):
        """Read a block from a tree; tell whether it is what was signed."""
        blocks = self._blocks
        view = self._buf[: blocks.content(block)]
        at = blocks.start(block) - blocks.start(blocks.first(blocks.file_of(block)))
        return tree.readinto(path, at, view) == len(view) and blocks.matches(block, view)

    def _is_kept(self, path, held):
        """Tell whether what is in the tree may stay: wanted, and right from its beginning on."""
        if path == LIST:
            return True  # it has its own time
        blocks = self._blocks
        file = blocks.find(path + "/" if held == _FOLDER else path)
        if file == blocks.files:
            return False
        if held == _FOLDER:
            return blocks.path(file).startswith(path + "/")
        if blocks.path(file) != path:
            return False
        if not blocks.blocks(file):
            return held == 0
        return held <= blocks.size(file) and _get(self._right, blocks.first(file))


class Content:
    """The image that a tree holds, read at any offset: what packs call the old image.

    `length` is its length in bytes. Nothing is verified: what comes of it is.
    """

    def __init__(self, tree, blocks):
        """`blocks`: FileList of what the tree holds."""
        self.length = blocks.length
        self._tree = tree
        self._blocks = blocks
        self._file = 0
        self._path = None

    def readinto(self, offset, buf):
        """Fill `buf` from `offset` on. Raises ImageError beyond the end or where a file is short,
        StoreError where it cannot be read."""
        blocks = self._blocks
        if not 0 <= offset <= self.length - len(buf):
            raise ImageError("beyond the old image", offset, len(buf))
        view = memoryview(buf)
        done = 0
        while done < len(buf):
            file = blocks.file_at(offset + done)
            if file != self._file or self._path is None:
                self._file, self._path = file, blocks.path(file)
            at = offset + done - blocks.offset(file)
            piece = view[done : done + blocks.size(file) - at]
            if self._tree.readinto(self._path, at, piece) != len(piece):
                raise ImageError("old image lacks a part", file)
            done += len(piece)


def path_of(name):
    """Return the path, or None if it is none that a list may have."""
    text = ""
    if not 0 < len(name) <= _PATH_MAX:
        return None
    for c in name:
        if not (c == 0x2F or chr(c).lower() in _LETTERS):
            return None
    text = bytes(name).decode()
    steps = text.lower().split("/")
    if len(steps) > _DEPTH_MAX:
        return None
    for step in steps:
        # FAT drops dots at the end, so "x." would be "x" and ".." has many spellings.
        if not step or step[-1] == "." or step.startswith(".ota"):
            return None
    return text


def _last(numbers, value):
    """Return the index of the last number that is not above `value`; the sentinel is none."""
    low, high = 0, len(numbers) - 2
    while low < high:
        middle = (low + high + 1) // 2
        if numbers[middle] <= value:
            low = middle
        else:
            high = middle - 1
    return low


def _units(size, unit):
    """Return how many allocation units a file takes at most, on LittleFS with its pointers."""
    return (size + 8 * (size // unit + 1) + unit - 1) // unit if size > 0 else 0


def _get(bits, at):
    return bits[at >> 3] >> (at & 7) & 1


def _set(bits, at):
    bits[at >> 3] |= 1 << (at & 7)
