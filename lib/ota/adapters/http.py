# SPDX-License-Identifier: MIT
"""Fetcher over HTTP/1.1, with verified TLS, on asyncio (`ports.Fetcher`; RFC 9110, 9112).

What a server says is believed only as far as it can do no harm: everything is bounded, nothing of
it appears in an error, and whoever asked checks the bytes.

    Transport   https needs the owner's own CA and the right server name; nothing falls back to
                less. http happens only where a URL says so. One connection is kept for the next
                request to the same server, and there is never a second one.
    Ranges      206 with exactly the bytes that were asked for, or FetchError. A Body whose
                connection is lost goes on at the same byte; a file that has changed meanwhile
                (its total or its ETag) is a FetchError.
    Time        `timeout_s` bounds one connection with its handshake, request and response head,
                and then each 4 KB of body. Only the name look-up of MicroPython blocks.
    Retries     Lost connections and the statuses that mean "later" are tried `tries` times, with
                growing pauses, whatever Retry-After says; a 403 that has one means "later" too.
                Everything else is final for that base URL.
    Base URLs   Asked in order, beginning with the one that answered last (`close` forgets that).
                404 and the like are the answer only when no URL has the file: a host that was
                moved and now says 404 to everything must not end the updates.
                A base URL that ends in "#flat" is a server without folders (GitHub Releases):
                every "/" in the path that is asked for becomes ".".
    Redirects   At most 5, to a whole URL or an absolute path, never from https to http. `headers`
                go to the origin of the base URL (scheme, host and port) and to no other. Where
                the last file was found is asked first for more of it: signed URLs of storage
                last minutes, and each way through the front door is two handshakes.

One Body at a time: opening the next one takes the connection from one that is not read to its end.
"""

import asyncio
import gc
import os
from errno import ECONNRESET, ETIMEDOUT

from ota import const
from ota.adapters import check_request, check_text
from ota.errors import ClockError, FetchError

_BUFFER = const(1536)
_LINE_MAX = const(2048)  # a header that is used must fit: a signed URL has 1,500 bytes and more
_HEAD_MAX = const(16384)  # all headers of one answer, also those that are not used
_PIECE = const(4096)  # bytes of body that have to arrive within `timeout_s`
_TURN = const(0x3FFF)  # at multiples of 16 KB (blocks are read) other tasks run
_SKIP_MAX = const(4096)  # reading on so far is cheaper than a new connection
_ENDLESS = const(0x3FFFFFFF)  # more than any body has, and no long integer
_REDIRECTS = const(5)
_PAUSE_S = const(30)  # longest pause between two tries
_PROGRESS = const(65536)  # a Body that got this far since its last loss has all its tries again
_CERTIFICATE = const(-0x2700)  # MBEDTLS_ERR_X509_CERT_VERIFY_FAILED
_REQUEST = (
    "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ota\r\nAccept-Encoding: identity\r\n{}{}\r\n"
)
_USED = (
    b"content-length",
    b"content-range",
    b"content-encoding",
    b"transfer-encoding",
    b"connection",
    b"location",
    b"etag",
    b"retry-after",
)
# Their places in `_Connection.headers`.
_LENGTH = const(0)
_RANGE = const(1)
_CONTENT_ENCODING = const(2)
_TRANSFER_ENCODING = const(3)
_CONNECTION = const(4)
_LOCATION = const(5)
_ETAG = const(6)
_RETRY_AFTER = const(7)


