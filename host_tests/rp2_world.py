# SPDX-License-Identifier: MIT
"""An emulated RP2040 that runs a whole firmware, and the repository that it is updated from.

The firmware is built once (`make chips`); releases differ in the bytes of app.MARK, patched in
both links, so an image of a release behaves as its last letter says.
"""

import struct
from pathlib import Path

from mpota import bootkeys, factory, publish, release, rp2040, setup
from mpota.repository import open_repository
from mpota.workspace import KNOWN_BOARDS, open_workspace
from mpota_world import NOW, nobody

BOARD = "OTA_PICO"
PRODUCT = "sensor"
MARK = b"version 0000, does g"
STATE = "/ota-state"


class World:
    """A repository, its releases and boards that were set up from it."""

    def __init__(self, folder, links):
        self.folder = Path(folder)
        self.links = [path.read_bytes() for path in links]
        setup.init(
            self.folder / "repo",
            profile="solo",
            products=[PRODUCT],
            boards={BOARD: KNOWN_BOARDS[BOARD]},
            passphrase=None,
            now=NOW,
        )
        self.workspace = open_workspace(self.folder / "repo")
        self.signer = bootkeys.open_signer(self.workspace, nobody)
        self.slots = rp2040.read_info(factory.bootloader(KNOWN_BOARDS[BOARD].slot)).slots

    def build(self, version, does="g"):
        """Return the two links of a release that does what the letter says."""
        return [patched(link, version, does) for link in self.links]

    def release(self, version, does="g", links=None, **wanted):
        """Release and publish; return the release."""
        files = []
        for name, data in zip("ab", links or self.build(version, does), strict=True):
            files.append(self.folder / f"{version}-{name}.bin")
            files[-1].write_bytes(data)
        what = release.Wanted(
            product=PRODUCT,
            boards=[BOARD],
            version=version,
            channel="stable",
            frozen=True,
            **wanted,
        )
        repository = open_repository(self.workspace)
        made = release.prepare_slots(repository, what, files, self.signer)
        release.publish_release(repository, made, what, self.workspace.keyring(nobody), NOW)
        publish.publish(open_repository(self.workspace), self.folder / "www")
        return made

    def answer(self, request):
        """Serve what a device's app.Serial asks for."""
        path, start, end = request.split(" ")
        file = self.folder / "www" / path
        if not file.is_file():
            return struct.pack("<HI", 404, 0)
        data = file.read_bytes()[int(start) : None if end == "-1" else int(end)]
        return struct.pack("<HI", 200, len(data)) + data

    def uf2(self, version=None):
        repository = open_repository(self.workspace)
        return factory.make(repository, PRODUCT, BOARD, version).data

    def image(self, number, version, does="s", counter=0, signer=None):
        """Return a signed image for a slot that was not released."""
        code = self.build(version, does)[number]
        return self.sign(code, number, counter, signer)

    def sign(self, code, number, counter=0, signer=None):
        address = rp2040.XIP_BASE + self.slots[number]
        return rp2040.make_image(code, address, counter, "0", signer or self.signer)

    def provision(self, pico):
        """Write configuration and root, as `mpota provision` does."""
        config = {"product": PRODUCT, "board": BOARD, "channel": "stable", "trial_s": 2}
        root = (self.workspace.metadata / "1.root.json").read_bytes()
        pico.exec(
            "import os, json\n"
            f"os.mkdir({STATE!r})\n"
            f"json.dump({config!r}, f := open({STATE + '/config.json'!r}, 'w')); f.close()\n"
            f"with open({STATE + '/root.json'!r}, 'wb') as f: f.write({root!r})\n"
        )

    def update(self, pico):
        """Have the device update itself; return what its Event says."""
        return pico.exec("import app; print(app.update())", answer=self.answer).splitlines()[-1]


def patched(link, version, does):
    mark = b"version %04d, does %c" % (int(version.replace(".", "")), ord(does))
    assert link.count(MARK) == 1 and len(mark) == len(MARK)
    return link.replace(MARK, mark)


def hanging(links, slots):
    """The links with an entry point that jumps to itself: nothing behind it ever runs."""
    changed = []
    for link, slot in zip(links, slots, strict=True):
        entry = struct.unpack_from("<I", link, 4)[0] - (rp2040.XIP_BASE + slot + 0x100) & ~1
        changed.append(link[:entry] + b"\xfe\xe7" + link[entry + 2 :])
    return changed


def copy_uf2(pico, data):
    """What the boot ROM's drive does with a UF2: erase a sector at its first page, program."""
    for at in range(0, len(data), 512):
        magic, _, flags, address, size = struct.unpack_from("<I4I", data, at)
        assert (magic, flags, size) == (0x0A324655, 0x2000, 256)
        pico.write_flash(address - rp2040.XIP_BASE, data[at + 32 : at + 32 + 256])
