/* SPDX-License-Identifier: MIT */
#include "state/inventory.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct device *inventory_find(const struct inventory *inventory, const char *name)
{
	struct device *device;

	LIST_FOREACH(device, &inventory->devices, in_inventory) {
		if (strcmp(device->name, name) == 0)
			return device;
	}
	return NULL;
}

const struct device *inventory_virtual(const struct inventory *inventory, const char *name)
{
	const struct device *device;

	LIST_FOREACH(device, &inventory->devices, in_inventory) {
		if (device->present && strcmp(device->physical, name) == 0)
			return device;
	}
	return NULL;
}

/* The first virtual function that somebody has, or any. */
static const struct device *virtual_in_use(const struct inventory *inventory, const char *name)
{
	const struct device *device;

	LIST_FOREACH(device, &inventory->devices, in_inventory) {
		if (device->present && strcmp(device->physical, name) == 0 && device->lease)
			return device;
	}
	return inventory_virtual(inventory, name);
}

const char *inventory_virtual_text(
	const struct inventory *inventory, const char *name, char buffer[INVENTORY_VIRTUAL_SIZE])
{
	const struct device *device = virtual_in_use(inventory, name);
	char who[96] = "whoever has one";

	if (device && device->lease)
		peer_record_text(&device->group->holder, who, sizeof who);
	snprintf(buffer, INVENTORY_VIRTUAL_SIZE,
		"%s has virtual functions (%s), which its driver would remove and wait for %s; write 0 to its "
		"sriov_numvfs first",
		name, device ? device->name : "none", who);
	return buffer;
}

static void insert_sorted(struct inventory *inventory, struct device *new)
{
	struct device *device, *last = NULL;

	LIST_FOREACH(device, &inventory->devices, in_inventory) {
		if (strcmp(device->name, new->name) > 0) {
			LIST_INSERT_BEFORE(device, new, in_inventory);
			return;
		}
		last = device;
	}
	if (last)
		LIST_INSERT_AFTER(last, new, in_inventory);
	else
		LIST_INSERT_HEAD(&inventory->devices, new, in_inventory);
}

static struct device *device_new(struct inventory *inventory, const char *name)
{
	struct device *device = calloc(1, sizeof *device);

	if (!device)
		return NULL;
	strncpy(device->name, name, sizeof device->name - 1);
	insert_sorted(inventory, device);
	return device;
}

struct iommu_group *group_get(struct inventory *inventory, uint32_t number)
{
	struct iommu_group *group;

	LIST_FOREACH(group, &inventory->groups, in_inventory) {
		if (group->number == number)
			return group;
	}
	group = calloc(1, sizeof *group);
	if (!group)
		return NULL;
	group->number = number;
	LIST_INIT(&group->devices);
	TAILQ_INIT(&group->waiters);
	LIST_INSERT_HEAD(&inventory->groups, group, in_inventory);
	return group;
}

static void group_free(struct iommu_group *group)
{
	sd_event_source_disable_unref(group->timer);
	LIST_REMOVE(group, in_inventory);
	free(group);
}

void group_prune(struct iommu_group *group)
{
	if (!LIST_EMPTY(&group->devices) || group->state != GROUP_FREE || group->operations > 0)
		return;
	assert(!group->keeper && TAILQ_EMPTY(&group->waiters));
	group_free(group);
}

const char *group_blocker(const struct iommu_group *group, char buffer[GROUP_BLOCKER_SIZE])
{
	/* The VFIO device is an anonymous inode, and keeps the group open without the group's node: fuser finds
	 * neither. */
	if (group->direct && peer_is_there((pid_t)group->holder.pid, group->holder_process))
		snprintf(buffer, GROUP_BLOCKER_SIZE,
			"by access = direct its holder may have it still, or reach it by other devices "
			"that he has: kill %u",
			group->holder.pid);
	else if (group->direct)
		/* The pid may be somebody else's by now. */
		snprintf(buffer, GROUP_BLOCKER_SIZE,
			"by access = direct a process of uid %u may have it still, or reach it by other devices of "
			"that user's: end the processes of uid %u",
			group->holder.uid, group->holder.uid);
	else
		snprintf(buffer, GROUP_BLOCKER_SIZE, "'fuser -v /dev/vfio/%u' names who has it", group->number);
	return buffer;
}

bool group_leased(const struct iommu_group *group)
{
	const struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->lease)
			return true;
	}
	return false;
}

