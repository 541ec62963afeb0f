/* SPDX-License-Identifier: MIT */
#ifndef LIB_REQUESTER_H
#define LIB_REQUESTER_H

#include "packet.h"
#include "table.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The asking end of one channel: one request at a time, one sendmsg() and one recvmsg() each. What comes back is
 * believed only if it is exactly the reply that was asked for: a server that misbehaves costs the channel (-EPROTO
 * from then on), never the process.
 *
 * One packet of 64 KiB, part of the object, is the request and then its reply. All functions leave their words in the
 * thread's detail. Written by requester.c alone.
 */
struct requester {
	int fd; /* borrowed: whoever owns the requester closes it; -1: none yet */
	const struct request_table *table;
	int end; /* once the channel is of no more use: what every call returns from then on */
	struct detail end_why;
	struct pending_event notice; /* the last REVOKE_PENDING; reason 0: none came */
	uint64_t notice_due_us;	     /* its deadline, by CLOCK_MONOTONIC */
	int timeout_ms;		     /* for a reply; -1: for ever, the default */
	uint64_t cookie;
	/* What happens to events that come instead of a reply, and do not end the channel; NULL: they are dropped. */
	void (*on_event)(void *context, const struct packet *event);
	void *event_context;
	struct packet packet;
};

/* What a reply must look like: SIZE bytes, then whole elements (element_size 0: nothing), exactly FDS fds. */
struct requester_reply {
	size_t size;
	size_t element_size;
	unsigned int fds;
};

/* True if FD could be a channel: a connected Unix socket that keeps packets apart. Asks only the kernel. */
int requester_is_channel(int fd);

void requester_init(struct requester *requester, int fd, const struct request_table *table);
/* Closes fds left in the packet; not the channel. */
void requester_clear(struct requester *requester);

/* HEAR, which may be NULL, gets the events that come instead of a reply and do not end the channel. CONTEXT is borrowed. */
void requester_on_event(
	struct requester *requester, void (*hear)(void *context, const struct packet *event), void *context);

/* Starts a request with SIZE zeroed bytes of payload and returns these; they fit if SIZE is at most
 * MESSAGE_PAYLOAD_MAX. */
void *requester_begin(struct requester *requester, uint16_t type, size_t size);

/* Adds a copy of FD, which stays the caller's, to the request. Returns 0 or a negative errno. */
int requester_attach(struct requester *requester, int fd);

/* The same without a copy, for a request that carries no other: FD is borrowed until requester_call() has returned. */
int requester_lend(struct requester *requester, int fd);

/*
 * Sends what requester_begin() started and waits for the reply, which is then in requester->packet. Returns 0, the
 * refusal or negative errno that the server sent, or: -EPROTO; REVOKED or GONE on a device channel, -ECONNRESET on
 * others, when it has ended; another negative errno if sending failed (the channel is usable then).
 */
int requester_call(struct requester *requester, const struct requester_reply *expected);

/*
 * While nothing is asked: waits for an event, which is then in requester->packet. TIMEOUT_MS: 0 does not wait, -1 waits for ever.
 * -EAGAIN: none came; else as requester_call().
 */
int requester_event(struct requester *requester, int timeout_ms);

/* HELLO. *RET_KIND is what the other side says it is, whatever the table is for. */
int requester_hello(struct requester *requester, enum channel_kind *ret_kind);

/* HELLO to a peer that may not be a server of ours: -ETIMEDOUT after ten seconds without an answer. */
int requester_greet(struct requester *requester, enum channel_kind *ret_kind);

int requester_ping(struct requester *requester);

/* Reads the events that have come, without waiting. Returns 0, or what the channel ended with. */
int requester_events(struct requester *requester);

/* Microseconds until the deadline of the last REVOKE_PENDING; 0: it is over. */
uint64_t requester_notice_left_us(const struct requester *requester);

#endif
