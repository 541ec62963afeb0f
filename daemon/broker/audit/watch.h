/* SPDX-License-Identifier: MIT */
#ifndef BROKER_WATCH_H
#define BROKER_WATCH_H

#include "audit/event.h"
#include "packet.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Sessions that asked for CHANGE events (WATCH). What they get is what audit.h records, at the same moment.
 *
 * Nobody waits for a watcher: an event that does not fit its socket is counted, and the number is in the next one that does;
 * that comes by itself as soon as the watcher has read. The socket's buffer is all the memory that a slow one costs.
 */

/*
 * WATCH, as a channel handler. Safe for a hostile caller: anybody may ask LIST, SESSIONS and LEASES all day, which say the same,
 * and what they do not say is left out for others than administrators (watch.c); it is bounded by user.
 */
int watch_begin(void *context, struct packet *request, struct packet *reply, struct detail *detail);

/*
 * For a session whose socket comes from an earlier broker: goes on watching, if it did. What happened since that broker's last event is not
 * known; the watcher is told that. How long it has watched already is no matter: nothing else about a watch would be lost.
 */
void watch_adopt(struct session *session);

/* For the end of a session, whether it watches or not. */
void watch_end(struct session *session);

/* Sends EVENT to all who may see it. Closes no session, so that it can be called from anywhere. */
void watch_publish(struct broker *broker, const struct audit_event *event, const char *message);

/* What the session's socket is to be polled for on account of this: POLLOUT or 0. */
short watch_events(const struct session *session);

/* The socket may have room again: says how many were missed. */
void watch_catch_up(struct session *session);

#endif
