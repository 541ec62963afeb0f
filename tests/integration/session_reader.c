/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include "restart.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The process that reads the policy files takes its time, hangs, or dies: who waits, and who does not. */

#define ALLOW(name, device) "[allow " name "]\naddress = " device "\nuser = *\n"

static void hang_up(void)
{
	assert_int_equal(kill(world()->broker, SIGHUP), 0);
}

/* ---- a file that keeps its reader waiting ---- */

/* A write lease on a policy file: whoever opens the file waits in the kernel until the lease is given up. */
static int hold_file(const char *name)
{
	char path[128];
	int fd;

	signal(SIGIO, SIG_IGN);
	snprintf(path, sizeof path, "%s/policy/%s", world()->directory, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	for (int i = 0; i < 1000 && fcntl(fd, F_SETLEASE, F_WRLCK) < 0; i++)
		nap(5);
	assert_int_equal(fcntl(fd, F_GETLEASE), F_WRLCK);
	return fd;
}

static void let_go(int fd)
{
	assert_int_equal(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
	close(fd);
}

/* The first reader of the policy in the list of processes, in state STATE, with its pid. */
static pid_t await_reader(struct vbroker_session *session, enum vbroker_process_state state, char text[160])
{
	for (int i = 0; i < 2000; i++) {
		struct vbroker_process_entry *entries;
		pid_t pid = 0;
		size_t count;

		expect_ok(vbroker_list_processes(session, &entries, &count));
		for (size_t j = 0; j < count && pid == 0; j++) {
			if (entries[j].kind != VBROKER_PROCESS_POLICY_READER || entries[j].state != state)
				continue;
			pid = (pid_t)entries[j].pid;
			if (text)
				snprintf(text, 160, "%s", entries[j].text);
		}
		free(entries);
		if (pid > 0)
			return pid;
		nap(5);
	}
	fail_msg("no reader is in state %d", state);
	return 0;
}

static size_t count_readers(struct vbroker_session *session)
{
	struct vbroker_process_entry *entries;
	size_t count, readers = 0;

	expect_ok(vbroker_list_processes(session, &entries, &count));
	for (size_t i = 0; i < count; i++)
		readers += entries[i].kind == VBROKER_PROCESS_POLICY_READER;
	free(entries);
	return readers;
}

/* Whether the policy lets SESSION have DEVICE; how long the answer took goes to RET_MS. */
static bool allowed(struct vbroker_session *session, const char *device, uint64_t *ret_ms)
{
	struct vbroker_obstacle *obstacles;
	uint64_t begin = now_ms();
	bool denied = false;
	size_t count;
	int claim;

	expect_ok(vbroker_session_check(session, device, &obstacles, &count, &claim));
	for (size_t i = 0; i < count; i++)
		denied = denied || obstacles[i].refusal == VBROKER_DENIED;
	free(obstacles);
	if (ret_ms)
		*ret_ms = now_ms() - begin;
	return !denied;
}

static void await_allowed(struct vbroker_session *session, const char *device)
{
	for (int i = 0; i < 3000; i++) {
		if (allowed(session, device, NULL))
			return;
		nap(5);
	}
	fail_msg("%s is still denied", device);
}

static unsigned int times_logged(const char *words)
{
	unsigned int count = 0;

	for (const char *at = host_read("log"); (at = strstr(at, words)); at++)
		count++;
	return count;
}

static const struct world_options only_edu = {.policy = ALLOW("edu", EDU)};

/* ---- tests ---- */

static void a_hung_reader_holds_up_nobody_for_long(void **state)
{
	struct vbroker_session *session = session_begin(), *other = session_begin();
	char pid_text[64], text[160];
	uint64_t begin, waited;
	pid_t pid;
	int held;

	(void)state;
	host_write("policy/10-test.conf", ALLOW("two", EDU_2));
	held = hold_file("10-test.conf");
	/* The change of the file begins the only read. */
	pid = await_reader(other, VBROKER_PROCESS_WORKING, text);
	assert_string_equal(text, "reads the policy files");
	/* Nobody else waits. */
	begin = now_ms();
	for (int i = 0; i < 20; i++)
		expect_ok(vbroker_session_ping(other));
	vbroker_session_close(session_begin());
	assert_true(now_ms() - begin < 1500);
	/* The policy of before is in force again after the deadline. */
	assert_true(allowed(session, EDU, &waited));
	assert_true(waited < 10000);
	assert_false(allowed(session, EDU_2, NULL));
	assert_int_equal(await_reader(session, VBROKER_PROCESS_HUNG, text), pid);
	assert_non_null(strstr(text, "/proc/PID/stack"));
	snprintf(pid_text, sizeof pid_text, "its reader (pid %d) has hung for ", (int)pid);
	assert_non_null(strstr(host_read("log"), pid_text));
	assert_int_equal(times_logged("has hung for "), 1);
	/* Its answer comes late, and is taken. */
	let_go(held);
	await_allowed(session, EDU_2);
	assert_false(allowed(session, EDU, NULL));
	vbroker_session_close(other);
	vbroker_session_close(session);
	world_settle();
}

static void a_hung_reader_does_not_hold_up_a_reload(void **state)
{
	struct vbroker_session *session = session_begin();
	char from[128], to[128];
	pid_t hung;
	int held;

	(void)state;
	held = hold_file("10-test.conf");
	hang_up();
	hung = await_reader(session, VBROKER_PROCESS_HUNG, NULL);
	/* Another file in the place of the held one. */
	host_write("new", ALLOW("two", EDU_2));
	snprintf(from, sizeof from, "%s/new", world()->directory);
	snprintf(to, sizeof to, "%s/policy/10-test.conf", world()->directory);
	assert_int_equal(rename(from, to), 0);
	hang_up();
	assert_true(allowed(session, EDU_2, NULL));
	assert_false(allowed(session, EDU, NULL));
	assert_int_equal(await_reader(session, VBROKER_PROCESS_HUNG, NULL), hung);
	/* What the first reader has to say is not wanted any more. */
	let_go(held);
	for (int i = 0; i < 2000 && count_readers(session) > 0; i++)
		nap(5);
	assert_int_equal(count_readers(session), 0);
	assert_true(allowed(session, EDU_2, NULL));
	vbroker_session_close(session);
	world_settle();
}

/* The third read gives up the first reader, in the end. */
static void readers_that_hang_are_two_at_most(void **state)
{
	struct vbroker_session *session = session_begin();
	char path[128];
	int held;

	(void)state;
	held = hold_file("10-test.conf");
	hang_up();
	await_reader(session, VBROKER_PROCESS_HUNG, NULL);
	hang_up();
	assert_true(allowed(session, EDU, NULL));
	assert_int_equal(count_readers(session), 2);
	snprintf(path, sizeof path, "%s/policy/10-test.conf", world()->directory);
	assert_int_equal(unlink(path), 0);
	host_write("policy/20-test.conf", ALLOW("two", EDU_2));
	hang_up();
	assert_int_equal(count_readers(session), 2);
	await_allowed(session, EDU_2);
	assert_true(count_readers(session) < 2);
	let_go(held);
	vbroker_session_close(session);
	world_settle();
}

static void a_killed_reader_is_replaced(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_status status;
	pid_t pid;
	int held;

	(void)state;
	host_write("policy/10-test.conf", ALLOW("two", EDU_2));
	held = hold_file("10-test.conf");
	hang_up();
	pid = await_reader(session, VBROKER_PROCESS_WORKING, NULL);
	kill(pid, SIGSTOP);
	let_go(held);
	kill(pid, SIGKILL);
	assert_true(allowed(session, EDU, NULL));
	expect_ok(vbroker_session_status(session, &status));
	assert_non_null(strstr(status.policy_error, "has ended before its work was done"));
	/* It is tried again without a word of anybody. */
	await_allowed(session, EDU_2);
	vbroker_session_close(session);
	world_settle();
}

/* ---- at the start ---- */

/* As on a slow machine that boots. Nobody is told that there is no rule, while nobody has looked. */
static void a_reader_that_starts_late_is_waited_for(void **state)
{
	struct vbroker_session *session;

	(void)state;
	world_stop_broker();
	kill(world()->reader, SIGSTOP);
	world_start_broker();
	session = session_begin();
	expect_ok(vbroker_session_ping(session));
	if (fork() == 0) {
		nap(3500);
		kill(world()->reader, SIGCONT);
		_exit(0);
	}
	assert_true(allowed(session, EDU, NULL));
	device_use(session, EDU);
	vbroker_session_close(session);
	wait(NULL);
	world_settle();
}

static void without_a_policy_the_reader_is_named(void **state)
{
	struct vbroker_session *session, *other;
	struct vbroker_device *device;
	char text[64];
	pid_t pid;
	int held;

	(void)state;
	world_stop_broker();
	held = hold_file("10-test.conf");
	world_start_broker();
	session = session_begin();
	other = session_begin();
	pid = await_reader(other, VBROKER_PROCESS_WORKING, NULL);
	expect_ok(vbroker_session_ping(session));
	snprintf(text, sizeof text, "the policy is not read yet: its reader (pid %d) has hung for ", (int)pid);
	expect_refused(vbroker_device_open(session, EDU, &device), VBROKER_DENIED, text);
	let_go(held);
	await_allowed(session, EDU);
	device_use(session, EDU);
	vbroker_session_close(other);
	vbroker_session_close(session);
	world_settle();
}

static const struct world_options without_reader = {.policy = ALLOW("edu", EDU), .no_reader = true};

static void without_a_reader_nobody_gets_anything(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device;

	(void)state;
	expect_refused(vbroker_device_open(session, EDU, &device), VBROKER_DENIED, "is vfio-policy.socket started?");
	world_start_reader();
	await_allowed(session, EDU);
	vbroker_session_close(session);
	world_settle();
}

static void leases_are_reviewed_when_the_policy_is_read(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	int held, r = 0;

	(void)state;
	host_write("policy/10-test.conf", ALLOW("two", EDU_2));
	held = hold_file("10-test.conf");
	kill_and_start();
	expect_ok(vbroker_session_ping(session));
	expect_ok(vbroker_device_ping(device));
	let_go(held);
	await_allowed(session, EDU_2);
	for (int i = 0; i < 3000 && r == 0; i++) {
		r = vbroker_device_ping(device);
		nap(5);
	}
	assert_int_not_equal(r, 0);
	vbroker_device_close(device);
	vbroker_session_close(session);
	world_settle();
}

/* ---- what is no file ---- */

static void a_fifo_is_skipped(void **state)
{
	struct vbroker_session *session = session_begin();
	char path[128];

	(void)state;
	snprintf(path, sizeof path, "%s/policy/20-fifo.conf", world()->directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	host_write("policy/10-test.conf", ALLOW("two", EDU_2));
	hang_up();
	assert_true(allowed(session, EDU_2, NULL));
	assert_non_null(strstr(host_read("log"), "/policy/20-fifo.conf: skipped, because a FIFO is no policy file"));
	vbroker_session_close(session);
	/* At the start, too. */
	world_stop_broker();
	world_start_broker();
	session = session_begin();
	device_use(session, EDU_2);
	vbroker_session_close(session);
	world_settle();
}

static const struct world_options with_systemd_and_edu = {.policy = ALLOW("edu", EDU), .systemd = true};

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_IN(a_hung_reader_holds_up_nobody_for_long, &only_edu),
		CASE_IN(a_hung_reader_does_not_hold_up_a_reload, &only_edu),
		CASE_IN(readers_that_hang_are_two_at_most, &only_edu),
		CASE_IN(a_killed_reader_is_replaced, &only_edu),
		CASE_IN(a_reader_that_starts_late_is_waited_for, &only_edu),
		CASE_IN(without_a_policy_the_reader_is_named, &only_edu),
		CASE_IN(without_a_reader_nobody_gets_anything, &without_reader),
		CASE_IN(leases_are_reviewed_when_the_policy_is_read, &with_systemd_and_edu),
		CASE_IN(a_fifo_is_skipped, &only_edu),
	};

	return HARNESS_RUN(argc, argv, "session_reader", tests);
}
