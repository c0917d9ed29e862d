# SPDX-License-Identifier: MIT
"""Fetcher over HTTP/1.1, with verified TLS, on asyncio (`ports.Fetcher`; RFC 9110, 9112).

What a server says is believed only as far as it can do no harm: everything is bounded, nothing of
it appears in an error, and whoever asked checks the bytes.

    Transport   https needs the owner's own CA and the right server name; nothing falls back to
                less. http happens only where a URL says so. One connection is kept for the next
                request to the same server, and there is never a second one.
    Ranges      206 with exactly the bytes that were asked for, or FetchError. A Body whose
                connection is lost goes on at the same byte; a file that has changed meanwhile
                (its total, ETag or Last-Modified) is a FetchError.
    Time        `timeout_s` bounds one connection with its handshake, request and response head,
                and then each 4 KB of body. Only the name look-up of MicroPython blocks.
    Retries     Lost connections and the statuses that mean "later" are tried `tries` times, with
                growing pauses. Everything else is final for that base URL.
    Base URLs   Asked in order, beginning with the one that answered last (`close` forgets that).
                404 and the like are the answer only when no URL has the file: a host that was
                moved and now says 404 to everything must not end the updates.
    Redirects   At most 5, never from https to http. `headers` go to the origin of the base URL
                (scheme, host and port) and to no other.

One Body at a time: opening the next one takes the connection from one that is not read to its end.
"""

import asyncio
import gc
import os
from errno import ECONNRESET, ETIMEDOUT

from ota.adapters import check_request, check_text
from ota.errors import ClockError, FetchError

try:
    from micropython import const
except ImportError:

    def const(x):
        return x


_BUFFER = const(1536)  # a header line that is used must fit: a signed URL has 1,200 bytes and more
_HEAD_MAX = const(16384)  # all headers of one answer, also those that are not used
_PIECE = const(4096)  # bytes of body that have to arrive within `timeout_s`
_TURN = const(0x3FFF)  # at multiples of 16 KB (blocks are read) other tasks run
_SKIP_MAX = const(4096)  # reading on so far is cheaper than a new connection
_REDIRECTS = const(5)
_PAUSE_S = const(30)  # longest pause between two tries; a server that wants more gets none
_PROGRESS = const(65536)  # a Body that got this far since its last loss has all its tries again
_CERTIFICATE = const(-0x2700)  # MBEDTLS_ERR_X509_CERT_VERIFY_FAILED
_USED = (
    b"content-length",
    b"content-range",
    b"content-encoding",
    b"transfer-encoding",
    b"connection",
    b"location",
    b"retry-after",
    b"etag",
    b"last-modified",
)
# Their places in `_Connection.headers`.
_LENGTH = const(0)
_RANGE = const(1)
_CONTENT_ENCODING = const(2)
_TRANSFER_ENCODING = const(3)
_CONNECTION = const(4)
_LOCATION = const(5)
_RETRY_AFTER = const(6)
_ETAG = const(7)
_LAST_MODIFIED = const(8)


