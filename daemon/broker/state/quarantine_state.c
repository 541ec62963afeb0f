/* SPDX-License-Identifier: MIT */
#include "state/quarantine_state.h"

#include "base/limits.h"
#include "base/loop.h"

bool quarantine_is_in_use(const struct device *device)
{
	return device->quarantine && device->quarantine->reason == QUARANTINE_IN_USE;
}

bool quarantine_is_leaving(const struct device *device)
{
	return device->quarantine && device->quarantine->reason == QUARANTINE_LEAVING;
}

uint64_t quarantine_cooldown_left(const struct quarantine *q, uint64_t settle, uint64_t now)
{
	return now - q->since_us < settle ? settle - (now - q->since_us) : 0;
}

uint64_t quarantine_device_cooldown_us(const struct quarantine *q, uint64_t now)
{
	if (q->reason == QUARANTINE_LEAVING)
		return quarantine_cooldown_left(q, LEAVING_US, now);
	/* A device that nobody may have needs no time. */
	if (q->reason == QUARANTINE_IN_USE || q->reason == QUARANTINE_UNRESPONSIVE || q->reset.need == RESET_REQUIRED)
		return 0;
	return quarantine_cooldown_left(q, policy_settle(&q->reset), now);
}

static bool holds(const struct quarantine *q)
{
	return q->reason == QUARANTINE_UNRESPONSIVE ||
		(q->reason != QUARANTINE_IN_USE && q->reset.need != RESET_OPTIONAL);
}

bool quarantine_holds(const struct device *device)
{
	return device->quarantine && holds(device->quarantine);
}

const struct device *quarantine_of_group(const struct iommu_group *group)
{
	const struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (!device->lease && quarantine_holds(device))
			return device;
	}
	return NULL;
}

uint64_t quarantine_cooldown_us(const struct iommu_group *group)
{
	const struct device *device;
	uint64_t longest = 0;

	LIST_FOREACH(device, &group->devices, in_group) {
		uint64_t this = device->quarantine
			? quarantine_device_cooldown_us(device->quarantine, loop_now(group->broker->event))
			: 0;

		if (this > longest)
			longest = this;
	}
	return longest;
}
