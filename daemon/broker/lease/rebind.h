/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REBIND_H
#define BROKER_REBIND_H

#include "state/broker.h"

/* Devices that change their driver for a lease: from the host driver to vfio-pci (lease/grant.c gives the orders) and
 * back, as an operation of helpers. */

/* CLAIM (taken) says where DEVICE is to go back to. Its record is written. */
void rebind_claim(struct device *device, struct claim *claim);

/*
 * Queues the way back of GROUP, which is RESTORING or QUARANTINED: asks the kernel whether the group is free, asks
 * devices that were handed out whether they answer, and gives claimed devices back to their host drivers, unless
 * quarantined. Calls group_node_seen(), group_closed(), group_restored(), or group_look_again(). Returns 0 or -ENOMEM.
 */
int rebind_restore(struct iommu_group *group);

/*
 * CLAIM (taken) of an earlier broker is on record. A group that a keeper holds goes on unchanged. Of any other group,
 * the device goes back when the group is known to be free (group_restore()); a device without a group goes back at
 * once.
 */
void rebind_adopt(struct broker *broker, struct device *device, struct claim *claim);

#endif
