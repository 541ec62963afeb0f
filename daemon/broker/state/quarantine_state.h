/* SPDX-License-Identifier: MIT */
#ifndef BROKER_QUARANTINE_STATE_H
#define BROKER_QUARANTINE_STATE_H

#include "state/broker.h"

/* Questions about what stands against a device (struct quarantine). lease/quarantine.c writes the struct. */

/* This broker does not know how the last lease of DEVICE ended. */
bool quarantine_is_in_use(const struct device *device);

bool quarantine_is_leaving(const struct device *device);

/* How much of SETTLE is still to come for a device that has been closed since Q->since_us. */
uint64_t quarantine_cooldown_left(const struct quarantine *q, uint64_t settle, uint64_t now);

/* How much longer nothing is done with the device of Q. */
uint64_t quarantine_device_cooldown_us(const struct quarantine *q, uint64_t now);

/* DEVICE is held back from all, or all but the last user: shown as quarantined, and kept from its host driver. */
bool quarantine_holds(const struct device *device);

/* A device of the group that is held back, and not leased; NULL: none. */
const struct device *quarantine_of_group(const struct iommu_group *group);

/* How long the group's devices still cool down before anything may be done with a device of the group. */
uint64_t quarantine_cooldown_us(const struct iommu_group *group);

#endif
