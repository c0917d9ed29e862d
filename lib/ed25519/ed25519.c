// SPDX-License-Identifier: MIT
// Verification of Ed25519 signatures: see ed25519.h.
//
// Points are in extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z. A point that is to
// be added is kept as (Y - X, Y + X, 2dT, 2Z). Formulas: Hisil, Wong, Carter, Dawson, "Twisted
// Edwards curves revisited", 2008; the addition is complete, no case needs its own code.
//
// What is done to field elements is written as programs for a tiny machine: as calls, the same
// would take a kilobyte more.

#include "ed25519.h"

#include "field.h"

// ---- The machine

// Its registers. Q0 to Q3 are not registers but a point to be added, and only a last operand.
enum { X, Y, Z, T, E, F, G, H, S, ONE, D2, REGISTERS, Q0 = 12, Q1, Q2, Q3 };

typedef struct {
    fe r[REGISTERS];
    const fe *q;
    fe multiples[4][4]; // A, 3A, 5A, 7A
    fe scalar[2];       // k and S
} machine;

// An instruction has 16 bits: LAST, operation, result and operands, 4 bits for each of these.
enum { OP_MUL = 0, OP_ADD = 0x1000, OP_SUB = 0x2000, LAST = 0x8000 };
#define CODE(op, r, a, b) ((op) | (r) << 8 | (a) << 4 | (b))
#define MUL(r, a, b) CODE(OP_MUL, r, a, b)
#define ADD(r, a, b) CODE(OP_ADD, r, a, b)
#define SUB(r, a, b) CODE(OP_SUB, r, a, b)

