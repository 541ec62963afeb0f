/* SPDX-License-Identifier: MIT */
#include "audit/watch.h"

#include "base/limits.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Any priority but 0, the default; up to 6 no capability is needed. */
#define WATCH_PRIORITY 1

static unsigned int watchers_of(const struct broker *broker, uid_t uid)
{
	const struct session *session;
	unsigned int count = 0;

	LIST_FOREACH(session, &broker->watchers, in_watchers)
		count += session->peer.uid == uid;
	return count;
}

/* The mark of a watching session is the priority of our end of its socket: a priority means nothing to a socket of
 * AF_UNIX. There the mark outlives a killed broker, and the client cannot reach the mark. */
static void mark(const struct session *session)
{
	const int priority = WATCH_PRIORITY;

	/* If setsockopt() fails, the watch does not outlive the broker. */
	(void)setsockopt(session->channel.fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof priority);
}

static bool marked(const struct session *session)
{
	socklen_t size = sizeof(int);
	int priority = 0;

	return getsockopt(session->channel.fd, SOL_SOCKET, SO_PRIORITY, &priority, &size) == 0 &&
		priority == WATCH_PRIORITY;
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
	if (watchers_of(broker, session->peer.uid) >= WATCHERS_PER_USER)
		return refuse(detail, REFUSAL_QUOTA, "uid %u has %d sessions that watch, the limit", session->peer.uid,
			WATCHERS_PER_USER);
	enlist(session);
	mark(session);
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

/* The session's socket is polled for POLLOUT as long as there are missed events to tell. */
static void arm(struct session *session)
{
	/* Without memory to poll, the next event brings the number. */
	(void)fair_queue_wait(&session->place, session->place.events | (uint32_t)watch_events(session));
}

static bool send_to(struct session *session, const struct change_event *change)
{
	struct packet *packet = &session->broker->change;
	struct change_event *body;

	packet_event(packet, BROKER_EVENT_CHANGE);
	body = packet_append(packet, sizeof *body);
	*body = *change;
	body->missed = session->watch.missed;
	if (!channel_notify(&session->channel, packet))
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
		if (session->failed || !may_see(session, event) ||
			send_to(session, own(session, event) ? &all : &others))
			continue;
		session->watch.missed++;
		broker->changes_missed++;
		arm(session);
	}
}

short watch_events(const struct session *session)
{
	return session->watch.missed > 0 ? POLLOUT : 0;
}

void watch_catch_up(struct session *session)
{
	const struct audit_event event = {.kind = CHANGE_LOST};
	struct change_event change;
	char message[96];

	if (session->watch.missed == 0)
		return;
	snprintf(message, sizeof message, "%llu events were lost before this one: they were not read in time",
		(unsigned long long)session->watch.missed);
	audit_event_change(&event, message, &change);
	send_to(session, &change);
}

void watch_adopt(struct session *session)
{
	const struct audit_event event = {.kind = CHANGE_LOST};
	struct change_event change;

	if (!marked(session))
		return;
	enlist(session);
	audit_event_change(&event, "the service was restarted: events meanwhile were not told", &change);
	if (!send_to(session, &change))
		session->watch.missed++;
}
