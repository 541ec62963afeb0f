/* SPDX-License-Identifier: MIT */
#ifndef PROBE_H
#define PROBE_H

#include <stdint.h>

/*
 * Memory accesses that may fault. Each returns 0, or the signal that came instead (SIGBUS, SIGSEGV). Any thread may
 * call them once probe_init has been called; children inherit that.
 */

void probe_init(void);

/* @width: 1, 2, 4 or 8 bytes */
int probe_read(const volatile void *address, unsigned width, uint64_t *ret_value);
int probe_write(volatile void *address, unsigned width, uint64_t value);

/* Reads until the read ends with @signal. Returns 0, or -1 if that takes a minute. */
int probe_until(const volatile void *address, int signal);

#endif
