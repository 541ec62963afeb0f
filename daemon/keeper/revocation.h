/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_REVOCATION_H
#define KEEPER_REVOCATION_H

#include "message.h"

struct device;
struct group;
struct packet;
struct revocation;

void revocation_init(struct revocation *revocation);

/* Does as ORDER says, unless an earlier deadline is set already; tells the device's client. EVENT is memory to make that in. */
void revocation_order(struct device *device, const struct revoke_order *order, struct packet *event);

/* What poll() may wait at most, given TIMEOUT_MS, so that no deadline is missed. */
int revocation_timeout(const struct group *group, int timeout_ms);

/* A device whose deadline has passed, or NULL. */
struct device *revocation_due(const struct group *group);

#endif
