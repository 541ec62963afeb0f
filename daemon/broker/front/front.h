/* SPDX-License-Identifier: MIT */
#ifndef BROKER_FRONT_H
#define BROKER_FRONT_H

#include "front_message.h"
#include "packet.h"
#include "state/broker.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The processes that hold the clients' connections (vfio-front). No call here waits for a front: a packet without room
 * in the control socket is kept, and while any packet is kept nothing is read from that front.
 *
 * A control socket that fails is shut down at once, and its sessions end when the loop reports that
 * (front_events.ended): so a handler that works on a request can go on with its packet and its session.
 */

/* Starts spare fronts, now or later, until FRONTS_SPARE are there. */
void front_prepare(struct broker *broker);
/* Whether there is a spare front: only then may a connection be accepted. */
bool front_is_ready(const struct broker *broker);

/*
 * Hands the connection FD to a front of the owner of SESSION, or to a spare front, which belongs to the owner from
 * then on; SESSION is on the roll of the front, and found by front_find(). FD is taken on success. Returns 0, -EDQUOT
 * (all the fronts that the owner may have hang or are full, or there is no place for another owner), or another
 * negative errno.
 */
int front_connect(struct broker *broker, struct session *session, int fd);

/* Has a front tell the client of the connection FD the refusal, and end the connection. FD is taken on success. Returns
 * 0 or a negative errno: no front can take the connection now. */
int front_turn_away(struct broker *broker, uid_t owner, int fd, int result, const struct detail *detail);

/* SESSION of its front; NULL: the front has no such session. */
struct session *front_find(const struct front *front, uint64_t session);
/* For going through all sessions of a front, the newest first. */
struct session *front_first(const struct front *front);
struct session *front_next(const struct session *session);

/* SESSION ends: has its front end the connection, if TELL. */
void front_disconnect(struct session *session, bool tell);

/* Sends PACKET, a reply to a client; PACKET is empty afterwards. */
void front_send(struct front *front, struct packet *packet);

/* Sends PACKET, an event for a client, now or never; PACKET is empty afterwards. Returns true if sent. */
bool front_notify(struct front *front, struct packet *packet);

/* Asks whether the client of SESSION is still there. The reply, or `hung`, comes later. False: the front cannot be
 * asked. */
bool front_look(struct session *session);

/* The front broke the protocol: ends the front. */
void front_fail(struct front *front, const char *what);

/* ---- a front of an earlier broker ---- */

/* Takes the descriptors on success: LIFE, CONTROL (-1: none any more), ROLL. NULL: no memory, or the roll cannot be
 * read. front_query() follows when the sessions have been adopted. */
struct front *front_adopt(struct broker *broker, uint64_t number, int life, int control, int roll);
/* SESSION was found on the roll of FRONT. */
void front_adopt_session(struct front *front, struct session *session);
void front_query(struct front *front);
/* The front has named all its sessions. */
void front_queried(struct front *front, uint32_t pid, uint32_t uid);

/* ---- the end ---- */

/* Has the front end: it sends what is on the control socket, ends the connections, and exits. */
void front_end(struct front *front);

/* Frees the object and its descriptors; the front sees the end. For the end of the broker. */
void front_free(struct front *front);

#endif
