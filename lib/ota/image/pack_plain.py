# SPDX-License-Identifier: MIT
"""The loops of `pack` over bytes, for every Python. `pack_fast` has the same for some."""

_WINDOW = 512


def move(out, to, start, count):
    """Copy `count` bytes within `out`, the first one first: they may overlap."""
    for i in range(count):
        out[to + i] = out[start + i]


def add(out, to, literal, old, start, count):
    """Write at `to` the sums of `count` bytes of `old` and of `out` from `literal` >= `to` on."""
    for i in range(count):
        out[to + i] = out[literal + i] + old[start + i] & 0xFF


def thumb(out, pos, count, window, begin, end, skip, a, b, code, map):
    """Copy `count` bytes to `pos`, with their references for another place (SPEC, Packs).

    window  bytes of the old image, and as many more to work in
    begin   of what the copy's references reach over, and its end, in the window: at an offset of
            the old image that is a multiple of 4
    skip    how far into that the copy begins
    a, b    address of that first one in the old and in the new image
    code    not 0: instructions are among them
    map     the least and the greatest address that is elsewhere, then addresses and shifts
    """
    piece = window[begin:end]
    end = len(piece) - 3
    least, most = map[0] >> 24, map[1] >> 24
    for i in range(0, end, 4):
        if least <= piece[i + 3] <= most:
            word = piece[i] | piece[i + 1] << 8 | piece[i + 2] << 16 | piece[i + 3] << 24
            _put(piece, i, word + _shift(word, map), 4)
    for i in range(0, end if code else 0, 2):
        if piece[i + 1] & 0xF8 == 0xF0 and piece[i + 3] & 0xF8 == 0xF8:
            v = _get(piece, i)
            if v & 0x200000:
                v -= 0x400000
            target = a + i + 4 + 2 * v & 0xFFFFFFFF
            _jump(piece, i, target + _shift(target, map) - (b + i))
    out[pos : pos + count] = piece[skip : skip + count]


def jumps(out, b):
    """Make the absolute jumps of a block relative; `b` is its address."""
    for i in range(0, len(out) - 3, 2):
        if out[i + 1] & 0xF8 == 0xF0 and out[i + 3] & 0xF8 == 0xF8:
            _jump(out, i, 2 * _get(out, i) - (b + i))


def _get(code, at):
    return (code[at + 1] & 7) << 19 | code[at] << 11 | (code[at + 3] & 7) << 8 | code[at + 2]


def _jump(code, at, far):
    v = far - 4 >> 1
    _put(code, at, 0xF000 | v >> 11 & 0x7FF, 2)
    _put(code, at + 2, 0xF800 | v & 0x7FF, 2)


def xtensa(out, window, where, a, b, code, map):
    """Rewrite the references of a part of a copy for its new place (SPEC, Packs).

    out     the part, a copy of the window's bytes from `where` on
    window  bytes of the old image from a multiple of 512 on
    a, b    address of the window in the old image, and where it would be in the new one
    code    not 0: it holds instructions too; 2: calls in it are absolute, and all there is
    map     see there
    """
    end = len(window)
    last = where + len(out)
    i = 0
    while code and i < last:
        low = window[i] & 15
        if low >= 8:
            i += 2
            continue
        if i + 3 > end:
            break
        if low == 5 or (low == 1 and code == 1):
            v = window[i] | window[i + 1] << 8 | window[i + 2] << 16
            old, new = a + i, b + i
            if low == 5:  # call0, call4, call8, call12
                by = v >> 6
                if by & 0x20000:
                    by -= 0x40000
                old, new = (old & ~3) + 4, (new & ~3) + 4
                target = (old if code == 1 else 0) + 4 * by & 0xFFFFFFFF
                by = (target + _shift(target, map) - new) >> 2
                v = v & 0x3F | (by & 0x3FFFF) << 6
            else:  # l32r
                old, new = old + 3 & ~3, new + 3 & ~3
                target = old + 4 * ((v >> 8) - 0x10000) & 0xFFFFFFFF
                by = (target + _shift(target, map) - new) >> 2
                v = v & 0xFF | (by & 0xFFFF) << 8
            _put(out, i - where, v, 3)
        i += 3
    least, most = map[0] >> 24, map[1] >> 24
    for i in range(where & ~3, min(end - 3, last), 4):
        if least <= window[i + 3] <= most:
            word = window[i] | window[i + 1] << 8 | window[i + 2] << 16 | window[i + 3] << 24
            by = _shift(word, map)
            if by:
                _put(out, i - where, word + by, 4)


def _shift(address, map):
    """Return by how much what is at an address of the old image is elsewhere in the new one."""
    low, high = 1, len(map) >> 1  # its piece is the one before `low`
    if address < 0x80000000:
        while low < high:
            middle = low + high >> 1
            if map[2 * middle] <= address:
                low = middle + 1
            else:
                high = middle
    return map[2 * low - 1] if low > 1 else 0


def _put(out, at, value, count):
    """Write what lies inside of a number, the lowest byte first."""
    for i in range(max(0, -at), min(count, len(out) - at)):
        out[at + i] = value >> 8 * i & 0xFF
