/* SPDX-License-Identifier: MIT */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include "audit/watch.h"
#include "base/lane.h"
#include "base/peer.h"
#include "channel.h"
#include "message.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

struct broker;
struct group;
struct lease;
struct revoker;
struct stored;
struct user;

/* A client's broker channel. Its end is the end of its leases. */
struct session {
	LIST_ENTRY(session) in_broker;
	TAILQ_ENTRY(session) waiting; /* in waiting_for->waiters */
	struct group *waiting_for;    /* NULL: its OPEN does not wait for a group */
	uint64_t wait_began_us;
	struct broker *broker;
	struct channel channel;
	struct lane_place place; /* in the lane of its user */
	short events;		 /* that it waits for now */
	struct peer peer;
	struct user *user;
	uint64_t id;
	uint64_t since_us;
	uint64_t born; /* the same by CLOCK_BOOTTIME: with the number, what tells it from sessions of other brokers */
	bool stored;   /* systemd has been asked to keep its socket */
	bool found_asking; /* it is of an earlier broker, and a request was on its socket when this one took over */
	LIST_HEAD(session_leases, lease) leases;
	unsigned int leases_count;
	LIST_ENTRY(session) in_watchers;
	struct watch watch;
	char opening[DEVICE_NAME_SIZE]; /* the device of the OPEN that is not answered */
	struct revoker *revoker;	/* owned: its REVOKE that is not answered; NULL: none */
	uint64_t opening_cookie;
	uint64_t answered; /* cookie of the last OPEN whose device was released while there was no broker */
};

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
