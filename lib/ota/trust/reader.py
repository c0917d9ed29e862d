# SPDX-License-Identifier: MIT
"""A strict JSON reader that walks a signed document once, in constant memory.

The caller pulls values in the order of the file and names the few that it wants; everything else
is checked and forgotten. Meanwhile the canonical form of the part between `start` and `stop` goes
to sinks (anything with `update(buf)`): signature verifiers. Source: RFC 8259, RFC 3629 and OLPC
canonical JSON (TUF 1.0.x, 4.2).

Accepted is the part of JSON on which every parser agrees:
    strings   valid UTF-8, no raw control characters, no lone surrogates
    numbers   integers of at most 15 digits (below 2^53), no leading zeros, no -0, no fraction
    objects   keys strictly ascending in code points, as every TUF writer sorts them: there are no
              duplicates, and "signatures" comes before "signed"
    nesting   at most 16 levels in a value that is not walked by the caller
Whatever is accepted has the canonical form that securesystemslib computes from CPython's json
(host_tests/test_reader_fuzz.py). Nothing here recurses on the input.

Because keys are sorted already, the canonical form is the input itself without white space and
with escapes resolved. So pieces of the input buffer are handed on as they are: `_mark` is where
the next piece begins.
"""

from ota import const
from ota.errors import TrustError

_DEPTH = const(16)  # python-tuf's own documents need 8
_KEY = const(512)  # longest key: a target path; two are held for each open object
_DIGITS = const(15)
_NODE = const(16)  # what a value costs of a budget, besides its characters


def _syntax():
    return TrustError("metadata syntax")


