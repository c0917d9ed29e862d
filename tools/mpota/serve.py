# SPDX-License-Identifier: MIT
"""A development server: static files over HTTPS, with Range.

For production any static web server will do; nothing that devices rely on is decided here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from errno import EACCES, EADDRINUSE
from pathlib import Path

from aiohttp import web

from mpota.errors import MpotaError

DEFAULT_PORT = 8443


def make_app(folder: Path, log: Callable[[str], None] | None = None) -> web.Application:
    """Return an application that serves `folder`. No listing, no following of links."""

    async def note(request: web.Request, response: web.StreamResponse) -> None:
        if log is not None:
            part = request.headers.get("Range", "whole")
            log(f"{request.remote} {request.method} {request.path} {part} {response.status}")

    app = web.Application()
    app.on_response_prepare.append(note)
    app.router.add_static("/", folder, show_index=False, follow_symlinks=False)
    return app


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        todo = f"{error.strerror or error}: check --cert and --key"
        raise MpotaError("cannot use certificate", cert, todo) from error
    return context


async def serve(
    folder: Path,
    *,
    host: str,
    port: int,
    context: ssl.SSLContext,
    started: Callable[[int], None],
    log: Callable[[str], None] | None = None,
) -> None:
    """Serve until cancelled. `started` gets the real port once connections are accepted."""
    runner = web.AppRunner(make_app(folder, log), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            option = "--port" if error.errno in (EADDRINUSE, EACCES) else "--host"
            todo = f"{error.strerror}: choose another {option}"
            raise MpotaError("cannot listen", f"{host}:{port}", todo) from error
        started(int(runner.addresses[0][1]))
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
