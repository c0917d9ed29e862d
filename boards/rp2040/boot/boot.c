// SPDX-License-Identifier: MIT
// The bootloader. It copies nothing and erases nothing: it finds out which of two images, each
// linked for its own slot, may run, and jumps there. All that it writes are marks in a record.

#include "boot.h"

#include <stddef.h>

#include "chip.h"
#include "choose.h"
#include "crc32.h"
#include "flash_map.h"
#include "image.h"
#include "info.h"
#include "record.h"

struct world {
    const uint8_t *flash;
    struct record records[2];
    struct info info;
    struct crc32 crc;
};

static void read_record(struct world *world, uint32_t k) {
    const struct info *info = &world->info;
    record_read(&world->records[k], world->flash + info->record[k], info->slot[k], info->slot_size,
        &world->crc);
}

// Programs those words of the marks that `marks` names and leaves the others as they are.
static void write_marks(const struct world *world, uint32_t k, uint32_t marks) {
    uint8_t page[PAGE];
    for (uint32_t i = 0; i < PAGE; i++) {
        page[i] = i < 4 * MARKS && (marks >> i / 4 & 1) != 0 ? 0 : 0xff;
    }
    chip_program(world->info.record[k] + MARKS_AT, page);
}

// Makes sure that what reads right now does so for ever. `firm` comes last, when all that it vouches
// for has been programmed again without a cut; torn, it is no more than a torn mark.
static void complete(struct world *world, uint32_t k) {
    struct record *record = &world->records[k];
    bool confirmed = record_has(record, MARK_CONFIRMED) && !record_has(record, MARK_FIRM);
    if (confirmed) {
        uint8_t page[PAGE];
        for (uint32_t i = 0; i < PAGE; i++) {
            page[i] = world->flash[world->info.record[k] + i];
        }
        chip_program(world->info.record[k], page);
    }
    write_marks(world, k, record->marks);
    if (confirmed) {
        record->marks |= 1u << MARK_FIRM;
        write_marks(world, k, record->marks);
    }
    // Also if flash has not taken it: it counts as it is, and is completed next time.
    record->torn = 0;
}

// Flash ignores the upper bits of an address, so a part that is smaller than the map shows its
// beginning again in the second half, and an install would write over the bootloader.
static bool is_large_enough(const struct world *world) {
    const uint8_t *info = world->flash + INFO_AT;
    uint32_t same = 0;
    while (same < PAGE && info[same] == info[same + world->info.flash_size / 2]) {
        same++;
    }
    return same < PAGE;
}

// The image is whole, as its installer left it, and linked for this slot.
static bool check(const struct world *world, uint32_t k, struct image *image) {
    const struct record *record = &world->records[k];
    uint32_t slot = world->info.slot[k];
    return image_parse(image, world->flash + slot, record->length, XIP_BASE + slot)
        && image->counter == record->counter
        && crc32_of(&world->crc, image->bytes, record->length) == record->crc;
}

// It is also one that the owner signed, and no older than the owner allows: the image that was
// confirmed last says how old that is.
static bool prove(const struct world *world, uint32_t k, struct image *image) {
    const struct record *other = &world->records[k ^ 1];
    if (!check(world, k, image)) {
        return false;
    }
    if (other->valid && record_has(other, MARK_CONFIRMED) && image->counter < other->counter) {
        return false;
    }
    return image_is_authentic(image, world->info.keys, world->info.key_count);
}

// A cut is harmless wherever it comes: before a mark the same decision is taken again, after it
// the next one; in the middle, see each mark. Each step changes what is known about its slot, also
// when flash does not take the mark, so no step comes twice.
_Noreturn void boot(const uint8_t *flash) {
    struct world world;
    struct image image;
    world.flash = flash;
    crc32_init(&world.crc);
    if (!info_read(&world.info, flash + INFO_AT, &world.crc) || !is_large_enough(&world)) {
        chip_usb();
    }
    read_record(&world, 0);
    read_record(&world, 1);

    for (;;) {
        struct choice choice = choose(world.records);
        uint32_t k = choice.slot;
        struct record *record = &world.records[k];
        switch (choice.action) {
        case COMPLETE:
            complete(&world, k);
            continue;
        case CHECK:
            record->verdict = check(&world, k, &image) ? GOOD : BAD;
            continue;
        case PROVE:
            record->verdict = prove(&world, k, &image) ? GOOD : BAD;
            continue;
        case ABORT:
            // Torn: it counts. Should its bits turn out blank later, `tried` stands beside it.
            write_marks(&world, k, 1u << MARK_TRIED | 1u << MARK_ABORTED);
            record->marks |= 1u << MARK_ABORTED;
            continue;
        case TRIAL:
            // Torn: this was its try, though it never ran; who installed it may ask for another.
            write_marks(&world, k, 1u << MARK_TRIED);
            read_record(&world, k);
            if (!record_has(record, MARK_TRIED)) {
                // Without the mark this would be the first of endless tries.
                record->verdict = BAD;
                continue;
            }
            chip_arm_watchdog();
            break;
        case BOOT:
            break;
        default:
            chip_usb();
        }
        chip_jump(XIP_BASE + world.info.slot[k] + HEADER_SIZE);
    }
}
