# SPDX-License-Identifier: MIT
"""Boot over two trees of files, `/ota-app/a` and `/ota-app/b`: for boards/app/boot.py.

Which tree runs is said by a record of the Store, "tree", of two letters: the tree, and

    N   try it: the next hard reset runs it, on trial
    P   it is on trial: the next hard reset runs the other one
    V   it is kept

boot.py reads the record, writes P for N and the other tree's V for P, and puts the tree that it
starts first into `sys.path`. A tree without `.ota-list` is never started. The rules kept here:

 - Nothing of the running tree is written, and nothing of the spare one while the running one is on
   trial, a switch is pending, or no record says what runs.
 - Before a tree becomes the next one all its files are checked against its own list.
"""

import binascii
import os
import sys
from errno import EACCES, ENOENT
from hashlib import sha256

from ota import const
from ota.adapters.store import Store
from ota.errors import ImageError, StateError, StoreError
from ota.image.tree import LIST, Content, FileList, path_of

_LETTERS = const("ab")
_TOTAL_MAX = const(1 << 24)  # no application is longer
_LENGTH_MAX = const(0x1FFFFFFF)  # no file is longer; text, read as a length of FAT, is
# How much a cut may lose of an open file: on LittleFS a flush costs a block, so they are few.
_FLUSH = const(32768)
_PIECE = const(128)
_FOLDER = const(0x4000)  # of a file's mode
_ASIDE_MAX = const(10)  # folders that cannot be removed, in one other
_ENOTDIR = const(20)  # MicroPython's errno has no name for it