class Http:
    """`urls`: base URLs. `ca`: DER certificates, one after the other. `headers`: (name, value)s.

    `sleep(seconds)` and `rand()` (0 to 255) are there for tests.
    """

    def __init__(self, urls, ca=None, headers=(), timeout_s=20, tries=4, sleep=None, rand=None):
        self._bases = [_split(url if url.endswith("/") else url + "/") for url in urls]
        for origin, _ in self._bases:
            if origin[0] and not ca:
                raise ValueError("https needs ca")
        self._headers = ""
        for name, value in headers:
            check_text(name + value, " ")
            self._headers += "{}: {}\r\n".format(name, value)
        self.needs_clock = any(origin[0] for origin, _ in self._bases)
        self._ca = ca
        self._context = None
        self._timeout_s = timeout_s
        self._tries = tries
        self._sleep = sleep or asyncio.sleep
        self._rand = rand or (lambda: os.urandom(1)[0])
        self._buf = bytearray(_BUFFER)
        self._connection = None
        self._base = 0
        self._skipped = 0

    async def open(self, path, start=0, end=None):
        check_request(path, start, end)
        body = _Body(self, path, start, end)
        n = len(self._bases)
        await self._start(body, [(self._base + i) % n for i in range(n)], 0, None)
        if body._end is not None:
            body.length = body._end - start
        return body

    def skip(self):
        self._skipped += 1
        self._base = (self._base + 1) % len(self._bases)
        return self._skipped < len(self._bases)

    async def close(self):
        self._base = self._skipped = 0
        await self._drop()

    async def _start(self, body, bases, attempt, error):
        """Give `body` a connection on which the body's next byte comes next."""
        pause = 0
        while bases and attempt < self._tries:
            if attempt:
                pause = max(pause, min(1 << attempt, _PAUSE_S))
                # Half of it at random: a fleet that lost its server must not come back as one.
                await self._sleep(pause * (256 + self._rand()) / 512)
            attempt += 1
            pause = 0
            absent = None
            for base in bases[:]:
                failed = await self._try(base, body)
                if not failed:
                    self._base = body._base = base
                    return
                error, wait = failed
                if wait is not None:
                    pause = max(pause, wait)
                    continue
                bases.remove(base)
                if getattr(error, "status", None) in (403, 404, 410):
                    absent = error
            if absent:
                raise absent
        raise error

    async def _try(self, base, body):
        """Return None, or the error and the least pause before the next try (None: no use)."""
        try:
            connection = await self._request(base, body)
        except OSError as e:
            return FetchError("connection", e.errno), 0
        except (FetchError, ClockError) as e:
            return e, None
        try:
            body._accept(connection)
        except FetchError as e:
            await self._release(connection)
            return e, connection.pause()

    async def _request(self, base, body):
        """Return the connection with the answer, after redirects, whatever its status is."""
        home, target = self._bases[base]
        origin = home
        target += body._path
        for _ in range(_REDIRECTS + 1):
            connection = await self._exchange(
                origin,
                "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ota\r\n"
                "Accept-Encoding: identity\r\n{}{}\r\n".format(
                    target, _host(origin), body._range(), self._headers if origin == home else ""
                ).encode(),
            )
            if connection.status not in (301, 302, 303, 307, 308):
                return connection
            location = connection.headers[_LOCATION]
            await self._release(connection)
            tls = origin[0]
            try:
                origin, target = _split(_resolve(origin, target, location.decode()))
            except ValueError:
                raise FetchError("redirect")
            if tls and not origin[0]:
                raise FetchError("redirect to http")
            if origin[0] and not self._ca:
                raise FetchError("https needs ca")
        raise FetchError("redirects")

    async def _exchange(self, origin, request):
        connection = self._connection
        if connection and connection.origin == origin and connection.is_idle():
            try:
                return await self._timed(self._hop(None, request))
            except OSError:
                # A server may end an idle connection at any time: that is no lost try.
                pass
        return await self._timed(self._hop(origin, request))

    async def _hop(self, origin, request):
        """Send a request and read the head of its answer; without success nothing stays open.

        `origin` None: on the connection that there is.
        """
        done = False
        if origin and origin[0] and not self._context:
            self._context = _context(self._ca)
        try:
            try:
                if origin:
                    await self._drop()
                    await self._connect(*origin)
                # MicroPython shakes hands in the first write, CPython while it connects.
                await self._connection.send(request)
            except ValueError as e:
                raise _refused(e)
            except OSError as e:
                if e.errno == _CERTIFICATE:
                    raise FetchError("certificate")
                raise
            await self._connection.head()
            done = True
            return self._connection
        finally:
            if not done:
                await self._drop()

    async def _connect(self, tls, host, port):
        # TLS needs the largest pieces of the heap; and what a cancelled connect left is closed.
        gc.collect()
        streams = await asyncio.open_connection(
            host, port, ssl=self._context if tls else None, server_hostname=host if tls else None
        )
        self._connection = _Connection((tls, host, port), streams, self._buf)

    async def _timed(self, coroutine):
        try:
            return await asyncio.wait_for(coroutine, self._timeout_s)
        except asyncio.TimeoutError:
            raise OSError(ETIMEDOUT)

    async def _release(self, connection):
        """Keep the connection for the next request if little is left to read, else drop it."""
        if connection is not self._connection:
            return
        try:
            await self._timed(connection.skip())
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
        self._http = http
        self._path = path
        self._pos = self._lost_at = start
        self._end = end  # None: not known, perhaps before its answer, perhaps ever
        self._known = None  # total, ETag or Last-Modified: what makes it the same file
        self._base = None
        self._connection = None
        self._losses = 0

    async def readinto(self, buf):
        view = memoryview(buf)
        if self._end is not None:
            view = view[: self._end - self._pos]
        begin = self._pos
        while True:
            done = self._pos - begin
            if done == len(view):
                return done
            try:
                # Bytes that are here need no time limit, whose task takes longer than they do; but
                # now and then other tasks must have their turn.
                n = self._pos & _TURN and self._connection.take(view[done:])
                if n:
                    self._pos += n
                elif not await self._http._timed(self._fill(view[done : done + _PIECE])):
                    self._end = self._pos
                    return self._pos - begin
            except OSError as e:
                await self._resume(FetchError("connection", e.errno))

    async def close(self):
        if self._pos != self._end:
            self._end = self._pos
            await self._http._release(self._connection)

    async def _fill(self, view):
        """Fill `view`; return False at an end that no length has announced."""
        at = 0
        done = False
        try:
            while at < len(view):
                n = await self._connection.readinto(view[at:])
                if not n:
                    if self._end is None:
                        return False
                    raise OSError(ECONNRESET)
                at += n
                self._pos += n
            done = True
            return True
        finally:
            if not done:
                await self._connection.close()

    async def _resume(self, error):
        if self._end is None:
            raise error
        if self._pos - self._lost_at >= _PROGRESS:
            self._losses = 0
        self._lost_at = self._pos
        self._losses += 1
        await self._http._start(self, [self._base], self._losses - 1, error)

    def _range(self):
        if not self._pos and self._end is None:
            return ""
        return "Range: bytes={}-{}\r\n".format(
            self._pos, "" if self._end is None else self._end - 1
        )

    def _accept(self, connection):
        """Raise FetchError unless the answer is what was asked for and of the same file."""
        ranged = self._pos or self._end is not None
        headers = connection.headers
        if connection.status != (206 if ranged else 200):
            raise FetchError("HTTP status", status=connection.status)
        if headers[_CONTENT_ENCODING] not in (b"", b"identity"):
            raise FetchError("encoding")
        end = total = length = connection.length
        if ranged:
            first, end, total = _content_range(headers[_RANGE])
            if first != self._pos or end != (total if self._end is None else self._end):
                raise FetchError("content range")
            if end > total or (length is not None and length != end - first):
                raise FetchError("content range")
        known = total, headers[_ETAG] or headers[_LAST_MODIFIED]
        if self._known and known != self._known:
            raise FetchError("changed")
        self._known = known
        self._end = end
        self._connection = connection


