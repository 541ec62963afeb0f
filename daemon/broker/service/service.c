/* SPDX-License-Identifier: MIT */
#include "service/service.h"

#include "audit/audit.h"
#include "audit/event.h"
#include "base/limits.h"
#include "base/loop.h"
#include "front/front.h"
#include "helper/helper.h"
#include "helper/operation.h"
#include "host/claim.h"
#include "lease/group.h"
#include "lease/keeper.h"
#include "lease/keeper_inbox.h"
#include "lease/quarantine.h"
#include "lease/rebind.h"
#include "log.h"
#include "request/front_inbox.h"
#include "request/requests.h"
#include "request/session.h"
#include "service/connections.h"
#include "service/takeover.h"
#include "state/inventory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void record_added(struct broker *broker, const char *name)
{
	const struct device *device = inventory_find(&broker->inventory, name);
	struct audit_event event = {.kind = CHANGE_ADD, .device = name};

	if (!device || !device->present)
		return;
	event.group = device->group;
	audit_record(broker, &event, "%s: a new device", name);
}

static void on_missed_drivers(struct broker *broker)
{
	struct device *device, *next;

	group_driver_appeared(broker);
	for (device = LIST_FIRST(&broker->inventory.devices); device; device = next) {
		next = LIST_NEXT(device, in_inventory);
		group_device_bound(broker, device);
	}
}

static void on_host_change(void *context, enum host_change change, const char *name)
{
	struct broker *broker = context;
	struct device *device = inventory_find(&broker->inventory, name);
	struct audit_event event = {.kind = CHANGE_REMOVE, .device = name};
	bool was_there = device && device->present;
	struct iommu_group *kept = NULL; /* its group, which may have nothing left to do but to wait for this device */
	char who[128];

	if (change == HOST_MISSED) {
		inventory_compare(&broker->inventory, on_host_change, broker);
		on_missed_drivers(broker);
		return;
	}
	if (change == HOST_DRIVER) {
		group_driver_appeared(broker);
		return;
	}
	if (change == HOST_BOUND) {
		inventory_look(&broker->inventory, name);
		if (device)
			group_device_bound(broker, device);
		return;
	}
	/* Comes before the device leaves the inventory. */
	if (change == HOST_REMOVED && was_there) {
		if (device->lease) {
			event = audit_of_lease(CHANGE_REMOVE, device->lease);
			event.level = LOG_WARNING;
			event.duration_us = 0;
		}
		audit_record(broker, &event, "%s: gone from the machine%s%s", name,
			device->lease ? ", while leased to " : "",
			device->lease ? peer_record_text(&event.who, who, sizeof who) : "");
		quarantine_left(broker, device);
		if (device->group &&
			(device->group->state == GROUP_RESTORING ||
				(device->claim && device->group->state == GROUP_FREE)))
			kept = device->group;
	}
	inventory_changed(&broker->inventory, change, name);
	if (kept)
		group_give_back(kept, broker);
	if (change == HOST_ADDED && !was_there)
		record_added(broker, name);
}

static void restore_recorded(struct broker *broker)
{
	struct device *device;

	LIST_FOREACH(device, &broker->inventory.devices, in_inventory) {
		if (device->quarantine)
			group_restore_recorded(device, broker);
	}
}

static int on_old_claim(void *context, const char *name, struct claim *claim)
{
	struct broker *broker = context;
	struct device *device = inventory_get(&broker->inventory, name);

	if (!device) {
		free(claim);
		return -ENOMEM;
	}
	rebind_adopt(broker, device, claim);
	if (device->group)
		group_restore(device->group, broker);
	else
		inventory_prune(&broker->inventory, device);
	return 0;
}

/* Records a policy that is in force from the start: in tests. The service has the policy read later (reload.c). */
static void record_policy(struct broker *broker)
{
	const struct audit_event event = {.kind = CHANGE_POLICY};

	if (broker->policy && broker->policy->count > 0)
		audit_record(broker, &event, "policy: %zu rules are in force", broker->policy->count);
}

static void warn_of_no_iommu(const struct broker *broker)
{
	if (LIST_EMPTY(&broker->inventory.groups) && !LIST_EMPTY(&broker->inventory.devices))
		log_line(LOG_WARNING, "no PCI device is in an IOMMU group, so none can be leased: %s",
			refusal_advice(REFUSAL_NO_IOMMU));
}

static void prepare_processes(struct broker *broker)
{
	/* After a restart the spare processes come later: in a crash loop systemd would start them for each broker, to
	 * die with the broker. */
	if (broker->options->stored_count > 0) {
		keeper_prepare_in(broker, KEEPER_RETRY_US);
		helper_prepare_in(broker, HELPER_RETRY_US);
	} else {
		keeper_prepare(broker);
		helper_prepare(broker);
	}
	/* Nobody can connect without a front: the front is not put off. */
	front_prepare(broker);
}

int service_init(struct broker *broker, sd_event *event, const struct host *host, const struct broker_options *options,
	struct policy *policy, const struct policy_error *policy_error, int listener)
{
	int r;

