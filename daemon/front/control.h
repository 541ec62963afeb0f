/* SPDX-License-Identifier: MIT */
#ifndef FRONT_CONTROL_H
#define FRONT_CONTROL_H

#include "state.h"

/*
 * The packets for the broker. No function here waits: without room in the control socket a packet is sent later. The
 * answer to QUERY comes first then, other packets second, requests last. front->blocked is true until all are sent.
 */

void control_init(struct front *front);

/* Frees the packets that wait. */
void control_release(struct front *front);

/* Sends PACKET, which has no descriptors, now or later, and empties PACKET. */
void control_post(struct front *front, struct packet *packet);

/* Sends the packets that wait. To be called when front->blocked is true and the control socket has room. */
void control_flush(struct front *front);

/* Counts a request that the front has answered itself. The broker is told with the next packet. */
void control_count(struct front *front, bool refused);

/*
 * Relays REQUEST of CONNECTION's client, and keeps a copy as connection->pending. The cookie in REQUEST changes.
 * Returns 0 or -ENOMEM.
 */
int control_relay(struct front *front, struct connection *connection, struct packet *request);

/* Frees connection->pending, if there is one: the request has its answer, or nobody waits for an answer. */
void control_forget(struct front *front, struct connection *connection);

/* Answers QUERY of a new broker, and sends again what the earlier broker did not answer. */
void control_query(struct front *front, const struct message_header *request);

#endif
