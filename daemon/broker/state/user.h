/* SPDX-License-Identifier: MIT */
#ifndef BROKER_USER_H
#define BROKER_USER_H

#include "base/rate.h"

#include <bsd/sys/tree.h>
#include <stdint.h>
#include <sys/types.h>

/* The sessions and leases of a user, with all uids that are the user's (struct peer, owner), so that both can be
 * limited. Exists while the user has any, or while the rates are to be remembered. */
struct user {
	RB_ENTRY(user) by_uid;
	uid_t uid;
	unsigned int sessions;
	unsigned int leases;
	struct rate connections;
	struct rate opens;
};

struct users {
	RB_HEAD(user_tree, user) tree;
	unsigned int idle;	 /* users remembered for their rates only */
	unsigned int idle_sweep; /* so many idle users are worth a sweep through the whole tree */
};

void users_init(struct users *users);
/* Frees all users; for the end of the broker, when nothing is charged to a user any more. */
void users_clear(struct users *users);

/* Forgets users that have nothing and whose rates are idle again. Call now and then: a sweep costs next to nothing on
 * average. */
void users_sweep(struct users *users, uint64_t now_us);

/* Charges a session to UID. Returns 0, -EDQUOT if UID has LIMIT sessions already, or -ENOMEM. The user in RET_USER is
 * valid until the last of the user's sessions and leases was refunded. */
int user_charge_session(struct users *users, uid_t uid, unsigned int limit, struct user **ret_user);

/* Charges a lease to a user that has a session. quota_check() decides whether the user may have another lease. */
void user_charge_lease(struct user *user);

/* How many sessions, and leases, UID has. */
unsigned int user_sessions(struct users *users, uid_t uid);
unsigned int user_leases(struct users *users, uid_t uid);

/* Gives a session, or a lease, back. USER may be gone afterwards. */
void user_refund_session(struct users *users, struct user *user);
void user_refund_lease(struct users *users, struct user *user);

#endif
