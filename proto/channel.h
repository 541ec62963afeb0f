/* SPDX-License-Identifier: MIT */
#ifndef PROTO_CHANNEL_H
#define PROTO_CHANNEL_H

#include "packet.h"
#include "table.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The serving end of one channel: receives a request, checks it against the table, calls its handler, sends the
 * reply. One request is in work at a time, so replies come in order, and a client that does not read its replies
 * stops being read: at most one reply waits for it here.
 */
struct channel {
	int fd; /* owned, non-blocking use only; -1 after channel_close() */
	enum channel_state state;
	bool deferred;			/* a handler will answer later; nothing is read until then */
	struct message_header awaiting; /* the request that it will answer */
	struct packet *unsent;		/* owned: the reply that did not fit the socket */
	bool keeps;			/* channel_keep() */
	uint64_t requests;		/* since the channel was made, refused ones included */
	uint64_t refusals;
};

/*
 * Acts on a request that has passed the table. REQUEST and REPLY are the caller's; fds may be taken from REQUEST and
 * added to REPLY, which is an empty reply already. Returns 0 (REPLY is complete), a refusal (DETAIL says more), a
 * negative errno (goes out as FAILED), CHANNEL_LATER or CHANNEL_ANSWERED.
 */
typedef int (*channel_handler)(void *context, struct packet *request, struct packet *reply, struct detail *detail);

/* The handler keeps the request in mind; channel_answer() follows. Outside the range of errnos. */
#define CHANNEL_LATER (-100000)

/* The request was answered before, by a process that had the socket before this one: nothing is sent. */
#define CHANNEL_ANSWERED (-100001)

struct channel_service {
	const struct request_table *table;
	const channel_handler *handlers; /* indexed by request number; HELLO and PING are answered by channel.c */
	uint64_t features;
};

/* The two packets that a process serves all its channels with. */
struct channel_buffers {
	struct packet request;
	struct packet reply;
};

enum channel_result {
	CHANNEL_OPEN = 0,
	CHANNEL_ENDED = 1,  /* the other side has closed it */
	CHANNEL_BROKEN = 2, /* the other side broke the framing and was told so */
};

/* Takes FD, on success and failure alike. */
void channel_init(struct channel *channel, int fd);

/* Which requests are allowed from now on. HELLO is the only one that changes it without this. */
void channel_enter(struct channel *channel, enum channel_state state);

/*
 * From now on each request stays on the socket until its reply is sent. If this process is killed, the next one that
 * has the socket finds the request that is not answered, and works on it again. What remains is the moment between the
 * two: a request whose reply was sent is answered a second time, with the same cookie.
 */
void channel_keep(struct channel *channel);

/* Closes the socket and frees what waits. Twice is fine. */
void channel_close(struct channel *channel);

/*
 * Like channel_close(), for an orderly end: takes requests that nobody will answer off the socket first. With any left
 * there, the kernel would give the other side ECONNRESET in place of what was sent to it last. SCRATCH is overwritten.
 */
void channel_finish(struct channel *channel, struct packet *scratch);

/* What to poll for: POLLIN, POLLOUT, or 0 while a handler owes an answer (a hang-up is reported all the same). */
short channel_events(const struct channel *channel);

/*
 * To be called when poll reports something: serves at most one request, or sends what waited. CONTEXT is for the
 * handler. Returns an enum channel_result or a negative errno; anything but CHANNEL_OPEN means: close it.
 * The handler may have closed the channel itself; the result is CHANNEL_OPEN then and the fd is -1.
 */
int channel_serve(
	struct channel *channel, const struct channel_service *service, void *context, struct channel_buffers *buffers);

/*
 * Sends the answer that CHANNEL_LATER promised. RESULT as a handler returns it; with 0, REPLY has been started by
 * packet_reply(REPLY, &channel->awaiting) and is complete. Returns as channel_serve().
 */
int channel_answer(struct channel *channel, int result, struct packet *reply, const struct detail *detail);

/* Sends an event now or, if the socket is full, never: events tell what the state says anyway. Returns whether it was sent. */
bool channel_notify(struct channel *channel, struct packet *event);

#endif
