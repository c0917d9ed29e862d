// SPDX-License-Identifier: MIT
// Judges signatures that come on standard input, so that a test can be as rough with the verifier
// as it likes: in a process of its own, built with sanitizers, all in heap memory of exact size.
//
// A case is key, signature, then pieces of the message, each after its length in 4 bytes, until a
// length of 0xffffffff. The answer is one byte: bit 0 the verdict, bit 1 whether the run reached
// something new (with COVERAGE).

#define _POSIX_C_SOURCE 200809L

#include "ed25519.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef COVERAGE
#include "coverage.h"
#else
#define coverage_is_new() 0
#endif

// A test of the sanitizers themselves makes this 1: then a byte behind the key is read.
#ifndef SLIP
#define SLIP 0
#endif

#define END 0xffffffff

// Returns memory of exactly this many bytes, filled from the input.
static uint8_t *take(size_t length) {
    uint8_t *data = malloc(length);
    if ((length && !data) || fread(data, 1, length, stdin) != length) {
        exit(1);
    }
    return data;
}

static uint32_t take_length(void) {
    uint8_t *data = take(4);
    uint32_t length = data[0] | data[1] << 8 | data[2] << 16 | (uint32_t)data[3] << 24;
    free(data);
    return length;
}

static bool judge(void) {
    uint8_t *key = take(32);
    uint8_t *signature = take(64);
    ota_ed25519 *check = malloc(sizeof *check);
    ota_ed25519_init(check, key + SLIP, signature);
    free(key);
    free(signature);
    uint32_t length;
    while ((length = take_length()) != END) {
        uint8_t *piece = take(length);
        ota_ed25519_update(check, piece, length);
        free(piece);
    }
    bool good = ota_ed25519_ok(check);
    free(check);
    return good;
}

int main(void) {
    int next;
    while ((next = getchar()) != EOF) {
        ungetc(next, stdin);
        alarm(60); // a loop without end is a finding, too
        bool good = judge();
        putchar(good | coverage_is_new() << 1);
        fflush(stdout);
    }
    return 0;
}
