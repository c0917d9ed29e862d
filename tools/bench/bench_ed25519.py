# SPDX-License-Identifier: MIT
"""What one verification of an Ed25519 signature over 64 bytes costs: bytes, time, stack.

All in: decoding the key, SHA-512, and what the compiler's own library adds. Everything is built
with -Os and run in an emulator. The time is the mean of a few signatures; it differs by one or two
percent between them. For a Cortex-M0+ it is in cycles (the model is in emulated.py), else in
instructions.

    python tools/bench/bench_ed25519.py [ARCHITECTURE]...
"""

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import mean

import emulated
import emulated_xtensa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

REPO = Path(__file__).resolve().parent.parent.parent
SOURCE = REPO / "lib" / "ed25519"
VERIFY = "ota_ed25519_verify"
FIELD = ("fe_mul", "fe_sqr", "fe_add", "fe_sub")
SIGNATURES = 4
XTENSA = "xtensawin"
NAMES = ("armv6m", "armv7em", "rv32imc", "x64", XTENSA)

# Measured in the same way, with gcc 12.2, on another day; no bench of ours runs them.
QUOTED = {
    "armv6m": """\
        c25519 (edsign)             4,724   204,000,000   1,272
        TweetNaCl                   5,725   339,000,000   4,468
        wolfSSL CURVED25519_SMALL   6,365   195,000,000   1,776
        Monocypher                 14,112    24,600,000   1,892
        MCUboot (fiat)             16,322    18,100,000   3,676
        trezor-crypto              19,212    17,500,000   3,268
        ed25519-donna              22,702    17,500,000   4,132
        libsodium                  26,754    19,800,000   3,956""",
    "armv7em": """\
        ed25519-donna              19,400     1,100,000
        trezor-crypto              15,800     1,140,000""",
    "rv32imc": """\
        ed25519-donna              24,400     2,060,000
        Monocypher                 14,400     3,120,000
        c25519                      5,500   121,000,000""",
    "x64": """\
        libsodium                  19,300       680,000""",
}


def _signed(number: int) -> tuple[bytes, bytes, bytes]:
    """A public key, a message of 64 bytes, a signature: always the same for the same number."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    message = bytes(range(number, number + 64))
    return key.public_key().public_bytes_raw(), message, key.sign(message)


def _sources() -> list[Path]:
    module = SOURCE / "module.c"  # needs MicroPython's headers
    return [f for f in sorted(SOURCE.iterdir()) if f.suffix in (".c", ".S") and f != module]


def _present(name: str) -> bool:
    """True if this machine has the tools for that architecture."""
    if name == XTENSA:
        return emulated_xtensa.present()
    return emulated.ARCHITECTURES[name].present


def _verification(arch: emulated.Architecture, folder: Path) -> dict[str, float]:
    """Bytes, cost and stack of a verification."""
    program = emulated.build(arch, _sources(), folder, [VERIFY], [f"-I{SOURCE}"])
    machine = emulated.Machine(program)
    calls = []
    for number in range(SIGNATURES):
        key, message, signature = _signed(number)
        places = [machine.place(data) for data in (key, message, signature)]
        arguments = places[0], places[1], len(message), places[2]
        calls.append(machine.measure(VERIFY, *arguments))
        assert calls[-1].result & 0xFF == 1, "a good signature is refused"
        machine.write(places[1], b"\xff")
        assert machine.call(VERIFY, *arguments).result & 0xFF == 0, "a wrong one is accepted"
    return {
        f"ed25519_{arch.name}_bytes": program.size,
        f"ed25519_{arch.name}_{arch.unit}": round(mean(call.cost for call in calls)),
        f"ed25519_{arch.name}_stack": max(call.stack for call in calls),
    }


def _field(arch: emulated.Architecture, folder: Path) -> dict[str, float]:
    """Cost of each field operation."""
    program = emulated.build(arch, _sources(), folder, FIELD, [f"-I{SOURCE}"])
    machine = emulated.Machine(program)
    operands = [machine.place(_signed(number)[0]) for number in (1, 2)]
    result = machine.place(bytes(32))
    return {
        f"ed25519_{arch.name}_{name}_{arch.unit}": machine.measure(name, result, *operands).cost
        for name in FIELD
    }


def _compare(name: str, found: dict[str, float]) -> None:
    """Print our figures, and those of others."""
    unit = emulated.ARCHITECTURES[name].unit
    widths = 11, 14, 8
    print(f"{name:30}{'bytes':>11}{unit:>14}{'stack':>8}")
    ours = [f"{found[f'ed25519_{name}_{figure}']:,}" for figure in ("bytes", unit, "stack")]
    quoted = QUOTED.get(name, "").splitlines()
    for line in ("this " + " ".join(ours), *quoted):
        words = line.split()
        first = next(n for n, word in enumerate(words) if word[0].isdigit() and "," in word)
        cells = zip(words[first:], widths, strict=False)
        whose = "" if line.startswith("this") else "  (quoted)"
        label = " ".join(words[:first])
        print(f"    {label:26}{''.join(cell.rjust(width) for cell, width in cells)}{whose}")


def figures(names: Iterable[str] = NAMES) -> dict[str, float]:
    """Return name -> number; print what others need, for comparison.

    An architecture whose compiler or emulator this machine lacks has no figures.
    """
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in names:
            if not _present(name):
                print(f" (no tools for {name})", end="", file=sys.stderr)
            elif name == XTENSA:
                signed = map(_signed, range(SIGNATURES))
                found.update(emulated_xtensa.verification(_sources(), folder, signed))
            else:
                arch = emulated.ARCHITECTURES[name]
                found.update(_verification(arch, folder))
                found.update(_field(arch, folder))
                _compare(name, found)
    return found


if __name__ == "__main__":
    for figure, value in figures(sys.argv[1:] or NAMES).items():
        print(f"{figure:36}{value:>12,}")
