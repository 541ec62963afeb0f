/* SPDX-License-Identifier: MIT */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "samples.h"

/*
 * What no server can be faster than: 64 bytes there and 64 back over a bare SOCK_SEQPACKET socket, by a blocking send()
 * and recv() on both sides, with a process on the servers' processor that does nothing else. It ends with this one.
 */
void floor_start(void);

extern const struct runner floor_runner;

/* The same through a third process, a bare relay. */
extern const struct runner relay_runner;

#endif
