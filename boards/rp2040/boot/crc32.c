// SPDX-License-Identifier: MIT
#include "crc32.h"

#define POLYNOMIAL 0xedb88320u

void crc32_init(struct crc32 *crc) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t entry = i;
        for (uint32_t bit = 0; bit < 8; bit++) {
            entry = (entry & 1) != 0 ? entry >> 1 ^ POLYNOMIAL : entry >> 1;
        }
        crc->table[i] = entry;
    }
}

uint32_t crc32_of(const struct crc32 *crc, const uint8_t *bytes, uint32_t length) {
    uint32_t rest = UINT32_MAX;
    for (const uint8_t *end = bytes + length; bytes != end; bytes++) {
        rest = crc->table[(rest ^ *bytes) & 0xff] ^ rest >> 8;
    }
    return ~rest;
}
