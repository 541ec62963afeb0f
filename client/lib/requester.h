/* SPDX-License-Identifier: MIT */
#ifndef LIB_REQUESTER_H
#define LIB_REQUESTER_H

#include "packet.h"
#include "table.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The asking end of one channel: one request at a time, one sendmsg() and one recvmsg() each. A packet is accepted
 * only if it is exactly the expected reply: a server that misbehaves costs the channel (-EPROTO from then on), never
 * the process. A server that does not answer in time (timeout.h) costs a device channel and a domain channel (-ETIME
 * from then on), because nobody knows what the server has done, or will do. A session goes on: a late reply is known by
 * its cookie, and is dropped by the next call with the descriptors of the reply.
 *
 * A packet of 64 KiB, part of the object, is the request and then the reply. All functions leave their words in the
 * thread's detail. Written by requester.c alone.
 */
struct requester {
	int fd; /* borrowed: the owner of the requester closes the fd; -1: none yet */
	const struct request_table *table;
	int end; /* once the channel is of no more use: the result of every later call */
	struct detail end_why;
	struct pending_event notice;   /* the last REVOKE_PENDING; reason 0: none came */
	uint64_t notice_due_us;	       /* the deadline of the notice, by CLOCK_MONOTONIC */
	char device[DEVICE_NAME_SIZE]; /* for words; empty: not known */
	uint64_t cookie;
	/* Gets the events that come instead of a reply, and do not end the channel; NULL: such events are dropped. */
	void (*on_event)(void *context, const struct packet *event);
	void *event_context;
	struct packet packet;
};

/* The form of a reply: SIZE bytes, then whole elements (element_size 0: nothing), exactly FDS fds. WAIT_MS: the server
 * was asked to wait so long; added to the timeout. */
struct requester_reply {
	size_t size;
	size_t element_size;
	unsigned int fds;
	uint32_t wait_ms;
};

/* True if FD could be a channel: a connected Unix socket with packet boundaries. Asks only the kernel. */
int requester_is_channel(int fd);

void requester_init(struct requester *requester, int fd, const struct request_table *table);
/* Closes fds left in the packet; not the channel. */
void requester_clear(struct requester *requester);

/* Names the device behind a device channel, for the words of later failures. */
void requester_name(struct requester *requester, const char *device);

/* HEAR gets the events that come instead of a reply and do not end the channel; NULL: such events are dropped. CONTEXT
 * is borrowed. */
void requester_on_event(
	struct requester *requester, void (*hear)(void *context, const struct packet *event), void *context);

/* Starts a request with SIZE zeroed bytes of payload and returns the payload; SIZE must be at most
 * MESSAGE_PAYLOAD_MAX. */
void *requester_begin(struct requester *requester, uint16_t type, size_t size);

/* Adds a copy of FD to the request; FD stays the caller's. Returns 0 or a negative errno. */
int requester_attach(struct requester *requester, int fd);

/* Adds FD without a copy, to a request that carries no other fd: FD is borrowed until requester_call() has returned. */
int requester_attach_borrowed(struct requester *requester, int fd);

/*
 * Sends the request of requester_begin() and waits for the reply, which is then in requester->packet. Returns 0, the
 * refusal or negative errno sent by the server, or: -EPROTO; -ETIME, no reply came in time; REVOKED or GONE on a device
 * channel and -ECONNRESET on other channels, after the channel's end; another negative errno if sending failed (the
 * channel is usable then).
 */
int requester_call(struct requester *requester, const struct requester_reply *expected);

/*
 * To be called while no request is under way: waits for an event, which is then in requester->packet. TIMEOUT_MS: 0
 * does not wait, -1 waits for ever. -EAGAIN: no event came; else as requester_call().
 */
int requester_event(struct requester *requester, int timeout_ms);

/* HELLO. *RET_KIND is the kind reported by the other side, whatever the table is for. */
int requester_hello(struct requester *requester, enum channel_kind *ret_kind);

int requester_ping(struct requester *requester);

/* Reads the events received so far, without waiting. Returns 0, or the reason of the channel's end. */
int requester_events(struct requester *requester);

/* Microseconds until the deadline of the last REVOKE_PENDING; 0: the deadline is over. */
uint64_t requester_notice_left_us(const struct requester *requester);

#endif
