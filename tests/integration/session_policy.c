/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

/* The policy changes while the service runs: all of it or nothing, and what it does to the leases that there are. */

#define ALLOW(name, device) "[allow " name "]\naddress = " device "\nuser = *\n"

static void hang_up(void)
{
	assert_int_equal(kill(world()->broker, SIGHUP), 0);
}

static unsigned int readings(void)
{
	static const char words[] = "(read because of SIGHUP)";
	unsigned int count = 0;

	for (const char *at = host_read("log"); (at = strstr(at, words)); at += sizeof words - 1)
		count++;
	return count;
}

/* The files are read, however long that takes: the broker itself waits for two seconds. */
static void read_again(void)
{
	unsigned int before = readings();

	hang_up();
	for (int i = 0; i < WAITS && readings() == before; i++)
		nap(5);
	assert_true(readings() > before);
}

/* Whether SESSION could have DEVICE at this moment, as far as the policy goes. */
static bool allowed(struct vbroker_session *session, const char *device)
{
	struct vbroker_obstacle *obstacles;
	bool denied = false;
	size_t count;
	int claim;

	expect_ok(vbroker_session_check(session, device, &obstacles, &count, &claim));
	for (size_t i = 0; i < count; i++)
		denied = denied || obstacles[i].refusal == VBROKER_DENIED;
	free(obstacles);
	return !denied;
}

/* What needs the policy waits while the files are read; what does not, STATUS say, is answered at once. */
static void await_read(struct vbroker_session *session)
{
	(void)allowed(session, EDU);
}

/* Waits for it to become so: files are read some time after they have changed. */
static void await_allowed(struct vbroker_session *session, const char *device, bool expected)
{
	for (int i = 0; i < 600; i++) {
		if (allowed(session, device) == expected)
			return;
		nap(10);
	}
	fail_msg("%s is still %s", device, expected ? "denied" : "allowed");
}

static struct vbroker_status status_of(struct vbroker_session *session)
{
	struct vbroker_status status;

	expect_ok(vbroker_session_status(session, &status));
	return status;
}

static const char *log_of(void)
{
	return host_read("log");
}

/* The broker hears of the end of a lease after the holder. */
static void await_log(const char *text)
{
	for (int i = 0; i < 3000 && !strstr(log_of(), text); i++)
		nap(10);
	assert_non_null(strstr(log_of(), text));
}

/* Waits until the lease of DEVICE has been taken back: its channel has ended. */
static void await_end(struct vbroker_device *device)
{
	int r = 0;

	for (int i = 0; i < 3000 && r == 0; i++) {
		r = vbroker_device_ping(device);
		nap(10);
	}
	if (r == 0)
		fail_msg("the lease goes on");
}

static const struct world_options only_edu = {.policy = ALLOW("edu", EDU)};

static void by_signal(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	assert_true(allowed(session, EDU) && !allowed(session, EDU_2));
	assert_int_equal(status_of(session).policy_rules, 1);
	host_write("policy/10-test.conf", ALLOW("two", EDU_2) ALLOW("three", TWIN));
	hang_up();
	/* No waiting: what is asked after the signal is answered by the new policy. */
	assert_false(allowed(session, EDU));
	assert_true(allowed(session, EDU_2));
	assert_int_equal(status_of(session).policy_rules, 2);
	assert_true(status_of(session).policy_in_force);
	assert_string_equal(status_of(session).policy_error, "");
	assert_non_null(strstr(log_of(), "policy: 2 rules are in force now (read because of SIGHUP)"));
	vbroker_session_close(session);
	world_settle();
}

