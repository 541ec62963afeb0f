/* SPDX-License-Identifier: MIT */
#ifndef FRONT_CONNECTION_H
#define FRONT_CONNECTION_H

#include "state.h"

/* Makes the connection of SESSION from FD, which is taken, also on failure. Returns 0 or a negative errno. */
int connection_begin(struct front *front, uint64_t session, int fd);

/*
 * Ends and frees CONNECTION. ATTACHED as for kept_retire(). WHY is an enum front_end: the broker gets WHY and ERROR.
 * WHY 0: the broker knows already.
 */
void connection_end(
	struct front *front, struct connection *connection, uint32_t why, int error, struct fdset *attached);

/* Tells the broker that SESSION has ended, or has not begun. */
void connection_report_end(struct front *front, uint64_t session, uint32_t why, int error);

/* Ends CONNECTION after ERROR, the negative errno of a system call on the client's socket, or -ENOMEM. */
void connection_fail(struct front *front, struct connection *connection, int error);

/* HELLO was answered. */
void connection_greet(struct connection *connection);

/* Has epoll report what the connection can go on with; a hang-up is reported always. */
void connection_rearm(struct front *front, struct connection *connection);

/* Whether the client has closed its end, or both directions. */
bool connection_is_hung_up(const struct connection *connection);

/* Sends REPLY with its descriptors, now or when there is room, and empties REPLY. Ends the connection if that fails. */
void connection_send(struct front *front, struct connection *connection, struct packet *reply);

/* Sends EVENT, or counts EVENT as missed. */
void connection_notify(struct front *front, struct connection *connection, struct packet *event);

/* Tries to send connection->unsent. Ends the connection if that fails for good. */
void connection_send_again(struct front *front, struct connection *connection);

/* Tells the broker of missed events: the client's socket has room again. */
void connection_report_missed(struct front *front, struct connection *connection);

#endif
