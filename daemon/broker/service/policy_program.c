/* SPDX-License-Identifier: MIT */
#include "service/policy_program.h"

#include "base/limits.h"
#include "fdset.h"
#include "log.h"
#include "packet.h"
#include "policy/policy_canonical.h"
#include "policy/policy_files.h"
#include "policy_message.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Lines on their way. */
struct sending {
	struct policy_sink sink; /* first */
	struct packet *packet;	 /* the lines that are not sent */
	int connection;
	size_t bytes;
	bool is_too_long;
	int result;
};

static void flush(struct sending *sending)
{
	if (sending->packet->header.length > 0 && sending->result == 0)
		sending->result = packet_send(sending->connection, 0, sending->packet);
	packet_event(sending->packet, POLICY_READER_LINES);
}

static void on_line(struct policy_sink *sink, const char *line)
{
	struct sending *sending = (struct sending *)sink;
	size_t size = strlen(line) + 1;
	char *room;

	sending->bytes += size;
	if (sending->bytes > POLICY_BYTES_MAX || size > MESSAGE_PAYLOAD_MAX)
		sending->is_too_long = true;
	if (sending->is_too_long)
		return;
	room = packet_append(sending->packet, size);
	if (!room) {
		flush(sending);
		room = packet_append(sending->packet, size);
	}
	memcpy(room, line, size);
}

static int send_mistake(int connection, const struct policy_error *error, struct packet *packet)
{
	struct policy_mistake *mistake;

	packet_event(packet, POLICY_READER_MISTAKE);
	mistake = packet_append(packet, sizeof *mistake);
	mistake->line = error->line;
	mistake->column = error->column;
	snprintf(mistake->text, sizeof mistake->text, "%s", error->text);
	return packet_send(connection, 0, packet);
}

static int send_policy(int connection, const struct policy *policy, struct packet *packet)
{
	static const struct policy_error too_long = {.text = POLICY_TOO_LONG};
	struct sending sending = {.sink = {on_line}, .packet = packet, .connection = connection};

	packet_event(packet, POLICY_READER_LINES);
	policy_canonical_write(policy, &sending.sink);
	flush(&sending);
	if (sending.is_too_long)
		return send_mistake(connection, &too_long, packet);
	packet_event(packet, POLICY_READER_DONE);
	return sending.result < 0 ? sending.result : packet_send(connection, 0, packet);
}

static int send_started(int connection, struct packet *packet)
{
	struct policy_started *started;

	packet_event(packet, POLICY_READER_STARTED);
	started = packet_append(packet, sizeof *started);
	started->pid = (uint32_t)getpid();
	return packet_send(connection, 0, packet);
}

int policy_program_run(const char *const *directories, int connection)
{
	static struct packet packet;
	OWNED_FD owned = connection;
	struct policy_error error = {0};
	struct policy *policy = NULL;
	int r;

	packet_init(&packet);
	/* Comes before anything that may wait: the broker can name the process that waits. */
	r = send_started(owned, &packet);
	if (r == 0 && policy_load(directories, &policy, &error) < 0)
		r = send_mistake(owned, &error, &packet);
	else if (r == 0)
		r = send_policy(owned, policy, &packet);
	policy_free(policy);
	packet_clear(&packet);
	/* The broker may have ended, or have begun another read. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		log_line(LOG_ERR, "cannot send the policy: %s", strerror(-r));
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