static void by_file_change(void **state)
{
	struct vbroker_session *session = session_begin();
	char from[128], to[128];

	(void)state;
	/* written in place */
	host_write("policy/10-test.conf", ALLOW("two", EDU_2));
	await_allowed(session, EDU_2, true);
	assert_false(allowed(session, EDU));
	/* a file more, moved there */
	host_write("new", ALLOW("three", TWIN));
	snprintf(from, sizeof from, "%s/new", world()->directory);
	snprintf(to, sizeof to, "%s/policy/20-more.conf", world()->directory);
	assert_int_equal(rename(from, to), 0);
	await_allowed(session, TWIN, true);
	assert_true(allowed(session, EDU_2));
	/* a link */
	host_write("new", ALLOW("four", BARE) "rebind = yes\n");
	snprintf(to, sizeof to, "%s/policy/30-link.conf", world()->directory);
	assert_int_equal(symlink(from, to), 0);
	await_allowed(session, BARE, true);
	/* and a file less */
	snprintf(to, sizeof to, "%s/policy/20-more.conf", world()->directory);
	assert_int_equal(unlink(to), 0);
	await_allowed(session, TWIN, false);
	assert_true(allowed(session, EDU_2) && allowed(session, BARE));
	assert_non_null(strstr(log_of(), "(read because a file has changed)"));
	vbroker_session_close(session);
	world_settle();
}

static void other_files_do_not_matter(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	host_write("policy/notes.txt", "x");
	host_write("policy/.10-test.conf.swp", "x");
	host_write("policy/10-test.conf~", "x");
	nap(800);
	assert_null(strstr(log_of(), "a file has changed"));
	vbroker_session_close(session);
	world_settle();
}

/* What somebody is still writing is not a policy yet: the rule that denies may be what comes last. */
static void half_written_file_is_not_read(void **state)
{
	static const char first[] = "[allow all]\nclass = *\nuser = *\n",
			  rest[] = "[limits few]\nuser = *\ndevices = 0\n";
	struct vbroker_session *session = session_begin();
	char path[128];
	int fd;

	(void)state;
	snprintf(path, sizeof path, "%s/policy/20-slow.conf", world()->directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, first, sizeof first - 1), sizeof first - 1);
	nap(800);
	assert_false(allowed(session, EDU_2));
	assert_int_equal(write(fd, rest, sizeof rest - 1), sizeof rest - 1);
	close(fd);
	await_allowed(session, EDU_2, true);
	assert_int_equal(status_of(session).policy_rules, 3);
	vbroker_session_close(session);
	world_settle();
}

static void mistake_changes_nothing(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	struct vbroker_status status;

	(void)state;
	host_write("policy/20-more.conf", ALLOW("two", EDU_2) "[deny edu]\n address = 0000:xx:00.0\nuser = *\n");
	read_again();
	status = status_of(session);
	assert_true(status.policy_in_force);
	assert_int_equal(status.policy_rules, 1);
	assert_non_null(strstr(status.policy_error,
		"/policy/20-more.conf:5:12: "
		"not a PCI address like 0000:01:00.0 (slots end with 1f): \"0000:xx:00.0\""));
	assert_non_null(strstr(log_of(), "(read because of SIGHUP), the policy of before stays in force: "));
	assert_false(allowed(session, EDU_2));
	expect_ok(vbroker_device_ping(device));
	/* once it is right it is in force, without a word to anybody */
	host_write("policy/20-more.conf", ALLOW("two", EDU_2));
	await_allowed(session, EDU_2, true);
	assert_string_equal(status_of(session).policy_error, "");
	assert_int_equal(status_of(session).policy_rules, 2);
	expect_ok(vbroker_device_ping(device));
	vbroker_device_close(device);
	vbroker_session_close(session);
	world_settle();
}

static const struct world_options two_directories = {.policy = ALLOW("edu", EDU), .policy_directory = "later/policy.d"};

static const struct world_options mistaken = {.policy = "[allow a]\nclass = *\nusr = *\n"};

static void mistake_at_start(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	assert_false(status_of(session).policy_in_force);
	assert_non_null(strstr(status_of(session).policy_error, "/policy/10-test.conf:3:1: unknown key \"usr\""));
	assert_false(allowed(session, EDU));
	/* another mistake: still none */
	host_write("policy/10-test.conf", "[allow a]\nclass = *\nuser *\n");
	read_again();
	assert_false(status_of(session).policy_in_force);
	assert_non_null(strstr(status_of(session).policy_error, "/policy/10-test.conf:3:1: neither"));
	host_write("policy/10-test.conf", "[allow a]\nclass = *\nuser = *\n");
	await_allowed(session, EDU, true);
	assert_true(status_of(session).policy_in_force);
	vbroker_session_close(session);
	world_settle();
}

