// SPDX-License-Identifier: MIT
// Numbers in flash: little-endian, at any address. The Cortex-M0+ faults on unaligned words, and
// where a TLV lies is up to whoever wrote the image, so every number is put together from bytes.

#ifndef BOOT_BYTES_H
#define BOOT_BYTES_H

#include <stdint.h>

uint32_t le16(const uint8_t *bytes);
uint32_t le32(const uint8_t *bytes);

#endif
