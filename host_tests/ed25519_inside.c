// SPDX-License-Identifier: MIT
// Opens the verifier for tests: what signatures can reach of these functions is little, since a
// hash stands before all of them.

#include "sha512.h"

// What a signature's hash is to be, so that tests can choose k.
static uint8_t chosen_digest[64];

static void choose(ota_sha512 *hash, uint8_t digest[64]) {
    (void)hash;
    for (unsigned i = 0; i < 64; i++) {
        digest[i] = chosen_digest[i];
    }
}

#define ota_sha512_final choose
#include "ed25519.c"

bool inside_verify(const uint8_t key[32], const uint8_t signature[64], const uint8_t digest[64]);
bool inside_is_zero(fe *a);
bool inside_decode(const uint8_t encoding[32], fe point[2]);
bool inside_is_small(const uint8_t encoding[32]);
void inside_reduce(fe *r, const uint8_t *bytes, unsigned length);
void inside_combine(const uint8_t key[32], const fe *k, const fe *s, fe point[3]);

bool inside_verify(const uint8_t key[32], const uint8_t signature[64], const uint8_t digest[64]) {
    for (unsigned i = 0; i < 64; i++) {
        chosen_digest[i] = digest[i];
    }
    return ota_ed25519_verify(key, "", 0, signature);
}

bool inside_is_zero(fe *a) {
    return is_zero(a);
}

bool inside_decode(const uint8_t encoding[32], fe point[2]) {
    machine m;
    start(&m);
    bool good = decode(&m, encoding);
    copy(&point[0], &m.r[X]);
    copy(&point[1], &m.r[Y]);
    return good;
}

bool inside_is_small(const uint8_t encoding[32]) {
    machine m;
    start(&m);
    return decode(&m, encoding) && multiply(&m);
}

void inside_reduce(fe *r, const uint8_t *bytes, unsigned length) {
    reduce(r, bytes, length);
}

// (X, Y, Z) of [s]B - [k]A.
void inside_combine(const uint8_t key[32], const fe *k, const fe *s, fe point[3]) {
    machine m;
    start(&m);
    decode(&m, key);
    multiply(&m);
    copy(&m.scalar[0], k);
    copy(&m.scalar[1], s);
    combine(&m);
    copy(point, &m.r[X]);
    copy(point + 1, &m.r[Y]);
    copy(point + 2, &m.r[Z]);
}
