/* SPDX-License-Identifier: MIT */
#ifndef FRONT_ORDER_H
#define FRONT_ORDER_H

#include "state.h"

/*
 * What the broker says. Receives one packet from the control socket and acts on the packet. Returns like
 * packet_receive(), but never -EPROTO or -ECONNRESET: there may be more packets after these.
 */
int order_serve(struct front *front);

/* Takes what is left off the control socket, which is shut down. A client that is connected there sees the end. */
void order_dispose(struct front *front);

#endif
