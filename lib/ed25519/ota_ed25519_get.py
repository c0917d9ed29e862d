# SPDX-License-Identifier: MIT
"""Puts the native module `ota_ed25519` that fits this board on it. With a network, on the board:

    import ota_ed25519_get
    ota_ed25519_get.install("github:OWNER/REPO/lib/ed25519")

Without one, from a computer, the folder that `ota_ed25519_get.folder()` names, for instance:

    mpremote mip install github:OWNER/REPO/lib/ed25519/armv6m_6.3

A .mpy holds machine code and fits one architecture and one version of the format. 6.3 is that of
MicroPython 1.23 and later. Nothing needs the module: without it `ota.trust` verifies in Python.
"""

import sys

_VERSION = (6, 3)

# By MP_NATIVE_ARCH_... of MicroPython's py/persistentcode.h. An ARM that runs Thumb takes code
# for lesser ones, too: py/persistentcode.h, MPY_FEATURE_ARCH_TEST.
_NAMES = (
    "none x86 x64 armv6 armv6m armv7m armv7em armv7emsp armv7emdp xtensa xtensawin rv32imc".split()
)
_BUILDS = {
    "x64": "x64",
    "armv6m": "armv6m",
    "armv7m": "armv6m",
    "armv7em": "armv6m",
    "armv7emsp": "armv7emsp",
    "armv7emdp": "armv7emsp",
    "xtensawin": "xtensawin",
    "rv32imc": "rv32imc",
}

# What `make natmod` built; tools/setup/natmod_digests.py writes these lines.
_SHA256 = {
    "armv6m": "c7869b948797acf9378bc72bbbfc924903e131f99bae23dd308772d9785f9c53",
    "armv7emsp": "dc127835624da39efcb81302acf0aafb969b8bcee06ef838b94d556eecb32095",
    "rv32imc": "395b1c4dd8a2880a6f9bf9dc3ef14d97a2ee02eb9b342d40405198e07d791701",
    "x64": "acdb00370a8edb109a2536930e03fc70f9b1b7410ab522a61061757531b4a587",
    "xtensawin": "0360c58fbe107d884e8812bbbd44a94b10711cb45aaaa5264b93c9cb178deca6",
}


def folder(mpy=None):
    """The folder of the build for this board, like "armv6m_6.3", or for one whose
    `sys.implementation._mpy` is given. Raises NotImplementedError when there is none."""
    if mpy is None:
        mpy = getattr(sys.implementation, "_mpy", 0)
    version = (mpy & 0xFF, mpy >> 8 & 3)
    number = mpy >> 10 & 0xF
    name = _NAMES[number] if number < len(_NAMES) else "architecture {}".format(number)
    if version != _VERSION or name not in _BUILDS:
        raise NotImplementedError(
            "no native ota_ed25519 for {}, .mpy version {}.{}: "
            "ota.trust verifies in Python here".format(name, *version)
        )
    return "{}_{}.{}".format(_BUILDS[name], *version)


def install(base, target=None, version=None):
    """Installs from the folder `base`, a URL as mip takes it, into `target`, by default the first
    lib folder of sys.path. `version` is a tag or branch, for github: and gitlab:.

    What decides about signatures is not taken from just anybody, and half a .mpy can stop a
    board at its start: so the file is put in place only if it is the one that this file names.
    Raises OSError if it is another one or did not come; then nothing has changed. A cut leaves
    the old module, the new one, or none."""
    import os

    import mip

    name = folder()
    if target is None:
        target = next(path for path in sys.path if path.endswith("lib"))
    new = target + "/ota_ed25519.new"
    # The file, not its package.json: relative names in there are news to mip of 1.24 and before.
    url = "{}/{}/ota_ed25519.mpy".format(base.rstrip("/"), name)
    mip.install(url, target=new, version=version)
    module = "/ota_ed25519.mpy"
    if _digest(new + module) != _SHA256[name[: name.index("_")]]:
        raise OSError("not the ota_ed25519.mpy that belongs to this ota_ed25519_get.py: " + url)
    try:
        os.remove(target + module)  # not every file system renames over a file
    except OSError:
        pass
    os.rename(new + module, target + module)
    os.rmdir(new)


def _digest(path):
    from binascii import hexlify
    from hashlib import sha256

    digest = sha256()
    try:
        with open(path, "rb") as file:
            while True:
                piece = file.read(512)
                if not piece:
                    break
                digest.update(piece)
    except OSError:
        return None
    return hexlify(digest.digest()).decode()
