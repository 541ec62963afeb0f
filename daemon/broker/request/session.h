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

/* Takes the connection FD. A peer that may not have another session gets a refusal, and the connection is closed. */
void session_accept(struct broker *broker, int fd);

/* Goes on with a session of an earlier broker. The socket in STORED is taken, also on failure. */
void session_adopt(struct broker *broker, const struct stored *stored);

/* Ends the session: its leases are released, the object is freed. While the service runs, serve() alone ends
 * sessions. */
void session_close(struct session *session);

/*
 * Answers a request that was not answered at once. RESULT and DETAIL as from a channel handler; with RESULT 0, REPLY is
 * complete. The session stays valid at least until the event loop goes on, even if the answer cannot be sent.
 */
void session_answer(struct session *session, int result, struct packet *reply, const struct detail *detail);

/* Has systemd keep the session's socket for the next broker, within the limits of the session's user. */
void session_store(struct session *session);

/* Whether the request that SESSION works on was sent to an earlier broker. The earlier broker may have answered
 * already. */
bool session_may_repeat(const struct session *session);

/* Whether the client has closed its socket. The loop may serve requests of other clients before the hang-up. */
bool session_is_hung_up(const struct session *session);

#endif
