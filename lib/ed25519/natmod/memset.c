// SPDX-License-Identifier: MIT
// Compilers call this for what the source writes as "= {0}".

#include <stddef.h>

void *memset(void *to, int value, size_t length);

void *memset(void *to, int value, size_t length) {
    char *byte = to;
    while (length--) {
        *byte++ = (char)value;
    }
    return to;
}