class Http:
    """`urls`: base URLs. `ca`: DER certificates, one after the other. `headers`: (name, value)s.

    `sleep(seconds)` and `rand(count)` (that many bytes) are there for tests.
    """

    def __init__(
        self,
        urls,
        ca=None,
        headers=(),
        timeout_s=20,
        tries=4,
        sleep=asyncio.sleep,
        rand=os.urandom,
    ):
        self.needs_clock = False
        self._bases = []
        self.add(urls, ca, headers)
        self._ca = None
        self._context = None
        self._found = None
        self._timeout_s = timeout_s
        self._tries = tries
        self._sleep = sleep
        self._rand = rand
        self._buf = bytearray(_BUFFER)
        self._connection = None
        self._base = 0
        self._skipped = 0

    def add(self, urls, ca=None, headers=()):
        """Add base URLs, asked after those before, with a CA and headers of their own."""
        text = ""
        for name, value in headers:
            check_text(name + value, " ")
            text += "{}: {}\r\n".format(name, value)
        for url in urls:
            url, _, layout = url.partition("#")
            if layout not in ("", "flat"):
                raise ValueError("url")
            origin, target = _split(url.rstrip("/") + "/")
            if origin[0]:
                if not ca:
                    raise ValueError("https needs ca")
                self.needs_clock = True
            self._bases.append((origin, target, layout, ca, text))

    async def open(self, path, start=0, end=None):
        check_request(path, start, end)
        body = _Body(self, path, start, end)
        bases = list(range(len(self._bases)))
        await self.start(body, bases[self._base :] + bases[: self._base], 0, None)
        if body.end is not None:
            body.length = body.end - start
        return body

    def skip(self):
        self._skipped += 1
        self._base = (self._base + 1) % len(self._bases)
        return self._skipped < len(self._bases)

    async def close(self):
        self._base = self._skipped = 0
        self._found = None
        await self._drop()

    async def start(self, body, bases, attempt, error):
        """Give `body` a connection on which the body's next byte comes next."""
        while bases and attempt < self._tries:
            if attempt:
                # Half of it at random: a fleet that lost its server must not come back as one.
                pause = min(1 << attempt, _PAUSE_S) * (256 + self._rand(1)[0]) / 512
                await self._sleep(pause)
            attempt += 1
            absent = None
            for base in bases[:]:
                try:
                    body.accept(await self._request(base, body))
                    self._base = body.base = base
                    return
                except OSError as e:
                    error = FetchError("connection", e.errno)
                except (FetchError, ClockError) as e:
                    error = e
                    status = getattr(e, "status", None) or 0
                    if status in (403, 404, 410):
                        absent = e
                    if status < 500 and status not in (408, 425, 429):
                        bases.remove(base)
                await self.release(self._connection)
            if absent:
                raise absent
        raise error

    async def _request(self, base, body):
        """Return the connection with the answer, after redirects, whatever its status is."""
        home, door, layout, ca, headers = self._bases[base]
        if ca != self._ca:
            await self._drop()  # was made with another
            self._ca = ca
            self._context = None
        door += body.path.replace("/", ".") if layout else body.path
        found, self._found = self._found, None
        if found and found[:2] == (home, door):
            origin, target = found[2:]
            connection = await self._ask(origin, target, body, headers if origin == home else "")
            if connection.status in (200, 206):
                self._found = found
                return connection
            await self.release(connection)  # it is no longer there: through the front door
        origin, target = home, door
        for _ in range(_REDIRECTS + 1):
            connection = await self._ask(origin, target, body, headers if origin == home else "")
            status = connection.status
            if status not in (301, 302, 303, 307, 308):
                if status in (200, 206) and (origin, target) != (home, door):
                    self._found = home, door, origin, target
                if status == 403 and connection.headers[_RETRY_AFTER]:
                    connection.status = 429  # what GitHub says either way
                return connection
            await self.release(connection)
            tls = origin[0]
            try:
                origin, target = _split(connection.headers[_LOCATION].decode(), origin)
            except ValueError:
                raise FetchError("redirect")
            if tls and not origin[0]:
                raise FetchError("redirect to http")
            if origin[0] and not ca:
                raise FetchError("https needs ca")
        raise FetchError("redirects")

    async def _ask(self, origin, target, body, headers):
        """Return the connection with the answer to one request, after its head."""
        request = _REQUEST.format(target, origin[1], body.range(), headers).encode()
        connection = self._connection
        if connection and connection.is_idle(origin):
            try:
                await self.timed(connection.ask(request))
                return connection
            except OSError:
                # A server may end an idle connection at any time: that is no lost try.
                pass
        await self.timed(self._connect(origin, request))
        return self._connection

    async def _connect(self, origin, request):
        await self._drop()
        tls, host = origin
        host, _, port = host.partition(":")
        if tls and not self._context:
            self._context = _context(self._ca)
        # TLS needs the largest pieces of the heap; and what a cancelled connect left is closed.
        gc.collect()
        try:
            streams = await asyncio.open_connection(
                host,
                int(port or (443 if tls else 80)),
                ssl=self._context if tls else None,
                server_hostname=host if tls else None,
            )
            self._connection = _Connection(origin, streams, self._buf)
            # MicroPython shakes hands in the first write, CPython while it connects.
            await self._connection.ask(request)
        except ValueError as e:
            raise _refused(e)
        except OSError as e:
            if e.errno == _CERTIFICATE:
                raise FetchError("certificate")
            raise

    async def timed(self, coroutine):
        try:
            return await asyncio.wait_for(coroutine, self._timeout_s)
        except asyncio.TimeoutError:
            raise OSError(ETIMEDOUT)

    async def release(self, connection):
        """Keep the connection for the next request if little is left to read, else drop it."""
        if connection and connection is self._connection:
            try:
                await self.timed(connection.skip())
            except OSError:
                # Only the connection is lost: what was wanted of it is here already.
                await self._drop()

    async def _drop(self):
        connection = self._connection
        self._connection = None
        if connection:
            await connection.close()


