/* SPDX-License-Identifier: MIT */
#ifndef BROKER_ROLL_H
#define BROKER_ROLL_H

#include "base/peer.h"
#include "state/broker.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The roll of a front: who its sessions are, written down for the next broker. A front holds the connections, but is
 * not asked who is at their ends.
 *
 * The roll is a memfd that the broker alone has, and systemd's fd store. A record is written whole before the number
 * of its session is; so a broker that is killed at any moment leaves records that hold, and room that holds nothing.
 */

/* What the roll says of a session. */
struct roll_entry {
	uint64_t session;
	uint64_t started;
	struct peer peer; /* owned: peer_clear() */
	bool watches;
	uint32_t record; /* for roll_adopt() */
	uint8_t record_class;
};

/* What the roll says of the front itself. PID 0: nobody's so far. */
struct roll_whose {
	enum front_role role;
	uid_t owner;
	uint32_t pid;
};

/* A new roll, of the front of that number. Returns 0 or a negative errno. Ends with roll_close(). */
int roll_make(struct roll *roll, uint64_t front);
void roll_close(struct roll *roll);

/* Writes down whose the front is, and its PID: a front that hangs does not tell the next broker. */
int roll_assign(const struct roll *roll, enum front_role role, uid_t owner, uint32_t pid);

/* Writes SESSION down. Returns 0 or a negative errno. */
int roll_add(struct roll *roll, struct session *session);
void roll_remove(struct roll *roll, const struct session *session);

/* The unit of the session's client is known now: replaces the record of SESSION. If that fails, the next broker does
 * not know the unit. */
void roll_unit(struct roll *roll, struct session *session);
void roll_watches(const struct roll *roll, const struct session *session);

/*
 * Reads the roll of an earlier broker from FD, which is taken on success: whose the front of that number is, and FOUND
 * for each session; FOUND takes the peer of the entry. Returns 0, -EPROTO if the file is not such a roll, or another
 * negative errno.
 */
typedef void (*roll_found)(void *context, struct roll_entry *entry);
int roll_open(struct roll *roll, int fd, uint64_t front, struct roll_whose *ret_whose);
int roll_read(struct roll *roll, roll_found found, void *context);
/* SESSION was made from ENTRY. */
void roll_adopt(struct session *session, const struct roll_entry *entry);

#endif
