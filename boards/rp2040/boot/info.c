// SPDX-License-Identifier: MIT
#include "info.h"

#include "bytes.h"
#include "flash_map.h"

bool info_read(struct info *info, const uint8_t *page, const struct crc32 *crc) {
    info->flash_size = le32(page + 8);
    info->record[0] = le32(page + 12);
    info->record[1] = le32(page + 16);
    info->slot[0] = le32(page + 28);
    info->slot[1] = le32(page + 32);
    info->slot_size = le32(page + 36);
    info->key_count = le32(page + 48);
    info->keys = page + KEYS_AT;
    return le32(page) == INFO_MAGIC && le32(page + 4) == INFO_VERSION
        && info->key_count <= KEYS_MAX && le32(page + PAGE - 4) == crc32_of(crc, page, PAGE - 4);
}
