// SPDX-License-Identifier: MIT
// Compilers call this for what the source writes as an assignment of structs.

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length);

void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    char *out = to;
    const char *in = from;
    while (length--) {
        *out++ = *in++;
    }
    return to;
}
