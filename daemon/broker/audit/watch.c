/* SPDX-License-Identifier: MIT */
#include "audit/watch.h"

#include "base/limits.h"
#include "front/front.h"
#include "front/roll.h"

#include <stdio.h>
#include <string.h>

static unsigned int watchers_of(const struct broker *broker, uid_t uid)
{
	const struct session *session;
	unsigned int count = 0;

	LIST_FOREACH(session, &broker->watchers, in_watchers)
		count += session->peer.owner == uid;
	return count;
}

static void enlist(struct session *session)
{
	session->watch.on = true;
	LIST_INSERT_HEAD(&session->broker->watchers, session, in_watchers);
}

int watch_begin(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct session *session = context;
	struct broker *broker = session->broker;

	(void)request;
	(void)reply;
	if (session->watch.on)
		return 0;
	if (watchers_of(broker, session->peer.owner) >= WATCHERS_PER_USER)
		return refuse(detail, REFUSAL_QUOTA, "uid %u has %d sessions that watch, the limit",
			session->peer.owner, WATCHERS_PER_USER);
	enlist(session);
	roll_watches(&session->front->roll, session);
	return 0;
}

void watch_end(struct session *session)
{
	if (session->watch.on)
		LIST_REMOVE(session, in_watchers);
	session->watch.on = false;
}

/* ---- who may see what ---- */

static bool own(const struct session *session, const struct audit_event *event)
{
	return session->peer.uid == 0 || session->peer.uid == event->who.uid;
}

/* LIST and LEASES tell everybody the holder of each device. They do not tell of requests in vain, nor do they tell the
 * rules. */
static bool may_see(const struct session *session, const struct audit_event *event)
{
	return event->kind != CHANGE_DENIAL || own(session, event);
}

/* ---- sending ---- */

static bool send_to(struct session *session, const struct change_event *change)
{
	struct packet *packet = &session->broker->change;
	struct change_event *body;

	packet_event(packet, BROKER_EVENT_CHANGE);
	packet->header.cookie = session->id;
	body = packet_append(packet, sizeof *body);
	*body = *change;
	body->missed = session->watch.missed;
	if (!front_notify(session->front, packet))
		return false;
	session->watch.missed = 0;
	return true;
}

void watch_publish(struct broker *broker, const struct audit_event *event, const char *message)
{
	struct change_event all, others;
	struct session *session;

	if (LIST_EMPTY(&broker->watchers))
		return;
	audit_event_change(event, message, &all);
	others = all;
	memset(others.rule, 0, sizeof others.rule);
	LIST_FOREACH(session, &broker->watchers, in_watchers) {
		if (!may_see(session, event) || send_to(session, own(session, event) ? &all : &others))
			continue;
		session->watch.missed++;
		broker->changes_missed++;
	}
}

void watch_missed(struct session *session, uint64_t missed)
{
	if (!session->watch.on)
		return;
	session->watch.missed += (uint32_t)missed;
	session->broker->changes_missed += missed;
	watch_catch_up(session);
}

void watch_catch_up(struct session *session)
{
	const struct audit_event event = {.kind = CHANGE_LOST};
	struct change_event change;
	char message[96];

	if (session->watch.missed == 0)
		return;
	snprintf(message, sizeof message, "%u events were lost before this one: they were not read in time",
		session->watch.missed);
	audit_event_change(&event, message, &change);
	send_to(session, &change);
}

void watch_adopt(struct session *session)
{
	const struct audit_event event = {.kind = CHANGE_LOST};
	struct change_event change;

	enlist(session);
	audit_event_change(&event, "the service was restarted: events meanwhile were not told", &change);
	if (!send_to(session, &change))
		session->watch.missed++;
}