static void names_are_looked_up(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	host_write("policy/10-test.conf", "[allow a]\naddress = " EDU_2 "\nuser = root\n");
	read_again();
	assert_true(allowed(session, EDU_2));
	host_write("policy/10-test.conf", "[allow a]\naddress = " EDU "\ngroup = root\n");
	read_again();
	assert_true(allowed(session, EDU));
	/* A user who is gone takes nothing from the others. */
	host_write("policy/10-test.conf", "[allow a]\naddress = " EDU_2 "\nuser = root no-such-user\n");
	read_again();
	assert_true(allowed(session, EDU_2));
	assert_non_null(
		strstr(log_of(), "10-test.conf:3:13: there is no user \"no-such-user\", so the word fits nobody"));
	/* A rule that denies has to hold. */
	host_write("policy/10-test.conf", "[deny a]\naddress = " EDU_2 "\ngroup = root\nuser = no-such-user\n");
	read_again();
	assert_non_null(strstr(status_of(session).policy_error, "10-test.conf:4:8: there is no user \"no-such-user\""));
	assert_true(allowed(session, EDU_2));
	vbroker_session_close(session);
	world_settle();
}

/* A directory that is not there at first, nor its parent; that comes, goes and comes again. */
static void directories_come_and_go(void **state)
{
	struct vbroker_session *session = session_begin();
	char parent[128], directory[144], away[128];

	(void)state;
	snprintf(parent, sizeof parent, "%s/later", world()->directory);
	snprintf(directory, sizeof directory, "%s/policy.d", parent);
	snprintf(away, sizeof away, "%s/away", world()->directory);
	assert_false(allowed(session, EDU_2));
	assert_int_equal(mkdir(parent, 0755), 0);
	nap(500);
	assert_int_equal(mkdir(directory, 0755), 0);
	nap(500);
	/* It hides the file of this name in the directory that comes after it. */
	host_write("later/policy.d/10-test.conf", ALLOW("later", EDU_2));
	await_allowed(session, EDU_2, false);
	host_write("later/policy.d/20-test.conf", ALLOW("later", EDU_2));
	await_allowed(session, EDU_2, true);
	assert_true(allowed(session, EDU));
	assert_int_equal(rename(parent, away), 0);
	/* The directory itself has not moved, so this is found out when it is read. */
	read_again();
	assert_false(allowed(session, EDU_2));
	assert_int_equal(rename(away, parent), 0);
	await_allowed(session, EDU_2, true);
	vbroker_session_close(session);
	world_settle();
}

/* ---- leases ---- */

static void leases_without_a_rule_are_taken_back(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *stays, *goes;

	(void)state;
	host_write("policy/10-test.conf", ALLOW("both", EDU " " EDU_2));
	read_again();
	stays = device_begin(session, EDU);
	goes = device_begin(session, EDU_2);
	/* by another rule, in another place: that is no reason to lose it */
	host_write("policy/10-test.conf", "# comment\n" ALLOW("one", EDU));
	read_again();
	await_end(goes);
	assert_non_null(strstr(log_of(), EDU_2 ": to be taken back from uid 0, pid "));
	await_log(EDU_2 ": taken back from uid 0, pid ");
	assert_non_null(strstr(log_of(), ": the policy does not allow it any more"));
	expect_ok(vbroker_device_ping(stays));
	assert_null(strstr(log_of(), EDU ": taken back"));
	/* denied, that is a reason */
	host_write("policy/10-test.conf", "[deny one]\naddress = " EDU "\nuser = *\n" ALLOW("one", EDU));
	read_again();
	await_end(stays);
	vbroker_device_close(goes);
	vbroker_device_close(stays);
	vbroker_session_close(session);
	world_settle();
}

