/* SPDX-License-Identifier: MIT */
#include "user.h"

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
	assert_int_equal(user_charge_lease(user, 1), 0);
	assert_int_equal(user_charge_lease(user, 1), -EDQUOT);
	assert_int_equal(user->leases, 1);
	user_refund_session(&users, user);
	assert_int_equal(user_charge_session(&users, 1001, 5, &again), 0);
	assert_ptr_equal(user, again);
	assert_int_equal(user_charge_lease(again, 1), -EDQUOT);
	user_refund_lease(&users, user);
	assert_int_equal(user_charge_lease(again, 1), 0);
	user_refund_lease(&users, user);
	user_refund_session(&users, user);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_are_limited_by_uid),
		cmocka_unit_test(a_limit_of_none),
		cmocka_unit_test(leases_outlive_sessions),
		cmocka_unit_test(many_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
