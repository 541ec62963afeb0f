/* SPDX-License-Identifier: MIT */
#ifndef FRONT_SESSIONS_H
#define FRONT_SESSIONS_H

#include "state.h"

/* The connections of a front, by the numbers of their sessions. The connections are the caller's. */

void sessions_init(struct front *front);

/* NULL: no such session. */
struct connection *sessions_find(struct front *front, uint64_t session);

/* The session with the lowest number above SESSION, or NULL. */
struct connection *sessions_after(struct front *front, uint64_t session);

/* The number of CONNECTION is not in the tree so far. */
void sessions_add(struct front *front, struct connection *connection);

void sessions_remove(struct front *front, struct connection *connection);

#endif
