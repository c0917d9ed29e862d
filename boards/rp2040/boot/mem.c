// SPDX-License-Identifier: MIT
// The functions that a compiler calls by itself.

#include <stddef.h>
#include <stdint.h>

void *memset(void *to, int value, size_t length) {
    for (size_t i = 0; i < length; i++) {
        ((uint8_t *)to)[i] = (uint8_t)value;
    }
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    for (size_t i = 0; i < length; i++) {
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
    return to;
}
