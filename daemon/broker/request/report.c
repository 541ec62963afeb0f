/* SPDX-License-Identifier: MIT */
#include "request/report.h"

#include "base/listing.h"
#include "base/loop.h"
#include "front/front.h"
#include "helper/operation.h"
#include "host/claim.h"
#include "request/hold.h"
#include "state/quarantine_state.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum device_state state_of(const struct device *device)
{
	if (!device->group)
		return DEVICE_STATE_FREE;
	switch (device->group->state) {
	case GROUP_FREE:
		return quarantine_of_group(device->group) ? DEVICE_STATE_QUARANTINED : DEVICE_STATE_FREE;
	case GROUP_QUARANTINED:
		return DEVICE_STATE_QUARANTINED;
	case GROUP_CLAIMING:
		return DEVICE_STATE_CLAIMING;
	case GROUP_RELEASING:
		return DEVICE_STATE_RELEASING;
	case GROUP_RESTORING:
		return DEVICE_STATE_RESTORING;
	case GROUP_QUERIED:
		return DEVICE_STATE_LEASED;
	case GROUP_HELD:
		break;
	}
	if (!device->lease)
		return device->claim ? DEVICE_STATE_RESTORING : DEVICE_STATE_FREE;
	return device->lease->state == LEASE_OFFERED ? DEVICE_STATE_CLAIMING : DEVICE_STATE_LEASED;
}

static void device_fill(const struct broker *broker, const struct device *device, struct device_record *record)
{
	const struct host_device *now = &device->seen;

	memcpy(record->name, device->name, sizeof record->name);
	memcpy(record->driver, now->driver, sizeof record->driver);
	record->group = now->group;
	record->vendor = now->vendor;
	record->device = now->device;
	record->class = now->class;
	record->state = state_of(device);
	if (device->reset_seen > 0)
		record->reset = (uint32_t)device->reset_seen;
	if (device->claim && device->claim->error != 0) {
		record->stranded = (uint32_t)-device->claim->error;
		memcpy(record->home, device->claim->driver, sizeof record->home);
	}
	if (device->group &&
		(device->lease || device->group->state == GROUP_QUARANTINED ||
			operation_in_the_way(broker, device->group)))
		record->holder = device->group->holder;
	else if (record->state == DEVICE_STATE_QUARANTINED)
		record->holder = quarantine_of_group(device->group)->quarantine->holder;
}

int report_devices(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct broker *broker = ((struct session *)context)->broker;
	struct listing listing = listing_begin(request, reply);
	const struct device *device;

	(void)detail;
	LIST_FOREACH(device, &broker->inventory.devices, in_inventory) {
		struct device_record *record = device->present ? listing_add(&listing, sizeof *record) : NULL;

		if (record)
			device_fill(broker, device, record);
	}
	return 0;
}

static uint32_t quarantined(const struct broker *broker)
{
	const struct iommu_group *group;
	uint32_t n = 0;

	LIST_FOREACH(group, &broker->inventory.groups, in_inventory)
		n += group->state == GROUP_QUARANTINED || (group->state == GROUP_FREE && quarantine_of_group(group));
	return n;
}

static uint32_t watchers(const struct broker *broker)
{
	const struct session *session;
	uint32_t n = 0;

	LIST_FOREACH(session, &broker->watchers, in_watchers)
		n++;
	return n;
}

static_assert(REFUSAL_MAX <= STATUS_DENIALS, "wire");

static uint32_t spares_ready(const struct broker *broker)
{
	return broker->spare && broker->spare->state == KEEPER_READY;
}

static struct policy_status policy_status(const struct broker *broker)
{
	char trouble[HOLD_TROUBLE_SIZE];
	struct policy_status status = {
		.age_us = loop_now(broker->event) - broker->policy_since_us,
		.rules = broker->policy ? (uint32_t)broker->policy->count : 0,
		.flags = broker->policy ? POLICY_IN_FORCE : 0,
	};

	hold_trouble(broker, trouble);
	if (trouble[0])
		status.flags |= POLICY_FILES_WRONG;
	snprintf(status.error, sizeof status.error, "%.*s", (int)sizeof status.error - 1, trouble);
	return status;
}

int report_status(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct broker *broker = ((struct session *)context)->broker;
	struct status_reply *status = packet_append(reply, sizeof *status);

	(void)request;
	(void)detail;
	*status = (struct status_reply){
		.uptime_us = loop_now(broker->event) - broker->started_us,
		.sessions = broker->sessions_count,
		.leases = broker->leases_count,
		.keepers = broker->keepers_count,
		.keepers_spare = spares_ready(broker),
		.devices = broker->inventory.count,
		.quarantined = quarantined(broker),
		.requests = broker->counters.requests,
		.opens = broker->counters.opens,
		.refusals = broker->counters.refusals,
		.releases = broker->audit.counts[CHANGE_RELEASE] + broker->audit.counts[CHANGE_REVOKE],
		.malformed = broker->counters.malformed,
		.policy = policy_status(broker),
		.watchers = watchers(broker),
		.suppressed = broker->audit.suppressed,
		.lost = broker->audit.lost,
		.missed = broker->changes_missed,
	};
	memcpy(status->changes, broker->audit.counts, sizeof broker->audit.counts);
	memcpy(status->denials, broker->audit.denials, sizeof broker->audit.denials);
	return 0;
}

static void session_fill(const struct session *session, struct session_record *record)
{
	record->id = session->id;
	peer_record(&session->peer, &record->peer);
	record->requests = session->requests;
	record->age_us = loop_now(session->broker->event) - session->since_us;
	record->leases = session->leases_count;
}

int report_sessions(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct broker *broker = ((struct session *)context)->broker;
	struct listing listing = listing_begin(request, reply);
	const struct session *session;
	const struct front *front;

	(void)detail;
	LIST_FOREACH(front, &broker->fronts, in_broker) {
		for (session = front_first(front); session; session = front_next(session)) {
			struct session_record *record = listing_add(&listing, sizeof *record);

			if (record)
				session_fill(session, record);
		}
	}
	return 0;
}

int report_leases(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct broker *broker = ((struct session *)context)->broker;
	struct listing listing = listing_begin(request, reply);
	const struct device *device;

	(void)detail;
	LIST_FOREACH(device, &broker->inventory.devices, in_inventory) {
		const struct lease *lease = device->lease;
		const struct keeper *keeper = device->group ? device->group->keeper : NULL;
		struct lease_record *record = lease ? listing_add(&listing, sizeof *record) : NULL;

		if (!record)
			continue;
		memcpy(record->name, device->name, sizeof record->name);
		record->session = lease->session ? lease->session->id : 0;
		record->age_us = loop_now(broker->event) - lease->since_us;
		record->group = device->group->number;
		record->keeper_pid = keeper ? keeper->pid : 0;
		record->keeper_uid = keeper ? keeper->uid : 0;
		record->state = state_of(device);
	}
	return 0;
}
