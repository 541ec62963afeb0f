/* SPDX-License-Identifier: MIT */
#include "request/front_inbox.h"

#include "audit/audit.h"
#include "audit/event.h"
#include "audit/watch.h"
#include "front/front.h"
#include "front_message.h"
#include "log.h"
#include "packet.h"
#include "request/session.h"

#include <string.h>

/* ---- events ---- */

static void on_closed(struct front *front, const struct packet *packet)
{
	const struct front_closed *closed = packet_body(packet, sizeof *closed);
	struct session *session = closed ? front_find(front, closed->session) : NULL;

	/* The broker may have ended the session at the same time. */
	if (!session)
		return;
	if (closed->why == FRONT_END_BROKEN)
		session_record_broken(session, "broke the protocol");
	else if (closed->why == FRONT_END_DESCRIPTORS)
		session_record_broken(session, "attached descriptors, which no request here takes,");
	else if (closed->why == FRONT_END_FAILED)
		log_line(LOG_ERR, "front of uid %u (pid %u): a session ended: %s", front->owner, front->pid,
			strerror((int)(closed->error & INT32_MAX)));
	session_close(session, false);
}

static void on_counts(struct broker *broker, const struct packet *packet)
{
	const struct front_counts *counts = packet_body(packet, sizeof *counts);

	if (counts)
		session_count(broker, counts->requests, counts->refusals);
}

static void on_missed(const struct front *front, const struct packet *packet)
{
	const struct front_missed *missed = packet_body(packet, sizeof *missed);
	struct session *session = missed ? front_find(front, missed->session) : NULL;

	if (session)
		watch_missed(session, missed->missed);
}

static void on_event(struct front *front, const struct packet *packet)
{
	switch (packet->header.type) {
	case FRONT_EVENT_CLOSED:
		on_closed(front, packet);
		return;
	case FRONT_EVENT_COUNTS:
		on_counts(front->broker, packet);
		return;
	case FRONT_EVENT_MISSED:
		on_missed(front, packet);
		return;
	default:
		front_fail(front, "an unknown event");
	}
}

/* ---- replies ---- */

static void on_looked(const struct front *front, uint64_t number)
{
	struct session *session = front_find(front, number);

	if (session)
		session_looked_at(session);
}

/* A session that has ended while there was no broker. */
static void close_unconfirmed(const struct front *front)
{
	struct session *session, *next;

	for (session = front_first(front); session; session = next) {
		next = front_next(session);
		if (session->unconfirmed)
			session_close(session, false);
	}
}

/* A session of which the roll says nothing: an earlier broker was killed before it could write, or while it ended the
 * session. */
static void end_unknown(struct front *front, uint64_t number)
{
	struct packet *packet = &front->broker->outgoing;

	packet_request(packet, FRONT_CLOSE, number);
	front_send(front, packet);
}

static void confirm(struct front *front, const struct front_query_record *record)
{
	struct session *session = front_find(front, record->session);

	if (session)
		session_confirm(session, record->flags & FRONT_QUERY_PENDING ? record->arrived_us : 0);
	else
		end_unknown(front, record->session);
}

static void on_queried(struct front *front, const struct packet *packet)
{
	const struct front_query_reply *reply = packet_body(packet, sizeof *reply);
	const struct front_query_record *records = (const void *)(packet->payload + sizeof *reply);

	if (packet->header.cookie != front->broker->started_us)
		return;
	if (!reply || packet->header.length - sizeof *reply != (uint64_t)reply->count * sizeof *records) {
		front_fail(front, "a wrong answer to QUERY");
		return;
	}
	for (uint32_t i = 0; i < reply->count; i++)
		confirm(front, &records[i]);
	if (reply->more)
		return;
	front_queried(front, reply->pid, reply->uid);
	close_unconfirmed(front);
	log_line(LOG_INFO, "front of uid %u (pid %u): %u sessions go on", front->owner, front->pid,
		front->sessions_count);
}

static void on_reply(struct front *front, const struct packet *packet)
{
	switch (packet->header.type) {
	case FRONT_QUERY:
		on_queried(front, packet);
		return;
	case FRONT_LOOK:
		on_looked(front, packet->header.cookie);
		return;
	default:
		front_fail(front, "an unknown reply");
	}
}

/* ---- requests of clients ---- */

static void on_request(struct front *front, struct packet *packet)
{
	struct session *session = front_find(front, packet->header.cookie);

	/* The broker may have ended the session at the same time. */
	if (!session)
		return;
	if (!session_serve(session, packet))
		front_fail(front, "a second request of a session before the answer to the first");
}

static void on_packet(struct front *front, struct packet *packet)
{
	/* What was sent to an earlier broker comes again after the answer to QUERY. */
	if (front->state == FRONT_QUERIED &&
		!(packet->header.type == FRONT_QUERY && packet->header.flags & MESSAGE_REPLY))
		return;
	if (packet->header.flags & MESSAGE_EVENT)
		on_event(front, packet);
	else if (packet->header.flags & MESSAGE_REPLY)
		on_reply(front, packet);
	else
		on_request(front, packet);
}

/* ---- the front itself ---- */

static unsigned int leases_of(const struct front *front)
{
	const struct session *session;
	unsigned int count = 0;

	for (session = front_first(front); session; session = front_next(session))
		count += session->leases_count;
	return count;
}

static void record_lost(const struct front *front)
{
	const struct audit_event event = {.kind = CHANGE_FRONT_LOST, .who = {.uid = front->owner}};

	audit_record(front->broker, &event,
		"the front of uid %u (pid %u) has ended: %u sessions and %u leases end with it", front->owner,
		front->pid, front->sessions_count, leases_of(front));
}

static void on_ended(struct front *front)
{
	struct session *session;

	if (front->role == FRONT_OWNED && !front->ordered)
		record_lost(front);
	while ((session = front_first(front)))
		session_close(session, false);
}

static void on_writable(struct front *front)
{
	struct session *session;

	LIST_FOREACH(session, &front->broker->watchers, in_watchers) {
		if (session->front == front)
			watch_catch_up(session);
	}
}

/* Nobody waits for a front that hangs. */
static void on_hung(struct front *front)
{
	struct session *session, *next;

	for (session = front_first(front); session; session = next) {
		next = front_next(session);
		session_looked_at(session);
	}
}

/* A connection goes to a front at once, whoever comes: so nobody is accepted without a spare front. */
static void on_spare(struct broker *broker, bool ready)
{
	if (!broker->listener)
		return;
	ready = ready && broker->unplaced_count == 0 && !broker->stopping;
	(void)sd_event_source_set_enabled(broker->listener, ready ? SD_EVENT_ON : SD_EVENT_OFF);
}

const struct front_events front_inbox = {
	.packet = on_packet,
	.ended = on_ended,
	.writable = on_writable,
	.hung = on_hung,
	.spare = on_spare,
};
