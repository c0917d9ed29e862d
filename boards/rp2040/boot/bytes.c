// SPDX-License-Identifier: MIT
#include "bytes.h"

uint32_t le16(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8;
}

uint32_t le32(const uint8_t *bytes) {
    return le16(bytes) | le16(bytes + 2) << 16;
}
