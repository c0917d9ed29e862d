// SPDX-License-Identifier: MIT

#ifndef COVERAGE_H
#define COVERAGE_H

// Whether the code since the last call reached anything that it never reached before.
int coverage_is_new(void);

// What the compiler calls.
#include <stdint.h>
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_switch(uint64_t value, uint64_t *cases);

#endif
