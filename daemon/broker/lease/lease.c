/* SPDX-License-Identifier: MIT */
#include "lease/lease.h"

#include "base/loop.h"
#include "fdset.h"
#include "lease/quota.h"
#include "vfio_window.h"

#include <stdlib.h>
#include <string.h>

struct lease *lease_new(struct broker *broker, struct session *session, struct device *device, int channel)
{
	OWNED_FD owned = channel;
	struct lease *lease = calloc(1, sizeof *lease);

	if (!lease)
		return NULL;
	quota_charge(broker, session);
	*lease = (struct lease){
		.broker = broker,
		.device = device,
		.session = session,
		.user = session->user,
		.state = LEASE_OFFERED,
		.channel = fd_take(&owned),
		.since_us = loop_now(broker->event),
	};
	LIST_INSERT_HEAD(&session->leases, lease, in_session);
	session->leases_count++;
	device->lease = lease;
	broker->leases_count++;
	return lease;
}

struct lease *lease_recall(struct session *session, struct device *device, const struct query_record *record)
{
	struct lease *lease = lease_new(session->broker, session, device, -1);

	if (!lease)
		return NULL;
	lease->state = LEASE_HELD;
	lease->since_us = record->origin.since;
	lease->answered = record->origin.cookie;
	lease->direct = record->flags & QUERY_DIRECT;
	memcpy(lease->rule, record->rule, sizeof lease->rule);
	/* The record that says so may be missing. */
	device->used = true;
	return lease;
}

void lease_orphan(struct lease *lease)
{
	LIST_REMOVE(lease, in_session);
	lease->session->leases_count--;
	lease->session = NULL;
	lease->state = LEASE_RELEASING;
	lease->term = sd_event_source_disable_unref(lease->term);
}
