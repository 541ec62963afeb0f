/* SPDX-License-Identifier: MIT */
#ifndef LIB_MEMLOCK_H
#define LIB_MEMLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* How much memory this process may lock, and how much is locked. */
struct memlock {
	uint64_t limit;	 /* RLIMIT_MEMLOCK in bytes; UINT64_MAX: none */
	uint64_t locked; /* in bytes; valid if known */
	bool known;	 /* /proc/self/status was readable */
};

void memlock_read(struct memlock *ret_memlock);

#endif
