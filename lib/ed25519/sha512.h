// SPDX-License-Identifier: MIT
// SHA-512 (FIPS 180-4), for little-endian machines, without tables in RAM, heap or globals.
//
//     ota_sha512 hash;
//     ota_sha512_init(&hash);
//     ota_sha512_update(&hash, data, length);     any number of times
//     ota_sha512_final(&hash, digest);            once; the object is then used up
//
// An object may be copied like any struct, to go on twice from one beginning. The stack needed
// from the call of a function down is under 400 bytes.

#ifndef OTA_SHA512_H
#define OTA_SHA512_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t state[8];
    uint64_t block[16]; // the beginning of a block, most significant byte of each word first
    uint64_t length;    // bytes so far
} ota_sha512;

void ota_sha512_init(ota_sha512 *hash);
void ota_sha512_update(ota_sha512 *hash, const void *data, size_t length);
void ota_sha512_final(ota_sha512 *hash, uint8_t digest[64]);

#endif