static void device_leave_group(struct device *device)
{
	struct iommu_group *group = device->group;

	if (!group)
		return;
	LIST_REMOVE(device, in_group);
	device->group = NULL;
	group_prune(group);
}

static void device_join_group(struct inventory *inventory, struct device *device, uint32_t number)
{
	/* A lease and a claim belong to the group as well: the device stays in the group until both have ended. */
	device->group_changed = (!device->group || device->group->number != number) && (device->lease || device->claim);
	if (device->group_changed || (device->group && device->group->number == number))
		return;
	device_leave_group(device);
	if (number == GROUP_NONE)
		return;
	device->group = group_get(inventory, number);
	if (device->group)
		LIST_INSERT_HEAD(&device->group->devices, device, in_group);
}

struct device *inventory_get(struct inventory *inventory, const char *name)
{
	struct device *device = inventory_find(inventory, name);

	return device ? device : device_new(inventory, name);
}

void inventory_prune(struct inventory *inventory, struct device *device)
{
	struct host_device now;

	if (device->lease || device->claim)
		return;
	if (device->present) {
		if (device->group_changed && inventory->host->read(device->name, &now) == 0)
			device_join_group(inventory, device, now.group);
		return;
	}
	LIST_REMOVE(device, in_inventory);
	device_leave_group(device);
	free(device->quarantine);
	free(device->prior);
	free(device);
}

/* FOUND is what the kernel says of DEVICE now. */
static void see(struct inventory *inventory, struct device *device, const struct host_device *found)
{
	device->seen = *found;
	device->reset_seen = inventory->host->resettable(device->name);
}

static void on_found(void *context, const struct host_device *found)
{
	struct inventory *inventory = context;
	struct device *device = inventory_get(inventory, found->name);

	if (!device)
		return;
	if (!device->present)
		inventory->count++;
	device->present = true;
	see(inventory, device, found);
	memcpy(device->physical, found->physfn, sizeof device->physical);
	device_join_group(inventory, device, found->group);
}

void inventory_changed(struct inventory *inventory, enum host_change change, const char *name)
{
	struct device *device = inventory_find(inventory, name);
	struct host_device found;

	if (change == HOST_ADDED && inventory->host->read(name, &found) == 0) {
		on_found(inventory, &found);
	} else if (change == HOST_REMOVED && device && device->present) {
		device->present = false;
		inventory->count--;
		inventory_prune(inventory, device);
	}
}

void inventory_look(struct inventory *inventory, const char *name)
{
	struct device *device = inventory_find(inventory, name);
	struct host_device now;

	/* One that is leaving stays in the lists as it was, until the host says that it has gone. */
	if (device && device->present && inventory->host->read(name, &now) == 0)
		see(inventory, device, &now);
}

struct comparison {
	struct inventory *inventory;
	host_changed changed;
	void *context;
};

static void on_compared(void *context, const struct host_device *found)
{
	const struct comparison *comparison = context;
	struct device *device = inventory_find(comparison->inventory, found->name);

	if (!device || !device->present)
		comparison->changed(comparison->context, HOST_ADDED, found->name);
	else
		see(comparison->inventory, device, found);
}

void inventory_compare(struct inventory *inventory, host_changed changed, void *context)
{
	struct comparison comparison = {inventory, changed, context};
	struct device *device = LIST_FIRST(&inventory->devices);
	char name[DEVICE_NAME_SIZE];
	struct host_device now;

	while (device) {
		/* DEVICE may be freed. */
		struct device *next = LIST_NEXT(device, in_inventory);

		memcpy(name, device->name, sizeof name);
		if (device->present && inventory->host->read(name, &now) == -ENODEV)
			changed(context, HOST_REMOVED, name);
		device = next;
	}
	inventory->host->enumerate(on_compared, &comparison);
}

int inventory_init(struct inventory *inventory, const struct host *host)
{
	*inventory = (struct inventory){.host = host};
	LIST_INIT(&inventory->devices);
	LIST_INIT(&inventory->groups);
	return host->enumerate(on_found, inventory);
}

void inventory_clear(struct inventory *inventory)
{
	struct iommu_group *group;
	struct device *device;

	while ((device = LIST_FIRST(&inventory->devices))) {
		LIST_REMOVE(device, in_inventory);
		device_leave_group(device);
		free(device->claim);
		free(device->quarantine);
		free(device->prior);
		free(device);
	}
	/* What is not free stays for the next broker, and its timer is not to keep the event loop. */
	while ((group = LIST_FIRST(&inventory->groups)))
		group_free(group);
}