class Tree:
    """See ota.ports.Tree. `path` is its folder. One file of it is open at a time."""

    block_size = 4096

    def __init__(self, boot, letter, path):
        self._boot = boot
        self.letter = letter
        self.path = path
        self._name = None  # of the open file
        self._file = None
        self._at = None  # where it is written next; None: it is open for reading

    @property
    def size(self):
        unit, blocks = self._statvfs()[1:3]
        return min(unit * blocks, _TOTAL_MAX)

    def space(self):
        """Return (bytes of an allocation unit, bytes that are free)."""
        unit, blocks, free = self._statvfs()[1:4]
        # LittleFS as MicroPython counts it: folders twice, so a full one has less than none.
        return unit, unit * free if 0 <= free <= blocks else 0

    def identity(self):
        """Return SHA-256 of `.ota-list` in hex, or None: there is no whole application here."""
        sha = sha256()
        buf = bytearray(_PIECE)
        at = 0
        while True:
            count = self.readinto(LIST, at, buf)
            if not count:
                break
            sha.update(memoryview(buf)[:count])
            at += count
        return binascii.hexlify(sha.digest()).decode() if at else None

    def file_list(self):
        """Return the FileList of what is here, or None: there is none, or it is damaged."""
        self.flush()
        for digest_size in (32, 16):
            try:
                file = open(self.path + "/" + LIST, "rb")
            except OSError:
                return None
            try:
                return FileList(file, None, self.block_size, digest_size)
            except ImageError:
                file.close()
        return None

    def content(self):
        """Return the image of what is here, to be read at any offset (Content), or None."""
        files = self.file_list()
        return files and Content(self, files)

    def length(self, name):
        """Return the length of a file in bytes; -1: there is none; -2: it is a folder."""
        self.flush()
        found = self._do(_if_there, os.stat, self._path(name))
        return -1 if found is None else -2 if found[0] & _FOLDER else found[6]

    def names(self):
        """Generator of (name, length) of all that is here; a folder comes after what is in it.

        Only names that a release can have. A folder of FAT that was growing when the power failed
        has what some old file held in it, read as names; none of them is ever touched, for what
        such a name calls its content belongs to others, the running application perhaps.
        """
        self.flush()
        folders = [""]
        for folder in folders:  # which grows meanwhile
            path = self._path(folder[:-1]).encode()
            for name in self._do(_if_there, os.listdir, path) or ():
                name = folder.encode() + name
                if name != LIST.encode() and not path_of(name):
                    continue
                name = name.decode()
                found = self._do(_if_there, os.stat, self._path(name))
                if found is None or found[6] > _LENGTH_MAX:
                    continue
                if found[0] & _FOLDER:
                    folders.append(name + "/")
                else:
                    yield name, found[6]
        for folder in reversed(folders[1:]):
            yield folder[:-1], -2

    def readinto(self, name, at, buf):
        """Fill `buf` from offset `at` of a file; return the count, 0 where there is none."""
        if self._name != name or self._at is not None:
            self.flush()
            self._file = self._do(_if_there, open, self._path(name), "rb")
            if self._file is None:
                return 0
            self._name = name
        self._do(self._file.seek, at)
        return self._do(self._file.readinto, buf)

    def write(self, name, at, data):
        """Write at offset `at` of a file: 0 begins it anew, with its folders. May leave it open.

        A cut loses what was written since `flush`, or the last 32 KiB.
        """
        if self._name != name or self._at != at:
            self.flush()
            self._boot.check_writable(self)
            path = self._path(name)
            if not at:
                self._make_folders(path)
                if self.length(name) == -2:
                    self._set_aside(path)
            self._file = self._do(open, path, "r+b" if at else "wb")
            self._name = name
            self._at = self._do(self._file.seek, at)
        self._do(self._file.write, data)
        self._at = at + len(data)
        # FAT notes where a file begins when it is first flushed: what it has until then a cut
        # loses for good. What comes later hangs on that, and goes with the file.
        if not at or at // _FLUSH != self._at // _FLUSH:
            self._do(self._file.flush)

    def flush(self):
        """Bring to flash what is written, and close what is open."""
        file, self._file = self._file, None
        self._name = self._at = None
        if file:
            self._do(file.close)

    def remove(self, name):
        """Remove a file or an empty folder. One of FAT with names that are none stays."""
        is_folder = self.length(name) == -2
        self._boot.check_writable(self)
        try:
            self._do(_if_there, os.rmdir if is_folder else os.remove, self._path(name))
        except StoreError as error:
            if not is_folder or error.args[-1] != EACCES:
                raise

    def erase(self, block):
        """Make this tree one that is never started."""
        if block:
            raise ValueError("block", block)
        self.flush()
        self._boot.check_writable(self)
        self._do(_if_there, os.remove, self._path(LIST))

    def _path(self, name):
        return self.path + "/" + name if name else self.path

    def _make_folders(self, path):
        at = path.find("/", 1)
        while at > 0:
            try:
                os.mkdir(path[:at])
            except OSError:
                pass  # it is there; any other reason shows again when the file is opened
            at = path.find("/", at + 1)

    def _set_aside(self, path):
        """Give a folder that cannot be removed a name that no release has."""
        top = path.rpartition("/")[0] + "/.ota-"
        for number in range(_ASIDE_MAX):
            if self._do(_if_there, os.stat, top + str(number)) is None:
                self._do(os.rename, path, top + str(number))
                return

    def _statvfs(self):
        path = self.path
        while path:
            found = self._do(_if_there, os.statvfs, path)
            if found:
                return found
            path = path.rpartition("/")[0]
        return self._do(os.statvfs, "/")

    def _do(self, function, *args):
        try:
            return function(*args)
        except OSError as error:
            raise StoreError("file system", self.letter, error.errno)