class _Body:
    def __init__(self, http, path, start, end):
        self.length = None
        self.path = path
        self.end = end  # None: not known, perhaps before its answer, perhaps ever
        self._http = http
        self._pos = self._lost_at = start
        self._known = None  # total and ETag: what makes it the same file
        self._losses = 0

    async def readinto(self, buf):
        view = memoryview(buf)
        if self.end is not None:
            view = view[: self.end - self._pos]
        begin = self._pos
        while self._pos - begin < len(view):
            rest = view[self._pos - begin :]
            try:
                # Bytes that are here need no time limit, whose task takes longer than they do; but
                # now and then other tasks must have their turn.
                n = self._pos & _TURN and self._connection.take(rest)
                if n:
                    self._pos += n
                elif not await self._http.timed(self._fill(rest[:_PIECE])):
                    self.end = self._pos
                    break
            except OSError as e:
                error = FetchError("connection", e.errno)
                if self.end is None:
                    raise error
                if self._pos - self._lost_at >= _PROGRESS:
                    self._losses = 0
                self._lost_at = self._pos
                await self._http.start(self, [self.base], self._losses, error)
                self._losses += 1
        return self._pos - begin

    async def close(self):
        if self._pos != self.end:
            self.end = self._pos
            await self._http.release(self._connection)

    async def _fill(self, view):
        """Fill `view`; return 0 at an end that no length has announced."""
        n = 0
        while len(view):
            n = await self._connection.readinto(view)
            if not n:
                if self.end is None:
                    break
                raise OSError(ECONNRESET)
            view = view[n:]
            self._pos += n
        return n

    def range(self):
        """Return the header for what is still wanted: none for a whole file."""
        if not self._pos and self.end is None:
            return ""
        return "Range: bytes={}-{}\r\n".format(self._pos, "" if self.end is None else self.end - 1)

    def accept(self, connection):
        """Raise FetchError unless the answer is what was asked for and of the same file."""
        headers = connection.headers
        ranged = self.range()
        if connection.status != (206 if ranged else 200):
            raise FetchError("HTTP status", status=connection.status)
        if headers[_CONTENT_ENCODING] not in (b"", b"identity"):
            raise FetchError("encoding")
        end = total = length = connection.length
        if ranged:
            total = _number(headers[_RANGE].rpartition(b"/")[2])
            end = total if self.end is None else self.end
            if (
                headers[_RANGE] != b"bytes %d-%d/%d" % (self._pos, end - 1, total)
                or end > total
                or length not in (None, end - self._pos)
            ):
                raise FetchError("content range")
        known = total, headers[_ETAG]
        if self._known and known != self._known:
            raise FetchError("changed")
        self._known = known
        self.end = end
        self._connection = connection


