/* SPDX-License-Identifier: MIT */
#include "base/loop.h"

uint64_t loop_now(sd_event *event)
{
	uint64_t now = 0;

	sd_event_now(event, CLOCK_MONOTONIC, &now);
	return now;
}

int loop_timer(
	sd_event *event, sd_event_source **source, uint64_t delay_us, sd_event_time_handler_t handler, void *userdata)
{
	int r;

	if (!*source) {
		r = sd_event_add_time_relative(event, source, CLOCK_MONOTONIC, delay_us, 1000, handler, userdata);
		return r < 0 ? r : 0;
	}
	r = sd_event_source_set_time_relative(*source, delay_us);
	if (r >= 0)
		r = sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
	/* sd-event says 1 where something has changed. */
	return r < 0 ? r : 0;
}
