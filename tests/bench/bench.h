/* SPDX-License-Identifier: MIT */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "service.h"

/* Round trips and OPEN, on the fakes. DIRECTORY is made. */
void bench_latency(const struct programs *programs, const char *directory);

/* Memory of the daemons as they are installed, idle and with many connections, and what these cost a PING. */
void bench_connections(const struct programs *programs, const char *directory, const char *other_directory);

/*
 * What one user's attacks do to another's PINGs, on the fakes. DIRECTORY is made; it and its parent are opened to all
 * users.
 */
void bench_hostile(const struct programs *programs, const char *directory);

/* Mappings through a domain channel, and the choice of IOVAs, on the fakes. */
void bench_domain(void);

#endif
