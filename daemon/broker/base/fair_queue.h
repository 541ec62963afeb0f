/* SPDX-License-Identifier: MIT */
#ifndef BROKER_FAIR_QUEUE_H
#define BROKER_FAIR_QUEUE_H

#include <stdint.h>
#include <systemd/sd-event.h>

/*
 * How a user's connections get their turns of the event loop. The loop goes round the event sources, and each source
 * serves a single request: a user with a thousand busy connections would have a thousand turns, everybody else a single
 * turn. So the first few connections of a user have sources of their own. The other connections share a further source,
 * an epoll instance inside the loop's own, and take turns there: a single connection at a time.
 */
struct fair_queue {
	unsigned int own;	 /* connections with a source of their own */
	unsigned int shared;	 /* connections that share `source` */
	sd_event_source *source; /* owns the epoll instance; NULL: no connection shares */
};

/* Serves the owner of a place, whose descriptor has these EVENTS. */
typedef void (*fair_queue_serve)(void *owner, uint32_t events);

/* One connection's place. Starts as {0}. */
struct fair_queue_place {
	struct fair_queue *queue; /* NULL: in no queue */
	int fd;
	sd_event_source *source; /* NULL: the place shares the queue's */
	uint32_t events;	 /* the events waited for */
	fair_queue_serve serve;
	void *owner;
};

/* FD stays the owner's, is waited for EPOLLIN, and stays open until fair_queue_leave(). PLACE does not move. Returns
 * 0 or a negative errno. */
int fair_queue_enter(struct fair_queue *queue, sd_event *event, struct fair_queue_place *place, int fd,
	fair_queue_serve serve, void *owner);

/* Changes the events waited for, with a system call only if EVENTS differ from the present set. Returns 0 or a negative
 * errno (-ENOTCONN: PLACE is in no queue). */
int fair_queue_wait(struct fair_queue_place *place, uint32_t events);

/* Twice is fine. The queue can be freed when the last place has left. */
void fair_queue_leave(struct fair_queue_place *place);

#endif
