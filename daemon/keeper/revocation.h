/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_REVOCATION_H
#define KEEPER_REVOCATION_H

#include "message.h"

#include <stdint.h>

struct device;
struct group;
struct packet;

/*
 * A device that will be taken back. The deadline is kept here, in the keeper, and not in the broker: so it holds when the
 * broker is restarted, and nothing that the broker is busy with delays it.
 */
struct revocation {
	uint64_t deadline_us; /* by clock_us(); REVOCATION_NEVER: none is ordered */
	enum end_reason reason;
	char words[REVOKE_WORDS_SIZE];
};

#define REVOCATION_NEVER UINT64_MAX

void revocation_init(struct revocation *revocation);

/* Does as ORDER says, unless an earlier deadline is set already; tells the device's client. EVENT is memory to make that in. */
void revocation_order(struct device *device, const struct revoke_order *order, struct packet *event);

/* What poll() may wait at most, given TIMEOUT_MS, so that no deadline is missed. */
int revocation_timeout(const struct group *group, int timeout_ms);

/* A device whose deadline has passed, or NULL. */
struct device *revocation_due(const struct group *group);

#endif
