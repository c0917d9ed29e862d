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
    lib folder of sys.path. `version` is a tag or branch, for github: and gitlab:."""
    import mip

    # The file, not its package.json: relative names in there are news to mip of 1.24 and before.
    mip.install(
        "{}/{}/ota_ed25519.mpy".format(base.rstrip("/"), folder()),
        target=target,
        version=version,
    )
