/* SPDX-License-Identifier: MIT */
#include "lease/rebind.h"

#include "helper/operation.h"
#include "helper/operation_text.h"
#include "host/claim.h"
#include "lease/look.h"
#include "lease/quarantine.h"
#include "log.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void rebind_claim(struct device *device, struct claim *claim)
{
	assert(!device->claim);
	device->claim = claim;
}

void rebind_driver_appeared(const struct broker *broker, struct device *device)
{
	struct claim *claim = device->claim;
	int r;

	if (!claim || claim->driver[0] || claim->appeared)
		return;
	claim->appeared = true;
	r = claim_write(broker->options->claims_directory, device->name, claim);
	if (r < 0)
		log_line(LOG_ERR, "%s: the record of its claim cannot be written: %s", device->name, strerror(-r));
}

bool rebind_is_open(const struct iommu_group *group)
{
	const struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->claim && device->claim->error != 0)
			return true;
	}
	return false;
}

/* ---- the way back ---- */

enum step {
	BACK_ASK,     /* is the group's node free? */
	BACK_ANSWERS, /* do devices that were handed out answer? */
	BACK_RESETS,  /* devices that perhaps nobody has reset are reset */
	BACK_DRIVERS, /* one device after the other goes back to its driver */
};

/* The way back of a group; or, if operation.group is NULL, of a device without a group. */
struct restoring {
	struct operation operation;	    /* first */
	const struct rebind_events *events; /* NULL: for a device without a group */
	enum step step;
	bool bus;		     /* BACK_RESETS: all that is on the bus of the device is reset */
	char name[DEVICE_NAME_SIZE]; /* the device that goes back */
	unsigned int done;	     /* bits 1 << enum helper_type: the orders that the device has had */
};

static struct restoring *restoring_of(struct operation *operation)
{
	static_assert(offsetof(struct restoring, operation) == 0, "begins with its operation");
	return (struct restoring *)(void *)operation;
}

static void end(struct restoring *restoring)
{
	operation_end(&restoring->operation);
	free(restoring);
}

/* A claim that is left when virtual functions keep a physical function from changing its driver. */
static bool may_go_back(const struct broker *broker, const struct device *device)
{
	return device->claim && device->claim->error == 0 && !quarantine_holds(device) &&
		!inventory_virtual(&broker->inventory, device->name);
}

/* The next device to go back, or NULL. */
static struct device *next_back(const struct restoring *restoring)
{
	const struct broker *broker = restoring->operation.broker;
	struct device *device;

	if (!restoring->operation.group) {
		device = inventory_find(&broker->inventory, restoring->name);
		return device && may_go_back(broker, device) ? device : NULL;
	}
	LIST_FOREACH(device, &restoring->operation.group->devices, in_group) {
		if (may_go_back(broker, device))
			return device;
	}
	return NULL;
}

static const char *driver_text(const char *driver)
{
	return driver[0] ? driver : "(none)";
}

/* A host driver has the device, or the device is without one as before. */
static bool is_home(const struct claim *claim, const struct host_device *now)
{
	if (strcmp(now->driver, VFIO_DRIVER) == 0)
		return strcmp(claim->driver, VFIO_DRIVER) == 0;
	return now->driver[0] || !claim->driver[0];
}

/* The claim of DEVICE stays, here and on record: a further way back, or the next broker, tries again. */
static void keep_claim(const struct device *device, int error)
{
	struct claim *claim = device->claim;

	claim->error = error;
	if (!claim->told)
		log_line(LOG_ERR, "%s: cannot go back to host driver %s, and tries again until it can: %s",
			device->name, driver_text(claim->driver), strerror(-error));
	claim->told = true;
}

/* Ends the claim of DEVICE, which is where it belongs, unless ERROR or a look says otherwise. */
static void settle(struct broker *broker, struct device *device, int error)
{
	struct claim *claim = device->claim;
	struct host_device now;
	int r = broker->host->read(device->name, &now);

	if (r != -ENODEV && (error < 0 || r < 0 || !is_home(claim, &now))) {
		keep_claim(device, error < 0 ? error : r < 0 ? r : -ENODEV);
		return;
	}
	if (r == 0)
		log_line(LOG_INFO, "%s: back to host driver %s", device->name, driver_text(now.driver));
	claim_remove(broker->options->claims_directory, device->name);
	free(claim);
	device->claim = NULL;
}

static bool has_had(const struct restoring *restoring, enum helper_type order)
{
	return restoring->done & (1U << order);
}

static void order(struct restoring *restoring, enum helper_type type, const char *driver)
{
	restoring->done |= 1U << type;
	operation_order(&restoring->operation, type, 0, restoring->name, driver);
}