	/* The packets are 200 KiB, and only pages that requests touch shall ever be in memory: memset() stops before
	 * the packets. */
	memset(broker, 0, offsetof(struct broker, buffers));
	broker->options = options;
	broker->event = event;
	broker->host = host;
	broker->requests = &requests_served;
	broker->keeper_events = &keeper_inbox;
	broker->front_events = &front_inbox;
	broker->helper_events = &operation_events;
	broker->policy = policy;
	broker->policy_error = *policy_error;
	broker->started_us = loop_now(broker->event);
	broker->policy_since_us = broker->started_us;
	packet_init(&broker->buffers.request);
	packet_init(&broker->buffers.reply);
	packet_init(&broker->outgoing);
	packet_init(&broker->change);
	LIST_INIT(&broker->fronts);
	LIST_INIT(&broker->keepers);
	LIST_INIT(&broker->helpers);
	TAILQ_INIT(&broker->operations);
	LIST_INIT(&broker->watchers);
	LIST_INIT(&broker->policy_readers);
	TAILQ_INIT(&broker->held);
	users_init(&broker->users);
	audit_init(&broker->audit, options->journal);
	record_policy(broker);
	r = connections_begin(broker, listener);
	if (r < 0)
		return r;
	/* The subscription comes before the inventory is read, so that no device falls between the two. */
	r = host->subscribe(event, on_host_change, broker);
	if (r == 0)
		r = inventory_init(&broker->inventory, host);
	if (r == 0)
		takeover_begin(broker, options->stored, options->stored_count);
	if (r == 0)
		r = quarantine_load(broker);
	if (r == 0)
		restore_recorded(broker);
	if (r == 0)
		r = claim_load(options->claims_directory, on_old_claim, broker);
	if (r < 0)
		return r;
	warn_of_no_iommu(broker);
	prepare_processes(broker);
	return 0;
}

/* The fronts send their clients what they have, and end. */
static void end_fronts(struct broker *broker)
{
	struct session *session;
	struct front *front;

	LIST_FOREACH(front, &broker->fronts, in_broker) {
		while ((session = front_first(front)))
			session_close(session, false);
		front_end(front);
	}
}

void service_clear(struct broker *broker)
{
	struct front *front;
	struct keeper *keeper;
	struct helper *helper;
	struct iommu_group *group;

	if (broker->leaving) {
		audit_clear(broker);
		return;
	}
	broker->stopping = true;
	end_fronts(broker);
	while ((front = LIST_FIRST(&broker->fronts)))
		front_free(front);
	LIST_FOREACH(group, &broker->inventory.groups, in_inventory)
		group_forget_keeper(group);
	while ((keeper = LIST_FIRST(&broker->keepers)))
		keeper_free(keeper);
	operations_clear(broker);
	while ((helper = LIST_FIRST(&broker->helpers)))
		helper_free(helper);
	sd_event_source_disable_unref(broker->helper_timer);
	inventory_clear(&broker->inventory);
	users_clear(&broker->users);
	connections_clear(broker);
	sd_event_source_disable_unref(broker->front_timer);
	sd_event_source_disable_unref(broker->spare_timer);
	sd_event_source_disable_unref(broker->stop_deadline);
	sd_event_source_disable_unref(broker->turns);
	sd_event_source_disable_unref(broker->idle);
	audit_clear(broker);
	policy_free(broker->policy);
}

/* ---- stopping ---- */

static int on_stop_deadline(sd_event_source *source, uint64_t now, void *userdata)
{
	struct broker *broker = userdata;
	const struct iommu_group *group;

	(void)source;
	(void)now;
	LIST_FOREACH(group, &broker->inventory.groups, in_inventory) {
		if (group->state != GROUP_FREE)
			log_line(LOG_ERR, "group %u has not let go; the next start of the service tries again",
				group->number);
	}
	sd_event_exit(broker->event, 0);
	return 0;
}

/* A stopping broker ends when the last group is free. A helper that hangs may hang forever, and the next start finds
 * the claim on record. */
static void stop_if_done(struct broker *broker)
{
	const struct iommu_group *group;

	LIST_FOREACH(group, &broker->inventory.groups, in_inventory) {
		if (group->state != GROUP_FREE &&
			!(group->state == GROUP_QUARANTINED && operation_in_the_way(broker, group)))
			return;
	}
	log_line(LOG_INFO, "all devices are released");
	sd_event_exit(broker->event, 0);
}

/* Runs after each turn of the loop. */
static int on_turn(sd_event_source *source, void *userdata)
{
	(void)source;
	stop_if_done(userdata);
	return 0;
}

void service_leave(struct broker *broker)
{
	if (broker->stopping)
		return;
	broker->leaving = true;
	log_line(LOG_INFO, "restarting: %u sessions and %u leases go on", broker->sessions_count, broker->leases_count);
	sd_event_exit(broker->event, 0);
}

void service_stop(struct broker *broker)
{
	int r;

	if (broker->stopping)
		return;
	broker->stopping = true;
	log_line(LOG_INFO, "stopping: %u sessions, %u leases", broker->sessions_count, broker->leases_count);
	connections_stop(broker);
	end_fronts(broker);
	if (broker->spare)
		keeper_free(broker->spare);
	loop_timer(broker->event, &broker->stop_deadline, STOP_WAIT_US, on_stop_deadline, broker);
	r = sd_event_add_post(broker->event, &broker->turns, on_turn, broker);
	if (r < 0)
		log_line(LOG_ERR, "out of memory: the service ends in %llu s", STOP_WAIT_US / 1000000);
	stop_if_done(broker);
}
