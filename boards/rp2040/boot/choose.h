// SPDX-License-Identifier: MIT
// The decision of the bootloader: from what is known, what to do next. Pure, so that a test can
// ask about every state there is.
//
// The bootloader asks, does as it is told, notes what it learnt and asks again, until it is told
// to jump or to give up. First, for each valid record:
//
//     a mark is torn                         COMPLETE  write it again, now that it counts
//     confirmed, not firm                    COMPLETE  write the record again, too; then it is
//
// Then, the newer record first, by its marks and the verdict on its image:
//
//     no valid record, or aborted            -         this slot does not boot
//     confirmed                     unknown  CHECK     undamaged, and linked for this place?
//                                   good     BOOT
//                                   bad      -         rotten: nothing is written, it may recover
//     tried, not confirmed                   ABORT     it had its one try
//     neither                       unknown  PROVE     CHECK, and counter, digest, signature
//                                   good     TRIAL     mark it tried, arm the watchdog, jump
//                                   bad      ABORT
//
//     nothing is left                        USB       there is no unchecked boot

#ifndef BOOT_CHOOSE_H
#define BOOT_CHOOSE_H

#include <stdint.h>

#include "record.h"

enum action { USB, COMPLETE, CHECK, PROVE, ABORT, TRIAL, BOOT };

struct choice {
    uint8_t action;
    uint8_t slot; // 0 for USB
};

struct choice choose(const struct record records[2]);

#endif
