// SPDX-License-Identifier: MIT
// The floating point unit is off after reset (ARMv7-M, B3.2.20) and the port's start-up, made for
// cores without one, leaves it so. uart_init() is the first that it calls in an object of its own.

#include <stdint.h>

#define CPACR (*(volatile uint32_t *)0xe000ed88)

void __real_uart_init(void);
void __wrap_uart_init(void);

void __wrap_uart_init(void) {
    CPACR |= 0xfu << 20;        // full access to CP10 and CP11
    __asm volatile ("dsb\n isb");
    __real_uart_init();
}