class _Connection:
    """One connection, and the answer that is being read from it.

    All that is read ahead is in `_buf[_pos:_end]`; a body goes from there, and then from the
    socket, straight into the caller's buffer.
    """

    def __init__(self, origin, streams, buf):
        self.origin = origin
        self._reader, self._writer = streams
        self._buf = buf
        self._view = memoryview(buf)
        self._pos = self._end = 0

    async def send(self, request):
        self._writer.write(request)
        await self._writer.drain()

    async def head(self):
        """Read the status and the headers of the next answer that is not an interim one."""
        self._budget = _HEAD_MAX
        self.status = 100
        while self.status // 100 == 1:
            line = await self._line()
            # HTTP/1.1 206 Partial Content
            if not line or line[:7] != b"HTTP/1." or line[8:9] != b" " or line[12:13].strip():
                raise FetchError("not HTTP")
            self.status = _number(line[9:12])
            self._keep = line[7:8] == b"1"
            self.headers = headers = [b""] * len(_USED)
            while True:
                line = await self._line()
                if line == b"":
                    break
                if line:
                    name, _, value = line.partition(b":")
                    name = name.lower()
                    if name in _USED:
                        name = _USED.index(name)
                        value = value.strip()
                        # Which of two to believe is what request smuggling is made of.
                        if headers[name] not in (b"", value):
                            raise FetchError("header twice")
                        headers[name] = value
        self._chunked = headers[_TRANSFER_ENCODING] != b""
        if self._chunked and headers[_TRANSFER_ENCODING].lower() != b"chunked":
            raise FetchError("encoding")
        self.length = None
        if headers[_LENGTH] and not self._chunked:
            self.length = _number(headers[_LENGTH])
        # Bytes of body, or of this chunk, that are still to come; None: until the connection ends.
        self._left = 0 if self._chunked else self.length
        if self.length is None or b"close" in headers[_CONNECTION].lower():
            self._keep = False

    async def readinto(self, view):
        """Read some of the body; return the count, 0 at the end of the body."""
        if self._chunked and not self._left:
            await self._chunk()
        if self._left == 0:
            return 0
        if self._left is not None:
            view = view[: self._left]
        n = min(len(view), self._end - self._pos)
        if n:
            view[:n] = self._view[self._pos : self._pos + n]
            self._pos += n
        else:
            n = await self._recv(view)
        if self._left is None:
            if not n:
                self._left = 0
        elif n:
            self._left -= n
        else:
            raise OSError(ECONNRESET)
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
        self._budget = _HEAD_MAX
        while self._left:
            if self._pos == self._end:
                await self._fill()
            n = min(self._left, self._end - self._pos)
            self._pos += n
            self._left -= n

    def is_idle(self):
        return self._writer and self._keep and not self._left and self._pos == self._end

    def pause(self):
        """Return for how many seconds the server wants to be left alone; None: for good."""
        if self.status < 500 and self.status not in (408, 425, 429):
            return None
        value = self.headers[_RETRY_AFTER]
        # A date says nothing to a clock that may be wrong.
        value = int(value) if value.isdigit() else 0
        return value if value <= _PAUSE_S else None

    async def close(self):
        writer = self._writer
        self._writer = None
        if writer:
            try:
                if hasattr(writer, "transport"):
                    writer.transport.abort()  # CPython would wait for the other side
                else:
                    await writer.wait_closed()
            except OSError:
                # It is gone, and that is what was wanted.
                pass

    async def _chunk(self):
        """Read the line before a chunk. After the last one the trailers stay unread."""
        self._budget = _HEAD_MAX
        # The line end behind the chunk before looks like an empty line.
        line = await self._line() or await self._line() or b""
        try:
            self._left = int(line.partition(b";")[0].strip(), 16)
        except ValueError:
            raise FetchError("chunk")
        if not 0 <= self._left < 0x40000000:
            raise FetchError("chunk")
        self._chunked = self._left > 0

    async def _line(self):
        """Return the next line without its end, or None if it does not fit into the buffer."""
        fits = True
        while True:
            i = self._buf.find(b"\n", self._pos, self._end)
            if i >= 0:
                line = bytes(self._view[self._pos : i]).rstrip(b"\r") if fits else None
                self._pos = i + 1
                return line
            if self._end - self._pos == len(self._buf):
                fits = False
                self._pos = self._end
            await self._fill()

    async def _fill(self):
        """Add bytes to the buffer, which is not full."""
        n = self._end - self._pos
        if self._pos:
            self._view[:n] = self._view[self._pos : self._end]
            self._pos = 0
            self._end = n
        n = await self._recv(self._view[self._end :])
        if not n:
            raise OSError(ECONNRESET)
        self._end += n
        self._budget -= n
        if self._budget < 0:
            raise FetchError("head too long")

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


