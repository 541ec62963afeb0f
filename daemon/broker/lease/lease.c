/* SPDX-License-Identifier: MIT */
#include "lease/lease.h"

#include "base/loop.h"
#include "fdset.h"
#include "lease/quota.h"
#include "state/quarantine_state.h"
#include "vfio_window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lease *lease_new(struct session *session, struct device *device, int channel)
{
	struct broker *broker = session->broker;
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

void lease_terms(struct lease *lease, const struct policy_rule *rule, lease_answer answer)
{
	lease->answer = answer;
	lease->windows = rule->windows;
	lease->mappings = rule->mappings;
	lease->direct = rule->direct;
}

void lease_set_rule(struct lease *lease, const struct policy_rule *rule)
{
	lease->allowed_by = rule;
	if (!rule)
		return;
	lease->reset = rule->reset;
	snprintf(lease->rule, sizeof lease->rule, "\"%.40s\" (%.60s:%u)", rule->name, rule->file, rule->line);
}

void lease_accepted(struct lease *lease)
{
	lease->state = LEASE_HELD;
}

int lease_take_channel(struct lease *lease)
{
	return fd_take(&lease->channel);
}

void lease_ordered(struct lease *lease, uint64_t due_us, const char *words)
{
	lease->due_us = due_us;
	lease->ordered = true;
	snprintf(lease->order, sizeof lease->order, "%s", words);
}

void lease_told(struct lease *lease)
{
	lease->told = true;
}

void lease_leaving(struct lease *lease, const struct release_report *report)
{
	lease->report = *report;
	lease->state = LEASE_RELEASING;
	lease->due_us = loop_now(lease->broker->event);
}

void lease_free(struct lease *lease)
{
	struct broker *broker = lease->broker;

	if (lease->channel >= 0)
		close(lease->channel);
	if (lease->session)
		lease_orphan(lease);
	sd_event_source_disable_unref(lease->term);
	sd_event_source_disable_unref(lease->deadline);
	lease->device->lease = NULL;
	broker->leases_count--;
	user_refund_lease(&broker->users, lease->user);
	free(lease);
}

struct lease *lease_adopt(struct session *session, struct device *device, const struct query_record *record)
{
	struct lease *lease = lease_new(session, device, -1);

	if (!lease)
		return NULL;
	lease->state = LEASE_HELD;
	lease->since_us = record->origin.since;
	lease->direct = record->flags & QUERY_DIRECT;
	memcpy(lease->rule, record->rule, sizeof lease->rule);
	/* The rule may have gone from the policy; the record keeps what the rule said of the end of the lease. */
	if (device->quarantine)
		lease->reset = device->quarantine->reset;
	if (quarantine_is_in_use(device) && device->quarantine->due_us)
		lease_ordered(lease, device->quarantine->due_us, "ordered before the service was restarted");
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
