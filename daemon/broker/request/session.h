/* SPDX-License-Identifier: MIT */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include "front/roll.h"
#include "message.h"
#include "packet.h"
#include "state/broker.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Takes the connection FD on success, and gives it to a front before anything else happens. A peer that may not have
 * another session gets a refusal, and the connection ends. False: no front can take the connection at the moment.
 */
bool session_accept(struct broker *broker, int fd);

/* Goes on with a session of an earlier broker, from the roll of FRONT. Takes the peer of ENTRY. */
void session_adopt(struct front *front, struct roll_entry *entry);

/* The front has named the session to this broker. ARRIVED_US: when the front got the request that it will send again;
 * 0: none. */
void session_confirm(struct session *session, uint64_t arrived_us);

/* Serves REQUEST. Returns false if the session has a request in work already. */
bool session_serve(struct session *session, struct packet *request);

/*
 * Ends the session: its leases are released, the object is freed. TELL: the front does not know. While the service
 * runs, front_inbox.c alone ends sessions.
 */
void session_close(struct session *session, bool tell);

/* Starts REPLY as the reply to the request in work. */
void session_begin_reply(const struct session *session, struct packet *reply);

/*
 * Answers a request that was not answered at once. RESULT and DETAIL as from a channel handler; with RESULT 0, REPLY
 * was started by session_begin_reply() and is complete. The session stays valid at least until the event loop goes on.
 */
void session_answer(struct session *session, int result, struct packet *reply, const struct detail *detail);

/* Whether the request that SESSION works on was sent to an earlier broker. The earlier broker has not answered, but may
 * have begun. */
bool session_was_asked_before(const struct session *session);

/* Asks whether the client is still there. Requests that wait for a group of the session are woken when that is known.
 * False: it cannot be known now. */
bool session_look(struct session *session);
/* The answer, or there will be none. */
void session_looked_at(struct session *session);

/* A front has answered so many REQUESTS itself, of which so many with a refusal. */
void session_count(struct broker *broker, uint64_t requests, uint64_t refusals);

/* The client broke the protocol, in these WORDS, and has been told so. */
void session_record_broken(const struct session *session, const char *words);

/* There is a new policy: sessions that began before the first, or before a change, count as their owners'. */
void session_find_owners(struct broker *broker);

#endif
