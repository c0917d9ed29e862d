// SPDX-License-Identifier: MIT
// Verification of Ed25519 signatures: see ed25519.h.
//
// Points are in extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z. A point to be added
// often is kept as (Y - X, Y + X, 2dT, 2Z). Formulas: Hisil, Wong, Carter, Dawson, "Twisted Edwards
// curves revisited", 2008; the addition is complete, no case needs its own code.
//
// What is done to field elements is written as programs for a tiny machine of 12 registers: as
// calls, the same would take a kilobyte more.

#include "ed25519.h"

#include "field.h"

// ---- The machine

// An instruction is 16 bits: last flag, operation, destination, two sources, 4 bits for each
// register. Q0 to Q3 are in a table entry that the caller points to.
enum { X, Y, Z, T, E, F, G, H, S, D2, REGISTERS, Q0 = 12, Q1, Q2, Q3 };
enum { OP_MUL, OP_ADD, OP_SUB, LAST = 0x8000 };
#define OP(op, d, a, b) ((op) << 12 | (d) << 8 | (a) << 4 | (b))
#define MUL(d, a, b) OP(OP_MUL, d, a, b)
#define ADD(d, a, b) OP(OP_ADD, d, a, b)
#define SUB(d, a, b) OP(OP_SUB, d, a, b)

static const struct {
    uint16_t root[7], check[5], affine[1], cache[4], twice[10], plus[10], minus[10], tail[4], end[9];
} programs = {
    // From y: u = 2 (y^2 - 1) in E, v = 2 (d y^2 + 1) in F, uv in G; x^2 = u/v.
    .root = {
        MUL(E, Y, Y),
        MUL(F, E, D2),
        ADD(H, Z, Z),
        ADD(F, F, H),
        ADD(E, E, E),
        SUB(E, E, H),
        MUL(G, E, F) | LAST,
    },
    // A candidate for x in X; if v x^2 is u or -u, then F or G is 0.
    .check = {
        MUL(X, E, S),
        MUL(G, X, X),
        MUL(G, G, F),
        SUB(F, G, E),
        ADD(G, G, E) | LAST,
    },
    .affine = {
        MUL(T, X, Y) | LAST,
    },
    .cache = {
        SUB(Q0, Y, X),
        ADD(Q1, Y, X),
        MUL(Q2, T, D2),
        ADD(Q3, Z, Z) | LAST,
    },
    // Twice the point. After this, plus and minus, `tail` has to follow.
    .twice = {
        ADD(S, X, Y),
        MUL(E, X, X),
        MUL(G, Y, Y),
        MUL(F, Z, Z),
        ADD(F, F, F),
        ADD(H, E, G),
        MUL(S, S, S),
        SUB(G, E, G),
        SUB(E, H, S),
        ADD(F, F, G) | LAST,
    },
    // The point and Q.
    .plus = {
        MUL(T, T, Q2),
        MUL(S, Z, Q3),
        SUB(E, Y, X),
        ADD(G, Y, X),
        MUL(E, E, Q0),
        MUL(G, G, Q1),
        ADD(H, G, E),
        SUB(E, G, E),
        SUB(F, S, T),
        ADD(G, S, T) | LAST,
    },
    // The point and -Q, which is Q with Q0 and Q1 exchanged, and -Q2.
    .minus = {
        MUL(T, T, Q2),
        MUL(S, Z, Q3),
        SUB(E, Y, X),
        ADD(G, Y, X),
        MUL(E, E, Q1),
        MUL(G, G, Q0),
        ADD(H, G, E),
        SUB(E, G, E),
        ADD(F, S, T),
        SUB(G, S, T) | LAST,
    },
    // T first: where no addition follows, it is left out.
    .tail = {
        MUL(T, E, H),
        MUL(X, E, F),
        MUL(Y, G, H),
        MUL(Z, F, G) | LAST,
    },
    // 1/z = (z^(2^252 - 3))^8 z^3
    .end = {
        MUL(S, S, S),
        MUL(S, S, S),
        MUL(S, S, S),
        MUL(S, S, Z),
        MUL(T, Z, Z),
        MUL(S, S, T),
        MUL(X, X, S),
        MUL(Y, Y, S),
        MUL(T, E, H) | LAST,
    },
};
#define AT(program) (offsetof(__typeof__(programs), program) / sizeof(uint16_t))

typedef struct {
    fe r[REGISTERS];
    fe table[2][4][4]; // of A and B: 1, 3, 5, 7 times the point
    fe scalar[2];      // k and S
} machine;

static fe *at(fe *r, fe *q, unsigned i) {
    return (i < Q0 ? r : q - Q0) + i;
}

static void run(machine *m, fe *q, unsigned pc) {
    unsigned code;
    do {
        code = ((const uint16_t *)&programs)[pc++];
        fe *d = at(m->r, q, code >> 8 & 15);
        const fe *a = at(m->r, q, code >> 4 & 15);
        const fe *b = at(m->r, q, code & 15);
        unsigned op = code >> 12 & 3;
        if (op == OP_ADD) {
            fe_add(d, a, b);
        } else if (op == OP_SUB) {
            fe_sub(d, a, b);
        } else if (a == b) {
            fe_sqr(d, a);
        } else {
            fe_mul(d, a, b);
        }
    } while (!(code & LAST));
}

