/* SPDX-License-Identifier: MIT */
#include "policy/policy_stream.h"

#include "base/limits.h"
#include "packet.h"
#include "policy/policy_canonical.h"
#include "policy_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void fail(struct policy_stream *stream, const char *why)
{
	stream->state = STREAM_FAILED;
	snprintf(stream->error.text, sizeof stream->error.text, "%s", why);
}

static void on_started(struct policy_stream *stream, const struct packet *packet)
{
	const struct policy_started *started = packet_body(packet, sizeof *started);

	if (!started || stream->state != STREAM_SILENT) {
		fail(stream, "the reader of the policy made no sense");
		return;
	}
	stream->pid = started->pid;
	stream->policy = calloc(1, sizeof *stream->policy);
	stream->state = STREAM_READING;
	if (!stream->policy)
		fail(stream, "out of memory for the policy");
}

static void on_lines(struct policy_stream *stream, const struct packet *packet)
{
	stream->bytes += packet->header.length;
	if (stream->bytes > POLICY_BYTES_MAX)
		fail(stream, POLICY_TOO_LONG);
	else if (policy_canonical_read(
			 stream->policy, (const char *)packet->payload, packet->header.length, &stream->error) < 0)
		stream->state = STREAM_FAILED;
}

static void on_done(struct policy_stream *stream)
{
	stream->state = policy_complete(stream->policy, 0, &stream->error) < 0 ? STREAM_FAILED : STREAM_DONE;
}

static void on_mistake(struct policy_stream *stream, const struct packet *packet)
{
	const struct policy_mistake *mistake = packet_body(packet, sizeof *mistake);

	if (!mistake || !memchr(mistake->text, '\0', sizeof mistake->text) || !mistake->text[0]) {
		fail(stream, "the reader of the policy made no sense");
		return;
	}
	stream->state = STREAM_MISTAKE;
	stream->error.line = mistake->line;
	stream->error.column = mistake->column;
	snprintf(stream->error.text, sizeof stream->error.text, "%s", mistake->text);
}

void policy_stream_receive(struct policy_stream *stream, int socket, struct packet *packet)
{
	int r = packet_receive(socket, MSG_DONTWAIT, 0, packet);

	if (r == -EAGAIN)
		return;
	if (r != PACKET_RECEIVED)
		fail(stream,
			"the reader of the policy files has ended before its work was done "
			"(journalctl -u 'vfio-policy@*' may say why)");
	else if (packet->header.type == POLICY_READER_STARTED)
		on_started(stream, packet);
	else if (packet->header.type == POLICY_READER_LINES && stream->state == STREAM_READING)
		on_lines(stream, packet);
	else if (packet->header.type == POLICY_READER_DONE && stream->state == STREAM_READING)
		on_done(stream);
	else if (packet->header.type == POLICY_READER_MISTAKE && stream->state == STREAM_READING)
		on_mistake(stream, packet);
	else
		fail(stream, "the reader of the policy made no sense");
}

struct policy *policy_stream_take(struct policy_stream *stream)
{
	struct policy *policy = stream->policy;

	stream->policy = NULL;
	return policy;
}

void policy_stream_clear(struct policy_stream *stream)
{
	policy_free(stream->policy);
	stream->policy = NULL;
}
