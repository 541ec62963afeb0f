/* SPDX-License-Identifier: MIT */
#ifndef BROKER_RATE_H
#define BROKER_RATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * So many may be taken per minute, and as many at once after a minute with none. The state is a single time: when all
 * that was taken will be forgotten. Starts as {0}.
 */
struct rate {
	uint64_t forgotten_us;
};

/* How long until one may be taken; 0: now. PER_MINUTE is not 0. */
uint64_t rate_wait(const struct rate *rate, unsigned int per_minute, uint64_t now_us);

/* Takes one. The caller has seen rate_wait() return 0. */
void rate_take(struct rate *rate, unsigned int per_minute, uint64_t now_us);

/* Whether RATE is as at the beginning. */
bool rate_is_idle(const struct rate *rate, uint64_t now_us);

#endif
