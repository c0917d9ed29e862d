// SPDX-License-Identifier: MIT
#include "record.h"

#include "bytes.h"
#include "flash_map.h"

#define CRC_AT 24

struct record record_read(
    const uint8_t *sector, const struct crc32 *crc, uint32_t slot, uint32_t slot_size)
{
    struct record record = {
        .seq = le32(sector + 4),
        .length = le32(sector + 12),
        .crc = le32(sector + 16),
        .counter = le32(sector + 20),
    };
    record.valid = le32(sector) == RECORD_MAGIC && le32(sector + 8) == slot
        && record.length <= slot_size && le32(sector + CRC_AT) == crc32_of(crc, sector, CRC_AT);

    for (uint32_t mark = 0; mark < MARKS; mark++) {
        uint32_t word = le32(sector + MARKS_AT + 4 * mark);
        if (word != UINT32_MAX) {
            record.marks |= 1u << mark;
            if (word != 0) {
                record.torn = true;
            }
        }
    }
    return record;
}
