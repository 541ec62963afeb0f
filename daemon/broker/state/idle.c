/* SPDX-License-Identifier: MIT */
#include "state/idle.h"

#include "base/limits.h"
#include "base/loop.h"
#include "footprint.h"

static int on_idle(sd_event_source *source, uint64_t now, void *userdata)
{
	const struct broker *broker = userdata;

	(void)source;
	(void)now;
	if (broker->sessions_count == 0)
		footprint_trim();
	return 0;
}

void idle_arm(struct broker *broker)
{
	/* Nothing is lost if there is no memory for a timer. */
	if (!broker->stopping)
		(void)loop_timer(broker->event, &broker->idle, IDLE_TRIM_US, on_idle, broker);
}
