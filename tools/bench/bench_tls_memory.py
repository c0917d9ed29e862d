# SPDX-License-Identifier: MIT
"""What TLS needs of a board's memory: one HTTPS request, every allocation of mbedTLS counted.

mbedTLS of MicroPython's source is built for 32 bits with the configuration of the rp2 port (whose
TLS lives in MicroPython's heap: 8 bytes more for each piece, in steps of 16), and with that plus
what ESP-IDF adds for the ESP32 (a heap of its own; the chips' accelerators are not modelled). The
server is OpenSSL; what differs is its certificate. Bytes:

    tls_heap_ecdsa      most at one time, in the handshake, server with one P-256 certificate
    tls_heap_rsa2048    the same with an RSA certificate of 2048 bits and an intermediate one
    tls_heap_rsa4096    the same with 4096 bits
    tls_heap_steady     while a body is read; all servers alike
    tls_heap_largest    largest piece, which a heap in use may not have any more
    tls_heap_esp32      most at one time on an ESP32, P-256
    heap_min_install_tls_kb  the smallest heap, in KB, for check and install over TLS if TLS lives
                        in it too, as on a Pico W, and the server has one P-256 certificate; as
                        heap_min_install_kb in bench_install.py

The buffers are there for the whole connection, whatever the size of the records is, and so is what
the chain of certificates takes to be checked, for a while: a P-256 key under a P-256 root of one's
own is the smallest. Neither board speaks TLS 1.3.

    python tools/bench/bench_tls_memory.py      the whole table
"""

import contextlib
import datetime
import hashlib
import os
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bench_install  # and with it the paths of world and sim
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

import world
from sim import image

REPO = Path(__file__).resolve().parent.parent.parent
MICROPYTHON = REPO / "build" / "src" / "micropython"
BUILD = REPO / "build" / "tls_memory"
SOURCE = Path(__file__).with_name("tls_memory.c")
BODY = b"HTTP/1.0 200 OK\r\n\r\n" + bytes(range(256)) * 256

# What ESP-IDF 5 has on by default and MicroPython's own configuration has not.
ESP32_ADDS = ("KEEP_PEER_CERTIFICATE", "SESSION_TICKETS", "MAX_FRAGMENT_LENGTH", "RENEGOTIATION")

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Board:
    name: str
    adds: tuple[str, ...]
    align: int
    overhead: int


# MicroPython for this computer whose TLS takes its memory from MicroPython's heap, as on boards.
IN_HEAP = """\
#define MICROPY_MBEDTLS_CONFIG_BARE_METAL (1)
#define MBEDTLS_CIPHER_MODE_CTR
#define MBEDTLS_TIMING_C
#include "extmod/mbedtls/mbedtls_config_common.h"
#undef MBEDTLS_ENTROPY_HARDWARE_ALT
#undef MBEDTLS_NO_PLATFORM_ENTROPY
"""

HEAP_KB = range(72, 200, 4)  # where the smallest heap is looked for

RP2 = Board("rp2", (), 16, 8)
ESP32 = Board("esp32", ESP32_ADDS, 4, 8)


