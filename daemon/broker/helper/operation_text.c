/* SPDX-License-Identifier: MIT */
#include "helper/operation_text.h"

#include "base/loop.h"
#include "helper_message.h"
#include "state/inventory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *operation_order_text(const struct operation *operation, char *buffer, size_t size)
{
	uint32_t group = operation->group ? operation->group->number : GROUP_NONE;

	switch (operation->order) {
	case HELPER_LOOK:
		if (operation->flags & HELPER_LOOK_NODE)
			snprintf(buffer, size, "looking at %s and /dev/vfio/%" PRIu32, operation->device, group);
		else
			snprintf(buffer, size, "looking what the host does with %s", operation->device);
		break;
	case HELPER_OVERRIDE_GET:
		snprintf(buffer, size, "reading driver_override of %s", operation->device);
		break;
	case HELPER_OVERRIDE_SET:
		snprintf(buffer, size, "setting driver_override of %s", operation->device);
		break;
	case HELPER_UNBIND:
		snprintf(buffer, size, "unbinding %s from %s", operation->device, operation->driver);
		break;
	case HELPER_BIND:
		snprintf(buffer, size, "binding %s to %s", operation->device, operation->driver);
		break;
	case HELPER_LEASE:
		snprintf(buffer, size, "opening /dev/vfio/%" PRIu32 " for %s", group, operation->device);
		break;
	case HELPER_QUIET:
		snprintf(buffer, size, "making %s quiet", operation->device);
		break;
	case HELPER_RESET:
		snprintf(buffer, size, "resetting %s", operation->device);
		break;
	case HELPER_RESET_BUS:
		snprintf(buffer, size, "resetting the bus of %s", operation->device);
		break;
	case HELPER_PROBE:
		snprintf(buffer, size, "looking for a driver of %s", operation->device);
		break;
	default:
		snprintf(buffer, size, "working at %s", operation->device);
		break;
	}
	return buffer;
}

/* What sysfs says without waiting: the driver, and virtual functions. */
static void describe_device(const struct operation *operation, char *buffer, size_t size)
{
	const struct broker *broker = operation->broker;
	const struct device *virtual = inventory_virtual(&broker->inventory, operation->device);
	struct host_device now;

	if (broker->host->read(operation->device, &now) < 0)
		snprintf(buffer, size, "the device has gone");
	else
		snprintf(buffer, size, "its driver is %s%s%s", now.driver[0] ? now.driver : "(none)",
			virtual ? ", its virtual function " : "", virtual ? virtual->name : "");
}

/* The order waits for whoever has the group's node. Anything else waits for a driver, or for the device. */
static bool waits_for_node(const struct operation *operation)
{
	if (!operation->group)
		return false;
	switch (operation->order) {
	case HELPER_LEASE:
		return true;
	case HELPER_LOOK:
		return operation->flags & HELPER_LOOK_NODE;
	case HELPER_UNBIND:
		return strcmp(operation->driver, VFIO_DRIVER) == 0;
	default:
		return false;
	}
}

const char *operation_remedy_text(const struct operation *operation, char *buffer, size_t size)
{
	bool driver = operation->order == HELPER_UNBIND || operation->order == HELPER_BIND;

	if (waits_for_node(operation))
		snprintf(buffer, size, "'fuser -v /dev/vfio/%" PRIu32 "' names who has the group",
			operation->group->number);
	else if (operation->order == HELPER_LOOK && (operation->flags & HELPER_LOOK_USE))
		snprintf(buffer, size, "'ps -C vfio-inspector -o pid,wchan' says where the inspector waits");
	else
		snprintf(buffer, size, "'cat /proc/%" PRIu32 "/stack' says where %s waits",
			operation->helper ? operation->helper->pid : 0, driver ? operation->driver : "the helper");
	return buffer;
}

const char *operation_text(const struct operation *operation, char *buffer, size_t size)
{
	uint64_t waited = loop_now(operation->broker->event) - operation->since_us;
	char order[96], device[128], remedy[96];

	if (!operation->helper || operation->helper->pid == 0) {
		snprintf(buffer, size,
			"no helper has started for %" PRIu64 ".%" PRIu64
			" s, for %s; 'systemctl status vfio-helper.socket' may say why",
			waited / 1000000, waited / 100000 % 10, operation_order_text(operation, order, sizeof order));
		return buffer;
	}
	describe_device(operation, device, sizeof device);
	snprintf(buffer, size, "a helper (pid %" PRIu32 ") has been %s for %" PRIu64 ".%" PRIu64 " s; %s; %s",
		operation->helper->pid, operation_order_text(operation, order, sizeof order), waited / 1000000,
		waited / 100000 % 10, device, operation_remedy_text(operation, remedy, sizeof remedy));
	return buffer;
}
