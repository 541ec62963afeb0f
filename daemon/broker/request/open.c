/* SPDX-License-Identifier: MIT */
#include "request/open.h"

#include "audit/audit.h"
#include "base/limits.h"
#include "base/loop.h"
#include "lease/grant.h"
#include "lease/quarantine.h"
#include "request/admission.h"
#include "request/session.h"
#include "state/inventory.h"

#include <string.h>

void open_forget(struct session *session)
{
	if (!session->waiting_for)
		return;
	TAILQ_REMOVE(&session->waiting_for->waiters, session, waiting);
	session->waiting_for = NULL;
}

/* Waits for the group of a device that is just being released; the first look sets the time limit. */
static int wait_for_group(struct session *session, struct group *group)
{
	session->waiting_for = group;
	TAILQ_INSERT_TAIL(&group->waiters, session, waiting);
	return CHANNEL_LATER;
}

/* Whoever may have the device may also find out that it does not answer. */
static void quarantine_if_silent(struct broker *broker, struct device *device, const struct admission *admission)
{
	if (admission->silent && device->group && admission->rule && admission->rule->verdict == POLICY_ALLOW)
		quarantine_look(broker, device);
}

static bool was_opened(const struct session *session, const struct device *device)
{
	const struct lease *lease = device ? device->lease : NULL;
	uint64_t cookie = lease && lease->session == session ? lease->answered : session->answered;

	return session_may_repeat(session) && cookie != 0 && cookie == session->opening_cookie;
}

/* Returns as a channel handler does. */
static int open_device(struct session *session, struct detail *detail)
{
	struct broker *broker = session->broker;
	struct device *device = inventory_find(&broker->inventory, session->opening);
	struct admission admission;

	if (broker->stopping)
		return refuse(detail, REFUSAL_NO_KEEPER, "the service is stopping");
	if (device && device->group && device->group->state == GROUP_RECALLED)
		return wait_for_group(session, device->group);
	if (was_opened(session, device))
		return CHANNEL_ANSWERED;
	admission_check(broker, session, session->opening, &admission);
	quarantine_if_silent(broker, device, &admission);
	if (admission.passing && loop_now(broker->event) - session->wait_began_us < OPEN_WAIT_US)
		return wait_for_group(session, device->group);
	if (admission.count > 0) {
		*detail = admission.obstacles[0].detail;
		return admission.obstacles[0].refusal;
	}
	return lease_open(broker, session, device, admission.rule, detail);
}

/* RESULT as a handler returns it; the detail has said it to the client. */
static void record_denial(struct session *session, int result, const struct detail *detail)
{
	struct audit_event event = audit_of_session(CHANGE_DENIAL, session);
	char who[128];

	event.device = session->opening;
	event.refusal = result;
	audit_record(session->broker, &event, "%s refused to %s: %s%s%s", session->opening,
		peer_text(&session->peer, who, sizeof who), refusal_name(result < 0 ? REFUSAL_FAILED : result),
		detail->text[0] ? ": " : "", detail->text);
}

int open_serve(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct open_request *open = (const void *)request->payload;
	struct session *session = context;
	int r;

	(void)reply;
	session->broker->counters.opens++;
	memcpy(session->opening, open->name, sizeof session->opening);
	session->opening_cookie = request->header.cookie;
	session->wait_began_us = loop_now(session->broker->event);
	r = open_device(session, detail);
	if (r != CHANNEL_LATER && r != CHANNEL_ANSWERED)
		record_denial(session, r, detail);
	return r;
}

int open_check(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct check_request *check = (const void *)request->payload;
	struct session *session = context;
	struct admission admission;
	struct check_reply *answer;

	(void)detail;
	admission_check(session->broker, session, check->name, &admission);
	quarantine_if_silent(session->broker, inventory_find(&session->broker->inventory, check->name), &admission);
	answer = packet_append(reply, sizeof *answer);
	answer->count = (uint32_t)admission.count;
	answer->claim = admission.claim;
	for (size_t i = 0; i < admission.count; i++) {
		struct check_obstacle *obstacle = packet_append(reply, sizeof *obstacle);

		obstacle->refusal = (uint32_t)admission.obstacles[i].refusal;
		memcpy(obstacle->detail, admission.obstacles[i].detail.text, sizeof obstacle->detail);
	}
	return 0;
}

void session_opened(struct session *session, struct lease *lease)
{
	struct packet *reply = &session->broker->buffers.reply;
	struct open_reply *answer;

	session_store(session);
	packet_reply(reply, &session->channel.awaiting);
	answer = packet_append(reply, sizeof *answer);
	answer->group = lease->device->group->number;
	fdset_add(&reply->fds, lease->channel);
	lease->channel = -1;
	session_answer(session, 0, reply, NULL);
}

void session_refused(struct session *session, int result, const struct detail *detail)
{
	session->broker->counters.refusals++;
	record_denial(session, result, detail);
	session_answer(session, result, &session->broker->buffers.reply, detail);
}

void session_open_again(struct session *session)
{
	struct detail detail = {0};
	int r;

	session->waiting_for = NULL;
	r = open_device(session, &detail);
	if (r == CHANNEL_ANSWERED)
		session_answer(session, r, &session->broker->buffers.reply, NULL);
	else if (r != CHANNEL_LATER)
		session_refused(session, r, &detail);
}
