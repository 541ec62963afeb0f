/* SPDX-License-Identifier: MIT */
#ifndef BROKER_FAIR_QUEUE_H
#define BROKER_FAIR_QUEUE_H

#include <stdint.h>
#include <systemd/sd-event.h>

/*
 * How a user's connections get their turns of the event loop. The loop goes round its event sources, and each serves one
 * request: a user with a thousand busy connections would have a thousand turns to everybody else's one. So the first few
 * connections of a user have sources of their own, and the others share one, an epoll instance in the loop's own, which
 * gives one of them its turn at a time.
 */
struct fair_queue {
	unsigned int own;	 /* connections with a source of their own */
	unsigned int shared;	 /* those that share ... */
	sd_event_source *source; /* ... this one; NULL: nobody does. It owns the epoll instance */
};

/* Serves the owner of a place, whose descriptor has these EVENTS. */
typedef void (*fair_queue_serve)(void *owner, uint32_t events);

/* One connection's place. Starts as {0}. */
struct fair_queue_place {
	struct fair_queue *queue; /* NULL: it is in none */
	int fd;
	sd_event_source *source; /* NULL: it shares the queue's */
	uint32_t events;	 /* what is waited for */
	fair_queue_serve serve;
	void *owner;
};

/* FD stays the owner's, is waited for EPOLLIN, and stays open until fair_queue_leave(). PLACE does not move. Returns 0 or a
 * negative errno. */
int fair_queue_enter(struct fair_queue *queue, sd_event *event, struct fair_queue_place *place, int fd,
	fair_queue_serve serve, void *owner);

/* Changes what is waited for, with a system call only if that is something else. Returns 0 or a negative errno (-ENOTCONN: it is in no queue). */
int fair_queue_wait(struct fair_queue_place *place, uint32_t events);

/* Twice is fine. LANE is done with when the last one has left. */
void fair_queue_leave(struct fair_queue_place *place);

#endif
