/* SPDX-License-Identifier: MIT */
#ifndef PROTO_CHANNEL_H
#define PROTO_CHANNEL_H

#include "packet.h"
#include "table.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The serving end of one channel: receives a request, checks the request against the table, calls its handler, sends
 * the reply. One request is in work at a time, so replies come in order. A client that does not read its replies is not
 * read any more: at most one reply per client waits here. Written by channel.c.
 */
struct channel {
	int fd; /* owned, non-blocking use only; -1 after channel_close() */
	enum channel_state state;
	bool deferred;			/* a handler answers later; nothing is read until then */
	struct message_header awaiting; /* the request to be answered later */
	struct packet *unsent;		/* owned: a reply that did not fit the socket */
	uint64_t requests;		/* since the channel was made, including refused requests */
	uint64_t refusals;
};

/*
 * Acts on a request that has passed the table. REQUEST and REPLY are the caller's. The handler may take fds from
 * REQUEST and add fds to REPLY; REPLY is an empty reply already. Returns 0 (REPLY is complete), a refusal (DETAIL says
 * more), a negative errno (sent as FAILED) or CHANNEL_LATER.
 */
typedef int (*channel_handler)(void *context, struct packet *request, struct packet *reply, struct detail *detail);

/* The handler answers later, with channel_answer(). Outside the range of errnos. */
#define CHANNEL_LATER (-100000)

struct channel_service {
	const struct request_table *table;
	/* Indexed by request number. HELLO and PING are answered by channel.c; a handler of HELLO may add to the
	 * reply. */
	const channel_handler *handlers;
	uint64_t features;
};

/* The two packets for serving all channels of a process. */
struct channel_buffers {
	struct packet request;
	struct packet reply;
};

enum channel_result {
	CHANNEL_OPEN = 0,
	CHANNEL_ENDED = 1,  /* the other side has closed the socket */
	CHANNEL_BROKEN = 2, /* the other side broke the framing and got a refusal */
};

/* Takes FD. */
void channel_init(struct channel *channel, int fd);

/*
 * Checks REQUEST against the table of SERVICE, for a channel in STATE, and calls the handler: for servers whose
 * requests come in another way than over a struct channel. Returns as a handler does.
 */
int channel_act(const struct channel_service *service, enum channel_state state, void *context, struct packet *request,
	struct packet *reply, struct detail *detail);

/* Sets the state, by which requests are allowed. Besides, channel.c itself goes from NEW to READY at HELLO. */
void channel_enter(struct channel *channel, enum channel_state state);

/* Closes the socket and frees a waiting reply. A second call does nothing. */
void channel_close(struct channel *channel);

/*
 * Like channel_close(), for an orderly end: first takes all requests off the socket, which nobody will answer. With a
 * request left, the kernel would give the other side ECONNRESET in place of the last packets sent. SCRATCH is
 * overwritten.
 */
void channel_finish(struct channel *channel, struct packet *scratch);

/*
 * Ends the channel without closing descriptors of the other side, whose close could wait (foreign_fd.h): shuts the
 * socket down, takes the requests that wait, frees a waiting reply, and closes the socket if no request has fds. Else
 * returns the socket with the rest of its queue: the caller keeps the socket open until the process ends. Returns -1 if
 * the socket was closed, now or earlier.
 */
int channel_retire(struct channel *channel);

/* The events for poll(): POLLIN, POLLOUT, or 0 while a handler owes an answer (a hang-up is reported all the same). */
short channel_events(const struct channel *channel);

/*
 * To be called when poll() reports an event: serves at most one request, or sends the waiting reply. CONTEXT is for the
 * handler. Returns an enum channel_result or a negative errno; after any result but CHANNEL_OPEN the caller closes the
 * channel. The handler may have closed the channel itself: then the result is CHANNEL_OPEN and the fd is -1.
 */
int channel_serve(
	struct channel *channel, const struct channel_service *service, void *context, struct channel_buffers *buffers);

/*
 * Sends the answer promised by CHANNEL_LATER. RESULT as returned by a handler; with 0, REPLY has been started by
 * packet_reply(REPLY, &channel->awaiting) and is complete. Returns like channel_serve().
 */
int channel_answer(struct channel *channel, int result, struct packet *reply, const struct detail *detail);

/* Sends an event now or, if the socket is full, never: a client can get the same facts by requests. Returns true if
 * sent. */
bool channel_notify(struct channel *channel, struct packet *event);

#endif
