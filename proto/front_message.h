/* SPDX-License-Identifier: MIT */
#ifndef PROTO_FRONT_MESSAGE_H
#define PROTO_FRONT_MESSAGE_H

#include "message.h"

/*
 * Between vfio-brokerd and vfio-front only; may change with every release.
 *
 * The broker connects to vfio-front.socket, and systemd starts the front. The connection is the life line: the other
 * end closes when the front, and systemd's unit of the front, have ended. HELLO, the only packet on the life line,
 * brings the front's end of a socketpair. All else travels on the socketpair, the control socket, because systemd has
 * a copy of the life line's end: a client's socket that waits in a socket of systemd's may be closed by systemd.
 *
 * Requests of clients, and the answers, travel as they are, with one change: the cookie is the number of the session.
 * The front keeps the client's own cookie, and puts it back into the reply. An event for a client has the number of
 * the session, too; the front sends it with cookie 0. The front answers the client's HELLO. So the broker sees well
 * formed requests after HELLO only, one of each session at a time.
 */

enum front_type {
	/* Numbers below are requests of the broker channel, relayed. */
	FRONT_HELLO = 64, /* fd: the front's end of the control socket; hello_request, front_hello_reply */
	FRONT_CONNECT,	  /* cookie: the session; fd: the connection; struct front_connect; no reply */
	FRONT_CLOSE,	  /* cookie: the session; after the replies before it; no payload, no reply */
	FRONT_PING,	  /* answered by a reply with the same cookie; no payload */
	FRONT_LOOK,	  /* cookie: the session; CLOSED comes before the reply if the client has hung up; no payload */
	FRONT_QUERY,	  /* by a new broker; cookie: its own; no payload; front_query_reply */
	FRONT_TYPE_MAX,
	/* events of the front, cookie 0; (relayed BROKER_EVENT_… go the other way) */
	FRONT_EVENT_CLOSED = 192, /* struct front_closed: the session has ended, whatever the broker thinks */
	FRONT_EVENT_COUNTS,	  /* struct front_counts */
	FRONT_EVENT_MISSED,	  /* struct front_missed */
};

struct front_hello_reply {
	struct hello_reply hello;
	uint32_t pid;
	uint32_t uid;
};
static_assert(sizeof(struct front_hello_reply) == sizeof(struct hello_reply) + 8, "wire");

/* refusal 0: a session begins. Else the client gets this refusal, with cookie 0, and the connection ends; no other
 * message names the session. The detail follows the struct without a NUL. */
struct front_connect {
	struct message_refusal refusal;
};
static_assert(sizeof(struct front_connect) == 8, "wire");

enum front_end {
	FRONT_END_HANGUP = 1,	   /* the client has closed its end */
	FRONT_END_BROKEN = 2,	   /* the client broke the framing, and was told so */
	FRONT_END_DESCRIPTORS = 3, /* the client attached descriptors, which the broker channel does not take */
	FRONT_END_FAILED = 4,	   /* the front could not go on (no memory, say) */
};

struct front_closed {
	uint64_t session;
	uint32_t why;	/* enum front_end */
	uint32_t error; /* errno of FAILED, or 0 */
};
static_assert(sizeof(struct front_closed) == 16, "wire");

/* What the front has answered itself since the last COUNTS. */
struct front_counts {
	uint64_t requests;
	uint64_t refusals; /* of these: not well formed, or unknown */
};
static_assert(sizeof(struct front_counts) == 16, "wire");

/* Events that the client's socket had no room for; sent when there is room again. */
struct front_missed {
	uint64_t session;
	uint64_t missed;
};
static_assert(sizeof(struct front_missed) == 16, "wire");

/*
 * Answers QUERY: all sessions of the front, `count` times struct front_query_record, in as many replies with the same
 * cookie as needed; the last has `more` 0. Whatever the front sent before belongs to an earlier broker. After the last
 * reply the front sends each request again that was not answered; these have PENDING.
 */
struct front_query_reply {
	uint32_t pid;
	uint32_t uid;
	uint32_t more;
	uint32_t count;
};
static_assert(sizeof(struct front_query_reply) == 16, "wire");

enum front_query_flags {
	FRONT_QUERY_PENDING = 1 << 0, /* a request is not answered */
};

struct front_query_record {
	uint64_t session;
	uint64_t arrived_us; /* CLOCK_MONOTONIC, when the front received the request; 0: not PENDING */
	uint32_t flags;	     /* enum front_query_flags */
	uint32_t zero;
};
static_assert(sizeof(struct front_query_record) == 24, "wire");

#endif
