/* SPDX-License-Identifier: MIT */
#ifndef BROKER_USER_H
#define BROKER_USER_H

#include "lane.h"

#include <bsd/sys/tree.h>
#include <stdint.h>
#include <sys/types.h>

/* What one uid has, so that it can be limited. Exists while it has anything. */
struct user {
	RB_ENTRY(user) by_uid;
	uid_t uid;
	unsigned int sessions;
	unsigned int leases;
	struct lane lane; /* of its sessions */
};

struct users {
	RB_HEAD(user_tree, user) tree;
};

void users_init(struct users *users);

/*
 * Charges a session to UID, or a lease to USER. Returns 0, -EDQUOT if LIMIT of them are there already, or -ENOMEM. The
 * user in RET_USER is valid until the last of its sessions and leases was refunded.
 */
int user_charge_session(struct users *users, uid_t uid, unsigned int limit, struct user **ret_user);
int user_charge_lease(struct user *user, unsigned int limit);

/* Gives one back. USER may be gone afterwards. */
void user_refund_session(struct users *users, struct user *user);
void user_refund_lease(struct users *users, struct user *user);

#endif
