/* SPDX-License-Identifier: MIT */
#ifndef BROKER_WATCH_H
#define BROKER_WATCH_H

#include "audit/event.h"
#include "packet.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Sessions that asked for CHANGE events (WATCH). Watchers get the events that audit.h records, at the same moment.
 *
 * Nobody waits for a watcher: an event without room, in the socket of the front or in the watcher's own, is counted,
 * and the next event with room carries the number. If no other event comes, a LOST event is sent as soon as there is
 * room. The sockets' buffers are all the memory that a slow watcher costs.
 */

/*
 * WATCH, as a channel handler. Safe for a hostile caller: anybody may ask LIST, SESSIONS and LEASES all day, and these
 * requests say the same. Anything beyond their answers is left out for others than administrators and the user
 * concerned (watch.c). The number of watchers is bounded by user.
 */
int watch_begin(void *context, struct packet *request, struct packet *reply, struct detail *detail);

/*
 * For a session of an earlier broker that watched, by the roll of its front: goes on watching. The events since the
 * earlier broker's last event are not known, and the watcher is told so. The age of the watch is no matter: nothing
 * else about a watch would be lost.
 */
void watch_adopt(struct session *session);

/* For the end of a session, watching or not. */
void watch_end(struct session *session);

/* Sends EVENT to all watchers that may see the event. Closes no session, so callers anywhere may use
 * watch_publish(). */
void watch_publish(struct broker *broker, const struct audit_event *event, const char *message);

/* The front had MISSED events without room in the watcher's socket, which has room again. */
void watch_missed(struct session *session, uint64_t missed);

/* There may be room again: tells the watcher how many events were missed. */
void watch_catch_up(struct session *session);

#endif
