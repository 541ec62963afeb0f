/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LOOP_H
#define BROKER_LOOP_H

#include <stdint.h>
#include <systemd/sd-event.h>

/* Time and timers of the broker's only thread, by its event loop. */

/* Monotonic time in microseconds, as the event loop last saw it. */
uint64_t loop_now(sd_event *event);

/* (Re)arms a one-shot timer in *SOURCE. The first use makes the timer. Returns 0 or -ENOMEM. */
int loop_timer(
	sd_event *event, sd_event_source **source, uint64_t delay_us, sd_event_time_handler_t handler, void *userdata);

#endif