// S = a^(2^252 - 3), with T.
static void power(machine *m, const fe *a) {
    // a^(2^n - 1) for n = 1, 3, 7, 15, 31, 62, 125, 250: the beginnings of 250 in binary.
    fe *t = &m->r[T];
    fe *s = &m->r[S];
    const fe *last = a;
    for (unsigned i = 7; i-- > 0;) {
        fe_sqr(t, last);
        for (unsigned n = 250 >> (i + 1); n > 1; n--) {
            fe_sqr(t, t);
        }
        fe_mul(s, t, last);
        if (250 >> i & 1) {
            fe_sqr(s, s);
            fe_mul(s, s, a);
        }
        last = s;
    }
    fe_sqr(s, s);
    fe_sqr(s, s);
    fe_mul(s, s, a);
}

// ---- Numbers

static void copy(void *to, const void *from) {
    for (unsigned i = 0; i < 32; i++) {
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
}

static bool equal(const void *a, const void *b) {
    for (unsigned i = 0; i < 32; i++) {
        if (((const uint8_t *)a)[i] != ((const uint8_t *)b)[i]) {
            return false;
        }
    }
    return true;
}

// Makes a canonical.
static bool is_zero(fe *a) {
    uint32_t all = 0;
    fe_canonical(a);
    for (unsigned i = 0; i < 8; i++) {
        all |= a->w[i];
    }
    return all == 0;
}

// a += b, or with a mask of ones, a -= b. Returns the carry, or 1 if there is no borrow.
static uint32_t accumulate(fe *a, const fe *b, uint32_t mask) {
    uint32_t carry = mask & 1;
    for (unsigned i = 0; i < 8; i++) {
        uint32_t x = b->w[i] ^ mask;
        uint32_t y = a->w[i] + carry;
        carry = y < carry;
        y += x;
        carry += y < x;
        a->w[i] = y;
    }
    return carry;
}

static const fe order = {{
    0x5cf5d3ed, 0x5812631a, 0xa2f79cd6, 0x14def9de, 0, 0, 0, 0x10000000}}; // L = 2^252 + c

// r = the number in `bytes` modulo L. The length is a multiple of 16.
static void reduce(fe *r, const uint8_t *bytes, unsigned length) {
    fe c;
    copy(&c, &order);
    c.w[7] = 0;
    for (unsigned i = 0; i < 8; i++) {
        r->w[i] = 0;
    }
    while (length > 0) {
        // r 2^128 + (16 bytes) = 2^252 q + (the rest), congruent to (the rest) - cq.
        // r < L < 2^253, so q < 2^129 and cq < 2^254: one multiplication in the field does it.
        fe q = {{0}};
        q.w[4] = r->w[7] >> 28;
        for (unsigned i = 4; i-- > 0;) {
            q.w[i] = r->w[i + 4] << 4 | r->w[i + 3] >> 28;
            r->w[i + 4] = r->w[i];
        }
        r->w[7] &= 0x0fffffff;
        length -= 16;
        for (unsigned i = 0; i < 16; i++) {
            ((uint8_t *)r)[i] = bytes[length + i];
        }
        fe_mul(&q, &q, &c);
        uint32_t positive = accumulate(r, &q, ~(uint32_t)0);
        while (!positive) {
            positive = accumulate(r, &order, 0);
        }
    }
}

// ---- Points

static const fe base_x = {{0x8f25d51a, 0xc9562d60, 0x9525a7b2, 0x692cc760,
    0xfdd6dc5c, 0xc0a4e231, 0xcd6e53fe, 0x216936d3}};
static const fe twice_d = {{0x26b2f159, 0xebd69b94, 0x8283b156, 0x00e0149a,
    0xeef3d130, 0x198e80f2, 0x56dffce7, 0x2406d9dc}};
static const fe sqrt_of_minus_1 = {{0x4a0ea0b0, 0xc4ee1b27, 0xad2fe478, 0x2f431806,
    0x3dfbd7a7, 0x2b4d0099, 0x4fc1df0b, 0x2b832480}};

static void set_word(fe *a, uint32_t low, uint32_t others) {
    a->w[0] = low;
    for (unsigned i = 1; i < 8; i++) {
        a->w[i] = others;
    }
}

// Returns whether x = X, y = Y has that encoding. Makes X canonical and puts the encoding in Y.
static bool has_encoding(machine *m, const uint8_t *encoding) {
    fe_canonical(&m->r[X]);
    fe_canonical(&m->r[Y]);
    m->r[Y].w[7] |= m->r[X].w[0] << 31;
    return equal(&m->r[Y], encoding);
}

// Sets X and Y to the affine point, or returns false: not canonical, or not on the curve. Z is 1.
static bool decode(machine *m, const uint8_t *encoding) {
    fe *x = &m->r[X];
    fe *y = &m->r[Y];
    copy(y, encoding);
    y->w[7] &= 0x7fffffff;
    run(m, m->r, AT(root));
    // If uv is a square, then u (uv)^((p - 5)/8) is a root of u/v, or sqrt(-1) times it is.
    power(m, &m->r[G]);
    run(m, m->r, AT(check));
    fe *zero = &m->r[F];
    if (!is_zero(zero)) {
        zero = &m->r[G];
        if (!is_zero(zero)) {
            return false;
        }
        fe_mul(x, x, &sqrt_of_minus_1);
    }
    fe_canonical(x);
    if ((x->w[0] & 1) != encoding[31] >> 7) {
        fe_sub(x, zero, x);
    }
    // False for y >= p, and for x = 0 with the sign bit set.
    bool good = has_encoding(m, encoding);
    y->w[7] &= 0x7fffffff;
    return good;
}

// Fills a table from the affine point in X and Y, with Z = 1. Returns whether the point is of small
// order: then twice the point has xy = 0.
static bool multiples(machine *m, fe table[4][4]) {
    run(m, table[0], AT(affine));
    run(m, table[0], AT(cache));
    run(m, table[0], AT(twice));
    run(m, table[0], AT(tail));
    bool small = is_zero(&m->r[T]);
    run(m, table[3], AT(cache)); // twice the point, until 7 times the point takes its place
    fe *next = table[0];
    for (unsigned i = 1; i < 4; i++) {
        run(m, next, AT(plus));
        run(m, next, AT(tail));
        next = table[3];
        run(m, table[i], AT(cache));
    }
    return small;
}

// (X, Y, Z) = [S]B - [k]A, with one chain of doublings. Both scalars are read from the top, as
// differences of neighbouring bits (2k - k, without carries): -1, 0 or 1 for each place. From the
// first that is not 0, four places at once make a number; its odd part is the digit, added where
// its last place is. One place in five has a digit on average.
static void combine(machine *m) {
    unsigned window[2] = {0, 0}; // bits i + 4 to i
    int pending[2] = {0, 0};     // 8 times the number
    set_word(&m->r[X], 0, 0);
    set_word(&m->r[Y], 1, 0);
    set_word(&m->r[Z], 1, 0);
    for (int i = 252; i >= -4; i--) {
        run(m, m->r, AT(twice));
        for (unsigned n = 0; n < 2; n++) {
            unsigned bits = window[n] << 1 & 31;
            if (i >= 0) {
                bits |= m->scalar[n].w[i >> 5] >> (i & 31) & 1;
            }
            window[n] = bits;
            int digit = pending[n] * 2;
            if (!digit && ((bits ^ bits << 1) & 16)) {
                digit = (int)((bits + 1) >> 1) - (int)(bits & 16);
            }
            pending[n] = 0;
            if (digit & 7) {
                pending[n] = digit;
            } else if (digit) {
                bool negative = digit < 0;
                fe *entry = m->table[n][(negative ? -digit : digit) >> 4];
                run(m, entry, AT(tail));
                run(m, entry, negative == n ? AT(minus) : AT(plus));
            }
        }
        run(m, m->r, AT(tail) + 1);
    }
}

// ---- The interface

void ota_ed25519_init(ota_ed25519 *check, const uint8_t key[32], const uint8_t signature[64]) {
    copy(check->key, key);
    copy(check->signature, signature);
    copy(check->signature + 32, signature + 32);
    ota_sha512_init(&check->hash);
    // From the copies: what is hashed is what is checked, whatever happens to the originals.
    ota_sha512_update(&check->hash, check->signature, 32);
    ota_sha512_update(&check->hash, check->key, 32);
}

void ota_ed25519_update(ota_ed25519 *check, const void *data, size_t length) {
    ota_sha512_update(&check->hash, data, length);
}

bool ota_ed25519_ok(ota_ed25519 *check) {
    machine m;
    uint8_t *digest = (uint8_t *)check->hash.block;
    ota_sha512_final(&check->hash, digest);
    reduce(&m.scalar[0], digest, 64);
    reduce(&m.scalar[1], check->signature + 32, 32);
    copy(&m.r[D2], &twice_d);
    set_word(&m.r[Z], 1, 0);
    if (!equal(&m.scalar[1], check->signature + 32) || !decode(&m, check->key)
        || multiples(&m, m.table[0])) {
        return false;
    }
    copy(&m.r[X], &base_x);
    set_word(&m.r[Y], 0x66666658, 0x66666666); // 4/5
    set_word(&m.r[Z], 1, 0);
    multiples(&m, m.table[1]);
    combine(&m);
    // xy of twice R' will be in T: 0 if R' is of small order.
    run(&m, m.r, AT(twice));
    power(&m, &m.r[Z]);
    run(&m, m.r, AT(end));
    return has_encoding(&m, check->signature) && !is_zero(&m.r[T]);
}

bool ota_ed25519_verify(const uint8_t key[32], const void *message, size_t length,
    const uint8_t signature[64]) {
    ota_ed25519 check;
    ota_ed25519_init(&check, key, signature);
    ota_ed25519_update(&check, message, length);
    return ota_ed25519_ok(&check);
}
