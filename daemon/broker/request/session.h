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

/* The answers to OPEN. The session may be gone afterwards. */
void session_opened(struct session *session, struct lease *lease);
void session_refused(struct session *session, int result, const struct detail *detail);

/* Answers a request that was not answered at once. REPLY is complete. The session may be gone afterwards. */
void session_answer(struct session *session, struct packet *reply);

/* The group that its OPEN waited for is free. The session may be gone afterwards. */
void session_open_again(struct session *session);

#endif
