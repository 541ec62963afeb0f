/* SPDX-License-Identifier: MIT */
#ifndef BROKER_CONNECTIONS_H
#define BROKER_CONNECTIONS_H

#include "state/broker.h"

/*
 * Accepts connections, and hands each to a front before anything else happens. The loop listens only while there is a
 * spare front (front_events.spare), so that whoever comes finds a front.
 *
 * The broker never closes a client's socket: the close may wait for whoever sent the descriptors that are queued in the
 * socket. A front has the socket from front_connect() on. In the two steps between accept4() and front_connect() the
 * broker alone has the socket: if the broker is killed there, the kernel closes the socket in the dying broker. A
 * kernel with SO_PASSRIGHTS (6.16) lets no descriptor into the socket.
 */

/* Takes LISTENER, also on failure. Returns 0 or a negative errno. */
int connections_begin(struct broker *broker, int listener);

/* The connection FD, from a broker before fronts, ends: a front has it from now on. Its client hears why. */
void connections_dispose(struct broker *broker, int fd);

/* Accepts no more. */
void connections_stop(struct broker *broker);

/* Connections that no front could take stay open: the end of the process closes them. */
void connections_clear(struct broker *broker);

#endif
