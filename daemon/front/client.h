/* SPDX-License-Identifier: MIT */
#ifndef FRONT_CLIENT_H
#define FRONT_CLIENT_H

#include "state.h"

/*
 * What clients say. Serves at most one request of CONNECTION, or sends what waits; EVENTS are epoll's. May end the
 * connection.
 */
void client_serve(struct front *front, struct connection *connection, uint32_t events);

#endif
