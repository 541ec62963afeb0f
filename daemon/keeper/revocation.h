/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_REVOCATION_H
#define KEEPER_REVOCATION_H

#include "message.h"

#include <stdbool.h>

struct device;
struct iommu_group;
struct packet;
struct revocation;

void revocation_init(struct revocation *revocation);

/* Sets ORDER's deadline, unless an earlier deadline is set already; tells the device's client. EVENT is memory for
 * the message. */
void revocation_order(struct device *device, const struct revoke_order *order, struct packet *event);

/* The longest wait of poll(), in ms, without missing a deadline; TIMEOUT_MS at most (-1: no limit). */
int revocation_timeout(const struct iommu_group *group, int timeout_ms);

/* A device past its deadline, or NULL. */
struct device *revocation_due(const struct iommu_group *group);

/* Whether the deadline of DEVICE is over. */
bool revocation_is_due(const struct device *device);

#endif
