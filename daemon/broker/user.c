/* SPDX-License-Identifier: MIT */
#include "user.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static int user_compare(const struct user *a, const struct user *b)
{
	return (a->uid > b->uid) - (a->uid < b->uid);
}

/* Not RB_GENERATE_STATIC: libbsd leaves its __unused to BSD's own headers. */
RB_GENERATE_INTERNAL(user_tree, user, by_uid, user_compare, __attribute__((unused)) static)

void users_init(struct users *users)
{
	RB_INIT(&users->tree);
}

int user_charge_session(struct users *users, uid_t uid, unsigned int limit, struct user **ret_user)
{
	struct user wanted = {.uid = uid};
	struct user *user = RB_FIND(user_tree, &users->tree, &wanted);

	if ((user ? user->sessions : 0) >= limit)
		return -EDQUOT;
	if (!user) {
		user = calloc(1, sizeof *user);
		if (!user)
			return -ENOMEM;
		user->uid = uid;
		RB_INSERT(user_tree, &users->tree, user);
	}
	user->sessions++;
	*ret_user = user;
	return 0;
}

int user_charge_lease(struct user *user, unsigned int limit)
{
	if (user->leases >= limit)
		return -EDQUOT;
	user->leases++;
	return 0;
}

static void user_drop(struct users *users, struct user *user)
{
	if (user->sessions > 0 || user->leases > 0)
		return;
	RB_REMOVE(user_tree, &users->tree, user);
	free(user);
}

void user_refund_session(struct users *users, struct user *user)
{
	assert(user->sessions > 0);
	user->sessions--;
	user_drop(users, user);
}

void user_refund_lease(struct users *users, struct user *user)
{
	assert(user->leases > 0);
	user->leases--;
	user_drop(users, user);
}
