/* SPDX-License-Identifier: MIT */
#include "control.h"
#include "clock.h"
#include "sessions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Records in one reply to QUERY, so that the reply has the size of a page. */
#define QUERY_RECORDS 168

void control_init(struct front *front)
{
	TAILQ_INIT(&front->asked);
	TAILQ_INIT(&front->waiting);
	STAILQ_INIT(&front->outbox);
	packet_init(&front->again);
	front->query = (struct query){0};
	front->counts = (struct front_counts){0};
	front->blocked = false;
	front->failed = false;
}

/* ---- sending ---- */

/* Returns true if sent. Else the front is blocked, or has failed. */
static bool send_now(struct front *front, struct packet *packet)
{
	int r = packet_send(front->control, MSG_DONTWAIT, packet);

	if (r == -EAGAIN)
		front->blocked = true;
	else if (r < 0)
		front->failed = true;
	return r == 0;
}

/* The broker knows the counts before it reads what comes next. */
static bool send_counts(struct front *front)
{
	struct front_counts *counts;

	if (front->counts.requests == 0)
		return true;
	packet_event(&front->again, FRONT_EVENT_COUNTS);
	counts = packet_append(&front->again, sizeof *counts);
	*counts = front->counts;
	if (!send_now(front, &front->again))
		return false;
	front->counts = (struct front_counts){0};
	return true;
}

void control_count(struct front *front, bool refused)
{
	front->counts.requests++;
	front->counts.refusals += refused;
}

/* Sends PACKET, if nothing that was not sent comes before it. */
static bool send_in_turn(struct front *front, struct packet *packet)
{
	return !front->blocked && !front->failed && send_counts(front) && send_now(front, packet);
}

/* Sends a copy of a packet that begins with HEADER. */
static bool send_copy(struct front *front, const struct message_header *header)
{
	memcpy(&front->again.header, header, sizeof *header + header->length);
	return send_now(front, &front->again);
}

/* ---- packets of the front itself ---- */

static void outbox_add(struct front *front, const struct packet *packet)
{
	size_t size = sizeof packet->header + packet->header.length;
	struct outgoing *outgoing = malloc(offsetof(struct outgoing, header) + size);

	if (!outgoing) {
		front->failed = true;
		return;
	}
	memcpy(&outgoing->header, &packet->header, size);
	STAILQ_INSERT_TAIL(&front->outbox, outgoing, in_front);
}

static void outbox_remove(struct front *front, struct outgoing *outgoing)
{
	STAILQ_REMOVE_HEAD(&front->outbox, in_front);
	free(outgoing);
}

static void outbox_flush(struct front *front)
{
	struct outgoing *outgoing;

	while ((outgoing = STAILQ_FIRST(&front->outbox)) && send_copy(front, &outgoing->header))
		outbox_remove(front, outgoing);
}

static void outbox_clear(struct front *front)
{
	struct outgoing *outgoing;

	while ((outgoing = STAILQ_FIRST(&front->outbox)))
		outbox_remove(front, outgoing);
}

void control_post(struct front *front, struct packet *packet)
{
	if (!send_in_turn(front, packet))
		outbox_add(front, packet);
	packet_clear(packet);
}

/* ---- requests of clients ---- */

static void requests_flush(struct front *front)
{
	struct pending *pending;

	while ((pending = TAILQ_FIRST(&front->waiting)) && send_copy(front, &pending->header)) {
		TAILQ_REMOVE(&front->waiting, pending, in_front);
		TAILQ_INSERT_TAIL(&front->asked, pending, in_front);
		pending->sent = true;
	}
}

int control_relay(struct front *front, struct connection *connection, struct packet *request)
{
	size_t size = sizeof request->header + request->header.length;
	struct pending *pending = malloc(offsetof(struct pending, header) + size);

	if (!pending)
		return -ENOMEM;
	pending->arrived_us = clock_us();
	pending->cookie = request->header.cookie;
	request->header.cookie = connection->session;
	memcpy(&pending->header, &request->header, size);
	connection->pending = pending;
	pending->sent = send_in_turn(front, request);
	TAILQ_INSERT_TAIL(pending->sent ? &front->asked : &front->waiting, pending, in_front);
	return 0;
}

void control_forget(struct front *front, struct connection *connection)
{
	struct pending *pending = connection->pending;

	if (!pending)
		return;
	TAILQ_REMOVE(pending->sent ? &front->asked : &front->waiting, pending, in_front);
	free(pending);
	connection->pending = NULL;
}

/* ---- a new broker ---- */

/* The records of as many sessions as fit. Returns false when no session is left after these. */
static bool query_fill(struct front *front, uint64_t *session, struct packet *reply)
{
	struct front_query_reply *head = packet_append(reply, sizeof *head);
	struct connection *connection;

	head->pid = (uint32_t)getpid();
	head->uid = getuid();
	while ((connection = sessions_after(front, *session)) && head->count < QUERY_RECORDS) {
		const struct pending *pending = connection->pending;
		struct front_query_record *record = packet_append(reply, sizeof *record);

		record->session = *session = connection->session;
		record->flags = pending ? FRONT_QUERY_PENDING : 0;
		record->arrived_us = pending ? pending->arrived_us : 0;
		head->count++;
	}
	head->more = connection != NULL;
	return head->more;
}

static void query_flush(struct front *front)
{
	while (front->query.running) {
		uint64_t session = front->query.session;
		bool more;

		packet_reply(&front->again, &front->query.request);
		more = query_fill(front, &session, &front->again);
		if (!send_now(front, &front->again))
			return;
		front->query.session = session;
		front->query.running = more;
	}
}

void control_query(struct front *front, const struct message_header *request)
{
	struct pending *pending;

	/* These were for an earlier broker. */
	outbox_clear(front);
	TAILQ_FOREACH(pending, &front->asked, in_front)
	pending->sent = false;
	/* In the order of arrival: those asked came before those waiting. */
	TAILQ_CONCAT(&front->asked, &front->waiting, in_front);
	TAILQ_CONCAT(&front->waiting, &front->asked, in_front);
	front->query = (struct query){.running = true, .request = *request};
	control_flush(front);
}

/* ---- room again, the end ---- */

void control_flush(struct front *front)
{
	front->blocked = false;
	query_flush(front);
	if (!front->blocked)
		outbox_flush(front);
	if (!front->blocked)
		requests_flush(front);
}

void control_release(struct front *front)
{
	outbox_clear(front);
	packet_clear(&front->again);
}
