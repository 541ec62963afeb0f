/* SPDX-License-Identifier: MIT */
#include "base/rate.h"

#define MINUTE_US 60000000ULL

uint64_t rate_wait(const struct rate *rate, unsigned int per_minute, uint64_t now_us)
{
	/* Each one taken is remembered for a PER_MINUTEth of a minute: all together for a minute at most. */
	uint64_t each = MINUTE_US / per_minute, allowed = now_us + MINUTE_US - each;

	return rate->forgotten_us > allowed ? rate->forgotten_us - allowed : 0;
}

void rate_take(struct rate *rate, unsigned int per_minute, uint64_t now_us)
{
	if (rate_is_idle(rate, now_us))
		rate->forgotten_us = now_us;
	rate->forgotten_us += MINUTE_US / per_minute;
}

bool rate_is_idle(const struct rate *rate, uint64_t now_us)
{
	return rate->forgotten_us <= now_us;
}
