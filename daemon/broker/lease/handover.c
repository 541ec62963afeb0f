/* SPDX-License-Identifier: MIT */
#include "lease/handover.h"

#include "device_name.h"
#include "front/front.h"
#include "lease/ending.h"
#include "lease/group.h"
#include "lease/keeper.h"
#include "lease/lease.h"
#include "lease/quarantine.h"
#include "lease/review.h"
#include "lease/revoke.h"
#include "log.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"
#include "state/waiter.h"

#include <errno.h>
#include <string.h>

static bool has_end(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

/* Keepers do not lie; but a keeper is less trusted than the broker, and the broker prints the keeper's words. */
static const struct query_record *records_of(const struct iommu_group *group, const struct packet *packet)
{
	const struct query_reply *reply = packet_body(packet, sizeof *reply);
	const struct query_record *records = (const void *)(packet->payload + sizeof *reply);

	if (!reply || packet->header.length - sizeof *reply != (uint64_t)reply->count * sizeof *records)
		return NULL;
	if (reply->count > 0 && reply->group != group->number)
		return NULL;
	for (uint32_t i = 0; i < reply->count; i++) {
		if (!device_name_valid(records[i].name) || !has_end(records[i].rule, sizeof records[i].rule) ||
			!has_end(records[i].origin.holder.unit, sizeof records[i].origin.holder.unit))
			return NULL;
	}
	return records;
}

static struct session *session_of(const struct broker *broker, const struct lease_origin *origin)
{
	const struct front *front;

	LIST_FOREACH(front, &broker->fronts, in_broker) {
		struct session *session = front_find(front, origin->session);

		if (session && session->started == origin->session_started && session->peer.uid == origin->holder.uid)
			return session;
	}
	return NULL;
}

/* Returns how many leases could be taken over. */
static uint32_t take_leases(
	struct iommu_group *group, struct session *session, const struct query_record *records, uint32_t count)
{
	struct inventory *inventory = &session->broker->inventory;
	uint32_t taken = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct device *device = inventory_find(inventory, records[i].name);
		struct lease *lease = NULL;

		if (device && device->group == group && !device->lease)
			lease = lease_adopt(session, device, &records[i]);
		if (lease) {
			quarantine_mark_handed_out(device);
			taken++;
			continue;
		}
		log_line(LOG_ERR, "%s: leased, but cannot be taken over: it is released with the last of group %u",
			records[i].name, group->number);
	}
	return taken;
}

static void adopt_deadlines(const struct iommu_group *group)
{
	const struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->lease)
			revoke_adopted(device->lease);
	}
}

static void review_group(const struct iommu_group *group)
{
	const struct device *device;

	/* The first lease taken back takes all others of the group along. */
	LIST_FOREACH(device, &group->devices, in_group) {
		if (device->lease && group->state == GROUP_HELD)
			review_adopted(device->lease);
	}
}

/* A device on record as in use, but without a lease, has been released meanwhile. Returns false if the whole group
 * has to be taken back. */
static bool decide_ended(const struct iommu_group *group)
{
	struct device *device;
	bool known = true;

	LIST_FOREACH(device, &group->devices, in_group)
		known = (device->lease || quarantine_lease_ended_unreported(group->broker, device)) && known;
	return known;
}

int handover_answered(struct keeper *keeper, const struct packet *packet)
{
	const struct query_reply *reply = packet_body(packet, sizeof *reply);
	struct iommu_group *group = keeper->group;
	const struct query_record *records = records_of(group, packet);
	struct session *session = NULL;
	uint32_t taken = 0;
	char who[128];
	bool known;

	if (!records)
		return -EPROTO;
	keeper_introduce(keeper, reply->pid, reply->uid);
	if (reply->count > 0) {
		group_held_by(group, &records[0].origin.holder);
		session = session_of(keeper->broker, &records[0].origin);
		log_line(LOG_INFO, "group %u: %u leases of %s%s", group->number, reply->count,
			peer_record_text(&group->holder, who, sizeof who),
			session ? "" : ", who has left meanwhile: released");
	}
	for (uint32_t i = 0; i < reply->count; i++) {
		keeper_seen_lease(keeper, records[i].name);
		if (records[i].flags & QUERY_DIRECT)
			group_note_direct(group);
	}
	if (session)
		taken = take_leases(group, session, records, reply->count);
	if (taken == 0) {
		waiter_tell(
			group, &(struct waiter_news){.event = WAITER_TOLD, .records = records, .count = reply->count});
		group_release(group);
		return 0;
	}
	group_adopt_holder(group, session);
	adopt_deadlines(group);
	/* Leases that could not be taken over have not ended. */
	known = taken < reply->count || decide_ended(group);
	/* Waiters hear the leases before anybody can have more of the group. */
	waiter_tell(group, &(struct waiter_news){.event = WAITER_TOLD, .records = records, .count = reply->count});
	/* LEASE that comes now would be a lease that nobody knows of. */
	if (!known || keeper->awaited[0])
		group_release(group);
	review_group(group);
	group_adopt_done(group);
	return 0;
}

void handover_released(struct keeper *keeper, const struct released_event *event)
{
	struct broker *broker = keeper->broker;
	struct device *device = inventory_find(&broker->inventory, event->name);

	if (event->origin.since >= broker->started_us)
		return;
	keeper_seen_lease(keeper, event->name);
	/* A keeper may report devices of its own group only. */
	if (device && device->group != keeper->group)
		return;
	/* The record on disk has the rule, until the quarantine is decided. */
	if (device && event->used)
		ending_record_earlier(broker, device, event);
	if (device && quarantine_is_in_use(device)) {
		if (event->report.reset == RESET_UNSURE)
			group_note_direct(device->group);
		quarantine_lease_ended_before_takeover(broker, device, &event->report);
	}
	/* RELEASED may be the keeper's last message: no answer to QUERY will name the holder of the group any more. */
	if (device && device->group->state == GROUP_QUERIED)
		group_held_by(device->group, &event->origin.holder);
}
