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
void session_recall(struct broker *broker, const struct stored *stored);

/* Ends the session: its leases are released, the object is freed. */
void session_close(struct session *session);

/* Answers a request that was not answered at once. REPLY is complete. The session may be gone afterwards. */
void session_answer(struct session *session, struct packet *reply);

/* After an answer, with the result of channel_answer(): a channel that cannot be written to is at its end. The session may be gone
 * afterwards. */
void session_answered(struct session *session, int r);

/* Has systemd keep its socket for the next broker, within the limits of its user. */
void session_store(struct session *session);

/* Whether the request that SESSION works on was sent to an earlier broker, which may have answered it. */
bool session_may_repeat(const struct session *session);

#endif
