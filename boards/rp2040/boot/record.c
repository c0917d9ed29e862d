// SPDX-License-Identifier: MIT
#include "record.h"

#include "bytes.h"
#include "flash_map.h"

#define CRC_AT 24

void record_read(struct record *record, const uint8_t *sector, uint32_t slot, uint32_t slot_size,
    const struct crc32 *crc) {
    record->seq = le32(sector + 4);
    record->length = le32(sector + 12);
    record->crc = le32(sector + 16);
    record->counter = le32(sector + 20);
    record->valid = le32(sector) == RECORD_MAGIC && le32(sector + 8) == slot
        && record->length <= slot_size && le32(sector + CRC_AT) == crc32_of(crc, sector, CRC_AT);

    record->marks = 0;
    record->torn = 0;
    record->verdict = UNKNOWN;
    for (uint32_t mark = 0; mark < MARKS; mark++) {
        uint32_t word = le32(sector + MARKS_AT + 4 * mark);
        if (word != UINT32_MAX) {
            record->marks |= (uint8_t)(1u << mark);
            if (word != 0) {
                record->torn = 1;
            }
        }
    }
}
