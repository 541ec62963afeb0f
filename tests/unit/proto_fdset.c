/* SPDX-License-Identifier: MIT */
#include "fdset.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>

static int any_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void clear_closes_what_is_left(void **state)
{
	int before = unit_fds();
	struct fdset set;
	int taken;

	(void)state;
	fdset_init(&set);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fdset_add(&set, any_fd()), 0);
	assert_int_equal(set.count, 3);
	taken = fdset_take(&set, 1);
	assert_true(is_open(taken));
	errno = EDOM;
	fdset_clear(&set);
	assert_int_equal(errno, EDOM);
	assert_int_equal(set.count, 0);
	assert_true(is_open(taken));
	assert_int_equal(unit_fds(), before + 1);
	close(taken);
	fdset_clear(&set);
	assert_int_equal(unit_fds(), before);
}

static void take_gives_each_fd_once(void **state)
{
	struct fdset set;
	int fd = any_fd();

	(void)state;
	fdset_init(&set);
	assert_int_equal(fdset_take(&set, 0), -1);
	fdset_add(&set, fd);
	assert_int_equal(fdset_take(&set, 1), -1);
	assert_int_equal(fdset_take(&set, 0), fd);
	assert_int_equal(fdset_take(&set, 0), -1);
	assert_int_equal(set.count, 1);
	fdset_clear(&set);
	assert_true(is_open(fd));
	close(fd);
}

static void full_set_closes_the_surplus(void **state)
{
	int before = unit_fds();
	struct fdset set;
	int surplus;

	(void)state;
	fdset_init(&set);
	for (int i = 0; i < FDSET_MAX; i++)
		assert_int_equal(fdset_add(&set, any_fd()), 0);
	surplus = any_fd();
	assert_int_equal(fdset_add(&set, surplus), -ENOSPC);
	assert_false(is_open(surplus));
	assert_int_equal(set.count, FDSET_MAX);
	assert_int_equal(unit_fds(), before + FDSET_MAX);
	fdset_clear(&set);
	assert_int_equal(unit_fds(), before);
}

static unsigned int disposed;

static void dispose(int fd)
{
	disposed++;
	close(fd);
}

static void dispose_has_what_nobody_took(void **state)
{
	int before = unit_fds();
	struct fdset set;

	(void)state;
	fdset_init(&set);
	set.dispose = dispose;
	for (int i = 0; i < FDSET_MAX + 1; i++)
		fdset_add(&set, any_fd());
	assert_int_equal(disposed, 1); /* the one that did not fit */
	close(fdset_take(&set, 7));
	fdset_clear(&set);
	assert_int_equal(disposed, FDSET_MAX);
	assert_int_equal(unit_fds(), before);
}

static void owned_fd_ends_with_its_scope(void **state)
{
	int before = unit_fds();
	int kept;

	(void)state;
	{
		OWNED_FD none = -1;
		OWNED_FD closed = any_fd();
		OWNED_FD passed_on = any_fd();

		assert_int_equal(unit_fds(), before + 2);
		assert_true(is_open(closed));
		kept = fd_take(&passed_on);
		assert_int_equal(passed_on, -1);
		assert_int_equal(none, -1);
		errno = EDOM;
	}
	assert_int_equal(errno, EDOM);
	assert_true(is_open(kept));
	close(kept);
	assert_int_equal(unit_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clear_closes_what_is_left),
		cmocka_unit_test(take_gives_each_fd_once),
		cmocka_unit_test(full_set_closes_the_surplus),
		cmocka_unit_test(dispose_has_what_nobody_took),
		cmocka_unit_test(owned_fd_ends_with_its_scope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
