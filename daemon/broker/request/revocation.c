/* SPDX-License-Identifier: MIT */
#include "request/revocation.h"

#include "base/loop.h"
#include "helper/operation.h"
#include "helper/operation_text.h"
#include "lease/revoke.h"
#include "request/session.h"
#include "state/inventory.h"
#include "state/waiter.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A REVOKE that is not answered yet, and its session. */
struct revoker {
	struct waiter waiter;
	uint64_t since_us;
	uint64_t deadline_us;
	bool held_back; /* the order waits until the keeper of an earlier broker has said who has the device */
	bool had; /* somebody had the device since its group was free; before a QUERIED keeper answers: by the record */
	/* The reply, as far as known. */
	char name[DEVICE_NAME_SIZE];
	struct revoke_reply answer;
};

static void note_holder(struct revoke_reply *reply, const struct iommu_group *group)
{
	reply->group = group->number;
	reply->holder = group->holder;
	reply->keeper_pid = group->keeper ? group->keeper->pid : 0;
}

static void forget(struct revoker *revoker)
{
	waiter_leave(&revoker->waiter);
	free(revoker);
}

static void answer(struct revoker *revoker, enum revoke_result result)
{
	struct session *session = revoker->waiter.session;
	struct packet *reply = &session->broker->buffers.reply;

	revoker->answer.result = result;
	revoker->answer.time_us = loop_now(session->broker->event) - revoker->since_us;
	session_begin_reply(session, reply);
	memcpy(packet_append(reply, sizeof revoker->answer), &revoker->answer, sizeof revoker->answer);
	forget(revoker);
	session_answer(session, 0, reply, NULL);
}

/* ---- what happens ---- */

static void hear_released(struct revoker *revoker, const struct released_event *event)
{
	if (strcmp(revoker->name, event->name) != 0)
		return;
	/* Of a keeper that is QUERIED: the broker learns the holder only now. */
	if (revoker->held_back)
		revoker->answer.holder = event->origin.holder;
	revoker->answer.reported = 1;
	revoker->answer.report = event->report;
}

#define NO_MORE	     "nobody has it any more"
#define STILL_LEASED "other devices of IOMMU group %u are still leased"

/* The group stays with the holder of its other devices, so there is nothing more to wait for. */
static void hear_lease_ended(struct revoker *revoker, const char *name)
{
	const struct iommu_group *group = revoker->waiter.group;

	if (group->state != GROUP_HELD || strcmp(revoker->name, name) != 0)
		return;
	snprintf(revoker->answer.detail, sizeof revoker->answer.detail, STILL_LEASED, group->number);
	answer(revoker, REVOKE_COMPLETE);
}

/* For a device without a holder: nobody had the device, or has the device any more. */
static void describe_nobody(const struct session *session, const char *words, char detail[DETAIL_SIZE])
{
	snprintf(detail, DETAIL_SIZE, "%s%s", words,
		session_was_asked_before(session) ? "; the service that was restarted meanwhile may have seen to it"
						  : "");
}

static void hear_closed(struct revoker *revoker)
{
	if (revoker->had || revoker->answer.reported) {
		answer(revoker, REVOKE_COMPLETE);
		return;
	}
	/* The holder on record had the device before the group was free last. */
	revoker->answer.holder = (struct holder_record){0};
	describe_nobody(revoker->waiter.session, NO_MORE, revoker->answer.detail);
	answer(revoker, REVOKE_NOBODY);
}

static struct lease *lease_of(const struct iommu_group *group, const char *name)
{
	const struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (strcmp(device->name, name) == 0)
			return device->lease;
	}
	return NULL;
}

