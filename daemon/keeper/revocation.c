/* SPDX-License-Identifier: MIT */
#include "revocation.h"
#include "clock.h"
#include "log.h"
#include "state.h"

#include <stdio.h>
#include <string.h>

void revocation_init(struct revocation *revocation)
{
	*revocation = (struct revocation){.deadline_us = REVOCATION_NEVER};
}

/* Tells a holder with time left. At the deadline the holder gets CLOSED instead. */
static void announce(struct device *device, uint64_t left_us, struct packet *event)
{
	const struct revocation *revocation = &device->revocation;
	struct pending_event *pending;

	packet_event(event, DEVICE_EVENT_REVOKE_PENDING);
	pending = packet_append(event, sizeof *pending);
	pending->reason = revocation->reason;
	pending->left_us = left_us;
	snprintf(pending->detail, sizeof pending->detail, "%s: %s", device->lease.name, revocation->text);
	channel_notify(&device->channel, event);
}

void revocation_order(struct device *device, const struct revoke_order *order, struct packet *event)
{
	struct revocation *revocation = &device->revocation;
	uint64_t now = clock_us();
	/* The largest deadline is one below REVOCATION_NEVER. */
	uint64_t deadline =
		order->deadline_us < REVOCATION_NEVER - 1 - now ? now + order->deadline_us : REVOCATION_NEVER - 1;

	if (deadline >= revocation->deadline_us)
		return;
	revocation->deadline_us = deadline;
	revocation->reason = (enum end_reason)order->reason;
	memcpy(revocation->text, order->text, sizeof revocation->text);
	log_line(LOG_NOTICE, "%s: to be taken back in %llu ms: %s", device->lease.name,
		(unsigned long long)(order->deadline_us / 1000), revocation->text);
	if (order->deadline_us > 0)
		announce(device, order->deadline_us, event);
}

int revocation_timeout(const struct iommu_group *group, int timeout_ms)
{
	uint64_t first = REVOCATION_NEVER, now, wait_ms;

	for (size_t i = 0; i < group->device_count; i++) {
		if (group->devices[i]->revocation.deadline_us < first)
			first = group->devices[i]->revocation.deadline_us;
	}
	if (first == REVOCATION_NEVER)
		return timeout_ms;
	now = clock_us();
	/* Rounded up: before the deadline there is nothing to do. */
	wait_ms = first <= now ? 0 : (first - now + 999) / 1000;
	if (timeout_ms >= 0 && (uint64_t)timeout_ms < wait_ms)
		return timeout_ms;
	return wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms;
}

bool revocation_is_due(const struct device *device)
{
	/* Called after each request: a device without a revocation does not cost a look at the clock. */
	return device->revocation.deadline_us != REVOCATION_NEVER && device->revocation.deadline_us <= clock_us();
}

struct device *revocation_due(const struct iommu_group *group)
{
	for (size_t i = 0; i < group->device_count; i++) {
		if (revocation_is_due(group->devices[i]))
			return group->devices[i];
	}
	return NULL;
}
