# SPDX-License-Identifier: MIT
"""`ssl` for the unix port of the test bench, with the call signatures that boards have.

Boards get this module from micropython-lib, which is in no Debian package. Only what a client or
server of the tests uses is here. The built-in `tls` takes positional bytes; on boards the first
argument of `load_verify_locations` is a file name, so code that is right here is right there.
"""

import tls
from tls import *  # noqa: F403  (the constants that it has on this port)


def _bytes(source):
    if isinstance(source, str):
        with open(source, "rb") as f:
            return f.read()
    return source


class SSLContext:
    def __init__(self, protocol):
        self._context = tls.SSLContext(protocol)
        self._context.verify_mode = (
            tls.CERT_REQUIRED if protocol == tls.PROTOCOL_TLS_CLIENT else tls.CERT_NONE
        )

    @property
    def verify_mode(self):
        return self._context.verify_mode

    @verify_mode.setter
    def verify_mode(self, mode):
        self._context.verify_mode = mode

    def get_ciphers(self):
        return self._context.get_ciphers()

    def set_ciphers(self, ciphers):
        self._context.set_ciphers(ciphers)

    def load_cert_chain(self, certfile, keyfile):
        self._context.load_cert_chain(_bytes(certfile), _bytes(keyfile))

    def load_verify_locations(self, cafile=None, cadata=None):
        self._context.load_verify_locations(cadata if cafile is None else _bytes(cafile))

    def wrap_socket(
        self, sock, server_side=False, do_handshake_on_connect=True, server_hostname=None
    ):
        return self._context.wrap_socket(
            sock,
            server_side=server_side,
            do_handshake_on_connect=do_handshake_on_connect,
            server_hostname=server_hostname,
        )