/* LEASE: of the device; NULL: none. lease->report has the keeper's last report, from before the keeper fell silent. */
static void describe_stuck(const struct iommu_group *group, const struct lease *lease, struct revoke_reply *reply)
{
	const struct operation *operation = operation_in_the_way(group->broker, group);
	char blocker[GROUP_BLOCKER_SIZE];

	if (operation) {
		operation_text(operation, reply->detail, sizeof reply->detail);
	} else if (lease && lease->report.steps_done) {
		reply->reported = 1;
		reply->report = lease->report;
		snprintf(reply->detail, sizeof reply->detail,
			"the device is closed; its keeper hangs where IOMMU group %u leaves the domain: whoever "
			"serves a file that the domain's owner has mapped (FUSE) holds it up; end that process",
			group->number);
	} else if (group->keeper && group->keeper->pid) {
		snprintf(reply->detail, sizeof reply->detail,
			"its keeper has said nothing since it was told to let go; end it: kill -9 %u",
			group->keeper->pid);
	} else if (group->keeper) {
		snprintf(reply->detail, sizeof reply->detail,
			"its keeper has said nothing since the service was restarted; end it: the instance of "
			"vfio-keeper@.service that 'fuser -v /dev/vfio/%u' names",
			group->number);
	} else {
		snprintf(reply->detail, sizeof reply->detail,
			"its keeper is gone, and IOMMU group %u is not free: %s; if nobody, "
			"the kernel still closes it ('dmesg' shows hung tasks)",
			group->number, group_blocker(group, blocker));
	}
}

static void hear_stuck(struct revoker *revoker)
{
	const struct iommu_group *group = revoker->waiter.group;

	if (!revoker->had)
		revoker->answer.holder = (struct holder_record){0};
	describe_stuck(group, lease_of(group, revoker->name), &revoker->answer);
	answer(revoker, REVOKE_INCOMPLETE);
}

#define LEASED_AGAIN "the holder at the time of the request has it no more; the device has been leased again since"

/* A REVOKE that comes again after a restart concerns leases of its own time, whatever broker made them: an earlier
 * broker may have carried the REVOKE out, and the device may have been leased again. */
static bool is_newer(const struct session *session, uint64_t since_us)
{
	return since_us > session->arrived_us;
}

static void order(const struct revoker *revoker, struct lease *lease)
{
	char words[REVOKE_TEXT_SIZE], who[128];

	snprintf(words, sizeof words, "revoked by %s", peer_text(&revoker->waiter.session->peer, who, sizeof who));
	revoke_lease(lease, ENDED_ADMINISTRATOR, revoker->deadline_us, words);
}

#define OTHERS_LEASED "nobody had it; other devices of its IOMMU group are leased"

/* For a device that is not among the devices that the keeper has. */
static void answer_without(struct revoker *revoker)
{
	const struct iommu_group *group = revoker->waiter.group;
	char *detail = revoker->answer.detail;

	if (!revoker->answer.reported) {
		snprintf(detail, sizeof revoker->answer.detail, "%s", OTHERS_LEASED);
		answer(revoker, REVOKE_NOBODY);
		return;
	}
	/* The keeper has reported the release already: the earlier broker had given the order. If that was the last
	 * device, the answer waits until the kernel has let go of the group. */
	revoker->answer.keeper_pid = group->keeper->pid;
	if (group->state == GROUP_HELD) {
		snprintf(detail, sizeof revoker->answer.detail, STILL_LEASED, group->number);
		answer(revoker, REVOKE_COMPLETE);
	}
}

static const struct query_record *record_of(const char *name, const struct query_record *records, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(records[i].name, name) == 0)
			return &records[i];
	}
	return NULL;
}

/* The keeper of an earlier broker has answered QUERY with RECORDS. Carries out the REVOKE, if the REVOKE had to wait
 * for that. */
static void hear_told(struct revoker *revoker, const struct query_record *records, uint32_t count)
{
	const struct iommu_group *group = revoker->waiter.group;
	const struct query_record *record = record_of(revoker->name, records, count);
	struct lease *lease;

	revoker->had = record;
	if (!revoker->held_back)
		return;
	revoker->held_back = false;
	if (!record) {
		answer_without(revoker);
		return;
	}
	if (is_newer(revoker->waiter.session, record->origin.since)) {
		snprintf(revoker->answer.detail, sizeof revoker->answer.detail, "%s", LEASED_AGAIN);
		answer(revoker, revoker->answer.reported ? REVOKE_COMPLETE : REVOKE_NOBODY);
		return;
	}
	note_holder(&revoker->answer, group);
	lease = lease_of(group, revoker->name);
	if (lease)
		order(revoker, lease);
}

static struct revoker *revoker_of(struct waiter *waiter)
{
	static_assert(offsetof(struct revoker, waiter) == 0, "a revoker begins with its waiter");
	return (struct revoker *)(void *)waiter;
}