static const struct {
    uint16_t fraction[7], power_1[1], power_last[1], power_n_plus_1[2], root[5];
    uint16_t affine[2], neutral[3], cached[4], twice[10];
    uint16_t q_scaled[1], q_affine[1], plus[9], minus[9], point[4], end[9];
} programs = {
    // From y: u = 2 (y^2 - 1) in E, v = 2 (d y^2 + 1) in F, uv in Z; x^2 = u/v.
    .fraction = {
        MUL(E, Y, Y),
        MUL(F, E, D2),
        ADD(H, ONE, ONE),
        ADD(F, F, H),
        ADD(E, E, E),
        SUB(E, E, H),
        MUL(Z, E, F) | LAST,
    },
    // Steps of power(), which has Z^(2^n - 1) in S.
    .power_1 = {
        MUL(S, Z, ONE) | LAST,
    },
    .power_last = {
        MUL(S, S, S),
    },
    .power_n_plus_1 = {
        MUL(S, S, S),
        MUL(S, S, Z) | LAST,
    },
    // What may be x in X. If v x^2 is u or -u, then F or G is 0.
    .root = {
        MUL(X, E, S),
        MUL(G, X, X),
        MUL(G, G, F),
        SUB(F, G, E),
        ADD(G, G, E) | LAST,
    },
    // Z and T to x and y.
    .affine = {
        MUL(Z, ONE, ONE),
        MUL(T, X, Y) | LAST,
    },
    .neutral = {
        SUB(X, ONE, ONE),
        ADD(Y, X, ONE),
        ADD(Z, X, ONE) | LAST,
    },
    // The form to be added, in E to H.
    .cached = {
        SUB(E, Y, X),
        ADD(F, Y, X),
        MUL(G, T, D2),
        ADD(H, Z, Z) | LAST,
    },
    // Twice the point, of which T is not needed. Then `point`.
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
    // The point and Q: first one of these, for Q with four coordinates or with z = 1 and three;
    // then `plus` or `minus`; then `point`.
    .q_scaled = {
        MUL(S, Z, Q3) | LAST,
    },
    .q_affine = {
        ADD(S, Z, Z) | LAST,
    },
    .plus = {
        MUL(T, T, Q2),
        SUB(E, Y, X),
        ADD(G, Y, X),
        MUL(E, E, Q0),
        MUL(G, G, Q1),
        ADD(H, G, E),
        SUB(E, G, E),
        SUB(F, S, T),
        ADD(G, S, T) | LAST,
    },
    // -Q is Q with Q0 and Q1 exchanged, and -Q2.
    .minus = {
        MUL(T, T, Q2),
        SUB(E, Y, X),
        ADD(G, Y, X),
        MUL(E, E, Q1),
        MUL(G, G, Q0),
        ADD(H, G, E),
        SUB(E, G, E),
        ADD(F, S, T),
        SUB(G, S, T) | LAST,
    },
    // Before a doubling T is not needed: begin at the second instruction.
    .point = {
        MUL(T, E, H),
        MUL(X, E, F),
        MUL(Y, G, H),
        MUL(Z, F, G) | LAST,
    },
    // After `twice`, and with Z^(2^252 - 3) in S: affine X and Y, and T of twice the point.
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

static void run(machine *m, unsigned at) {
    const uint16_t *next = (const uint16_t *)&programs + at;
    unsigned code;
    do {
        code = *next++;
        fe *r = m->r + (code >> 8 & 15);
        const fe *a = m->r + (code >> 4 & 15);
        const fe *b = (code & 15) < Q0 ? m->r + (code & 15) : m->q + (code & 3);
        if (code & OP_ADD) {
            fe_add(r, a, b);
        } else if (code & OP_SUB) {
            fe_sub(r, a, b);
        } else if (a == b) {
            fe_sqr(r, a);
        } else {
            fe_mul(r, a, b);
        }
    } while (!(code & LAST));
}

// S = Z^(2^252 - 3); T is spoilt.
static void power(machine *m) {
    // Z^(2^n - 1) for n = 1, 3, 7, 15, 31, 62, 125, 250: the beginnings of 250 in binary.
    fe *t = &m->r[T];
    fe *s = &m->r[S];
    run(m, AT(power_1));
    for (unsigned i = 7; i > 0; i--) {
        fe_sqr(t, s);
        for (unsigned n = 250 >> i; n > 1; n--) {
            fe_sqr(t, t);
        }
        fe_mul(s, s, t);
        if (250 >> (i - 1) & 1) {
            run(m, AT(power_n_plus_1));
        }
    }
    run(m, AT(power_last));
}

// ---- Numbers

static void copy(void *to, const void *from) {
    for (unsigned i = 0; i < 32; i++) {
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
}

static void clear(fe *a) {
    for (unsigned i = 0; i < 8; i++) {
        a->w[i] = 0;
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

// r = the number in `bytes` modulo L. Their length is a multiple of 16.
static void reduce(fe *r, const uint8_t *bytes, unsigned length) {
    fe c;
    copy(&c, &order);
    c.w[7] = 0;
    clear(r);
    while (length > 0) {
        // r 2^128 + (16 bytes) = 2^252 q + (the rest), congruent to (the rest) - cq.
        // r < L < 2^253, so q < 2^129 and cq < 2^254: one multiplication in the field does it.
        fe q;
        clear(&q);
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

static const fe twice_d = {{0x26b2f159, 0xebd69b94, 0x8283b156, 0x00e0149a,
    0xeef3d130, 0x198e80f2, 0x56dffce7, 0x2406d9dc}};
static const fe sqrt_of_minus_1 = {{0x4a0ea0b0, 0xc4ee1b27, 0xad2fe478, 0x2f431806,
    0x3dfbd7a7, 0x2b4d0099, 0x4fc1df0b, 0x2b832480}};
// B and 3B as (y - x, y + x, 2dxy).
static const fe multiples_of_b[2][3] = {
    {{{0xd740913e, 0x9d103905, 0xd140beb3, 0xfd399f05,
          0x688f8a09, 0xa5c18434, 0x98f81267, 0x44fd2f92}},
     {{0xf58c3b85, 0x2fbc93c6, 0xfb8c0e19, 0xcf932dc6,
          0x643d42c2, 0x270b4898, 0x33d4ba65, 0x07cf9d3a}},
     {{0x877aaa68, 0xabc91205, 0xccaac49e, 0x26d9e823,
          0xdd43598c, 0x5a1b7dcb, 0x9f0c65a8, 0x6f117b68}}},
    {{{0xa4fcd265, 0x56611fe8, 0xe5c1ba7d, 0x3bd353fd,
          0x214bd6bd, 0x8131f31a, 0x555bda62, 0x2ab91587}},
     {{0x4cee9730, 0xaf25b0a8, 0xe8864b8a, 0x025a8430,
          0x9f016732, 0xc11b5002, 0x9a80f8f4, 0x7a164e1b}},
     {{0x0dd0d889, 0x14ae933f, 0x1c35da62, 0x58942322,
          0x8cf2db4c, 0xd170e545, 0x12b9b4c6, 0x5a2826af}}},
};

static void start(machine *m) {
    copy(&m->r[D2], &twice_d);
    clear(&m->r[ONE]);
    m->r[ONE].w[0] = 1;
}

// Sets X and Y to the affine point, or returns false: not canonical, or not on the curve. x = 0
// with the sign bit set is taken for x = 0: multiply() refuses both.
static bool decode(machine *m, const uint8_t *encoding) {
    fe *x = &m->r[X];
    fe *y = &m->r[Y];
    fe *canonical = &m->r[S];
    copy(y, encoding);
    y->w[7] &= 0x7fffffff;
    copy(canonical, y);
    fe_canonical(canonical);
    if (!equal(canonical, y)) {
        return false;
    }
    run(m, AT(fraction));
    // If uv is a square, then u (uv)^((p - 5)/8) is a root of u/v, or sqrt(-1) times it is.
    power(m);
    run(m, AT(root));
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
    return true;
}

static void keep(machine *m, fe multiple[4]) {
    run(m, AT(cached));
    for (unsigned i = 0; i < 4; i++) {
        copy(&multiple[i], &m->r[E + i]);
    }
}

// Fills m->multiples from the affine point in X and Y. Returns whether the point is of small
// order: then twice the point has xy = 0.
static bool multiply(machine *m) {
    run(m, AT(affine));
    keep(m, m->multiples[0]);
    run(m, AT(twice));
    run(m, AT(point));
    bool small = is_zero(&m->r[T]);
    keep(m, m->multiples[3]); // twice the point, until 7 times the point takes its place
    m->q = m->multiples[0];
    for (unsigned i = 1; i < 4; i++) {
        run(m, AT(q_scaled));
        run(m, AT(plus));
        run(m, AT(point));
        keep(m, m->multiples[i]);
        m->q = m->multiples[3];
    }
    return small;
}

// (X, Y, Z) = [S]B - [k]A, with one chain of doublings. Scalars are read from the top, as
// differences of neighbouring bits (k = 2k - k without borrows; wMOF: Okeya, Schmidt-Samoa, Spahn,
// Takagi, 2004): -1, 0 or 1 for each place. From the first one that is not 0, four places of k or
// three of S together make a number; its odd part is the digit, and is added where its last place
// is. One place in five, or four, has a digit on average.
static void combine(machine *m) {
    // The highest bit of a scalar is 252. `window` has bits i + 4 to i: here those from 250 up.
    unsigned window[2] = {m->scalar[0].w[7] >> 26, m->scalar[1].w[7] >> 26};
    int number[2] = {0, 0}; // what is still to be added, in eighths
    run(m, AT(neutral));
    for (int i = 249; i >= -4; i--) {
        run(m, AT(twice));
        for (unsigned n = 0; n < 2; n++) {
            unsigned bits = window[n] << 1 & 31;
            if (i >= 0) {
                bits |= m->scalar[n].w[i >> 5] >> (i & 31) & 1;
            }
            window[n] = bits;
            int eighths = 2 * number[n];
            if (!eighths && ((bits + 8) & 16)) {
                eighths = (int)((bits + (1u << n)) >> (n + 1) << n) - (int)(bits & 16);
            }
            number[n] = eighths & 7 ? eighths : 0;
            if (eighths && !number[n]) {
                bool negative = eighths < 0;
                unsigned index = (unsigned)(negative ? -eighths : eighths) >> 4;
                run(m, AT(point));
                m->q = n ? multiples_of_b[index] : m->multiples[index];
                run(m, n ? AT(q_affine) : AT(q_scaled));
                run(m, negative == n ? AT(minus) : AT(plus));
            }
        }
        run(m, AT(point) + 1);
    }
}

// Returns whether x = X, y = Y has that encoding.
static bool has_encoding(machine *m, const uint8_t *encoding) {
    fe_canonical(&m->r[X]);
    fe_canonical(&m->r[Y]);
    m->r[Y].w[7] |= m->r[X].w[0] << 31;
    return equal(&m->r[Y], encoding);
}

// ---- The interface

void ota_ed25519_init(ota_ed25519 *check, const uint8_t key[32], const uint8_t signature[64]) {
    copy(check->r_and_a, signature);
    copy(check->r_and_a + 32, key);
    copy(check->s, signature + 32);
    ota_sha512_init(&check->hash);
    // The copies: what is hashed is what is checked, whatever happens to the originals.
    ota_sha512_update(&check->hash, check->r_and_a, 64);
}

void ota_ed25519_update(ota_ed25519 *check, const void *data, size_t length) {
    ota_sha512_update(&check->hash, data, length);
}

bool ota_ed25519_ok(ota_ed25519 *check) {
    machine m;
    uint8_t *digest = (uint8_t *)check->hash.block;
    ota_sha512_final(&check->hash, digest);
    reduce(&m.scalar[0], digest, 64);
    reduce(&m.scalar[1], check->s, 32);
    start(&m);
    if (!equal(&m.scalar[1], check->s) || !decode(&m, check->r_and_a + 32) || multiply(&m)) {
        return false;
    }
    combine(&m);
    run(&m, AT(twice));
    power(&m);
    run(&m, AT(end));
    // T is xy of twice R', and 0 if R' is of small order.
    return has_encoding(&m, check->r_and_a) && !is_zero(&m.r[T]);
}

bool ota_ed25519_verify(const uint8_t key[32], const void *message, size_t length,
    const uint8_t signature[64]) {
    ota_ed25519 check;
    ota_ed25519_init(&check, key, signature);
    ota_ed25519_update(&check, message, length);
    return ota_ed25519_ok(&check);
}
