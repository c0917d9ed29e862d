// SPDX-License-Identifier: MIT
// What a compiler may call by itself, for programs that are linked without a C library.

#include <stddef.h>

void *memset(void *to, int value, size_t size) {
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)to)[i] = (unsigned char)value;
    }
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    }
    return to;
}
