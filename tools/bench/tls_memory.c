// SPDX-License-Identifier: MIT
// One HTTPS request with mbedTLS as a board has it, every allocation counted.
//
//     tls_memory PORT NAME CA.der ALIGN OVERHEAD MAX_FRAGMENT
//
// ALIGN, OVERHEAD: what the board's allocator makes of n bytes: n + OVERHEAD, rounded up to ALIGN.
// MAX_FRAGMENT: 1 to 4 asks the server for records of 512 << (n - 1) bytes, where the configuration
// knows that; 0 does not ask. Prints one line per figure: name, bytes. Exits 1 if the handshake
// fails, with the error of mbedTLS on stderr.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mbedtls/ctr_drbg.h"
#include "mbedtls/entropy.h"
#include "mbedtls/platform_time.h"
#include "mbedtls/ssl.h"
#include "mbedtls/x509_crt.h"

static size_t align = 1, overhead, now, peak, largest, count;

static size_t cost(size_t size) {
    return (size + overhead + align - 1) / align * align;
}

// What mbedTLS asks for, by the names that the configuration of the boards gives it.
void *m_tracked_calloc(size_t members, size_t size) {
    size_t *block = calloc(1, 16 + members * size);
    if (block == NULL) {
        return NULL;
    }
    block[0] = members * size;
    now += cost(block[0]);
    count++;
    if (now > peak) {
        peak = now;
    }
    if (block[0] > largest) {
        largest = block[0];
    }
    return (uint8_t *)block + 16;
}

void m_tracked_free(void *data) {
    if (data != NULL) {
        size_t *block = (size_t *)((uint8_t *)data - 16);
        now -= cost(block[0]);
        free(block);
    }
}

// What a board brings along besides.
time_t rp2_rtctime_seconds(time_t *timer) {
    return time(timer);
}

mbedtls_ms_time_t mbedtls_ms_time(void) {
    return (mbedtls_ms_time_t)time(NULL) * 1000;
}

int mbedtls_hardware_poll(void *data, unsigned char *output, size_t length, size_t *got) {
    (void)data;
    for (size_t i = 0; i < length; i++) {
        output[i] = (unsigned char)rand();
    }
    *got = length;
    return 0;
}

static int send_some(void *context, const unsigned char *data, size_t length) {
    return (int)send(*(int *)context, data, length, 0);
}

static int receive_some(void *context, unsigned char *data, size_t length) {
    return (int)recv(*(int *)context, data, length, 0);
}

static void report(const char *name, size_t value) {
    printf("%s %zu\n", name, value);
}

static void must(const char *what, int result) {
    if (result < 0) {
        fprintf(stderr, "%s: -0x%04x\n", what, (unsigned)-result);
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 7) {
        return 2;
    }
    align = (size_t)atoi(argv[4]);
    overhead = (size_t)atoi(argv[5]);

    static unsigned char ca[8192];
    FILE *file = fopen(argv[3], "rb");
    size_t length = file == NULL ? 0 : fread(ca, 1, sizeof ca, file);

    // MicroPython's SSLContext and SSLSocket are objects with these inside.
    static mbedtls_entropy_context entropy;
    static mbedtls_ctr_drbg_context random;
    static mbedtls_ssl_config config;
    static mbedtls_x509_crt roots, own;
    static mbedtls_pk_context key;
    static mbedtls_ssl_context ssl;
    report("objects", cost(sizeof entropy + sizeof random + sizeof config + sizeof roots
        + sizeof own + sizeof key) + cost(sizeof ssl));

    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    mbedtls_ssl_config_init(&config);
    mbedtls_x509_crt_init(&roots);
    mbedtls_ssl_init(&ssl);
    must("random", mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0));
    must("config", mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT,
        MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT));
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
    must("ca", mbedtls_x509_crt_parse_der(&roots, ca, length));
    mbedtls_ssl_conf_ca_chain(&config, &roots, NULL);
    #ifdef MBEDTLS_SSL_MAX_FRAGMENT_LENGTH
    must("fragment", mbedtls_ssl_conf_max_frag_len(&config, (unsigned char)atoi(argv[6])));
    #endif
    report("context", now);

    int peer = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(peer, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("connect");
        return 1;
    }
    must("setup", mbedtls_ssl_setup(&ssl, &config));
    must("name", mbedtls_ssl_set_hostname(&ssl, argv[2]));
    mbedtls_ssl_set_bio(&ssl, &peer, send_some, receive_some, NULL);
    report("buffers", now);
    peak = now;
    must("handshake", mbedtls_ssl_handshake(&ssl));
    report("handshake", peak);
    report("steady", now);

    static const unsigned char request[] = "GET / HTTP/1.0\r\n\r\n";
    static unsigned char data[4096];
    peak = now;
    must("request", mbedtls_ssl_write(&ssl, request, sizeof request - 1));
    size_t body = 0;
    for (;;) {
        int n = mbedtls_ssl_read(&ssl, data, sizeof data);
        if (n <= 0) {
            break;
        }
        body += (size_t)n;
    }
    report("reading", peak);
    report("largest", largest);
    report("allocations", count);
    report("body", body);
    return 0;
}