static const struct world_options short_time = {
	.policy = "[allow edu]\naddress = " EDU "\nuser = *\nlease-time = 2s\n" ALLOW("two", EDU_2),
};

static void lease_time(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *timed = device_begin(session, EDU), *other = device_begin(session, EDU_2);
	uint64_t began = now_ms();

	(void)state;
	nap(1500);
	expect_ok(vbroker_device_ping(timed));
	await_end(timed);
	assert_in_range(now_ms() - began, 1900, 60000);
	assert_non_null(strstr(log_of(), EDU ": to be taken back from uid 0, pid "));
	assert_non_null(strstr(log_of(), ": its lease-time is over, by rule \"edu\" ("));
	expect_ok(vbroker_device_ping(other));
	vbroker_device_close(timed);
	/* and it can be had again */
	timed = device_begin(session, EDU);
	vbroker_device_close(timed);
	vbroker_device_close(other);
	vbroker_session_close(session);
	world_settle();
}

/* The time counts from the beginning of the lease, whenever the rule came. */
static void lease_time_changes(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	uint64_t began = now_ms();

	(void)state;
	host_write("policy/10-test.conf", "[allow edu]\naddress = " EDU "\nuser = *\n");
	read_again();
	nap(2500);
	expect_ok(vbroker_device_ping(device));
	host_write("policy/10-test.conf", "[allow edu]\naddress = " EDU "\nuser = *\nlease-time = 1h\n");
	read_again();
	expect_ok(vbroker_device_ping(device));
	host_write("policy/10-test.conf", "[allow edu]\naddress = " EDU "\nuser = *\nlease-time = 3s\n");
	read_again();
	await_end(device);
	assert_in_range(now_ms() - began, 2900, 60000);
	vbroker_device_close(device);
	vbroker_session_close(session);
	world_settle();
}

/* ---- numbers ---- */

static const struct world_options few = {
	.policy = "[allow pair]\naddress = " EDU " " EDU_2 " " BARE "\nuser = *\nrebind = yes\ndevices = 2\n"
		  "[allow twins]\naddress = " TWIN " " TWIN_2 "\nuser = *\ndevices-per-unit = 1\n"
		  "[limits all]\nuser = *\nsessions = 4\ndevices = 3\n",
};

static void expect_quota(struct vbroker_session *session, const char *name, const char *words)
{
	struct vbroker_obstacle *obstacles;
	struct vbroker_device *device;
	size_t count;
	int claim;

	/*
	 * CHECK knows it, too, and says the same; a device that was just released is DEVICE_BUSY for a moment, as
	 * well
	 */
	for (int i = 0; i < 500; i++) {
		expect_ok(vbroker_session_check(session, name, &obstacles, &count, &claim));
		if (count == 1)
			break;
		free(obstacles);
		nap(10);
	}
	assert_int_equal(count, 1);
	assert_int_equal(obstacles[0].refusal, VBROKER_QUOTA);
	assert_non_null(strstr(obstacles[0].detail, words));
	free(obstacles);
	expect_refused(vbroker_device_open(session, name, &device), VBROKER_QUOTA, words);
}

