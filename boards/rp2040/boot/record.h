// SPDX-License-Identifier: MIT
// A record: what the installer says about the image in one slot, and what became of it since.
// Each slot has a sector for its record.
//
//      0  magic, sequence number, offset of the slot, length of the image (header to last TLV),
//         CRC-32 of those bytes, security counter                           words of 32 bits
//     24  CRC-32 of the above                          written last by an install: a torn record
//                                                      is no record
//    256  tried, confirmed, aborted, firm              blank (all ones), or marked
//
// Marks only ever lose bits, so they need no erase, and a cut while one is written cannot harm
// anything else. A mark that lost any bit counts.
//
// Bits of a program that was cut may be weak: they read differently next time, even if all of them
// read right now. Programming the same zeros again makes them firm, and harms nothing. So a torn
// mark is written again, and of a confirmed image, which may have to last for years, all that has
// to be read: only then `firm` is set.

#ifndef BOOT_RECORD_H
#define BOOT_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "crc32.h"

enum { MARK_TRIED, MARK_CONFIRMED, MARK_ABORTED, MARK_FIRM, MARKS };

// What the bootloader has found out about the image itself.
enum verdict { UNKNOWN, GOOD, BAD };

struct record {
    uint32_t seq;
    uint32_t length; // at most the size of the slot
    uint32_t crc;
    uint32_t counter;
    uint8_t valid;   // 1, or 0: then nothing else here means anything
    uint8_t marks;   // bits 1 << MARK_...
    uint8_t torn;    // 1: some mark is half written
    uint8_t verdict; // UNKNOWN as read
};

// Reads the record of the slot at offset `slot` from its `sector`.
void record_read(struct record *record, const uint8_t *sector, uint32_t slot, uint32_t slot_size,
    const struct crc32 *crc);

static inline bool record_has(const struct record *record, uint32_t mark)
{
    return (record->marks >> mark & 1) != 0;
}

#endif
