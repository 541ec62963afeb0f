/* SPDX-License-Identifier: MIT */
#ifndef FRONT_FRONT_H
#define FRONT_FRONT_H

#include "state.h"

#include <stdbool.h>

/*
 * A front: holds the connections of one owner's clients, and relays their requests to the broker (front_message.h).
 * Nothing here is global: several fronts can live in one process.
 */

/*
 * FRONT is memory of any content. Takes LIFELINE, the connection on which the broker's HELLO comes, also on failure.
 * Returns 0 or a negative errno.
 */
int front_init(struct front *front, int lifeline);

/*
 * Waits for an event, TIMEOUT_MS at most (-1: for ever), and handles some events: first those of the broker, then at
 * most one request of each of a few clients. Returns false when the front has ended: the broker, and then each client,
 * sees the end of its connection, but descriptors that clients attached are still open. No call waits for a client or
 * for the broker.
 */
bool front_step(struct front *front, int timeout_ms);

/*
 * Ends the front if needed, frees its memory and closes all its descriptors, those of clients included: the closing of
 * these may wait. vfio-front exits instead. A second call does nothing.
 */
void front_release(struct front *front);

#endif
