# SPDX-License-Identifier: MIT
"""A certificate authority and server certificate for development.

They keep a developer's network private from its neighbours. What a device installs does not rest
on them but on the signed metadata, so their private keys are plain files of mode 0600, and the
server starts without asking for anything.

The CA is made once, because devices are given its certificate. The server certificate is made
again whenever the computer has got another address or it runs out.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mpota import files
from mpota.errors import MpotaError

_CA_LIFE = timedelta(days=3650)
_SERVER_LIFE = timedelta(days=397)  # the longest that common clients take
_SLACK = timedelta(days=1)  # a device's clock may be a little behind


@dataclass(frozen=True)
class Tls:
    """Files of the development server."""

    ca_pem: Path
    ca_der: Path
    cert: Path
    key: Path


def ca_files(folder: Path) -> Tls:
    return Tls(folder / "ca.pem", folder / "ca.der", folder / "server.pem", folder / "server.key")


def ensure(folder: Path, hosts: Iterable[str], now: datetime) -> Tls:
    """Return CA and server certificate for `hosts`, making in `folder` what is missing."""
    tls = ca_files(folder)
    ca_key, ca = _ensure_ca(folder, tls, now)
    wanted = sorted(set(hosts))
    if not _is_good(tls, ca, wanted, now):
        _make_server(tls, ca_key, ca, wanted, now)
    return tls


def _ensure_ca(
    folder: Path, tls: Tls, now: datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    path = folder / "ca.key"
    if tls.ca_pem.exists():  # written last
        try:
            key = load_pem_private_key(path.read_bytes(), None)
            ca = x509.load_pem_x509_certificate(tls.ca_pem.read_bytes())
        except (OSError, ValueError) as error:
            raise MpotaError("cannot read the development CA", path, "restore it") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise MpotaError("development CA has a foreign key", path, "restore it")
        return key, ca
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("mpota development CA")
    ca = (
        _builder(name, name, key.public_key(), now, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    files.write(path, _private_pem(key), mode=files.PRIVATE)
    files.write(tls.ca_der, ca.public_bytes(Encoding.DER))
    files.write(tls.ca_pem, ca.public_bytes(Encoding.PEM))
    return key, ca


def _is_good(tls: Tls, ca: x509.Certificate, hosts: list[str], now: datetime) -> bool:
    if not tls.cert.exists() or not tls.key.exists():
        return False
    try:
        cert = x509.load_pem_x509_certificate(tls.cert.read_bytes())
        key = load_pem_private_key(tls.key.read_bytes(), None)
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        cert.verify_directly_issued_by(ca)
    except (ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
        return False
    return (
        cert.not_valid_after_utc - now > _SERVER_LIFE / 2
        and cert.public_key() == key.public_key()
        and set(hosts) <= set(names.get_values_for_type(x509.DNSName))
    )


def _make_server(
    tls: Tls,
    ca_key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    hosts: list[str],
    now: datetime,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # Older Mbed TLS, on the boards, compares an address with the DNS names only.
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            continue
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    cert = (
        _builder(
            _name("mpota development server"), ca.subject, key.public_key(), now, _SERVER_LIFE
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(authority, critical=False)
        .sign(ca_key, SHA256())
    )
    files.write(tls.key, _private_pem(key), mode=files.PRIVATE)
    files.write(tls.cert, cert.public_bytes(Encoding.PEM))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + life)
    )


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def to_der(path: Path) -> bytes:
    """Return the CA certificates in `path`, PEM or DER, as DER one after the other."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MpotaError("cannot read", path, error.strerror or "check the path") from error
    try:
        if b"-----BEGIN" in data:
            certificates = x509.load_pem_x509_certificates(data)
        else:
            certificates = [x509.load_der_x509_certificate(data)]
    except ValueError as error:
        raise MpotaError("not a certificate", path, "give a PEM or DER file") from error
    return b"".join(certificate.public_bytes(Encoding.DER) for certificate in certificates)


def own_address() -> str:
    """Return the address that other computers reach this one by, or 127.0.0.1 without a network.

    No packet is sent: connecting a UDP socket only makes the system choose a route.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
            return str(sock.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def own_names() -> list[str]:
    return sorted({"localhost", "127.0.0.1", socket.gethostname(), own_address()})
