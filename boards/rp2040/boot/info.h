// SPDX-License-Identifier: MIT
// The info page: the map of this flash and the owner's keys. It is the last page of the
// bootloader, written with it over USB and never by an update. `flash_map.py` makes it and
// explains the map; `mpota` puts the keys in.
//
//      0  magic, version, flash size
//     12  records A and B, floors A and B, slots A and B, size of a slot    words of 32 bits
//     40  file system: offset, size
//     48  number of keys, 0 to 4
//     64  keys: raw Ed25519 public keys of 32 bytes
//    252  CRC-32 of all before

#ifndef BOOT_INFO_H
#define BOOT_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include "crc32.h"

struct info {
    uint32_t flash_size;
    uint32_t record[2]; // offsets in flash
    uint32_t slot[2];
    uint32_t slot_size;
    uint32_t key_count;
    const uint8_t *keys;
};

// Returns false, and nothing in `info` is to be used, when the page is damaged or of a version
// that this code does not know.
bool info_read(struct info *info, const uint8_t *page, const struct crc32 *crc);

#endif