static void hear(struct waiter *waiter, const struct waiter_news *news)
{
	struct revoker *revoker = revoker_of(waiter);

	switch (news->event) {
	case WAITER_RELEASED:
		hear_released(revoker, news->released);
		return;
	case WAITER_LEASE_ENDED:
		hear_lease_ended(revoker, news->device);
		return;
	case WAITER_TOLD:
		hear_told(revoker, news->records, news->count);
		return;
	case WAITER_CLOSED:
		hear_closed(revoker);
		return;
	case WAITER_STUCK:
		hear_stuck(revoker);
		return;
	}
}

static void cancel(struct waiter *waiter)
{
	forget(revoker_of(waiter));
}

static const struct waiter_kind waiting = {.hear = hear, .cancel = cancel};

/* ---- the request ---- */

static int nobody(const struct session *session, const struct device *device, struct packet *reply, const char *words)
{
	struct revoke_reply *nothing = packet_append(reply, sizeof *nothing);

	nothing->result = REVOKE_NOBODY;
	nothing->group = device->group ? device->group->number : GROUP_NONE;
	describe_nobody(session, words, nothing->detail);
	return 0;
}

/* As the kernel has said last. */
static bool is_open(const struct iommu_group *group)
{
	return group->node != NODE_FREE;
}

/* For a group that is QUARANTINED, or whose helper hangs: answers at once, because nothing more will happen without
 * help, or not soon. */
static int quarantined(const struct session *session, const struct device *device, struct packet *reply)
{
	struct revoke_reply *stuck;

	if (!operation_in_the_way(session->broker, device->group) && !device->group->keeper && !is_open(device->group))
		return nobody(session, device, reply,
			"nobody has it, and it is quarantined; 'vfio-brokerctl check' says why");
	stuck = packet_append(reply, sizeof *stuck);
	note_holder(stuck, device->group);
	describe_stuck(device->group, device->lease, stuck);
	stuck->result = REVOKE_INCOMPLETE;
	return 0;
}

static int take_back(struct session *session, const struct device *device, const struct revoke_request *request)
{
	struct revoker *revoker = calloc(1, sizeof *revoker);

	if (!revoker)
		return -ENOMEM;
	revoker->since_us = loop_now(session->broker->event);
	memcpy(revoker->name, device->name, sizeof revoker->name);
	note_holder(&revoker->answer, device->group);
	revoker->deadline_us = request->deadline_ms * UINT64_C(1000);
	revoker->held_back = device->group->state == GROUP_QUERIED;
	revoker->had = device->lease || device->handed_out;
	waiter_join(&revoker->waiter, &waiting, session, device->group);
	/* Without a lease there is nothing to order: the REVOKE only waits. revoke_lease() ignores a lease that ends
	 * already. */
	if (device->lease)
		order(revoker, device->lease);
	return CHANNEL_LATER;
}

int revocation_serve(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct revoke_request *body = (const void *)request->payload;
	struct session *session = context;
	struct device *device;
	char who[128];

	/* Safe for a hostile caller: nobody but root gets beyond this check, and no policy can change the check. */
	if (session->peer.uid != 0)
		return refuse(detail, REFUSAL_ROOT_ONLY, "REVOKE of %s is for root alone, not for %s", body->name,
			peer_text(&session->peer, who, sizeof who));
	device = inventory_find(&session->broker->inventory, body->name);
	if (!device)
		return refuse(detail, REFUSAL_NO_SUCH_DEVICE, "%s", body->name);
	if (!device->group || device->group->state == GROUP_FREE)
		return nobody(session, device, reply, "nobody had it");
	if (device->group->state == GROUP_QUARANTINED ||
		(!device->lease && operation_in_the_way(session->broker, device->group)))
		return quarantined(session, device, reply);
	if (device->group->state == GROUP_CLAIMING)
		return nobody(session, device, reply, "nobody had it; it is just being opened");
	if (device->group->state == GROUP_RESTORING &&
		(device->group->cools_down || (!device->handed_out && !is_open(device->group))))
		return nobody(session, device, reply, NO_MORE);
	if (device->group->state == GROUP_HELD && !device->lease)
		return nobody(session, device, reply, OTHERS_LEASED);
	if (device->lease && is_newer(session, device->lease->since_us))
		return nobody(session, device, reply, LEASED_AGAIN);
	return take_back(session, device, body);
}