def _program(board: Board) -> Path:
    """Build mbedTLS and tls_memory.c as the board has it, unless that is there already."""
    adds = "".join(f"#define MBEDTLS_SSL_{name}\n" for name in board.adds)
    content = hashlib.sha256(SOURCE.read_bytes() + adds.encode())
    for part in ("lib/mbedtls/include/mbedtls/build_info.h", "ports/rp2/mbedtls",
                 "extmod/mbedtls/mbedtls_config_common.h"):  # fmt: skip
        path = MICROPYTHON / part
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            content.update(file.read_bytes())
    folder = BUILD / f"{board.name}-{content.hexdigest()[:12]}"
    program = folder / "tls_memory"
    if program.exists():
        return program
    (folder / "py").mkdir(parents=True, exist_ok=True)
    (folder / "py" / "mpconfig.h").write_text("#define MICROPY_PY_SSL_DTLS (1)\n")
    (folder / "config.h").write_text(f'{adds}#include "ports/rp2/mbedtls/mbedtls_config_port.h"\n')
    compiler = [
        *("gcc", "-m32", "-Os", "-w", "-ffunction-sections"),
        *(f"-I{path}" for path in (folder, MICROPYTHON, MICROPYTHON / "lib/mbedtls/include")),
        '-DMBEDTLS_CONFIG_FILE="config.h"',
    ]
    library = sorted((MICROPYTHON / "lib/mbedtls/library").glob("*.c"))
    subprocess.run([*compiler, "-c", *library], cwd=folder, check=True)
    objects = sorted(folder.glob("*.o"))
    subprocess.run(
        [*compiler, "-Wl,--gc-sections", SOURCE, *objects, "-o", program], cwd=folder, check=True
    )
    for file in objects:
        file.unlink()
    return program


def _key(kind: str) -> Key:
    if kind == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "p384":
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))


def _certificate(name: str, key: Key, issuer: str, signer: Key, ca: bool) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + 90 * day)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        # About as much as public CAs put in besides: addresses of theirs, policies, two logs.
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        ).add_extension(
            x509.UnrecognizedExtension(
                x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), bytes(420)
            ),
            critical=False,
        )
    return builder.sign(signer, hashes.SHA256())


