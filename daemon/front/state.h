/* SPDX-License-Identifier: MIT */
#ifndef FRONT_STATE_H
#define FRONT_STATE_H

#include "front_message.h"
#include "packet.h"
#include "table.h"

#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * The data model of a front. A line at each struct or field names the file that writes it; other files only read.
 *
 *   struct front
 *     ├─ struct connection, one per session
 *     │    └─ struct pending, while the broker owes an answer; in the queue of the front, too
 *     ├─ struct outgoing, one per packet without room in the control socket
 *     └─ struct kept, one per connection with attached descriptors
 */

/* A request without an answer: the copy is sent again to the next broker. Written by control.c. */
struct pending {
	TAILQ_ENTRY(pending) in_front;
	uint64_t arrived_us;	      /* by clock_us() */
	uint64_t cookie;	      /* the client's own */
	bool sent;		      /* to the present broker: in the queue `asked`, else in `waiting` */
	struct message_header header; /* the request as it travels; the cookie is the session */
	uint8_t payload[];
};

/* A packet for the broker, without descriptors. Written by control.c. */
struct outgoing {
	STAILQ_ENTRY(outgoing) in_front;
	struct message_header header;
	uint8_t payload[];
};

/* A client's connection. Written by connection.c, but for `pending`. */
struct connection {
	RB_ENTRY(connection) by_session; /* sessions.c */
	uint64_t session;
	int fd;		 /* owned */
	uint32_t missed; /* events that did not fit the socket, not reported yet */
	uint32_t events; /* what epoll waits for */
	enum channel_state state;
	struct pending *pending; /* control.c; owned; nothing is read from the client until the answer */
	struct packet *unsent;	 /* owned: a reply that did not fit the socket; nothing is read until sent */
};

static_assert(sizeof(struct connection) <= 72, "thousands of idle connections cost little");

RB_HEAD(session_tree, connection);
TAILQ_HEAD(pending_queue, pending);
STAILQ_HEAD(outgoing_queue, outgoing);

/* Descriptors of a client that stay open until the process ends. Written by kept.c. */
struct kept {
	SLIST_ENTRY(kept) in_front;
	size_t count;
	int fds[];
};

/* Where the answer to QUERY is. Written by control.c. */
struct query {
	bool running;
	struct message_header request;
	uint64_t session; /* sessions up to this number are in the replies sent so far */
};

struct front {
	int lifeline;		      /* front.c; owned; -1: the front is released */
	int control;		      /* front.c; owned; -1: HELLO has not come */
	int epoll;		      /* front.c; owned */
	bool ended;		      /* front.c */
	bool awake;		      /* front.c; the last step had an event, so that more may follow soon */
	bool blocked;		      /* control.c; the control socket is full: no client is read meanwhile */
	bool failed;		      /* control.c; a packet for the broker is lost: the front has to end */
	struct session_tree sessions; /* sessions.c */
	size_t sessions_count;	      /* sessions.c */
	struct pending_queue asked;   /* control.c; requests sent to the broker, in the order of arrival */
	struct pending_queue waiting; /* control.c; requests that came after these, and are to be sent */
	struct outgoing_queue outbox; /* control.c */
	struct query query;	      /* control.c */
	struct front_counts counts;   /* control.c */
	SLIST_HEAD(, kept) kept;      /* kept.c */
	size_t kept_count;	      /* kept.c; connections whose client attached descriptors */
	struct packet request;	      /* front.c; memory for packets received */
	struct packet reply;	      /* front.c; memory for answers and events */
	struct packet again;	      /* control.c; memory for packets sent later, and COUNTS */
};

#endif
