/* SPDX-License-Identifier: MIT */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

/* The time of CLOCK (CLOCK_REALTIME, CLOCK_BOOTTIME) in nanoseconds. */
static inline uint64_t clock_ns_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_us_of(clockid_t clock)
{
	return clock_ns_of(clock) / 1000;
}

/* A clock for durations and deadlines; never goes backward. */
static inline uint64_t clock_ns(void)
{
	return clock_ns_of(CLOCK_MONOTONIC);
}

static inline uint64_t clock_us(void)
{
	return clock_us_of(CLOCK_MONOTONIC);
}

#endif
