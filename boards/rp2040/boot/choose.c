// SPDX-License-Identifier: MIT
#include "choose.h"

// Answers for one slot; USB stands for: not this one.
static enum action choose_for(const struct record *record) {
    uint8_t verdict = record->verdict;
    if (!record->valid || record_has(record, MARK_ABORTED)) {
        return USB;
    }
    if (record_has(record, MARK_CONFIRMED)) {
        return verdict == UNKNOWN ? CHECK : verdict == GOOD ? BOOT : USB;
    }
    if (record_has(record, MARK_TRIED)) {
        return ABORT;
    }
    return verdict == UNKNOWN ? PROVE : verdict == GOOD ? TRIAL : ABORT;
}

static bool is_complete(const struct record *record) {
    return !record->torn && (!record_has(record, MARK_CONFIRMED) || record_has(record, MARK_FIRM));
}

struct choice choose(const struct record records[2]) {
    for (uint32_t k = 0; k < 2; k++) {
        if (records[k].valid && !is_complete(&records[k])) {
            return (struct choice){COMPLETE, (uint8_t)k};
        }
    }

    // Sequence numbers may count on past zero, so their distance decides. Equal ones: slot A.
    uint32_t newer = (int32_t)(records[1].seq - records[0].seq) > 0;
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t k = i ^ newer;
        enum action action = choose_for(&records[k]);
        if (action != USB) {
            return (struct choice){(uint8_t)action, (uint8_t)k};
        }
    }
    return (struct choice){USB, 0};
}
