# SPDX-License-Identifier: MIT
"""Servers for tests of the network: a development CA, nginx with TLS and Range, a liar of sockets.

ca = Ca()
ca.der                                 what a device is given
cert, key = ca.issue(folder, "localhost", days=(-1, 30))
with nginx(folder, root, cert, key) as server: server.https, server.http
with Liar(script) as liar: liar.url    script(connection) plays the server, once per connection
"""

import contextlib
import datetime
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from ipaddress import ip_address
from types import SimpleNamespace

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Ca:
    """A P-256 certificate authority that lives as long as the object."""

    def __init__(self, name="Test CA"):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._cert = self._sign(self._name, self._key.public_key(), (-3650, 3650), ca=True)
        self.der = self._cert.public_bytes(serialization.Encoding.DER)

    def issue(self, folder, *names, days=(-1, 30), self_signed=False):
        """Write certificate and key for host names or addresses; return both files."""
        key = ec.generate_private_key(ec.SECP256R1())
        signer = SimpleNamespace(key=key, name=_name(names[0])) if self_signed else None
        cert = self._sign(_name(names[0]), key.public_key(), days, names=names, signer=signer)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        (folder / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return folder / "cert.pem", folder / "key.pem"

    def _sign(self, name, public_key, days, names=(), ca=False, signer=None):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(signer.name if signer else self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False
            )
        return builder.sign(signer.key if signer else self._key, hashes.SHA256())


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(text):
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ worker_connections 64; }}
http {{
  access_log {folder}/access.log; root {root}; default_type application/octet-stream;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{http}; }}
  {https_server}
}}
"""
_HTTPS = "server { listen 443 ssl; root R; ssl_certificate C; ssl_certificate_key K; }"


@contextlib.contextmanager
def nginx(folder, root, cert, key, block=_HTTPS):
    """Serve the files under `root` on 127.0.0.1; yields .http and .https, base URLs.

    `block`: a server block as documents show it, but for port, root and certificate.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/bin")
    if not program:
        raise RuntimeError("nginx is not installed")
    http, https = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nginx.conf"
    block = block.replace("listen 443 ", f"listen 127.0.0.1:{https} ")
    for directive, value in (
        ("root", root),
        ("ssl_certificate", cert),
        ("ssl_certificate_key", key),
    ):
        block = re.sub(rf"\b{directive} [^;]+;", f"{directive} {value};", block)
    config.write_text(
        _NGINX.format(folder=folder, root=root, http=http, https_server=block, user=_user())
    )
    process = subprocess.Popen(
        [program, "-p", folder, "-e", folder / "error.log", "-c", config],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(http, process)
        yield SimpleNamespace(
            http=f"http://127.0.0.1:{http}/",
            https=f"https://localhost:{https}/",
            https_port=https,
            access_log=folder / "access.log",
        )
    finally:
        process.terminate()
        process.wait(10)


def _user():
    # Started by root it would drop to a user who cannot read a test's folder.
    return "user root;" if os.getuid() == 0 else ""


def _wait_for(port, process):
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError("the server ended at once")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise RuntimeError("the server does not listen")


class Closed(Exception):
    """The client has closed the connection that a script reads from or writes to."""


class LiarConnection:
    """What a script plays with. `number` counts connections from 0."""

    def __init__(self, liar, sock, number):
        self._liar = liar
        self._sock = sock
        self.number = number

    def request(self):
        """Read one request; return .path, .headers (names in lower case), .range or None."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._guard(self._sock.recv, 1)
            if not piece:
                raise Closed
            data += piece
        lines = data.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        span = headers.get("range")
        if span:
            first, last = span[len("bytes=") :].split("-")
            span = int(first), int(last) + 1 if last else None
        request = SimpleNamespace(path=lines[0].split(" ")[1], headers=headers, range=span)
        self._liar.requests.append(request)
        return request

    def send(self, *pieces):
        for piece in pieces:
            self._guard(self._sock.sendall, piece.encode() if isinstance(piece, str) else piece)

    def drip(self, data, pause_s):
        for byte in data:
            self.send(bytes([byte]))
            time.sleep(pause_s)

    def hang(self):
        """Stay silent until the client goes away or the test is over."""
        while not self._liar.over.is_set():
            self._sock.settimeout(0.05)
            try:
                if not self._sock.recv(4096):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        raise Closed

    def serve(self, content, request=None, headers="", etag='"1"'):
        """Answer one request as a good server would."""
        request = request or self.request()
        start, end = request.range or (0, None)
        end = len(content) if end is None else min(end, len(content))
        part = content[start:end]
        if request.range:
            status = "206 Partial Content"
            headers += f"Content-Range: bytes {start}-{end - 1}/{len(content)}\r\n"
        else:
            status = "200 OK"
        self.send(
            f"HTTP/1.1 {status}\r\nETag: {etag}\r\n{headers}Content-Length: {len(part)}\r\n\r\n",
            part,
        )

    def reset(self):
        """Close with RST instead of FIN."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raise Closed

    def _guard(self, method, *args):
        try:
            return method(*args)
        except OSError as e:
            raise Closed from e


class Liar:
    """A server on 127.0.0.1 whose every byte a script decides.

    Attributes: `url`, `port`, `requests` (all that were read), `connections` (count).
    """

    def __init__(self, script, cert=None, key=None):
        self._script = script
        self.requests = []
        self.connections = 0
        self.over = threading.Event()
        self.failure = None
        self._tls = None
        if cert:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(cert, key)
        self._threads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https://localhost' if cert else 'http://127.0.0.1'}:{self.port}/"

    def __enter__(self):
        self._listener.settimeout(0.05)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
        if self.failure and not exc[0]:
            raise self.failure

    def _accept(self):
        while not self.over.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            number = self.connections
            self.connections += 1
            thread = threading.Thread(target=self._play, args=(sock, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _play(self, sock, number):
        with contextlib.suppress(OSError, Closed), sock:
            sock.settimeout(10)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with sock:
                try:
                    self._script(LiarConnection(self, sock, number))
                except (OSError, Closed):
                    raise
                except Exception as e:  # noqa: BLE001
                    self.failure = e
