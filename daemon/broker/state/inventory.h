/* SPDX-License-Identifier: MIT */
#ifndef BROKER_INVENTORY_H
#define BROKER_INVENTORY_H

#include "state/broker.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* Fills the inventory from the host. */
int inventory_init(struct inventory *inventory, const struct host *host);
void inventory_clear(struct inventory *inventory);

/* The host says that a device came, went, or is not as it was. */
void inventory_changed(struct inventory *inventory, enum host_change change, const char *name);

/* An order about the device NAME has ended, so its driver may be another one: looks at the host for the lists. */
void inventory_look(struct inventory *inventory, const char *name);

/* Changes went unnoticed: looks at all devices again, and calls CHANGED for each that came or went. CHANGED should call
 * inventory_changed(). */
void inventory_compare(struct inventory *inventory, host_changed changed, void *context);

/* NULL: no such device. */
struct device *inventory_find(const struct inventory *inventory, const char *name);

/* The first virtual function of the physical function NAME. NULL: there is none. */
const struct device *inventory_virtual(const struct inventory *inventory, const char *name);

/* Why the physical function NAME, which has virtual functions, keeps its driver: names one, and its holder if known.
 * Returns BUFFER. */
#define INVENTORY_VIRTUAL_SIZE 224
const char *inventory_virtual_text(
	const struct inventory *inventory, const char *name, char buffer[INVENTORY_VIRTUAL_SIZE]);

/* Finds the device or makes one that the host may not have at the moment: a claim record of an earlier run names the
 * device. NULL: no memory. */
struct device *inventory_get(struct inventory *inventory, const char *name);

/* Frees DEVICE if nothing refers to the device any more, or lets DEVICE change its group at last. */
void inventory_prune(struct inventory *inventory, struct device *device);

/* ---- groups ---- */

/* Finds the group or makes it. NULL: no memory. */
struct iommu_group *group_get(struct inventory *inventory, uint32_t number);

/* Frees GROUP if the group has no devices and no state any more. */
void group_prune(struct iommu_group *group);

/* Whether the group still has a lease. */
bool group_leased(const struct iommu_group *group);

/* The text about a group that is EBUSY and not ours; takes the group's number twice. */
#define GROUP_FOREIGN_FORMAT                                                                                           \
	"/dev/vfio/%u is open in a program that did not get it from this service; 'fuser -v /dev/vfio/%u' names it"

/* The text about a device whose group is QUERIED; takes the device's name and the group's number. */
#define GROUP_QUERIED_FORMAT                                                                                           \
	"%s: the service has just been started anew, and the keeper of IOMMU group %u has not said yet who has it; "   \
	"try again in a moment"

/* Of a group that is not free although the keeper is gone: names the holder and the remedy. Returns BUFFER. */
#define GROUP_BLOCKER_SIZE 192
const char *group_blocker(const struct iommu_group *group, char buffer[GROUP_BLOCKER_SIZE]);

#endif
