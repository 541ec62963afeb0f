/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_ACTORS_H
#define FUZZ_ACTORS_H

#include "input.h"
#include "message.h"
#include "table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Clients that do what an input says, good and bad, and hold the servers to the protocol whatever that was: each
 * request that was sent whole is answered once, in order, with its own type and cookie; what is granted was allowed
 * in the state that the channel is in; refusals have numbers that exist and words that can be printed; nothing comes
 * after the last packet. For servers in the same process (fuzz_service.c) and in others (session_soak.c).
 */

#define ACTORS_SESSIONS 4
#define ACTORS_DEVICES	6
#define ACTORS_EXPECTED 48 /* requests of one channel that are not answered: more are not sent */

struct actor {
	int fd; /* -1: nobody */
	const struct request_table *table;
	enum channel_state state; /* by the replies so far */
	char name[DEVICE_NAME_SIZE];
	bool spoken; /* a packet has come */
	bool ending; /* no reply may come any more ... */
	bool closed; /* ... and no event either */
	bool cut;    /* broken framing was sent: nothing after it is read */
	uint64_t cookie;
	size_t expected_count;
	struct message_header expected[ACTORS_EXPECTED];
};

/* What an input's step begins with. */
enum actor_step {
	ACTOR_CONNECTS,
	ACTOR_ENDS,
	ACTOR_ASKS,  /* a good request, or nearly */
	ACTOR_SENDS, /* whatever (input.h) */
	ACTOR_READS,
	ACTOR_STEPS,
};

struct actors {
	/* 0: the world has no room for another. Else a channel, the actor's. */
	int (*connect)(size_t session);
	const char *const *names; /* of devices */
	size_t name_count;
	/* Descriptors to send, the IOMMU domains first. */
	const int *fds;
	size_t fd_count, domain_count;
	/* Sessions first, then device channels. */
	struct actor all[ACTORS_SESSIONS + ACTORS_DEVICES];
	uint64_t sent, granted, refused, events;
};

void actors_init(struct actors *actors);

/* One step of the actor WHO (modulo their number). */
void actors_step(struct actors *actors, enum actor_step step, size_t who, struct input *input);

/* Receives what has come for ACTOR, or for all of them. */
void actors_read(struct actors *actors, struct actor *actor);
void actors_read_all(struct actors *actors);

void actor_end(struct actor *actor);

/*
 * Requests that are not answered, of all channels that are open; but not a REVOKE, which may have weeks, nor what
 * waits for it.
 */
size_t actors_unanswered(const struct actors *actors);

/* Those. */
size_t actors_revoking(const struct actors *actors);

#endif
