/* SPDX-License-Identifier: MIT */
#ifndef BROKER_QUIET_H
#define BROKER_QUIET_H

#include "state/broker.h"

/*
 * Devices that a helper makes quiet: no bus mastering and no interrupt, whatever the keeper does. A keeper does the
 * same as a first step of each revocation; but a keeper may be stopped, hang or die.
 *
 * The order waits for no other order about the same devices. Later operations about the devices wait for the order: a
 * late QUIET must not meet the next holder, or a host driver. The keeper, and other groups, do not wait.
 */

/* The device of LEASE, if the client may use the device still. */
void quiet_lease(const struct lease *lease);

/*
 * Of a group whose keeper has not answered the next broker: the devices that, by record, were to be taken back after
 * SINCE and by NOW. Returns when the next device is due, or UINT64_MAX.
 */
uint64_t quiet_due(struct iommu_group *group, uint64_t since, uint64_t now);

/* All devices of GROUP that a client may use still. */
void quiet_group(struct iommu_group *group);

#endif