class Boot:
    """See ota.ports.Boot. Where the board has slots of its own, `board` is the Boot of them."""

    kind = "app"
    chip = None
    slot = None
    image_name = "app.img"
    counter = 0
    boot_keys = None
    seq_floor = 0
    lacks = None

    def __init__(self, root="/ota-app", state="/ota-state", board=None):
        self._store = Store(state)
        self._board = board
        trees = [Tree(self, letter, root + "/" + letter) for letter in _LETTERS]
        number = self._find_running(trees)
        self.running = trees[number]
        self.spare = trees[1 - number]

    def _find_running(self, trees):
        """boot.py says it in `sys.path`; without it what the record says is kept."""
        for path in sys.path:
            for number in (0, 1):
                if path == trees[number].path:
                    return number
        record = self._record()
        return _LETTERS.index(record[0]) ^ (record[1] == "N") if record else 0

    @property
    def device_id(self):
        if self._board:
            return self._board.device_id
        import machine

        return machine.unique_id()

    @property
    def root_floor(self):
        return self._board.root_floor if self._board else 0

    def raise_root_floor(self, version):
        if self._board:
            self._board.raise_root_floor(version)

    def raise_seq_floor(self, seq):
        """The board's floor is the firmware's; an application's lies in the Store alone."""

    # The record

    def _record(self):
        """Return the record's two letters, or None."""
        record = self._store.load("tree")
        try:
            record = record and record.decode()
        except UnicodeError:
            return None
        if record and len(record) == 2 and record[0] in _LETTERS and record[1] in "NPV":
            return record
        return None

    def _save(self, tree, state):
        self._store.save("tree", (tree.letter + state).encode())

    @property
    def on_trial(self):
        return self._record() == self.running.letter + "P"

    @property
    def switch_pending(self):
        return self._record() in (self.spare.letter + "N", self.spare.letter + "V")

    def check_writable(self, tree):
        """Raise StateError unless `tree` may be written now."""
        if tree is not self.spare:
            raise StateError("tree is running")
        self._check_settled()

    def _check_settled(self):
        """Raise StateError on trial or before a switch; then let the record say what runs."""
        record = self._record()
        mine = self.running.letter
        if record == mine + "P":
            raise StateError("on trial")
        if record in (self.spare.letter + "N", self.spare.letter + "V"):
            raise StateError("switch pending")
        if record != mine + "V":
            # None, or a try that is over and could not be written down: then the spare tree would
            # be started as soon as it is whole.
            self._save(self.running, "V")

    def identity(self, tree):
        return tree.identity()

    def check_image(self, head, length):
        if length > self.spare.size:
            raise ImageError("application is longer than the file system", length)

    def is_whole(self, tree):
        """Tell whether every file of a tree is what its own list says."""
        return self._damage(tree) is None

    def _damage(self, tree):
        """Return what is wrong in words, or None. The content is read in pieces."""
        files = tree.file_list()
        if files is None:
            return "no file list"
        try:
            buf = memoryview(bytearray(_PIECE * 4))
            for file in range(files.files):
                path, at = files.path(file), 0
                if tree.length(path) != files.size(file):
                    return path
                for block in range(files.first(file), files.first(file) + files.blocks(file)):
                    sha = sha256()
                    left = files.content(block)
                    while left:
                        piece = buf[:left]
                        if tree.readinto(path, at, piece) != len(piece):
                            return path
                        sha.update(piece)
                        at += len(piece)
                        left -= len(piece)
                    if not files.is_digest(block, sha.digest()):
                        return path
        finally:
            files.close()
            tree.flush()
        return None

    def try_next(self, tree):
        if tree is not self.spare:
            raise ValueError("not the spare tree")
        if self._record() == tree.letter + "N":
            return
        self._check_settled()
        damage = self._damage(tree)
        if damage:
            raise ImageError("application is damaged", damage)
        watchdog = _watchdog()
        if watchdog:
            watchdog.forget()
        self._save(tree, "N")

    def confirm(self):
        if self.switch_pending:
            raise StateError("switch pending")
        if self.on_trial:
            self._save(self.running, "V")

    def revert(self):
        if not self.on_trial:
            raise StateError("not on trial")
        self._save(self.spare, "V")

    def fall_back(self):
        """Make the next hard reset run the other tree, without a trial: for a kept application
        that is damaged. Raises StateError when there is no other, or on trial."""
        self._check_settled()
        if self.spare.identity() is None:
            raise StateError("there is no other application")
        self._save(self.spare, "V")

    # Watchdog

    def arm(self, ms):
        watchdog = self._board or _watchdog()
        if watchdog:
            watchdog.arm(ms)

    def disarm(self):
        watchdog = self._board or _watchdog()
        if watchdog:
            watchdog.disarm()


def _watchdog():
    """Return the platform's module, or None: a watchdog that nobody here knows how to end."""
    if sys.platform == "esp32":
        import ota.adapters.wdt_esp32 as watchdog
    elif sys.platform == "rp2":
        import ota.adapters.wdt_rp2 as watchdog
    else:
        return None
    return watchdog


def _if_there(function, *args):
    """Return what the function returns, or None when there is no such file."""
    try:
        return function(*args)
    except OSError as error:
        if error.errno not in (ENOENT, _ENOTDIR):
            raise
