/* SPDX-License-Identifier: MIT */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include "message.h"
#include "state/broker.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

struct stored;

/* Takes the connection FD. If the peer may not have another session, it is told so and the connection is closed. */
void session_accept(struct broker *broker, int fd);

/* Goes on with a session of an earlier broker, whose socket is taken. */
void session_adopt(struct broker *broker, const struct stored *stored);

/* Ends the session: its leases are released, the object is freed. Of a service that runs, only serve() ends sessions. */
void session_close(struct session *session);

/*
 * Answers a request that was not answered at once. RESULT and DETAIL as a channel handler gives them; with 0, REPLY is complete. The
 * session lasts at least until the event loop goes on.
 */
void session_answer(struct session *session, int result, struct packet *reply, const struct detail *detail);

/* Has systemd keep its socket for the next broker, within the limits of its user. */
void session_store(struct session *session);

/* Whether the request that SESSION works on was sent to an earlier broker, which may have answered it. */
bool session_may_repeat(const struct session *session);

#endif
