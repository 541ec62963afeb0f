/* SPDX-License-Identifier: MIT */
#ifndef BENCH_PROCESSOR_H
#define BENCH_PROCESSOR_H

#include <sys/types.h>

/* Servers stay on one processor for good; the client is there too, or away on another. */

/* Chooses the two among those that this process may use. */
void processor_choose(void);

/* Moves process PID (0: the calling one) to the servers' processor, or to the client's own one. */
void processor_pin_server(pid_t pid);
void processor_pin_away(pid_t pid);

/* Or lets it run on both. */
void processor_pin_none(pid_t pid);

#endif
