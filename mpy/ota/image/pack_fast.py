# SPDX-License-Identifier: MIT
# ruff: noqa: F821, RUF046
"""The loops of `pack_plain`, compiled to machine code by MicroPython (`micropython.viper`).

Here an index is not checked against the length of its buffer: `pack` has done so. An int is one
of the machine, of 32 bits or 64.
"""

import micropython


@micropython.viper
def move(out, to: int, start: int, count: int):
    p = ptr8(out)
    i = 0
    while i < count:
        p[to + i] = p[start + i]
        i += 1


@micropython.viper
def add(out, to: int, literal: int, old, start: int, count: int):
    p = ptr8(out)
    q = ptr8(old)
    i = 0
    while i < count:
        p[to + i] = p[literal + i] + q[start + i]
        i += 1


@micropython.viper
def thumb(
    out,
    pos: int,
    count: int,
    window,
    begin: int,
    end: int,
    skip: int,
    a: int,
    b: int,
    code: int,
    map,
):
    end -= begin
    p = ptr32(int(ptr8(window)) + begin)
    q = ptr32(int(ptr8(window)) + 512)
    m = ptr32(map)
    least = m[0]
    most = m[1]
    last = (end + 3) >> 2
    i = 0
    while i < last:
        word = p[i]
        if least <= word and word <= most and 4 * i + 4 <= end:
            word += int(_shift(word, map))
        q[i] = word
        i += 1
    if code:
        h = ptr16(q)
        last = (end >> 1) - 1
        i = 0
        while i < last:
            if (h[i] & 0xF800) == 0xF000 and (h[i + 1] & 0xF800) == 0xF800:
                v = (h[i] & 0x7FF) << 11 | h[i + 1] & 0x7FF
                if v & 0x200000:
                    v -= 0x400000
                target = a + 2 * (i + v) + 4
                target = (target >> 16 & 0xFFFF) << 16 | target & 0xFFFF
                v = (target + int(_shift(target, map)) - (b + 2 * i) - 4) >> 1
                h[i] = 0xF000 | v >> 11 & 0x7FF
                h[i + 1] = 0xF800 | v & 0x7FF
            i += 1
    to = ptr8(out)
    begin = 512 + skip
    p8 = ptr8(window)
    i = 0
    while i < count:
        to[pos + i] = p8[begin + i]
        i += 1


@micropython.viper
def jumps(out, b: int):
    h = ptr16(out)
    last = (int(len(out)) >> 1) - 1
    i = 0
    while i < last:
        if (h[i] & 0xF800) == 0xF000 and (h[i + 1] & 0xF800) == 0xF800:
            v = (h[i] & 0x7FF) << 11 | h[i + 1] & 0x7FF
            v = (2 * v - (b + 2 * i) - 4) >> 1
            h[i] = 0xF000 | v >> 11 & 0x7FF
            h[i + 1] = 0xF800 | v & 0x7FF
        i += 1


@micropython.viper
def xtensa(out, window, where: int, a: int, b: int, code: int, map):
    p = ptr8(window)
    end = int(len(window))
    last = where + int(len(out))
    i = 0
    while code and i < last:
        low = p[i] & 15
        if low >= 8:
            i += 2
        elif i + 3 > end:
            i = last
        else:
            if low == 5 or (low == 1 and code == 1):
                v = p[i] | p[i + 1] << 8 | p[i + 2] << 16
                if low == 5:
                    by = v >> 6
                    if by & 0x20000:
                        by -= 0x40000
                    target = 4 * by
                    if code == 1:
                        target += ((a + i) & ~3) + 4
                    new = ((b + i) & ~3) + 4
                else:
                    target = ((a + i + 3) & ~3) + 4 * ((v >> 8) - 0x10000)
                    new = (b + i + 3) & ~3
                target = (target >> 16 & 0xFFFF) << 16 | target & 0xFFFF
                by = (target + int(_shift(target, map)) - new) >> 2
                if low == 5:
                    v = v & 0x3F | (by & 0x3FFFF) << 6
                else:
                    v = v & 0xFF | (by & 0xFFFF) << 8
                _put(out, i - where, v, 3)
            i += 3
    m = ptr32(map)
    least = m[0]
    most = m[1]
    w = ptr32(window)
    i = where >> 2
    last = (last + 3) >> 2
    if last > end >> 2:
        last = end >> 2
    while i < last:
        word = w[i]
        if least <= word and word <= most:
            by = int(_shift(word, map))
            if by:
                _put(out, 4 * i - where, word + by, 4)
        i += 1


@micropython.viper
def _put(out, at: int, value: int, count: int):
    p = ptr8(out)
    end = int(len(out))
    while count:
        if 0 <= at and at < end:
            p[at] = value
        at += 1
        value >>= 8
        count -= 1


@micropython.viper
def _shift(address: int, map) -> int:
    if address >> 31:  # of 32 bits: negative
        return 0
    m = ptr32(map)
    low = 1
    high = int(len(map)) >> 1
    while low < high:
        middle = (low + high) >> 1
        if m[2 * middle] <= address:
            low = middle + 1
        else:
            high = middle
    if low > 1:
        return m[2 * low - 1]
    return 0
