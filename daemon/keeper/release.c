/* SPDX-License-Identifier: MIT */
#include "release.h"
#include "clock.h"

int release_took(struct release_report *report, enum release_step step, uint64_t start_us, int r)
{
	uint64_t time = clock_us() - start_us;

	report->taken |= 1U << step;
	report->steps[step].time_us = time > UINT32_MAX ? UINT32_MAX : (uint32_t)time;
	report->steps[step].error = (uint32_t)-r;
	return r;
}

int release_result(const struct release_report *report)
{
	for (int step = 0; step < RELEASE_STEPS; step++) {
		if (step != RELEASE_RESET && report->steps[step].error != 0)
			return -(int)report->steps[step].error;
	}
	return 0;
}
