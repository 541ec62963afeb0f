/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_HELPER_PROCESS_H
#define FUZZ_HELPER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

/* Helpers on the host in memory, in a process that has a broker in it. */

#define HELPER_SLOTS 6

/* Before each input: nobody is there. */
void helpers_init(void);

/* A new process on CHANNEL, which is taken. There is a slot. */
void helpers_start(int channel);

/* A turn of each helper: an order at most. Returns whether there was anything to do. */
bool helpers_step(void);

/* Helper I is killed between two orders. */
void helpers_kill(size_t i);

/* Helper I begins no order any more, as if it hung in the last; or does again. */
void helpers_stick(size_t i, bool stuck);

/* Helper I dies in its next order: after so many CALLS to the kernel, or, if these are 0, when all is done but the
 * answer. */
void helpers_kill_in_order(size_t i, unsigned int calls);

/* No helper is stuck, and none is about to die. */
void helpers_heal(void);

/* The helper's end of its channel, or -1. */
int helpers_channel(size_t i);

size_t helpers_running(void);

#endif
