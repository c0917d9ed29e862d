// SPDX-License-Identifier: MIT
// The bootloader. It copies nothing and erases nothing: it finds out which of two images, each
// linked for its own slot, may run, and jumps there. All that it writes are marks in a record.
//
// A cut between any two instructions here is harmless: a mark is either not there, and the same
// decision is taken again, or it is, and the next one is; see each write.

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
    struct crc32 crc;
    struct info info;
    struct record records[2];
};

static void read_record(struct world *world, uint32_t k)
{
    const struct info *info = &world->info;
    world->records[k] = record_read(
        world->flash + info->record[k], &world->crc, info->slot[k], info->slot_size);
}

// Programs those words of the marks that `marks` names and leaves the others as they are.
static void write_marks(const struct world *world, uint32_t k, uint32_t marks)
{
    uint8_t page[PAGE];
    for (uint32_t i = 0; i < PAGE; i++) {
        page[i] = i < 4 * MARKS && (marks >> i / 4 & 1) != 0 ? 0 : 0xff;
    }
    chip_program(world->info.record[k] + MARKS_AT, page);
}

// The image is whole, as its installer left it, and linked for this slot.
static bool check(const struct world *world, uint32_t k, struct image *image)
{
    const struct record *record = &world->records[k];
    uint32_t slot = world->info.slot[k];
    return image_parse(world->flash + slot, record->length, XIP_BASE + slot, image)
        && image->counter == record->counter
        && crc32_of(&world->crc, image->bytes, record->length) == record->crc;
}

// It is also one that the owner signed, and not older than the owner allows: the image that was
// confirmed last says how old that is.
static bool prove(const struct world *world, uint32_t k)
{
    const struct record *other = &world->records[k ^ 1];
    struct image image;
    if (!check(world, k, &image)) {
        return false;
    }
    if (other->valid && record_has(other, MARK_CONFIRMED) && image.counter < other->counter) {
        return false;
    }
    return image_is_authentic(&image, world->info.keys, world->info.key_count);
}

_Noreturn void boot(const uint8_t *flash)
{
    struct world world = {.flash = flash};
    crc32_init(&world.crc);
    if (!info_read(flash + INFO_AT, &world.crc, &world.info)) {
        chip_usb();
    }
    read_record(&world, 0);
    read_record(&world, 1);

    uint8_t verdicts[2] = {UNKNOWN, UNKNOWN};
    for (;;) {
        struct choice choice = choose(world.records, verdicts);
        uint32_t k = choice.slot;
        struct record *record = &world.records[k];
        uint32_t vectors = XIP_BASE + world.info.slot[k] + HEADER_SIZE;
        struct image image;

        // Whether a mark could be written is only asked where it matters; each case changes what
        // is known about its slot, so none comes twice.
        switch (choice.action) {
        case COMPLETE:
            // Cut: torn still, and completed next time.
            write_marks(&world, k, record->marks);
            record->torn = false;
            break;
        case CHECK:
            verdicts[k] = check(&world, k, &image) ? GOOD : BAD;
            break;
        case PROVE:
            verdicts[k] = prove(&world, k) ? GOOD : BAD;
            break;
        case ABORT:
            // Cut before: aborted next time, on the same grounds. Torn: counts.
            write_marks(&world, k, 1u << MARK_TRIED | 1u << MARK_ABORTED);
            record->marks |= 1u << MARK_ABORTED;
            break;
        case TRIAL:
            // Cut before: tried next time. Cut after, or torn: this was its try, and whoever
            // installed it may ask for another. Flash that does not take the mark would make
            // this the first of endless tries: then there is none.
            write_marks(&world, k, 1u << MARK_TRIED);
            read_record(&world, k);
            if (record_has(record, MARK_TRIED)) {
                chip_arm_watchdog();
                chip_jump(vectors);
            }
            verdicts[k] = BAD;
            break;
        case BOOT:
            chip_jump(vectors);
        default:
            chip_usb();
        }
    }
}