/*
 * The next step of DEVICE's way back, by what is there now: an order that came late, or was given by an earlier broker,
 * needs no further thought. Returns 1 if an order is given, 0 if the device is where it belongs, or a negative errno.
 *
 * Safe for a hostile caller: the kernel has said that nobody has the group, so the unbind waits for no client.
 */
static int step_back(struct restoring *restoring, const struct device *device)
{
	const struct broker *broker = restoring->operation.broker;
	const struct claim *claim = device->claim;
	struct host_device now;
	int r = broker->host->read(device->name, &now);

	/* The device left the machine: nothing to give back. */
	if (r < 0)
		return r == -ENODEV ? 0 : r;
	if (!has_had(restoring, HELPER_OVERRIDE_SET)) {
		order(restoring, HELPER_OVERRIDE_SET, claim->override);
		return 1;
	}
	if (strcmp(now.driver, VFIO_DRIVER) == 0) {
		if (has_had(restoring, HELPER_UNBIND) || strcmp(claim->driver, VFIO_DRIVER) == 0)
			return strcmp(claim->driver, VFIO_DRIVER) == 0 ? 0 : -EBUSY;
		order(restoring, HELPER_UNBIND, VFIO_DRIVER);
		return 1;
	}
	if (now.driver[0] || has_had(restoring, HELPER_BIND) || has_had(restoring, HELPER_PROBE))
		return 0;
	if (claim->driver[0])
		order(restoring, HELPER_BIND, claim->driver);
	else if (claim->appeared)
		order(restoring, HELPER_PROBE, "");
	return claim->driver[0] || claim->appeared;
}

static void note_held(const struct iommu_group *group)
{
	const struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		const struct device *virtual = inventory_virtual(&group->broker->inventory, device->name);

		if (device->claim && quarantine_holds(device))
			log_line(LOG_NOTICE, "%s: stays with vfio-pci until its quarantine is ended", device->name);
		else if (device->claim && virtual)
			log_line(LOG_NOTICE, "%s: stays with vfio-pci while it has virtual functions (%s)",
				device->name, virtual->name);
	}
}

static void finish(struct restoring *restoring)
{
	struct iommu_group *group = restoring->operation.group;
	struct inventory *inventory = &restoring->operation.broker->inventory;
	struct device *device = group ? NULL : inventory_find(inventory, restoring->name);

	if (group) {
		note_held(group);
		restoring->events->restored(group);
	} else if (device) {
		inventory_prune(inventory, device);
	}
	end(restoring);
}

/* Gives the next order, or is at the end. */
static void go_back(struct restoring *restoring)
{
	struct device *device;

	restoring->step = BACK_DRIVERS;
	while ((device = next_back(restoring))) {
		int r;

		if (strcmp(device->name, restoring->name) != 0 || restoring->done == 0) {
			memcpy(restoring->name, device->name, sizeof restoring->name);
			restoring->done = 0;
		}
		r = step_back(restoring, device);
		if (r > 0)
			return;
		settle(restoring->operation.broker, device, r);
		restoring->done = 0;
	}
	finish(restoring);
}

static struct device *next_to_answer(const struct iommu_group *group)
{
	struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->handed_out && device->present && device->answer == ANSWER_UNKNOWN)
			return device;
	}
	return NULL;
}

/* A driver of the host has the device, by root's own doing: it has set the device up, and is not to lose what it does
 * there. */
static bool is_with_host_driver(const struct broker *broker, const struct device *device)
{
	struct host_device now;

	return broker->host->read(device->name, &now) == 0 && !host_device_is_harmless(&now);
}

static struct device *next_to_reset(const struct iommu_group *group)
{
	struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (!quarantine_wants_reset(group->broker, device))
			continue;
		if (!is_with_host_driver(group->broker, device))
			return device;
		quarantine_note_reset(device, 0);
	}
	return NULL;
}

/* The next device that is to be reset; after the last device, all that is still open is decided. */
static void reset_devices(struct restoring *restoring)
{
	struct iommu_group *group = restoring->operation.group;
	const struct device *device = next_to_reset(group);

	restoring->step = BACK_RESETS;
	restoring->bus = device && quarantine_shares_reset(group->broker, device);
	if (device)
		operation_order(
			&restoring->operation, restoring->bus ? HELPER_RESET_BUS : HELPER_RESET, 0, device->name, "");
	else if (restoring->events->closed(group))
		go_back(restoring);
	else
		end(restoring);
}

/* The next device that is to answer. */
static void ask_devices(struct restoring *restoring)
{
	struct iommu_group *group = restoring->operation.group;
	const struct device *device = next_to_answer(group);

	restoring->step = BACK_ANSWERS;
	if (device) {
		operation_order(&restoring->operation, HELPER_LOOK, HELPER_LOOK_IDS, device->name, "");
		return;
	}
	reset_devices(restoring);
}

