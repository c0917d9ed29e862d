// SPDX-License-Identifier: MIT
// An image in a slot: MCUboot's format, as `imgtool sign --sha 512` makes it.
//
//     0x000  header, 32 bytes:
//               0  magic      4  address of the slot    8  size of the header, u16
//              10  size of the protected TLVs, u16     12  size of the code
//              16  flags     20  version               28  zero
//     0x020  filling
//     0x100  code, its vector table first
//            protected TLVs   0x50 security counter, 4 bytes
//            TLVs             0x12 SHA-512 of all up to here
//                             0x24 Ed25519 signature of these 64 bytes
//                             0x01 SHA-512 of the public key: a hint for tools
//
// A block of TLVs begins with a magic and its own length, both u16; each TLV with its type and the
// length of its value, both u16.
//
// Everything in an image is hostile until the signature has been checked, and lengths stay so:
// nothing is read outside the `length` bytes that the caller vouches for.

#ifndef BOOT_IMAGE_H
#define BOOT_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

struct image {
    const uint8_t *bytes;
    uint32_t signed_length;   // header to protected TLVs
    const uint8_t *digest;    // 64 bytes, as claimed
    const uint8_t *signature; // 64 bytes; NULL: none
    uint32_t counter;
};

// Takes the image apart. Returns false unless the `length` bytes are exactly one image, linked for
// `address` (where its header is mapped), with a stack and an entry point that can be jumped to.
bool image_parse(struct image *image, const uint8_t *bytes, uint32_t length, uint32_t address);

// Tells whether the digest is right, and signed by one of the keys if there are any.
bool image_is_authentic(const struct image *image, const uint8_t *keys, uint32_t key_count);

#endif
