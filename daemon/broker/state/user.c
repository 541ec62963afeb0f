/* SPDX-License-Identifier: MIT */
#include "state/user.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

static int user_compare(const struct user *a, const struct user *b)
{
	return (a->uid > b->uid) - (a->uid < b->uid);
}

/* Not RB_GENERATE_STATIC: libbsd leaves its __unused to BSD's own headers. */
RB_GENERATE_INTERNAL(user_tree, user, by_uid, user_compare, __attribute__((unused)) static)

#define IDLE_SWEEP_FIRST 64

void users_init(struct users *users)
{
	RB_INIT(&users->tree);
	users->idle = 0;
	users->idle_sweep = IDLE_SWEEP_FIRST;
}

static void user_free(struct users *users, struct user *user)
{
	RB_REMOVE(user_tree, &users->tree, user);
	free(user);
}

void users_clear(struct users *users)
{
	struct user *user;

	while ((user = RB_MIN(user_tree, &users->tree)))
		user_free(users, user);
	users->idle = 0;
}

static bool is_idle(const struct user *user)
{
	return user->sessions == 0 && user->leases == 0;
}

static bool rates_are_idle(const struct user *user, uint64_t now_us)
{
	return rate_is_idle(&user->connections, now_us) && rate_is_idle(&user->opens, now_us);
}

void users_sweep(struct users *users, uint64_t now_us)
{
	struct user *user, *next;

	if (users->idle == 0 || users->idle < users->idle_sweep)
		return;
	for (user = RB_MIN(user_tree, &users->tree); user; user = next) {
		next = RB_NEXT(user_tree, &users->tree, user);
		if (is_idle(user) && rates_are_idle(user, now_us)) {
			users->idle--;
			user_free(users, user);
		}
	}
	/* Twice as many as stay: users added since the last sweep pay for the next sweep. */
	users->idle_sweep = users->idle * 2 > IDLE_SWEEP_FIRST ? users->idle * 2 : IDLE_SWEEP_FIRST;
}

static struct user *user_find(struct users *users, uid_t uid)
{
	struct user wanted = {.uid = uid};

	return RB_FIND(user_tree, &users->tree, &wanted);
}

unsigned int user_sessions(struct users *users, uid_t uid)
{
	const struct user *user = user_find(users, uid);

	return user ? user->sessions : 0;
}

unsigned int user_leases(struct users *users, uid_t uid)
{
	const struct user *user = user_find(users, uid);

	return user ? user->leases : 0;
}

int user_charge_session(struct users *users, uid_t uid, unsigned int limit, struct user **ret_user)
{
	struct user *user = user_find(users, uid);

	if ((user ? user->sessions : 0) >= limit)
		return -EDQUOT;
	if (!user) {
		user = calloc(1, sizeof *user);
		if (!user)
			return -ENOMEM;
		user->uid = uid;
		RB_INSERT(user_tree, &users->tree, user);
	} else if (is_idle(user)) {
		users->idle--;
	}
	user->sessions++;
	*ret_user = user;
	return 0;
}

void user_charge_lease(struct user *user)
{
	user->leases++;
}

/* A user forgotten before the rates are idle again would get a new start. */
static void user_drop(struct users *users, struct user *user)
{
	if (!is_idle(user))
		return;
	if (rates_are_idle(user, 0))
		user_free(users, user);
	else
		users->idle++;
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
