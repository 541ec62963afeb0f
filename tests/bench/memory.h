/* SPDX-License-Identifier: MIT */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <sys/types.h>

/* The PSS of a process in KiB: its own pages, and its share of those that several processes have. */
unsigned long memory_pss(pid_t pid);

#endif