class _Connection:
    """One connection, and the answer that is being read from it.

    All that is read ahead is in `_buf[_pos:_end]`; a body goes from there, and then from the
    socket, straight into the caller's buffer.
    """

    def __init__(self, origin, streams, buf):
        self._origin = origin
        self._reader, self._writer = streams
        self._buf = buf
        self._view = memoryview(buf)
        self._pos = self._end = 0

    async def ask(self, request):
        """Send a request; read status and headers of its answer, those of interim ones as well."""
        self._keep = False  # until it is known where the answer ends
        self._writer.write(request)
        await self._writer.drain()
        self._budget = _HEAD_MAX
        self.status = 100
        while self.status < 200:
            line = await self._line()
            # HTTP/1.1 206 Partial Content
            if line[:7] != b"HTTP/1." or line[8:9] != b" " or line[12:13].strip():
                raise FetchError("not HTTP")
            self.status = _number(line[9:12])
            self.headers = headers = [b""] * len(_USED)
            while True:
                line = await self._line()
                if not line:
                    break
                name, _, value = line.partition(b":")
                name = name.lower()
                if name in _USED:
                    name = _USED.index(name)
                    value = value.strip()
                    # Which of two to believe is what request smuggling is made of.
                    if headers[name] not in (b"", value):
                        raise FetchError("header twice")
                    headers[name] = value
        coding = headers[_TRANSFER_ENCODING].lower()
        if coding not in (b"", b"chunked"):
            raise FetchError("encoding")
        self._chunked = coding != b""
        self.length = None
        # Bytes of body, or of this chunk, that are still to come.
        self._left = 0 if self._chunked else _ENDLESS
        if headers[_LENGTH] and not self._chunked:
            self.length = self._left = _number(headers[_LENGTH])
            self._keep = b"close" not in headers[_CONNECTION].lower()

    async def readinto(self, view):
        """Read some of the body; return the count, 0 at the end of body or connection."""
        if self._chunked and not self._left:
            self._budget = _HEAD_MAX
            # The line end behind the chunk before looks like an empty line.
            line = await self._line() or await self._line()
            try:
                self._left = int(line.partition(b";")[0].strip(), 16)
            except ValueError:
                raise FetchError("chunk")
            if not 0 <= self._left < _ENDLESS:
                raise FetchError("chunk")
            self._chunked = self._left > 0  # the trailers behind the last one stay unread
        view = view[: self._left]
        n = min(len(view), self._end - self._pos)
        if n:
            view[:n] = self._view[self._pos : self._pos + n]
            self._pos += n
        elif self._left:
            n = await self._recv(view)
            if not n and self._chunked:
                raise OSError(ECONNRESET)
        self._left -= n
        return n

    def take(self, view):
        """Read what has come of a body whose length is known; return the count, perhaps 0."""
        if not (self._left and self._writer) or self._pos < self._end:
            return 0
        if not hasattr(self._reader, "s"):  # CPython
            return 0
        n = self._reader.s.readinto(view[: self._left]) or 0
        self._left -= n
        return n

    async def skip(self):
        """Read what little is left of the answer; OSError if the connection is no more use."""
        if not self._keep or self._left > _SKIP_MAX:
            raise OSError(ECONNRESET)
        while await self.readinto(self._view):
            pass

    def is_idle(self, origin):
        return self._keep and not self._left and self._pos == self._end and self._origin == origin

    async def close(self):
        writer = self._writer
        self._writer = None
        self._pos = self._end = 0  # the buffer is the next connection's now
        if writer:
            try:
                if hasattr(writer, "transport"):
                    writer.transport.abort()  # CPython would wait for the other side
                else:
                    await writer.wait_closed()
            except OSError:
                # It is gone, and that is what was wanted.
                pass

    async def _line(self):
        """Return the next line without its end. One that is too long is none of use: b"?..."."""
        line = b""
        while line[-1:] != b"\n":
            if self._pos == self._end:
                self._pos = 0
                self._end = n = await self._recv(self._view)
                self._budget -= n
                if not n:
                    raise OSError(ECONNRESET)
                if self._budget < 0:
                    raise FetchError("head too long")
            end = self._buf.find(b"\n", self._pos, self._end) + 1 or self._end
            line += self._view[self._pos : end]
            self._pos = end
            if len(line) > _LINE_MAX:
                line = b"?" + line[-1:]
        return line.rstrip()

    async def _recv(self, view):
        if not self._writer:
            raise OSError(ECONNRESET)
        if hasattr(self._reader, "readinto"):
            # MicroPython. What is here already costs no poll: one of a TLS socket can take 1 ms.
            n = self._reader.s.readinto(view)
            while n is None:  # nothing yet, or only a part of a TLS record
                n = await self._reader.readinto(view)
            return n
        data = await self._reader.read(len(view))  # CPython
        view[: len(data)] = data
        return len(data)


def _split(url, origin=None):
    """Return ((is it TLS, host with port as written), target), or raise ValueError.

    A path alone ("/there") is one at `origin`; other relative URLs are refused.
    """
    check_text(url, "!")
    url = url.partition("#")[0]
    if origin and url.startswith("/") and not url.startswith("//"):
        return origin, url
    scheme, _, url = url.partition("://")
    host, _, target = url.partition("/")
    name, _, port = host.partition(":")
    for c in name:
        if not (c.isalpha() or c.isdigit() or c in "-."):
            raise ValueError("url")
    if scheme not in ("http", "https") or not name or not 0 < int(port or 80) < 65536:
        raise ValueError("url")
    return (scheme == "https", host.lower()), "/" + target


def _number(text):
    if len(text) > 10 or not text.isdigit():
        raise FetchError("not HTTP")
    return int(text)


def _context(ca):
    """Return a TLS context that trusts these DER certificates, takes no other, and no less."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    while ca:
        # mbedTLS refuses bytes behind a certificate, so each one is handed over alone.
        n = 4 + int.from_bytes(ca[2:4], "big")
        if ca[:2] != b"\x30\x82" or n > len(ca):
            raise FetchError("ca is not DER")
        try:
            context.load_verify_locations(cadata=ca[:n])
        except (OSError, ValueError):  # CPython; MicroPython
            raise FetchError("ca is not DER")
        ca = ca[n:]
    return context


def _refused(error):
    """Return what a ValueError of a TLS handshake means: the certificate, or only its dates.

    MicroPython has a line of text for each reason, CPython the number of the first one.
    """
    text = str(error).strip()
    if text.count("validity") > text.count("\n") or (
        getattr(error, "verify_code", None) in (9, 10)  # not yet valid, expired
    ):
        from ota.adapters.clock import Clock

        return ClockError("certificate dates, says the clock", Clock().utc())
    return FetchError("certificate")
