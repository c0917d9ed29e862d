// SPDX-License-Identifier: MIT
#include "image.h"

#include <stddef.h>

#include "bytes.h"
#include "ed25519.h"
#include "flash_map.h"

#define IMAGE_MAGIC 0x96f3b83du
#define FLAGS_FIXED_ADDRESS 0x100u // and no other: not encrypted, not compressed, not for RAM
#define TLVS_MAGIC 0x6907u
#define PROTECTED_TLVS_MAGIC 0x6908u

#define VECTORS_SIZE 0xc0u // 16 exceptions and 32 interrupts

enum { COUNTER, DIGEST, SIGNATURE, KEY_HASH, KNOWN };

static const struct {
    uint16_t type;
    uint16_t size;
    uint16_t magic; // of the block that it belongs in
} known[KNOWN] = {
    [COUNTER] = {0x50, 4, PROTECTED_TLVS_MAGIC},
    [DIGEST] = {0x12, 64, TLVS_MAGIC},
    [SIGNATURE] = {0x24, 64, TLVS_MAGIC},
    [KEY_HASH] = {0x01, 64, TLVS_MAGIC},
};

// Reads a block of TLVs, which has to fill `length` bytes exactly, and adds what it knows to
// `values`, each at most once. What it does not know may stand among the protected TLVs only:
// those are signed, so somebody vouches for them.
static bool read_tlvs(
    const uint8_t *bytes, uint32_t length, uint32_t magic, const uint8_t *values[KNOWN]) {
    if (length < 4 || le16(bytes) != magic || le16(bytes + 2) != length) {
        return false;
    }
    for (uint32_t at = 4; at != length;) {
        if (length - at < 4) {
            return false;
        }
        uint32_t type = le16(bytes + at);
        uint32_t size = le16(bytes + at + 2);
        at += 4;
        if (length - at < size) {
            return false;
        }
        uint32_t i = 0;
        while (i < KNOWN && known[i].type != type) {
            i++;
        }
        if (i < KNOWN) {
            if (values[i] != NULL || size != known[i].size || magic != known[i].magic) {
                return false;
            }
            values[i] = bytes + at;
        } else if (magic != PROTECTED_TLVS_MAGIC) {
            return false;
        }
        at += size;
    }
    return true;
}

bool image_parse(struct image *image, const uint8_t *bytes, uint32_t length, uint32_t address) {
    if (length < HEADER_SIZE || le32(bytes) != IMAGE_MAGIC || le32(bytes + 4) != address
        || le16(bytes + 8) != HEADER_SIZE || le32(bytes + 16) != FLAGS_FIXED_ADDRESS) {
        return false;
    }
    uint32_t protected_size = le16(bytes + 10);
    uint32_t code_size = le32(bytes + 12);
    uint32_t rest = length - HEADER_SIZE;
    if (code_size < VECTORS_SIZE || code_size > rest || protected_size > rest - code_size) {
        return false;
    }
    rest -= code_size + protected_size;

    // The entry point is odd, as addresses of Thumb code are, and lies behind the vectors.
    const uint8_t *code = bytes + HEADER_SIZE;
    uint32_t stack = le32(code);
    uint32_t entry = le32(code + 4) - (address + HEADER_SIZE);
    if (stack <= RAM_START || stack > RAM_END || stack % 8 != 0
        || entry < VECTORS_SIZE || entry >= code_size || entry % 2 == 0) {
        return false;
    }

    const uint8_t *tlvs = code + code_size;
    const uint8_t *values[KNOWN] = {NULL};
    if (!read_tlvs(tlvs, protected_size, PROTECTED_TLVS_MAGIC, values)
        || !read_tlvs(tlvs + protected_size, rest, TLVS_MAGIC, values)
        || values[COUNTER] == NULL || values[DIGEST] == NULL) {
        return false;
    }
    image->bytes = bytes;
    image->signed_length = HEADER_SIZE + code_size + protected_size;
    image->digest = values[DIGEST];
    image->signature = values[SIGNATURE];
    image->counter = le32(values[COUNTER]);
    return true;
}

bool image_is_authentic(const struct image *image, const uint8_t *keys, uint32_t key_count) {
    uint8_t digest[64];
    ota_sha512 hash;
    ota_sha512_init(&hash);
    ota_sha512_update(&hash, image->bytes, image->signed_length);
    ota_sha512_final(&hash, digest);
    for (uint32_t i = 0; i < sizeof digest; i++) {
        if (digest[i] != image->digest[i]) {
            return false;
        }
    }
    if (key_count == 0) {
        return true;
    }
    for (uint32_t i = 0; i < key_count && image->signature != NULL; i++) {
        if (ota_ed25519_verify(keys + KEY_SIZE * i, digest, sizeof digest, image->signature)) {
            return true;
        }
    }
    return false;
}
