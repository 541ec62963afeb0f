/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_VIRTUAL_CLOCK_H
#define FUZZ_VIRTUAL_CLOCK_H

#include <stdint.h>

/*
 * CLOCK_MONOTONIC and the timers of sd-event, in the hands of the test: time passes by virtual_clock_pass() alone,
 * but for a microsecond at each look, so that nobody who waits for a time waits for ever. Linking this file is
 * enough: it takes the place of clock_gettime(), clock_nanosleep() and timerfd_settime().
 */
void virtual_clock_reset(void);
void virtual_clock_pass(uint64_t microseconds);

#endif
