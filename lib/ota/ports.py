# SPDX-License-Identifier: MIT
"""The contracts between the story (updater, trial) and the world (adapters, boards).

Nothing imports this module at run time: the docstrings are the specification, and
`host_tests/contract_*.py` hold every implementation to them, the simulator included.

Words: a *slot* holds one image; its *size* is capacity, an image's *length* is content; a *block*
is an index, 0 first; an *offset* is in bytes. Adapters translate OSError into the classes of
`ota.errors` and translate nothing else.
"""


class Slot:
    """One place in flash for one image.

    Attributes: `size` (bytes, a multiple of `block_size`), `block_size` (bytes, the erase unit).
    Reading is always allowed. `erase` and `program` raise StateError, and write nothing, while the
    slot may not be written: it is running, the running image is on trial, or a switch is pending.
    A block outside the slot raises ValueError. Flash that fails raises SlotError.
    """

    def readinto(self, block, buf, offset=0):
        """Fill `buf` (1 to `block_size` bytes) from `offset` bytes behind the start of `block`.

        May go on in the blocks behind it. Bytes outside the slot raise ValueError.
        """

    def erase(self, block):
        """Set every byte of `block` to 0xFF. A cut leaves any content in this block only."""

    def program(self, block, data):
        """Write `data` (at most `block_size` bytes) at the start of an erased `block`.

        Never erases. A cut leaves any mixture of old and new bits in this block only.
        """


class Tree:
    """One place in a file system for one application: what is a Slot for a firmware.

    Attributes: `size` (bytes that an application can have at most), `block_size`, `path` (its
    folder), `letter` ("a" or "b"). Names of files are paths below it. Reading is always allowed;
    what writes raises StateError, and writes nothing, as for a Slot. A file system that fails
    raises StoreError.
    """

    def identity(self):
        """Return SHA-256 of `.ota-list` in lower-case hex, or None: no whole application."""

    def file_list(self):
        """Return the FileList (ota.image.tree) of what is here, or None: none, or damaged."""

    def content(self):
        """Return the image of what is here (ota.image.tree.Content), or None."""

    def space(self):
        """Return (bytes of an allocation unit, bytes that are free in the file system)."""

    def length(self, name):
        """Return the length of a file in bytes; -1: there is none; -2: it is a folder."""

    def names(self):
        """Generator of (name, length) of all that is here; a folder comes after what is in it."""

    def readinto(self, name, at, buf):
        """Fill `buf` from offset `at` of a file; return the count, 0 where there is none."""

    def write(self, name, at, data):
        """Write at offset `at` of a file; 0 begins it anew, with the folders that it is in.

        A cut loses what was written since `flush`, or of one file the last 32 KiB, and nothing
        else; what it leaves of the file is old bytes, new bytes, or none.
        """

    def flush(self):
        """Bring to flash what was written."""

    def remove(self, name):
        """Remove a file or an empty folder."""

    def erase(self, block):
        """`block` 0: make this tree one that is never started. Any other raises ValueError."""


class Boot:
    """Which image runs, and which one runs next.

    Attributes
      running, spare  the two Slots; `spare` is None on a board that cannot be updated
      chip            name of the chip as releases name it: "esp32", "esp32c3", "rp2040"
      device_id       bytes that no other device of this kind has
      image_name      file name, inside a release, of the image that fits the spare slot
      slot            name of the spare slot as releases name it; None where one image fits any
      counter         `minseq` below which the bootloader takes no image; 0 where it has none
      boot_keys       how many keys the bootloader checks images with; None where it is not ours
      root_floor      version below which no root is trusted, whatever the file system has lost;
                      0 where it cannot be kept
      seq_floor       the same for `minseq`: no image with a lower `seq` is installed
      lacks           why `spare` is None, in words; None where it is not
      on_trial        True while the running image still has to be confirmed
      switch_pending  True after `try_next` or `revert` until the hard reset
    """

    def identity(self, slot):
        """Return the image's identity (lower-case hex) as read from flash, or None: no image."""

    def check_image(self, head, length):
        """Raise ImageError unless an image that starts with `head` can run in the spare slot.

        `head` is block 0, already checked against the signed block list. Called before the first
        erase of a slot that may still boot, and again before block 0 is written: a wrong chip, a
        combined firmware.bin or an image that is too long never replaces one that boots.
        """

    def try_next(self, slot):
        """Make the next hard reset boot the image in `slot`, once, on trial.

        Idempotent. Raises ImageError when the bootloader would refuse the image, StateError on
        trial. After a cut either nothing has changed or the switch is pending.
        """

    def confirm(self):
        """Keep the running image. Does nothing if it is already kept.

        Raises StateError if a switch is pending or if what runs is not what is on trial. After a
        cut the image is kept, or still on trial, or the bootloader goes back to the other one.
        """

    def revert(self):
        """Make the next hard reset boot the other image; the running one is given up.

        Raises StateError when the running image is not on trial.
        """

    def raise_root_floor(self, version):
        """Keep a higher `root_floor`, outside the file system. After a cut the old or the new."""

    def raise_seq_floor(self, seq):
        """Keep a higher `seq_floor`, in the same way. Never raises: floors are in records too."""

    def arm(self, ms):
        """Start, or restart with a new length, a watchdog that resets the chip in `ms`.

        Nothing that Python does afterwards can stop it but `disarm`, and `arm` again. A soft
        reset does not give a trial its time again, and to wake from deep sleep ends it: neither
        passes the bootloader, so an image that always ends in one would stay on trial for ever.
        """

    def disarm(self):
        """Make the watchdog of `arm` harmless. Does nothing if it was never armed.

        Where a watchdog cannot be stopped this lasts for days only: call it at every check.
        """


class Body:
    """One answer of a Fetcher, read from front to back.

    `length` is the number of bytes that were announced, from `start` on, or None.
    """

    async def readinto(self, buf):
        """Fill all of `buf` unless the body ends first; return the count, 0 at its end.

        Raises FetchError when the body is shorter than announced, or the connection is lost and
        cannot be taken up again at the same byte of the same file.
        """

    async def close(self):
        """Give the connection back, or drop it. Never raises; may be called twice."""


class Fetcher:
    """Where bytes come from. Nothing that it returns is trusted.

    Attribute `needs_clock`: True if it cannot work with an unset clock (TLS checks dates).
    """

    async def open(self, path, start=0, end=None):
        """Return a Body with the bytes from `start` up to, not including, `end`.

        `path` is relative ("metadata/timestamp.json"), printable ASCII without "..", used as it
        is. With `start` or `end` the answer is exactly that range or a FetchError. An absent file
        raises FetchError with status 404 (or 403).
        """

    def skip(self):
        """Turn to the next source, because this one's bytes were wrong. False: it was the last.

        `close` begins anew with the first one.
        """

    async def close(self):
        """Drop what is kept open between requests. Never raises."""


class Store:
    """Small records and documents that live on a file system which may lose power.

    Names are 1 to 24 characters of a-z, 0-9, "-" and "_". OSError becomes StoreError.
    """

    def load(self, name):
        """Return the newest whole record as bytes, or None if there is none."""

    def save(self, name, data):
        """Replace a record (at most 16 KiB). After a cut `load` gives the old or the new one."""

    def open(self, name):
        """Open a document for reading (readinto, seek, close), or return None: absent."""

    def create(self, name):
        """Open an empty document for writing (write, close), whatever it held before.

        Nothing is promised about its content after a cut: who reads it checks it.
        """

    def remove(self, name):
        """Remove a document. An absent one is no error."""