@contextlib.contextmanager
def _server(kinds: list[str], piece: int) -> Iterator[tuple[int, Path]]:
    """Serve over TLS with a chain of these keys, root first; yields port and root certificate.

    The root is not sent. `piece`: how much is written at a time, so at most so much in a record.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chain: list[x509.Certificate] = []
        keys = [_key(kind) for kind in kinds]
        names = [f"CA {i}" for i in range(len(kinds) - 1)] + ["localhost"]
        for i, key in enumerate(keys):
            above = max(0, i - 1)
            is_ca = i < len(keys) - 1
            chain.append(_certificate(names[i], key, names[above], keys[above], is_ca))
        (folder / "root.der").write_bytes(chain[0].public_bytes(serialization.Encoding.DER))
        sent = [c.public_bytes(serialization.Encoding.PEM) for c in reversed(chain[1:])]
        (folder / "chain.pem").write_bytes(b"".join(sent))
        (folder / "key.pem").write_bytes(
            keys[-1].private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(plain, True) as sock:
                        sock.recv(4096)
                        for start in range(0, len(BODY), piece):
                            sock.sendall(BODY[start : start + piece])
                        sock.unwrap()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1]), folder / "root.der"
        finally:
            listener.close()


def measure(
    board: Board, kinds: list[str], piece: int = 16384, fragment: int = 0
) -> dict[str, int]:
    """Figures of tls_memory.c for one request; `kinds`: keys from the root down."""
    with _server(kinds, piece) as (port, root):
        numbers = map(str, (board.align, board.overhead, fragment))
        command = [str(_program(board)), str(port), "localhost", str(root), *numbers]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = {name: int(value) for name, value in map(str.split, done.stdout.splitlines())}
    if found["body"] != len(BODY):
        raise AssertionError("the body is not whole")
    for name in ("context", "buffers", "handshake", "steady", "reading"):
        found[name] += found["objects"]
    return found


def _micropython() -> Path:
    """Build micropython32-frozen anew, but for where its TLS takes memory from."""
    folder = BUILD / "unix"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.h"
    if not config.exists() or config.read_text() != IN_HEAP:
        config.write_text(IN_HEAP)
    program = folder / "objects" / "micropython"
    command = [
        *("make", "-s", "-C", str(MICROPYTHON / "ports/unix"), f"-j{os.cpu_count()}"),
        *("VARIANT=standard", "MICROPY_PY_FFI=0", "MICROPY_PY_BTREE=0", "MICROPY_SSL_MBEDTLS=1"),
        *("MICROPY_FORCE_32BIT=1", "MPY_CROSS_FLAGS=-march=x86"),
        "CFLAGS_EXTRA=-Wno-error -DMICROPY_TRACKED_ALLOC=1",
        f'MBEDTLS_CONFIG_FILE=\\"{config}\\"',
        f"FROZEN_MANIFEST={REPO / 'tools/setup/manifest_frozen.py'}",
        f"BUILD={program.parent}",
    ]
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("MAKE")}
    environment.pop("MFLAGS", None)
    environment["MICROPY_MPYCROSS"] = str(REPO / "build/bin/mpy-cross")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return program


def _smallest_heap() -> int:
    """Return the first of three heaps in a row, each 4 KB larger, in which an update ends well."""
    program = str(_micropython())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = [(bench_install.DEVICES / "install_device.py", "install_device.py")]
        path = (bench_install._compile(script, folder / "script"),)
        made = world.World(folder / "world", bench_install.SLOT)
        content = image.build(length=bench_install.SMALL, version="new")
        made.release("1.0.0", content, frozen=True)
        with bench_install._served(folder / "web", made) as server:
            device = bench_install.Device(folder / "device", made, server.https, server.ca)
            good = 0
            for size in HEAP_KB:
                device.refresh()
                done = bench_install.run(
                    program, "install_device", device.folder, heap=f"{size}k", path=path
                )
                good = good + 1 if done.stdout == "ready\n" else 0
                if good == 3:
                    return size - 2 * HEAP_KB.step
    raise RuntimeError(f"no heap is large enough: {done.stdout}{done.stderr}")


SERVERS = {
    "P-256, root only": ["p256", "p256"],
    "P-256, one intermediate": ["p256", "p256", "p256"],
    "P-256 below P-384, one intermediate": ["p384", "p384", "p256"],
    "P-256 below RSA-4096, one intermediate": ["rsa4096", "rsa2048", "p256"],
    "RSA-2048, root only": ["rsa2048", "rsa2048"],
    "RSA-2048, one intermediate": ["rsa2048", "rsa2048", "rsa2048"],
    "RSA-2048, below RSA-4096": ["rsa4096", "rsa2048", "rsa2048"],
    "RSA-4096, one intermediate": ["rsa4096", "rsa4096", "rsa4096"],
}


def figures() -> dict[str, float]:
    ecdsa = measure(RP2, SERVERS["P-256, root only"])
    return {
        "tls_heap_ecdsa": ecdsa["handshake"],
        "tls_heap_rsa2048": measure(RP2, SERVERS["RSA-2048, one intermediate"])["handshake"],
        "tls_heap_rsa4096": measure(RP2, SERVERS["RSA-4096, one intermediate"])["handshake"],
        "tls_heap_steady": ecdsa["reading"],
        "tls_heap_largest": ecdsa["largest"],
        "tls_heap_esp32": measure(ESP32, SERVERS["P-256, root only"])["handshake"],
        "heap_min_install_tls_kb": _smallest_heap(),
    }


def main() -> None:
    columns = ("context", "buffers", "handshake", "steady", "reading", "largest", "allocations")
    print(f"{'':46}" + "".join(f"{name:>12}" for name in columns))
    cases = [(board, name, 16384, 0) for board in (RP2, ESP32) for name in SERVERS]
    cases += [(RP2, "P-256, root only", 4096, 0), (ESP32, "P-256, root only", 4096, 4)]
    for board, name, piece, fragment in cases:
        found = measure(board, SERVERS[name], piece, fragment)
        extra = f", {piece // 1024} KB records" if piece < 16384 else ""
        extra += ", asked for" if fragment else ""
        row = f"{board.name}: {name}{extra}"
        print(f"{row:46}" + "".join(f"{found[column]:12,}" for column in columns))


if __name__ == "__main__":
    main()
