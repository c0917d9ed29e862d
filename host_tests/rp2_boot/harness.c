// SPDX-License-Identifier: MIT
// The bootloader on the host: its own sources with another chip beneath. Flash is memory of the
// caller's, and programming it can be cut.

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "boot.h"
#include "chip.h"
#include "choose.h"
#include "crc32.h"
#include "image.h"
#include "record.h"

enum { END_USB, END_JUMP, END_CUT };

struct run {
    uint32_t end;
    uint32_t vectors;
    uint32_t watchdog;
    uint32_t programs;
    uint32_t offset; // of the last page that was programmed
};

static struct {
    jmp_buf out;
    uint8_t *flash;
    uint32_t cut;        // number of the program that is cut, from 1
    const uint8_t *keep; // bits of that page that were not programmed yet
    bool stuck;          // flash takes nothing
    struct run run;
} chip;

static _Noreturn void end(uint32_t how) {
    chip.run.end = how;
    longjmp(chip.out, 1);
}

void chip_start(void) {
}

void chip_program(uint32_t offset, const uint8_t page[PAGE]) {
    bool cut = ++chip.run.programs == chip.cut;
    chip.run.offset = offset;
    for (uint32_t i = 0; i < PAGE && !chip.stuck; i++) {
        chip.flash[offset + i] &= cut ? (uint8_t)(page[i] | chip.keep[i]) : page[i];
    }
    if (cut) {
        end(END_CUT);
    }
    if (chip.run.programs > 16) {
        abort(); // it never settles
    }
}

void chip_arm_watchdog(void) {
    chip.run.watchdog++;
}

_Noreturn void chip_jump(uint32_t vectors) {
    chip.run.vectors = vectors;
    end(END_JUMP);
}

_Noreturn void chip_usb(void) {
    end(END_USB);
}

struct run host_boot(uint8_t *flash, uint32_t cut, const uint8_t *keep, uint32_t stuck) {
    memset(&chip, 0, sizeof chip);
    chip.flash = flash;
    chip.cut = cut;
    chip.keep = keep;
    chip.stuck = stuck != 0;
    if (setjmp(chip.out) == 0) {
        boot(flash);
    }
    return chip.run;
}

uint32_t host_crc32(const uint8_t *bytes, uint32_t length) {
    struct crc32 crc;
    crc32_init(&crc);
    return crc32_of(&crc, bytes, length);
}

void host_record(
    struct record *record, const uint8_t *sector, uint32_t slot, uint32_t slot_size) {
    struct crc32 crc;
    crc32_init(&crc);
    record_read(record, sector, slot, slot_size, &crc);
}

uint32_t host_choose(const struct record records[2]) {
    struct choice choice = choose(records);
    return choice.action | (uint32_t)choice.slot << 8;
}

// 0: refused; 1: taken apart; 3: authentic, too. The image is copied to memory that ends with it,
// so that a sanitizer sees any byte read beyond.
uint32_t host_image(const uint8_t *bytes, uint32_t length, uint32_t address, const uint8_t *keys,
    uint32_t key_count) {
    struct image image;
    uint8_t *copy = malloc(length != 0 ? length : 1);
    memcpy(copy, bytes, length);
    uint32_t found = 0;
    if (image_parse(&image, copy, length, address)) {
        found = image_is_authentic(&image, keys, key_count) ? 3 : 1;
    }
    free(copy);
    return found;
}

#ifdef HARNESS_MAIN
// Judges images from standard input, each after its address and length; a line for each verdict.
#include <stdio.h>

int main(int count, char **arguments) {
    static uint8_t bytes[1 << 20];
    uint8_t keys[KEYS_MAX * KEY_SIZE];
    uint32_t head[2];
    FILE *file = fopen(arguments[1], "rb");
    uint32_t key_count = (uint32_t)fread(keys, KEY_SIZE, KEYS_MAX, file);
    fclose(file);
    while (fread(head, 4, 2, stdin) == 2 && fread(bytes, 1, head[1], stdin) == head[1]) {
        printf("%u\n", host_image(bytes, head[1], head[0], keys, key_count));
    }
    return count != 2;
}
#endif
