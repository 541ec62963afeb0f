/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_CLOCK_H
#define KEEPER_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Time that only goes forward, for durations and deadlines. */
static inline uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_us(void)
{
	return clock_ns() / 1000;
}

#endif
