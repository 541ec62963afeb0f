/* SPDX-License-Identifier: MIT */
#include "request/unquarantine.h"

#include "audit/audit.h"
#include "audit/event.h"
#include "base/loop.h"
#include "base/peer.h"
#include "helper/operation.h"
#include "helper/operation_text.h"
#include "lease/group.h"
#include "lease/look.h"
#include "lease/quarantine_text.h"
#include "request/glance.h"
#include "request/session.h"
#include "state/broker.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"

#include <stdio.h>
#include <string.h>

/* A record of the requester's uid would not be enough: root alone answers for the machine. */
static int check_administrator(const struct session *session, const char *name, struct detail *detail)
{
	char who[128];

	if (session->peer.uid == 0)
		return 0;
	return refuse(detail, REFUSAL_ROOT_ONLY, "only root may end the quarantine of %s; this is %s", name,
		peer_text(&session->peer, who, sizeof who));
}

/* The kernel cannot be made to let go, and UNQUARANTINE takes no device from a keeper: that is the job of
 * REVOKE. */
static int check_group(
	const struct broker *broker, const struct iommu_group *group, const char *name, struct detail *detail)
{
	const struct operation *operation = operation_in_the_way(broker, group);
	char who[128], since[64], blocker[GROUP_BLOCKER_SIZE], text[DETAIL_SIZE];

	if (operation)
		return refuse(detail, group->state == GROUP_QUARANTINED ? REFUSAL_QUARANTINED : REFUSAL_DEVICE_BUSY,
			"%s", operation_text(operation, text, sizeof text));
	peer_record_text(&group->holder, who, sizeof who);
	switch (group->state) {
	case GROUP_FREE:
	case GROUP_RESTORING:
		return 0;
	case GROUP_QUERIED:
		return refuse(detail, REFUSAL_NOT_QUARANTINED, GROUP_QUERIED_FORMAT, name, group->number);
	case GROUP_CLAIMING:
	case GROUP_HELD:
		return refuse(detail, REFUSAL_NOT_QUARANTINED, "%s: its IOMMU group is in use by %s", name, who);
	case GROUP_RELEASING:
		return refuse(detail, REFUSAL_NOT_QUARANTINED,
			"%s: its IOMMU group is just being released by %s; try again in a moment", name, who);
	case GROUP_QUARANTINED:
		quarantine_since(broker, group->release_began_us, since, sizeof since);
		if (group->keeper)
			return refuse(detail, REFUSAL_QUARANTINED,
				"%s: its keeper (pid %u) still has IOMMU group %u, %s: nothing can force "
				"the kernel; end what blocks it (last holder %s)",
				name, group->keeper->pid, group->number, since, who);
		return refuse(detail, REFUSAL_QUARANTINED,
			"%s: IOMMU group %u is not free, %s: nothing can force the kernel; %s (last holder %s)", name,
			group->number, since, group_blocker(group, blocker), who);
	}
	return 0;
}

static int check_quarantined(const struct device *device, struct detail *detail)
{
	const struct device *other = device->group ? quarantine_of_group(device->group) : NULL;

	if (device->quarantine && device->quarantine->reason != QUARANTINE_IN_USE)
		return 0;
	return refuse(detail, REFUSAL_NOT_QUARANTINED, "%s%s%s", device->name,
		other ? " shares its IOMMU group with one that is: " : "", other ? other->name : "");
}

static void describe(const struct broker *broker, const struct device *device, bool forced, struct packet *reply)
{
	struct unquarantine_reply *answer = packet_append(reply, sizeof *answer);

	quarantine_text(broker, device, answer->ended, sizeof answer->ended);
	if (forced)
		snprintf(answer->unverified, sizeof answer->unverified,
			"whether %s is idle and knows nothing of its last holder: nobody has reset it since, "
			"and DMA of the last holder may reach the memory of the next",
			device->name);
	else
		snprintf(answer->unverified, sizeof answer->unverified,
			"that %s was reset: that is the administrator's word; the broker sees that it answers",
			device->name);
}

static void record(const struct session *session, const struct device *device, bool forced)
{
	struct audit_event event = audit_of_session(forced ? CHANGE_QUARANTINE_FORCE : CHANGE_QUARANTINE_END, session);
	char who[128], text[DETAIL_SIZE];

	event.device = device->name;
	event.group = device->group;
	event.rule = device->quarantine->rule;
	event.duration_us = loop_now(session->broker->event) - device->quarantine->since_us;
	audit_record(session->broker, &event, "%s: quarantine ended by %s%s; it was: %s", device->name,
		peer_text(&session->peer, who, sizeof who), forced ? ", without a reset" : ", after a reset",
		quarantine_text(session->broker, device, text, sizeof text));
}

static int check(const struct broker *broker, const struct device *device, const char *name, struct detail *detail)
{
	int r;

	if (!device || !device->present)
		return refuse(detail, REFUSAL_NO_SUCH_DEVICE, "%s", name);
	r = device->group ? check_group(broker, device->group, device->name, detail) : 0;
	return r != 0 ? r : check_quarantined(device, detail);
}

/* Safe for a hostile caller: check_administrator() lets root pass alone. Nobody holds the group, so the device can go
 * back to its host driver. */
static void end_quarantine(struct session *session, struct device *device, bool forced, struct packet *reply)
{
	describe(session->broker, device, forced, reply);
	record(session, device, forced);
	group_end_quarantine(session->broker, device);
}

/* The broker can find out without the requester only whether the device answers. */
static void on_look(struct session *session, const struct glanced *glanced)
{
	const struct helper_reply *look = glanced->reply;
	const char *name = glanced->name;
	struct broker *broker = session->broker;
	struct device *device = inventory_find(&broker->inventory, name);
	struct packet *reply = &broker->buffers.reply;
	struct detail detail = {0};
	int r = check(broker, device, name, &detail);

	if (r == 0)
		r = look ? look_answers(name, look, &detail)
			 : refuse(&detail, REFUSAL_DEVICE_BUSY, "%s", glanced->text);
	if (r == 0) {
		session_begin_reply(session, reply);
		end_quarantine(session, device, false, reply);
	}
	session_answer(session, r, reply, &detail);
}

int unquarantine_serve(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct unquarantine_request *release = (const void *)request->payload;
	struct session *session = context;
	struct broker *broker = session->broker;
	struct device *device = inventory_find(&broker->inventory, release->name);
	bool forced = release->flags & BROKER_UNQUARANTINE_FORCE;
	int r = check_administrator(session, release->name, detail);

	if (r == 0)
		r = check(broker, device, release->name, detail);
	if (r != 0)
		return r;
	if (release->flags & BROKER_UNQUARANTINE_DRY_RUN) {
		describe(broker, device, forced, reply);
		return 0;
	}
	/* A device without a group is nothing that can be leased. */
	if (!forced && device->group)
		return glance_begin(session, device, HELPER_LOOK_IDS, false, on_look);
	end_quarantine(session, device, forced, reply);
	return 0;
}