class Reader:
    """One pass over `file` (readinto) through `buf`, refusing more than `limit` bytes.

    `raw`: sinks for every byte of the file.
    """

    def __init__(self, file, buf, limit, raw=()):
        self._file = file
        self._buf = buf
        self._view = memoryview(buf)
        self._limit = limit
        self.length = 0  # of what was read
        self._raw = raw
        self._sinks = ()
        self._mark = -1  # -1: not between start and stop
        self._pos = 0
        self._end = 0

    def start(self, sinks):
        """Hand the canonical form of the next value to `sinks`, until `stop`."""
        self._next()
        self._sinks = sinks
        self._mark = self._pos

    def stop(self):
        self._flush(self._pos)
        self._mark = -1

    def keys(self):
        """Yield the keys of an object. The caller reads each value before the next key."""
        self._expect(0x7B)
        key = None
        while self._more(0x7D, key is None):
            key = self._key(key)
            yield key

    def fields(self, needed, optional=None):
        """Read an object; return {key: value} of the wanted keys that it has.

        `needed` and `optional` say how to read each of them: a function of this Reader, the limit
        of a string (a longer one counts as absent), or a tuple: arguments for `fields` itself. A
        key of `needed` that is absent is refused.
        """
        found = {}
        for key in self.keys():
            how = needed.get(key) or (optional and optional.get(key))
            if not how:
                self.value()
            elif isinstance(how, tuple):
                found[key] = self.fields(*how)
            elif isinstance(how, int):
                text = self.string(how)
                if text is not None:
                    found[key] = text
            else:
                found[key] = how(self)
        for key in needed:
            if key not in found:
                raise TrustError("missing in metadata", key)
        return found

    def items(self):
        """Yield once for each item of an array. The caller reads it before the next one."""
        self._expect(0x5B)
        first = True
        while self._more(0x5D, first):
            first = False
            yield

    def string(self, limit=0):
        """Read a string; return it, or None if it is longer than `limit` bytes of UTF-8."""
        self._expect(0x22)
        text = bytearray()
        room = limit
        buf = self._buf
        while True:
            start = pos = self._pos
            end = self._end
            c = 0
            while pos < end:
                c = buf[pos]
                if c < 0x20 or c > 0x7F or c == 0x22 or c == 0x5C:
                    break
                pos += 1
            self._pos = pos
            room -= pos - start
            if room >= 0:
                text.extend(self._view[start:pos])
            if pos == end:
                self._peek()
                continue
            if c == 0x22:
                self._pos = pos + 1
                return str(text, "utf-8") if room >= 0 else None
            if c == 0x5C:
                c = self._escape()
            elif c > 0x7F:
                c = self._multibyte()
            else:
                raise _syntax()
            c = chr(c).encode()
            room -= len(c)
            if room >= 0:
                text.extend(c)

    def natural(self):
        """Read an integer that is not negative."""
        self._next()
        return self._digits()

    def positive(self):
        n = self.natural()
        if not n:
            raise TrustError("zero in metadata")
        return n

    def boolean(self):
        value = self.value()
        if value is not True and value is not False:
            raise _syntax()
        return value

    def value(self, budget=0):
        """Read any value; return it if `budget` is given, and refuse a value that costs more.

        A value costs 16 and its characters, an object or array also what is in it.
        """
        build = budget > 0
        stack = []  # of open objects and arrays: [content, closing character, last key]
        value = None
        while True:
            c = self._next()
            opened = c == 0x7B or c == 0x5B
            if opened:
                if len(stack) == _DEPTH:
                    raise TrustError("metadata nests too deep")
                self._pos += 1
                stack.append([{} if c == 0x7B else [], c + 2, None])
            else:
                value = self._scalar(c, budget)
                if build and c == 0x22:
                    budget = -1 if value is None else budget - len(value)
            if build:
                budget -= _NODE
                if budget < 0:
                    raise TrustError("value in metadata too large")
            while stack:
                top = stack[-1]
                content, close, key = top
                if build and not opened:
                    if close == 0x7D:
                        content[key] = value
                    else:
                        content.append(value)
                if self._more(close, opened):
                    if close == 0x7D:
                        top[2] = self._key(key)
                        if build:
                            budget -= len(top[2])
                    break
                opened = False
                value = content
                stack.pop()
            else:
                return value

    def end(self):
        """Refuse anything but white space in the rest of the file."""
        while self._pos < self._end or self._fill():
            if self._buf[self._pos] not in b" \t\r\n":
                raise TrustError("metadata goes on after its end")
            self._pos += 1

    def _digits(self):
        n = digits = 0
        c = self._peek()
        while 0x30 <= c <= 0x39:
            if digits == _DIGITS or (digits and not n):
                raise _syntax()
            n = n * 10 + c - 0x30
            digits += 1
            self._pos += 1
            c = self._peek()
        if not digits:
            raise _syntax()
        return n

    def _scalar(self, c, budget):
        if c == 0x22:
            return self.string(budget)
        if c == 0x2D:
            self._pos += 1
            n = self._digits()
            if not n:
                raise _syntax()
            return -n
        if c == 0x74:
            word, value = b"true", True
        elif c == 0x66:
            word, value = b"false", False
        elif c == 0x6E:
            word, value = b"null", None
        else:
            return self._digits()
        for c in word:
            if self._take() != c:
                raise _syntax()
        return value

    def _more(self, close, first):
        """Return whether another member follows, reading what stands before it."""
        c = self._next()
        if c == close:
            self._pos += 1
            return False
        if not first:
            self._expect(0x2C)
        return True

    def _key(self, previous):
        key = self.string(_KEY)
        if key is None:
            raise TrustError("key in metadata too long")
        if previous is not None and key <= previous:
            raise TrustError("keys in metadata not ascending")
        self._expect(0x3A)
        return key

    def _expect(self, c):
        if self._next() != c:
            raise _syntax()
        self._pos += 1

    def _next(self):
        """Skip white space; return the byte after it, not yet read."""
        c = self._peek()
        if c in b" \t\r\n":
            self._flush(self._pos)
            while c in b" \t\r\n":
                self._pos += 1
                if self._mark >= 0:
                    self._mark = self._pos
                c = self._peek()
        return c

    def _take(self):
        c = self._peek()
        self._pos += 1
        return c

    def _peek(self):
        if self._pos == self._end and not self._fill():
            raise TrustError("metadata ends early")
        return self._buf[self._pos]

    def _fill(self):
        self._flush(self._end)
        n = self._file.readinto(self._buf)
        if not n:
            return False
        self.length += n
        if self.length > self._limit:
            raise TrustError("metadata too long")
        piece = self._view[:n]
        for sink in self._raw:
            sink.update(piece)
        if self._mark > 0:
            self._mark = 0
        self._pos = 0
        self._end = n
        return True

    def _flush(self, end):
        if 0 <= self._mark < end:
            piece = self._view[self._mark : end]
            for sink in self._sinks:
                sink.update(piece)
            self._mark = end

    def _escape(self):
        """Read an escape sequence, hand on its canonical form, return the code point."""
        signed = self._mark >= 0
        self._flush(self._pos)
        self._mark = -1
        self._pos += 1
        c = self._take()
        if c == 0x75:
            c = self._hex()
            if 0xD800 <= c < 0xE000:  # half of a surrogate pair: the other half has to follow
                low = self._take() << 8 | self._take()
                low = self._hex() - 0xDC00 if low == 0x5C75 else -1
                if c >= 0xDC00 or not 0 <= low < 0x400:
                    raise _syntax()
                c = 0x10000 + ((c - 0xD800) << 10) + low
        else:
            i = b'"\\/bfnrt'.find(bytes((c,)))
            if i < 0:
                raise _syntax()
            c = b'"\\/\b\f\n\r\t'[i]
        if signed:
            text = chr(c).encode()
            for sink in self._sinks:
                if c == 0x22 or c == 0x5C:
                    sink.update(b"\\")
                sink.update(text)
            self._mark = self._pos
        return c

    def _hex(self):
        n = 0
        for _ in range(4):
            c = self._take()
            if 0x30 <= c <= 0x39:
                c -= 0x30
            elif 0x61 <= c | 0x20 <= 0x66:
                c = (c | 0x20) - 0x57
            else:
                raise _syntax()
            n = n << 4 | c
        return n

    def _multibyte(self):
        """Read one character of two to four bytes, return its code point (RFC 3629, 3)."""
        c = self._take()
        if c < 0xC2 or c > 0xF4:
            raise _syntax()
        more = 1 if c < 0xE0 else 2 if c < 0xF0 else 3
        c &= 0x3F >> more
        for _ in range(more):
            follow = self._take()
            if follow & 0xC0 != 0x80:
                raise _syntax()
            c = c << 6 | follow & 0x3F
        if c < (0x80, 0x800, 0x10000)[more - 1] or 0xD800 <= c < 0xE000 or c > 0x10FFFF:
            raise _syntax()
        return c
