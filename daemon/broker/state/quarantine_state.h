/* SPDX-License-Identifier: MIT */
#ifndef BROKER_QUARANTINE_STATE_H
#define BROKER_QUARANTINE_STATE_H

#include "state/broker.h"

/* What stands against a device: questions about struct quarantine, which lease/quarantine.c answers for. */

/* How its last lease ended is not known, to this broker. */
bool quarantine_is_in_use(const struct device *device);

bool quarantine_is_leaving(const struct device *device);

/* How much of SETTLE is still to come for a device that is closed since Q->since_us. */
uint64_t quarantine_cooldown_left(const struct quarantine *q, uint64_t settle, uint64_t now);

/* How much longer nothing is done with the device of Q. */
uint64_t quarantine_device_cooldown_us(const struct quarantine *q, uint64_t now);

/* Stands against everybody, or everybody but one: shown as quarantined, and kept from its host driver. */
bool quarantine_holds(const struct device *device);

/* A device of the group that is held, and not leased; NULL: none. */
const struct device *quarantine_of_group(const struct iommu_group *group);

/* How long the group's devices still rest before anything may be done with them. */
uint64_t quarantine_cooldown_us(const struct iommu_group *group);

#endif
