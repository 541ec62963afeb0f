/* SPDX-License-Identifier: MIT */
#include "release.h"
#include "clock.h"

void release_set_reason(struct release_report *report, enum end_reason why)
{
	report->reason = why;
}

void release_begin(struct release_report *report)
{
	*report = (struct release_report){.reason = report->reason};
}

int release_note(struct release_report *report, enum release_step step, uint64_t start_us, int r)
{
	uint64_t time = clock_us() - start_us;

	report->steps_done |= 1U << step;
	report->steps[step].time_us = time > UINT32_MAX ? UINT32_MAX : (uint32_t)time;
	report->steps[step].error = (uint32_t)-r;
	return r;
}

void release_set_reset(struct release_report *report, enum reset_result result)
{
	report->reset = result;
}

void release_restore(struct release_report *report, const struct release_report *earlier)
{
	*report = *earlier;
}

int release_result(const struct release_report *report)
{
	for (int step = 0; step < RELEASE_STEPS; step++) {
		if (step != RELEASE_RESET && report->steps[step].error != 0)
			return -(int)report->steps[step].error;
	}
	return 0;
}
