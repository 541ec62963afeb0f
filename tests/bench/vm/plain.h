/* SPDX-License-Identifier: MIT */
#ifndef BENCH_PLAIN_H
#define BENCH_PLAIN_H

#include <stdint.h>

/*
 * What no owner of a domain can do with less: takes the packets of a domain channel from CHANNEL and makes the system calls that
 * they ask for, on DOMAIN, from the IOVA NEXT on. Believes all it reads, remembers nothing but where memory is, and refuses
 * nothing: a failure ends it. Returns when the channel does.
 */
void plain_serve(int channel, int domain, uint64_t next);

#endif