static void devices_by_rule(void **state)
{
	struct vbroker_session *session = session_begin(), *other = session_begin();
	struct vbroker_device *a = device_begin(session, EDU), *b = device_begin(other, EDU_2), *c;

	(void)state;
	expect_quota(session, BARE, "uid 0 has 2 devices by rule \"pair\" (");
	expect_quota(session, BARE, "/policy/10-test.conf:1), which allows a user 2 at a time");
	vbroker_device_close(b);
	b = device_begin(session, BARE);
	vbroker_device_close(b);
	/* of one unit; this is in none, and so are all others like it */
	c = device_begin(other, TWIN);
	expect_quota(other, TWIN_2, "10-test.conf:6), which allows a unit 1 at a time");
	/* of all */
	b = device_begin(session, EDU_2);
	vbroker_device_close(c);
	c = device_begin(other, TWIN);
	expect_quota(session, BARE, "uid 0 has 3 devices, the limit is 3 (limits \"all\", ");
	/* fewer from now on: what is held is held */
	host_write("policy/10-test.conf", ALLOW("all", "*") "rebind = yes\n[limits all]\nuser = *\ndevices = 1\n");
	read_again();
	expect_quota(session, BARE, "uid 0 has 3 devices, the limit is 1 (limits \"all\", ");
	expect_ok(vbroker_device_ping(a));
	expect_ok(vbroker_device_ping(b));
	expect_ok(vbroker_device_ping(c));
	vbroker_device_close(a);
	vbroker_device_close(b);
	vbroker_device_close(c);
	vbroker_session_close(session);
	vbroker_session_close(other);
	world_settle();
}

static void sessions_by_limits(void **state)
{
	struct vbroker_session *sessions[4], *more;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		sessions[i] = session_begin();
	expect_refused(vbroker_session_open(world()->broker_socket, &more), VBROKER_QUOTA,
		"uid 0 has 4 sessions, the limit (limits \"all\", ");
	host_write("policy/10-test.conf", ALLOW("all", "*"));
	read_again();
	await_read(sessions[0]);
	expect_ok(vbroker_session_open(world()->broker_socket, &more));
	vbroker_session_close(more);
	for (size_t i = 0; i < 4; i++)
		vbroker_session_close(sessions[i]);
	world_settle();
}

static void rates(void **state)
{
	struct vbroker_session *session = session_begin(), *more;
	struct vbroker_device *device;

	(void)state;
	host_write("policy/10-test.conf", ALLOW("all", "*") "[limits all]\nuser = *\nopens-per-minute = 2\n");
	read_again();
	vbroker_device_close(device_begin(session, EDU));
	/* what is refused is not counted */
	expect_refused(vbroker_device_open(session, DEAD, &device), VBROKER_DEVICE_BAD_STATE, NULL);
	vbroker_device_close(device_begin(session, EDU));
	expect_quota(session, EDU_2, "uid 0 may open 2 devices a minute (limits \"all\", ");
	expect_quota(session, EDU_2, "10-test.conf:4); the next in ");
	/* 30 s each: faster, and it is soon possible again */
	host_write("policy/10-test.conf", ALLOW("all", "*") "[limits all]\nuser = *\nconnections-per-minute = 3\n");
	read_again();
	device = device_begin(session, EDU);
	vbroker_device_close(device);
	for (int i = 0; i < 3; i++) {
		expect_ok(vbroker_session_open(world()->broker_socket, &more));
		vbroker_session_close(more);
	}
	expect_refused(vbroker_session_open(world()->broker_socket, &more), VBROKER_QUOTA,
		"uid 0 may connect 3 times a minute (limits \"all\", ");
	/* who is connected stays so */
	expect_ok(vbroker_session_ping(session));
	vbroker_session_close(session);
	expect_refused(vbroker_session_open(world()->broker_socket, &more), VBROKER_QUOTA, "the next time in ");
	world_settle();
}

/* ---- what is told about it ---- */

