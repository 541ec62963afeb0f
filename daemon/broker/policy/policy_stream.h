/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_STREAM_H
#define BROKER_POLICY_STREAM_H

#include "policy/policy.h"
#include "policy/policy_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packet;

/* What the reader of the policy files has sent so far (proto/policy_message.h). */
enum policy_stream_state {
	STREAM_SILENT,	/* the reader has not started */
	STREAM_READING, /* the reader has said its pid */
	STREAM_DONE,	/* the policy is whole */
	STREAM_MISTAKE, /* the files have a mistake: error */
	STREAM_FAILED,	/* the reader ended too soon, or made no sense: error */
};

/* Written by policy/policy_stream.c. */
struct policy_stream {
	enum policy_stream_state state;
	uint32_t pid; /* of the reader; 0: not known yet */
	size_t bytes;
	struct policy *policy; /* owned, until policy_stream_take() */
	struct policy_error error;
};

/* Takes in what there is on SOCKET, a packet at most, without waiting; PACKET is overwritten. */
void policy_stream_receive(struct policy_stream *stream, int socket, struct packet *packet);

/* Whether no more is to come. */
static inline bool policy_stream_ended(const struct policy_stream *stream)
{
	return stream->state >= STREAM_DONE;
}

/* The policy, for the caller to free, of a stream that is DONE. */
struct policy *policy_stream_take(struct policy_stream *stream);

void policy_stream_clear(struct policy_stream *stream);

#endif
