/* SPDX-License-Identifier: MIT */
#ifndef BROKER_USER_H
#define BROKER_USER_H

#include "base/fair_queue.h"
#include "base/rate.h"

#include <bsd/sys/tree.h>
#include <stdint.h>
#include <sys/types.h>

/* What one uid has, so that it can be limited. Exists while it has anything, or is to be remembered for its rates. */
struct user {
	RB_ENTRY(user) by_uid;
	uid_t uid;
	unsigned int sessions;
	unsigned int leases;
	struct rate connections;
	struct rate opens;
	struct rate stores;
	struct fair_queue queue; /* of its sessions */
};

struct users {
	RB_HEAD(user_tree, user) tree;
	unsigned int idle;	 /* those that are there for their rates only */
	unsigned int idle_sweep; /* so many are worth a look at all of them */
};

void users_init(struct users *users);
/* Frees all; for the end of the broker, when nothing is charged to them any more. */
void users_clear(struct users *users);

/* Forgets users that have nothing and have rested. Now and then: it costs next to nothing on average. */
void users_sweep(struct users *users, uint64_t now_us);

/*
 * Charges a session to UID. Returns 0, -EDQUOT if LIMIT of them are there already, or -ENOMEM. The user in RET_USER is valid until
 * the last of its sessions and leases was refunded.
 */
int user_charge_session(struct users *users, uid_t uid, unsigned int limit, struct user **ret_user);

/* Charges a lease to one that has a session. Whether it may have one is quota_check()'s matter. */
void user_charge_lease(struct user *user);

/* How many sessions, and leases, UID has. */
unsigned int user_sessions(struct users *users, uid_t uid);
unsigned int user_leases(struct users *users, uid_t uid);

/* Gives one back. USER may be gone afterwards. */
void user_refund_session(struct users *users, struct user *user);
void user_refund_lease(struct users *users, struct user *user);

#endif