static void on_ask(struct restoring *restoring, const struct helper_reply *reply)
{
	struct iommu_group *group = restoring->operation.group;

	if (!restoring->events->node_seen(group, (int)reply->node_error)) {
		quarantine_forget_resets(group);
		end(restoring);
		return;
	}
	quarantine_forget_answers(group);
	ask_devices(restoring);
}

static void on_answer(struct restoring *restoring, const struct helper_reply *reply)
{
	struct device *device = inventory_find(&restoring->operation.broker->inventory, restoring->operation.device);

	if (device)
		quarantine_note_answer(device, !look_is_dead(reply));
	ask_devices(restoring);
}

/* Also a late reset is a reset: a device that takes long is not reset again and again. */
static void note_reset(const struct restoring *restoring, const struct helper_reply *reply)
{
	const char *name = restoring->operation.device;
	struct device *device = inventory_find(&restoring->operation.broker->inventory, name);

	if (!device)
		return;
	if (restoring->bus)
		quarantine_note_bus_reset(restoring->operation.broker, device, -(int)reply->error);
	else
		quarantine_note_reset(device, -(int)reply->error);
	if (reply->error == 0 && restoring->bus)
		log_line(LOG_NOTICE, "%s: reset by a helper, with all other devices on its bus", name);
	else if (reply->error == 0)
		log_line(LOG_NOTICE, "%s: reset by a helper, because its keeper has not confirmed a reset", name);
}

static void on_driver(struct restoring *restoring, const struct helper_reply *reply)
{
	struct device *device = next_back(restoring);

	if (device && strcmp(device->name, restoring->name) == 0 && reply->error != 0) {
		settle(restoring->operation.broker, device, -(int)reply->error);
		restoring->done = 0;
	}
	go_back(restoring);
}

/* ---- the operation ---- */

static void begin(struct operation *operation)
{
	struct restoring *restoring = restoring_of(operation);

	if (operation->group)
		operation_order(operation, HELPER_LOOK, HELPER_LOOK_NODE, operation->device, "");
	else
		go_back(restoring);
}

static void answered(struct operation *operation, const struct helper_reply *reply)
{
	struct restoring *restoring = restoring_of(operation);

	if (reply && restoring->step == BACK_RESETS)
		note_reset(restoring, reply);
	/* After a late or lost order the group may be open again: the way back starts anew, with a look. */
	if (!reply || operation->late) {
		if (operation->group)
			restoring->events->look_again(operation->group);
		end(restoring);
		return;
	}
	switch (restoring->step) {
	case BACK_ASK:
		on_ask(restoring, reply);
		return;
	case BACK_ANSWERS:
		on_answer(restoring, reply);
		return;
	case BACK_RESETS:
		reset_devices(restoring);
		return;
	case BACK_DRIVERS:
		on_driver(restoring, reply);
		return;
	}
}

static void late(struct operation *operation)
{
	char text[DETAIL_SIZE];

	if (operation->group)
		restoring_of(operation)->events->late(operation->group);
	if (operation->order)
		log_line(LOG_ERR, "%s", operation_text(operation, text, sizeof text));
}

static const struct operation_kind restoring_kind = {begin, answered, late};

/* EVENTS NULL: of a device without a group. */
static int start(struct broker *broker, struct iommu_group *group, const struct device *device,
	const struct rebind_events *events)
{
	struct restoring *restoring = calloc(1, sizeof *restoring);

	if (!restoring)
		return -ENOMEM;
	restoring->events = events;
	memcpy(restoring->name, device->name, sizeof restoring->name);
	operation_begin(&restoring->operation, &restoring_kind,
		&(struct operation_matter){.broker = broker, .group = group, .urgent = true, .device = device->name});
	return 0;
}

int rebind_restore(struct iommu_group *group, const struct rebind_events *events)
{
	struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->claim)
			device->claim->error = 0;
	}
	device = LIST_FIRST(&group->devices);
	/* All devices have left the machine. */
	if (!device) {
		if (events->closed(group))
			events->restored(group);
		return 0;
	}
	return start(group->broker, group, device, events);
}

void rebind_adopt(struct broker *broker, struct device *device, struct claim *claim)
{
	device->claim = claim;
	if (device->group && device->group->state == GROUP_QUERIED)
		return;
	log_line(LOG_NOTICE, "%s: an earlier broker left it with vfio-pci; it goes back to %s", device->name,
		claim->driver[0] ? claim->driver : "no driver");
	if (!device->group && start(broker, NULL, device, NULL) < 0)
		log_line(LOG_ERR, "%s: out of memory: the device stays with vfio-pci", device->name);
}
