// SPDX-License-Identifier: MIT
// Verification of Ed25519 signatures (RFC 8032, 5.1.7): small, strict, for microcontrollers.
//
// A signature is accepted only if every implementation, lenient or strict, would accept it:
//
//   1. The signature has 64 bytes, R and S, and the public key A has 32.
//   2. S < L, the order of the base point B: nobody can make a second signature out of one.
//   3. A is the canonical encoding of a point on the curve.
//   4. A is not of small order: such a key accepts any message.
//   5. R' = [S]B - [k]A has the encoding R, byte for byte: no cofactor, no second encoding.
//   6. R' is not of small order.
//   7. k is SHA-512(R || A || message) modulo L, over the bytes as received.
//
// Signatures made by any honest signer pass. What does not pass are malleable signatures, keys
// for which any message verifies, and encodings on which implementations disagree.
//
//     ota_ed25519 check;
//     ota_ed25519_init(&check, public_key, signature);
//     ota_ed25519_update(&check, message, length);      any number of times
//     if (ota_ed25519_ok(&check)) ...                   once; the object is then used up
//
// No heap, no globals, no recursion, and nothing to clean up. An object is a plain struct of 296
// bytes; several may be in use at once. The stack needed from the call down is under 1,700 bytes,
// in ota_ed25519_verify with the object on it.
//
// Nothing here is secret: keys, messages and signatures that are verified are public. So the time
// taken depends on them, and that is right. Do not sign or agree on keys with this arithmetic.

#ifndef OTA_ED25519_H
#define OTA_ED25519_H

#include <stdbool.h>

#include "sha512.h"

typedef struct {
    ota_sha512 hash;
    uint8_t r_and_a[64]; // as they are hashed
    uint8_t s[32];
} ota_ed25519;

void ota_ed25519_init(ota_ed25519 *check, const uint8_t key[32], const uint8_t signature[64]);
void ota_ed25519_update(ota_ed25519 *check, const void *data, size_t length);
bool ota_ed25519_ok(ota_ed25519 *check);

// All of it at once.
bool ota_ed25519_verify(const uint8_t key[32], const void *message, size_t length,
    const uint8_t signature[64]);

#endif
