// SPDX-License-Identifier: MIT
// CRC-32 as zlib has it (reflected 0xedb88320, all ones before and after).
//
// It tells damage from no damage: rotten or torn flash, a record half written. It does not keep
// anybody out; the signature does that, before the first trial of an image.
//
// The table is made at run time: that takes fewer bytes of flash than one of 16 entries would as
// a constant, and the 256 entries make it twice as quick.

#ifndef BOOT_CRC32_H
#define BOOT_CRC32_H

#include <stdint.h>

struct crc32 {
    uint32_t table[256];
};

void crc32_init(struct crc32 *crc);
uint32_t crc32_of(const struct crc32 *crc, const uint8_t *bytes, uint32_t length);

#endif
