/* SPDX-License-Identifier: MIT */
#include "lease/review.h"

#include "base/limits.h"
#include "base/loop.h"
#include "lease/lease.h"
#include "lease/quarantine.h"
#include "lease/revoke.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int on_term(sd_event_source *source, uint64_t now, void *userdata);

/* Arms, or rearms, the timer that ends the lease when the rule's lease-time is over. */
static void set_term(struct lease *lease)
{
	struct broker *broker = lease->broker;
	uint64_t term = lease->allowed_by ? lease->allowed_by->lease_time_us : 0,
		 age = loop_now(broker->event) - lease->since_us;

	if (term == 0) {
		if (lease->term)
			sd_event_source_set_enabled(lease->term, SD_EVENT_OFF);
		return;
	}
	if (loop_timer(broker->event, &lease->term, term > age ? term - age : 0, on_term, lease) < 0)
		log_line(LOG_ERR, "%s: no memory for a timer: its lease will not end when its time is up",
			lease->device->name);
}

static int on_term(sd_event_source *source, uint64_t now, void *userdata)
{
	struct lease *lease = userdata;
	char words[REVOKE_TEXT_SIZE];

	(void)source;
	(void)now;
	snprintf(words, sizeof words, "its lease-time is over, by rule %s", lease->rule);
	revoke_lease(lease, ENDED_TIME, REVIEW_DEADLINE_US, words);
	return 0;
}

void review_grant(struct lease *lease, const struct policy_rule *rule)
{
	lease_set_rule(lease, rule);
	/* The record on disk follows the rule in force. */
	if (lease->state != LEASE_OFFERED)
		quarantine_record_use(lease);
	set_term(lease);
}

/* The rule that allows the lease's holder the device now, or NULL. */
static const struct policy_rule *rule_of(const struct lease *lease)
{
	const struct broker *broker = lease->broker;
	const struct policy_rule *rule;
	struct host_device now;
	int r;

	/* The session has ended: the device is on the way back. */
	if (!lease->session)
		return NULL;
	r = broker->host->read(lease->device->name, &now);
	/* The device is leaving the machine: the lease ends by itself. */
	if (r == -ENODEV)
		return NULL;
	if (r < 0) {
		log_line(LOG_ERR, "%s: cannot be read, so no rule is found for the device: %s", lease->device->name,
			strerror(-r));
		return NULL;
	}
	rule = policy_decide(broker->policy, &now, &lease->session->peer);
	/* The VFIO device may have been handed out, and RULE does not allow that. */
	if (rule && lease->direct && !rule->direct)
		return NULL;
	return rule && rule->verdict == POLICY_ALLOW ? rule : NULL;
}

/* No rule allows the lease, and no order takes the lease back within REVIEW_DEADLINE_US. */
static bool lost(const struct device *device)
{
	const struct lease *lease = device->lease;

	return lease && lease->session && !lease->allowed_by && lease->state != LEASE_RELEASING &&
		device->group->state == GROUP_HELD &&
		(lease->due_us == 0 || lease->due_us > loop_now(lease->broker->event) + REVIEW_DEADLINE_US);
}

void review_adopted(struct lease *lease)
{
	const struct policy_rule *rule = lease->broker->policy ? rule_of(lease) : NULL;

	if (rule)
		review_grant(lease, rule);
	else if (lease->broker->policy && lost(lease->device))
		revoke_lease(lease, ENDED_POLICY, REVIEW_DEADLINE_US, "the policy does not allow it any more");
}

void review_leases(struct broker *broker)
{
	struct device *device;

	if (!broker->policy)
		return;
	LIST_FOREACH(device, &broker->inventory.devices, in_inventory) {
		const struct policy_rule *rule = device->lease ? rule_of(device->lease) : NULL;

		if (rule) {
			review_grant(device->lease, rule);
		} else if (device->lease) {
			lease_set_rule(device->lease, NULL);
			set_term(device->lease);
		}
	}
	/* Revokes a single lease at a time: a lease that ends may take other leases and devices along. */
	do {
		LIST_FOREACH(device, &broker->inventory.devices, in_inventory) {
			if (lost(device))
				break;
		}
		if (device)
			revoke_lease(device->lease, ENDED_POLICY, REVIEW_DEADLINE_US,
				"the policy does not allow it any more");
	} while (device);
}