/* Many rules need several packets. */
static void shown_and_explained(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_subject subject = {
		.uid = 1001, .gid = 1001, .groups = (const uint32_t[]){7, 44}, .groups_count = 2};
	struct vbroker_explanation answer;
	struct vbroker_policy_line *lines;
	static char text[60000];
	size_t count, length = 0;

	(void)state;
	for (int i = 0; i < 500; i++)
		length += (size_t)snprintf(
			text + length, sizeof text - length, "[allow r%d]\nclass = 02\nuser = %d\n", i, i);
	snprintf(text + length, sizeof text - length,
		"[limits l]\nuser = 1001\ndevices = 9\n"
		"[allow last]\nclass = 00\ngroup = 44\nlease-time = 1h\ndevices = 3\n");
	host_write("policy/10-test.conf", text);
	read_again();
	expect_ok(vbroker_list_policy(session, &lines, &count));
	assert_int_equal(count, 500 * 4 + 4 + 6);
	assert_string_equal(lines[4 * 499].text, "allow r499");
	assert_int_equal(lines[4 * 499].kind, VBROKER_POLICY_SECTION);
	assert_int_equal(lines[4 * 499].number, 499 * 3 + 1);
	assert_int_equal(lines[4 * 499 + 1].kind, VBROKER_POLICY_FILE);
	assert_non_null(strstr(lines[4 * 499 + 1].text, "/policy/10-test.conf"));
	assert_string_equal(lines[4 * 499 + 3].text, "user = 499");
	assert_string_equal(lines[count - 1].text, "lease-time = 1h");
	free(lines);
	expect_ok(vbroker_session_explain_policy(session, EDU, &subject, &answer));
	assert_int_equal(answer.verdict, VBROKER_VERDICT_ALLOWED);
	/* the limits decide about no device */
	assert_int_equal(answer.rules_count, 501);
	assert_string_equal(answer.rules[499].name, "r499");
	assert_string_equal(answer.rules[499].why, EDU " (1234:11e8, class 00ff00) is none of its devices");
	assert_string_equal(answer.rules[500].name, "last");
	assert_string_equal(answer.rules[500].why, "");
	assert_true(
		answer.lease_time_us == 3600 * UINT64_C(1000000) && answer.devices == 3 && answer.user_devices == 9);
	assert_true(answer.devices_per_unit == VBROKER_UNLIMITED && answer.windows == 64 && !answer.rebind);
	free(answer.rules);
	subject.groups_count = 1;
	expect_ok(vbroker_session_explain_policy(session, EDU, &subject, &answer));
	assert_int_equal(answer.verdict, VBROKER_VERDICT_NO_RULE);
	assert_string_equal(answer.rules[500].why, "uid 1001 is in none of its groups");
	free(answer.rules);
	expect_refused(vbroker_session_explain_policy(session, "0000:77:00.0", &subject, &answer),
		VBROKER_NO_SUCH_DEVICE, NULL);
	vbroker_session_close(session);
	world_settle();
}

/* Runs PART as another user, who has connected as such. */
static void as_user(uid_t uid, void (*part)(struct vbroker_session *session))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct vbroker_session *session;

		if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
			_exit(100);
		if (vbroker_session_open(world()->broker_socket, &session) != 0)
			_exit(101);
		part(session);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define STEP(number, condition)                                                                                        \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			_exit(number);                                                                                 \
	} while (0)

static void of_one_user(struct vbroker_session *session)
{
	struct vbroker_subject subject = {
		.uid = 1002, .gid = 1002, .groups = (const uint32_t[]){44}, .groups_count = 1};
	struct vbroker_explanation answer;
	struct vbroker_policy_line *lines;
	size_t count;

	STEP(1, vbroker_list_policy(session, &lines, &count) == 0);
	STEP(2, count == 4 && strcmp(lines[0].text, "allow his") == 0);
	/* others are not its business, */
	STEP(3, vbroker_session_explain_policy(session, EDU, &subject, &answer) == VBROKER_ROOT_ONLY);
	STEP(4, strstr(vbroker_detail(), "root alone may ask about uid 1002; uid 1001 may ask about itself"));
	/* nor does it get groups that it has not. */
	subject.uid = 1001;
	STEP(5, vbroker_session_explain_policy(session, EDU_2, &subject, &answer) == 0);
	STEP(6, answer.verdict == VBROKER_VERDICT_NO_RULE && answer.rules_count == 1);
	STEP(7, vbroker_session_explain_policy(session, EDU, &subject, &answer) == 0);
	STEP(8, answer.verdict == VBROKER_VERDICT_ALLOWED && answer.rules_count == 1);
}