def _split(url):
    """Return ((is it TLS, host, port), target) of an absolute URL, or raise ValueError."""
    check_text(url, "!")
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https"):
        raise ValueError("url")
    tls = scheme == "https"
    host, _, target = rest.partition("/")
    host, _, port = host.partition(":")
    port = int(port or (443 if tls else 80))
    for c in host:
        if not (c.isalpha() or c.isdigit() or c in "-."):
            raise ValueError("url")
    if not host or not 0 < port < 65536:
        raise ValueError("url")
    return (tls, host.lower(), port), "/" + target.partition("#")[0]


def _host(origin):
    tls, host, port = origin
    return host if port == (443 if tls else 80) else "{}:{}".format(host, port)


def _resolve(origin, target, location):
    """Return the absolute URL of a redirect."""
    if not location:
        raise ValueError("url")
    if "://" in location.partition("?")[0]:
        return location
    scheme = "https:" if origin[0] else "http:"
    if location.startswith("//"):
        return scheme + location
    if not location.startswith("/"):
        location = target.partition("?")[0].rpartition("/")[0] + "/" + location
    return scheme + "//" + _host(origin) + location


def _number(text):
    if len(text) > 10 or not text.isdigit():
        raise FetchError("number")
    return int(text)


def _content_range(value):
    """Return (first, end, total) of `bytes 0-99/1234`: 0, 100, 1234."""
    span, _, total = value.partition(b"/")
    first, _, last = span.partition(b"-")
    if first[:6] != b"bytes ":
        raise FetchError("content range")
    return _number(first[6:]), _number(last) + 1, _number(total)


def _context(ca):
    """Return a TLS context that trusts these DER certificates, takes no other, and no less."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    while ca:
        # mbedTLS refuses bytes behind a certificate, so each one is handed over alone.
        n = 4 + int.from_bytes(ca[2:4], "big")
        if ca[:2] != b"\x30\x82" or n > len(ca):
            raise ValueError("ca is not DER")
        try:
            context.load_verify_locations(cadata=ca[:n])
        except OSError:  # CPython; MicroPython raises ValueError itself
            raise ValueError("ca is not DER")
        ca = ca[n:]
    return context


def _refused(error):
    """Return what a ValueError of a TLS handshake means: the certificate, or only its dates.

    MicroPython has a line of text for each reason, CPython the number of the first one.
    """
    for line in str(error).strip().split("\n"):
        if "validity" not in line:
            break
    else:
        return ClockError("certificate dates")
    if getattr(error, "verify_code", None) in (9, 10):  # not yet valid, expired
        return ClockError("certificate dates")
    return FetchError("certificate")
