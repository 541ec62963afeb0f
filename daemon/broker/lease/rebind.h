/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REBIND_H
#define BROKER_REBIND_H

#include "state/broker.h"

#include <stdbool.h>

/* Devices that change their driver for a lease: from the host driver to vfio-pci (lease/grant.c gives the orders) and
 * back, as an operation of helpers. */

/* CLAIM (taken) says where DEVICE is to go back to. Its record is written. */
void rebind_claim(struct device *device, struct claim *claim);

/*
 * A driver of PCI devices has appeared. A device that had no driver when it was claimed looks for one at the end of its
 * way back. The kernel would have given it to the driver, had it not been claimed; a driver that was there before is
 * not asked, because root may have unbound the device from it.
 */
void rebind_driver_appeared(const struct broker *broker, struct device *device);

/* A device of GROUP has not reached its host driver: another way back is due. */
bool rebind_is_open(const struct iommu_group *group);

/* Calls upwards, to lease/group.c: the way back of a RESTORING or QUARANTINED group. */
struct rebind_events {
	/* The kernel has answered the open of the node with ERROR, a positive errno or 0. Returns true if nobody has
	 * GROUP any more, and the way back goes on; false if it ends, and begins anew later. */
	bool (*node_seen)(struct iommu_group *group, int error);
	/* The kernel has let go. Returns true if the devices may go back now; false if the devices cool down first, and
	 * the way back ends and begins anew. */
	bool (*closed)(struct iommu_group *group);
	/* All devices are where they belong, or cannot get there now (claim->error). */
	void (*restored)(struct iommu_group *group);
	/* The way back has ended halfway: begins anew soon. */
	void (*look_again)(struct iommu_group *group);
	/* The way back takes too long. */
	void (*late)(struct iommu_group *group);
};

/*
 * Queues the way back of GROUP, which is RESTORING or QUARANTINED: asks the kernel whether the group is free, asks
 * devices that were handed out whether they answer, and gives claimed devices back to their host drivers, unless
 * quarantined. A device that cannot go back keeps its claim, and the next way back tries again. EVENTS hear of each
 * turn. Returns 0 or -ENOMEM.
 */
int rebind_restore(struct iommu_group *group, const struct rebind_events *events);

/*
 * CLAIM (taken) of an earlier broker is on record. A group that a keeper holds goes on unchanged. Of any other group,
 * the device goes back when the group is known to be free (group_restore()); a device without a group goes back at
 * once.
 */
void rebind_adopt(struct broker *broker, struct device *device, struct claim *claim);

#endif
