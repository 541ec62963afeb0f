/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LANE_H
#define BROKER_LANE_H

#include <stdint.h>
#include <systemd/sd-event.h>

/*
 * How a user's connections get their turns of the event loop. The loop goes round its event sources, and each serves one
 * request: a user with a thousand busy connections would have a thousand turns to everybody else's one. So the first few
 * connections of a user have sources of their own, and the others share one, an epoll instance in the loop's own, which
 * gives one of them its turn at a time.
 */
struct lane {
	unsigned int own;	 /* connections with a source of their own */
	unsigned int shared;	 /* those that share ... */
	sd_event_source *source; /* ... this one; NULL: nobody does. It owns the epoll instance */
};

/* Serves the owner of a place, whose descriptor has these EVENTS. */
typedef void (*lane_serve)(void *owner, uint32_t events);

/* One connection's place. Starts as {0}. */
struct lane_place {
	struct lane *lane; /* NULL: it is in none */
	int fd;
	sd_event_source *source; /* NULL: it shares the lane's */
	uint32_t events;	 /* what is waited for */
	lane_serve serve;
	void *owner;
};

/* FD stays the owner's, is waited for EPOLLIN, and stays open until lane_leave(). PLACE does not move. Returns 0 or a
 * negative errno. */
int lane_enter(struct lane *lane, sd_event *event, struct lane_place *place, int fd, lane_serve serve, void *owner);

/* Changes what is waited for, with a system call only if that is something else. Returns 0 or a negative errno (-ENOTCONN: it is in no lane). */
int lane_wait(struct lane_place *place, uint32_t events);

/* Twice is fine. LANE is done with when the last one has left. */
void lane_leave(struct lane_place *place);

#endif
