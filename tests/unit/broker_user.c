/* SPDX-License-Identifier: MIT */
#include "base/rate.h"
#include "state/user.h"
#include "unit.h"

#include <errno.h>

static void sessions_are_limited_by_uid(void **state)
{
	struct users users;
	struct user *a, *b, *none = NULL;

	(void)state;
	users_init(&users);
	assert_int_equal(user_charge_session(&users, 1001, 2, &a), 0);
	assert_int_equal(user_charge_session(&users, 1001, 2, &b), 0);
	assert_ptr_equal(a, b);
	assert_int_equal(user_charge_session(&users, 1001, 2, &none), -EDQUOT);
	assert_null(none);
	/* another user's limit is its own */
	assert_int_equal(user_charge_session(&users, 1002, 2, &b), 0);
	assert_ptr_not_equal(a, b);
	user_refund_session(&users, a);
	assert_int_equal(user_charge_session(&users, 1001, 2, &a), 0);
	user_refund_session(&users, a);
	user_refund_session(&users, a);
	user_refund_session(&users, b);
	assert_true(RB_EMPTY(&users.tree));
}

static void a_limit_of_none(void **state)
{
	struct users users;
	struct user *user = NULL;

	(void)state;
	users_init(&users);
	assert_int_equal(user_charge_session(&users, 1001, 0, &user), -EDQUOT);
	assert_null(user);
	assert_true(RB_EMPTY(&users.tree));
}

/* A lease goes on while its keeper lets go, after the session has ended: the charge has to stay. */
static void leases_outlive_sessions(void **state)
{
	struct users users;
	struct user *user, *again;

	(void)state;
	users_init(&users);
	assert_int_equal(user_charge_session(&users, 1001, 5, &user), 0);
	user_charge_lease(user);
	assert_int_equal(user->leases, 1);
	user_refund_session(&users, user);
	assert_int_equal(user_charge_session(&users, 1001, 5, &again), 0);
	assert_ptr_equal(user, again);
	assert_int_equal(user->leases, 1);
	user_refund_session(&users, user);
	user_refund_lease(&users, user);
	assert_true(RB_EMPTY(&users.tree));
}

static void many_users(void **state)
{
	struct users users;
	struct user *user[300];

	(void)state;
	users_init(&users);
	for (uid_t i = 0; i < 300; i++)
		assert_int_equal(user_charge_session(&users, i * 7919 % 300, 1, &user[i * 7919 % 300]), 0);
	for (uid_t i = 0; i < 300; i++) {
		struct user *other;

		assert_int_equal(user[i]->uid, i);
		assert_int_equal(user_charge_session(&users, i, 1, &other), -EDQUOT);
	}
	for (uid_t i = 0; i < 300; i++)
		user_refund_session(&users, user[i]);
	assert_true(RB_EMPTY(&users.tree));
}

/* ---- rates ---- */

#define SECOND 1000000ULL

static void rate_of_three_a_minute(void **state)
{
	struct rate rate = {0};
	uint64_t now = 500 * SECOND;

	(void)state;
	assert_true(rate_is_idle(&rate, now));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rate_wait(&rate, 3, now), 0);
		rate_take(&rate, 3, now);
	}
	/* the next 20 s after the first */
	assert_int_equal(rate_wait(&rate, 3, now), 20 * SECOND);
	assert_int_equal(rate_wait(&rate, 3, now + 19 * SECOND), SECOND);
	assert_int_equal(rate_wait(&rate, 3, now + 20 * SECOND), 0);
	rate_take(&rate, 3, now + 20 * SECOND);
	assert_int_equal(rate_wait(&rate, 3, now + 20 * SECOND), 20 * SECOND);
	assert_false(rate_is_idle(&rate, now + 79 * SECOND));
	assert_true(rate_is_idle(&rate, now + 80 * SECOND));
	/* after a rest all three, and not more because it was long */
	now += 10000 * SECOND;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rate_wait(&rate, 3, now), 0);
		rate_take(&rate, 3, now);
	}
	assert_int_equal(rate_wait(&rate, 3, now), 20 * SECOND);
}

static void rates_at_the_edges(void **state)
{
	struct rate once = {0}, many = {0};

	(void)state;
	rate_take(&once, 1, SECOND);
	assert_int_equal(rate_wait(&once, 1, SECOND), 60 * SECOND);
	assert_int_equal(rate_wait(&once, 1, 61 * SECOND), 0);
	for (int i = 0; i < 1000000; i++)
		rate_take(&many, 1000000, SECOND);
	assert_int_equal(rate_wait(&many, 1000000, SECOND), 60);
	/* a policy that allows less from now on: it counts from what was taken before */
	assert_true(rate_wait(&many, 1, SECOND) > 59 * SECOND);
}

/* Who leaves and comes again gets no new start; who has rested is forgotten. */
static void users_are_remembered(void **state)
{
	struct users users;
	struct user *user, *again;

	(void)state;
	users_init(&users);
	assert_int_equal(user_charge_session(&users, 1001, 2, &user), 0);
	rate_take(&user->connections, 1, SECOND);
	user_refund_session(&users, user);
	assert_int_equal(users.idle, 1);
	assert_int_equal(user_charge_session(&users, 1001, 2, &again), 0);
	assert_ptr_equal(user, again);
	assert_int_equal(users.idle, 0);
	assert_int_equal(rate_wait(&again->connections, 1, SECOND), 60 * SECOND);
	user_refund_session(&users, again);
	/* many more of that kind: those that have rested go when it is worth a look */
	for (uid_t uid = 0; uid < 1000; uid++) {
		users_sweep(&users, uid * SECOND);
		assert_int_equal(user_charge_session(&users, 2000 + uid, 2, &user), 0);
		rate_take(&user->opens, 1, uid * SECOND);
		user_refund_session(&users, user);
		assert_true(users.idle <= 200);
	}
	assert_int_equal(user_sessions(&users, 2999), 0);
	users_clear(&users);
	assert_true(RB_EMPTY(&users.tree));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_are_limited_by_uid),
		cmocka_unit_test(a_limit_of_none),
		cmocka_unit_test(leases_outlive_sessions),
		cmocka_unit_test(many_users),
		cmocka_unit_test(rate_of_three_a_minute),
		cmocka_unit_test(rates_at_the_edges),
		cmocka_unit_test(users_are_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