static void others_see_their_own(void **state)
{
	(void)state;
	chmod(world()->directory, 0755);
	host_write("policy/10-test.conf",
		"[deny hers]\nclass = *\nuser = 1002\n"
		"[allow some]\nclass = *\ngroup = 44\n"
		"[allow his]\naddress = " EDU "\nuser = 1001\n");
	read_again();
	as_user(1001, of_one_user);
	world_settle();
}

/* ---- access ---- */

static const struct world_options access_direct = {.policy = ALLOW("edu", EDU) "access = direct\n" ALLOW("two", EDU_2)};

/* What the fake kernel cannot show (its devices are open only in its own process), tests/vm/cases/direct does. */
static void direct_holder_gets_the_device_file(void **state)
{
	struct vbroker_session *session = session_begin(), *administrator = session_begin();
	struct vbroker_device *split = device_begin(session, EDU_2), *device = device_begin(session, EDU);
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_explanation answer;
	struct vbroker_revocation revocation;
	const struct vbroker_subject self = {.uid = getuid(), .gid = getgid()};
	int file = -1;

	(void)state;
	expect_ok(vbroker_device_bind(split, domain));
	expect_refused(vbroker_device_vfio_fd(split, &file), VBROKER_DENIED, "access = direct");
	expect_refused(vbroker_device_vfio_fd(device, &file), VBROKER_NOT_BOUND, NULL);
	assert_int_equal(file, -1);
	expect_ok(vbroker_device_bind(device, domain));
	expect_ok(vbroker_device_vfio_fd(device, &file));
	assert_true(fcntl(file, F_GETFD) & FD_CLOEXEC);
	close(file);
	expect_ok(vbroker_session_explain_policy(administrator, EDU, &self, &answer));
	assert_true(answer.direct);
	free(answer.rules);
	expect_ok(vbroker_session_revoke(administrator, EDU, 0, &revocation));
	assert_int_equal(revocation.reset, VBROKER_RESET_UNSURE);
	assert_int_equal(revocation.steps[VBROKER_STEP_LEAVE].error, EBUSY);
	assert_non_null(strstr(log_of(), EDU ": leased to uid "));
	assert_non_null(strstr(log_of(), ", with access = direct"));
	vbroker_device_close(device);
	vbroker_device_close(split);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	vbroker_session_close(administrator);
	world_settle();
}

/*
 * A rule that has become stricter takes back what may have been handed out by it; one that has become looser does not
 * change leases.
 */
static void stricter_rule_takes_direct_leases_back(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU), *split = device_begin(session, EDU_2);
	struct vbroker_domain *domain = domain_begin();
	int file;

	(void)state;
	expect_ok(vbroker_device_bind(split, domain));
	host_write("policy/10-test.conf", ALLOW("edu", EDU) ALLOW("two", EDU_2) "access = direct\n");
	read_again();
	await_end(device);
	expect_refused(vbroker_device_vfio_fd(split, &file), VBROKER_DENIED, "access = direct");
	vbroker_device_close(device);
	vbroker_device_close(split);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_IN(by_signal, &only_edu),
		CASE_IN(by_file_change, &only_edu),
		CASE_IN(other_files_do_not_matter, &only_edu),
		CASE_IN(half_written_file_is_not_read, &only_edu),
		CASE_IN(mistake_changes_nothing, &only_edu),
		CASE_IN(mistake_at_start, &mistaken),
		CASE_IN(names_are_looked_up, &only_edu),
		CASE_IN(directories_come_and_go, &two_directories),
		CASE_IN(leases_without_a_rule_are_taken_back, &only_edu),
		CASE_IN(lease_time, &short_time),
		CASE_IN(lease_time_changes, &short_time),
		CASE_IN(devices_by_rule, &few),
		CASE_IN(sessions_by_limits, &few),
		CASE_IN(rates, &only_edu),
		CASE_IN(shown_and_explained, &only_edu),
		CASE_IN(direct_holder_gets_the_device_file, &access_direct),
		CASE_IN(stricter_rule_takes_direct_leases_back, &access_direct),
		CASE_IN(others_see_their_own, &only_edu),
	};

	return HARNESS_RUN(argc, argv, "policy", tests);
}
