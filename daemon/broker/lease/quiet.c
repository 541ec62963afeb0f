/* SPDX-License-Identifier: MIT */
#include "lease/quiet.h"

#include "base/loop.h"
#include "helper/operation.h"
#include "helper/operation_text.h"
#include "log.h"
#include "state/quarantine_state.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

/* Devices of one group, one after the other. */
struct quieting {
	struct operation operation; /* first */
	uint64_t since_us;
	size_t count, next;
	char names[][DEVICE_NAME_SIZE];
};

static struct quieting *quieting_of(struct operation *operation)
{
	static_assert(offsetof(struct quieting, operation) == 0, "begins with its operation");
	return (struct quieting *)(void *)operation;
}

/* ---- the operation ---- */

static void begin(struct operation *operation)
{
	struct quieting *quieting = quieting_of(operation);

	operation_order(operation, HELPER_QUIET, 0, quieting->names[quieting->next++], "");
}

static void tell(const struct quieting *quieting, const struct helper_reply *reply)
{
	const char *name = quieting->operation.device;
	uint64_t took = loop_now(quieting->operation.broker->event) - quieting->since_us;
	bool was_on = reply && (reply->command & PCI_COMMAND_MASTER);

	if (!reply)
		log_line(LOG_ERR, "%s: may not be quiet: the helper has ended", name);
	else if (reply->error != 0 && reply->error != ENODEV)
		log_line(LOG_ERR, "%s: may not be quiet: a helper cannot switch bus mastering off: %s", name,
			strerror((int)reply->error));
	else
		log_line(was_on ? LOG_NOTICE : LOG_DEBUG, "%s: quiet after %" PRIu64 ".%" PRIu64 " ms%s", name,
			took / 1000, took / 100 % 10, was_on ? ": a helper has switched bus mastering off" : "");
}

static void answered(struct operation *operation, const struct helper_reply *reply)
{
	struct quieting *quieting = quieting_of(operation);

	tell(quieting, reply);
	if (quieting->next < quieting->count) {
		begin(operation);
		return;
	}
	operation_end(operation);
	free(quieting);
}

static void late(struct operation *operation)
{
	char text[DETAIL_SIZE];

	log_line(LOG_ERR, "%s: may not be quiet: %s", operation->device, operation_text(operation, text, sizeof text));
}

static const struct operation_kind quieting_kind = {begin, answered, late};

/* Takes QUIETING, which may be NULL: no memory. */
static void start(struct quieting *quieting, struct iommu_group *group)
{
	if (!quieting) {
		log_line(LOG_ERR, "group %u: out of memory: no helper makes its devices quiet", group->number);
		return;
	}
	quieting->since_us = loop_now(group->broker->event);
	operation_begin(&quieting->operation, &quieting_kind,
		&(struct operation_matter){
			.broker = group->broker,
			.group = group,
			.urgent = true,
			.first = true,
			.device = quieting->names[0],
		});
}

static struct quieting *quieting_new(size_t room)
{
	return calloc(1, sizeof(struct quieting) + room * DEVICE_NAME_SIZE);
}

static void add(struct quieting *quieting, const struct device *device)
{
	memcpy(quieting->names[quieting->count++], device->name, DEVICE_NAME_SIZE);
}

/* ---- who is made quiet ---- */

/* The keeper has not told that DEVICE is closed. What an earlier broker has leased, the record alone tells until the
 * keeper has answered. */
static bool is_in_use(const struct device *device)
{
	if (device->lease)
		return device->lease->state != LEASE_OFFERED && device->lease->report.steps_done == 0;
	return quarantine_is_in_use(device);
}

static void quiet_device(const struct device *device)
{
	struct quieting *quieting;

	if (!is_in_use(device))
		return;
	quieting = quieting_new(1);
	if (quieting)
		add(quieting, device);
	start(quieting, device->group);
}

void quiet_lease(const struct lease *lease)
{
	quiet_device(lease->device);
}

uint64_t quiet_due(struct iommu_group *group, uint64_t since, uint64_t now)
{
	const struct device *device;
	uint64_t next = UINT64_MAX;

	LIST_FOREACH(device, &group->devices, in_group) {
		uint64_t due = quarantine_is_in_use(device) ? device->quarantine->due_us : 0;

		if (due > now && due < next)
			next = due;
		if (due > since && due <= now)
			quiet_device(device);
	}
	return next;
}

void quiet_group(struct iommu_group *group)
{
	const struct device *device;
	struct quieting *quieting;
	size_t count = 0;

	LIST_FOREACH(device, &group->devices, in_group)
		count += is_in_use(device);
	if (count == 0)
		return;
	quieting = quieting_new(count);
	LIST_FOREACH(device, &group->devices, in_group) {
		if (quieting && is_in_use(device))
			add(quieting, device);
	}
	start(quieting, group);
}
