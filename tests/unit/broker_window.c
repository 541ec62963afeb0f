/* SPDX-License-Identifier: MIT */
#include "base/limits.h"
#include "broker_bench.h"
#include "message.h"
#include "packet.h"
#include "state/broker.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

/* What LEASE says of register windows: the limits of the rule, and the control file of the module. */

/* ---- register windows ---- */

static const char window_rules[] = "[deny lab]\naddress = " B "\nuser = *\n"
				   "[allow rest]\nclass = *\nuser = *\nrebind = yes\n"
				   "mappings = 7\nwindows = 3\nwindow-size = 64K\nwindow-range = 0:0x1000-0x1fff 2\n"
				   "[allow more]\nclass = *\nuser = *\nwindows = 99\n";

/* The limits are those of the rule that decides, and the keeper is told its name and place. */
static void lease_carries_the_limits_of_its_rule(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	assert_int_equal(offered.mappings, 7);
	assert_int_equal(offered.windows.count, 3);
	assert_int_equal(offered.windows.size, 65536);
	assert_int_equal(offered.windows.range_count, 2);
	assert_int_equal(offered.windows.ranges[0].region, 0);
	assert_int_equal(offered.windows.ranges[0].first, 0x1000);
	assert_int_equal(offered.windows.ranges[0].last, 0x1fff);
	assert_int_equal(offered.windows.ranges[1].region, 2);
	assert_int_equal(offered.windows.ranges[1].first, 0);
	assert_int_equal(offered.windows.ranges[1].last, UINT64_MAX);
	assert_string_equal(offered.rule, "\"rest\" (t.conf:4)");
	close(keeper);
	close(client);
	turn();
}

static void rule_without_limits_gives_the_defaults(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);
	int other_keeper = keeper_start(), other = client_with(C, other_keeper);

	(void)state;
	assert_int_equal(offered.mappings, MAPPINGS_UNLIMITED);
	assert_int_equal(offered.windows.count, WINDOWS_PER_LEASE);
	assert_true(offered.windows.size == UINT64_MAX);
	assert_int_equal(offered.windows.range_count, 0);
	assert_string_equal(offered.rule, "\"all\" (t.conf:1)");
	close(keeper);
	close(client);
	close(other_keeper);
	close(other);
	turn();
}

/* Each device of a group has a control file of its own, also the second. */
static void second_device_has_its_own_control_file(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	client_open(client, B);
	close(keeper_take_lease(keeper, B, false));
	assert_int_equal(offered.flags, LEASE_WINDOWS);
	keeper_accept(keeper);
	assert_int_equal(client_answer(client, NULL), 0);
	packet_clear(&packet);
	close(keeper);
	close(client);
	turn();
}

/* Whatever a rule's name is: the text ends within its field, and where the rule stands comes with it. */
#define LONG_NAME "0123456789012345678901234567890123456789012345678901234567890123456789"
static const char long_rules[] = "[allow " LONG_NAME "]\nclass = *\nuser = *\n";

static void long_name_of_a_rule_is_cut(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	assert_string_equal(offered.rule, "\"0123456789012345678901234567890123456789\" (t.conf:1)");
	close(keeper);
	close(client);
	turn();
}

/* What the broker logs of one lease of A. */
static char logged[4096];

static void lease_logged(void)
{
	int keeper = keeper_start(), client, pipe_fds[2], saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	ssize_t size;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	dup2(pipe_fds[1], STDERR_FILENO);
	close(pipe_fds[1]);
	client = client_with(A, keeper);
	dup2(saved, STDERR_FILENO);
	close(saved);
	size = read(pipe_fds[0], logged, sizeof logged - 1);
	logged[size < 0 ? 0 : size] = '\0';
	close(pipe_fds[0]);
	close(keeper);
	close(client);
	turn();
	assert_int_equal(group(1)->state, GROUP_FREE);
}

/* A host without the module is not worth a word in the log. */
static void missing_module_is_not_logged(void **state)
{
	(void)state;
	memory_host->failures[MEMORY_WINDOW] = ENOENT;
	lease_logged();
	assert_null(strstr(logged, "window"));
}

/* A module whose node the broker cannot open is worth one warning; the lease is granted without windows. */
static void unreachable_module_is_logged_once(void **state)
{
	static const char warning[] = "<4>" A ": no register windows: /dev/vfio/window: Operation not permitted\n";
	const char *found;

	(void)state;
	memory_host->failures[MEMORY_WINDOW] = EPERM;
	lease_logged();
	found = strstr(logged, warning);
	assert_non_null(found);
	assert_null(strstr(found + strlen(warning), "window"));
	memory_host->failures[MEMORY_WINDOW] = 0;
	lease_logged();
	assert_null(strstr(logged, "window"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name)	     cmocka_unit_test_setup_teardown(name, begin, end)
#define CASE_BY(name, rules) cmocka_unit_test_prestate_setup_teardown(name, begin, end, (void *)(uintptr_t)(rules))
		CASE_BY(lease_carries_the_limits_of_its_rule, window_rules),
		CASE(rule_without_limits_gives_the_defaults),
		CASE(second_device_has_its_own_control_file),
		CASE_BY(long_name_of_a_rule_is_cut, long_rules),
		CASE(missing_module_is_not_logged),
		CASE(unreachable_module_is_logged_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
