/* SPDX-License-Identifier: MIT */
#include "base/peer.h"
#include "unit.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-login.h>
#include <time.h>

static int listener = -1;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static int begin(void **state)
{
	(void)state;
	snprintf(address.sun_path, sizeof address.sun_path, "/tmp/broker_peer.%d", getpid());
	unlink(address.sun_path);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4) < 0)
		return -1;
	return chmod(address.sun_path, 0666);
}

static int end(void **state)
{
	(void)state;
	close(listener);
	return unlink(address.sun_path);
}

/* A child becomes somebody else, connects, and stays until it is told to go. */
static pid_t connect_as(uid_t uid, gid_t gid, const gid_t *groups, size_t count, int *ret_fd)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

		if (setgroups(count, groups) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
			_exit(1);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
			_exit(2);
		pause();
		_exit(0);
	}
	*ret_fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*ret_fd >= 0);
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int identify(int fd, struct peer *ret_peer)
{
	int pidfd = -1, r = peer_identify(fd, ret_peer, &pidfd);

	if (r == 0)
		peer_find_unit(ret_peer, pidfd);
	if (pidfd >= 0)
		close(pidfd);
	return r;
}

static void credentials_and_groups(void **state)
{
	static const gid_t groups[] = {44, 100, 4000000000U};
	struct peer peer;
	int fds = unit_fds(), fd;
	pid_t pid;

	(void)state;
	if (getuid() != 0) {
		print_message("needs root: it becomes somebody else\n");
		skip();
	}
	pid = connect_as(4711, 4712, groups, 3, &fd);
	assert_int_equal(identify(fd, &peer), 0);
	assert_int_equal(peer.uid, 4711);
	assert_int_equal(peer.gid, 4712);
	assert_int_equal(peer.pid, pid);
	assert_int_equal(peer.groups_count, 3);
	assert_memory_equal(peer.groups, groups, sizeof groups);
	peer_clear(&peer);
	assert_null(peer.groups);
	assert_null(peer.unit);
	peer_clear(&peer);
	close(fd);
	end_child(pid);
	assert_int_equal(unit_fds(), fds);
}

static void no_groups_and_many(void **state)
{
	gid_t groups[200];
	struct peer peer;
	int fd;
	pid_t pid;

	(void)state;
	if (getuid() != 0) {
		print_message("needs root: it becomes somebody else\n");
		skip();
	}
	for (gid_t i = 0; i < 200; i++)
		groups[i] = 10000 + i;
	pid = connect_as(1, 1, NULL, 0, &fd);
	assert_int_equal(identify(fd, &peer), 0);
	assert_int_equal(peer.groups_count, 0);
	peer_clear(&peer);
	close(fd);
	end_child(pid);
	pid = connect_as(1, 1, groups, 200, &fd);
	assert_int_equal(identify(fd, &peer), 0);
	assert_int_equal(peer.groups_count, 200);
	assert_memory_equal(peer.groups, groups, sizeof groups);
	peer_clear(&peer);
	close(fd);
	end_child(pid);
}

/*
 * A peer is who it was at connect, whatever has become of it; its unit must not be that of the next owner of its pid.
 */
static void peer_that_has_died_has_no_unit(void **state)
{
	struct peer peer;
	int fd, pidfd;
	socklen_t size = sizeof pidfd;
	pid_t pid;

	(void)state;
	pid = connect_as(getuid(), getgid(), NULL, 0, &fd);
	end_child(pid);
	assert_int_equal(identify(fd, &peer), 0);
	assert_int_equal(peer.uid, getuid());
	assert_int_equal(peer.pid, pid);
	assert_null(peer.unit);
	peer_clear(&peer);
	if (getsockopt(fd, SOL_SOCKET, 77 /* SO_PEERPIDFD */, &pidfd, &size) == 0)
		close(pidfd);
	close(fd);
}

/* ---- units: this program plays systemd, so that there are some ---- */

static void (*during_look)(void);

int sd_pid_get_unit(pid_t pid, char **ret_unit)
{
	(void)pid;
	if (during_look)
		during_look();
	*ret_unit = strdup("played.service");
	return *ret_unit ? 0 : -ENOMEM;
}

int sd_pid_get_owner_uid(pid_t pid, uid_t *ret_uid)
{
	if (during_look)
		during_look();
	*ret_uid = 1000;
	return pid == getpid() ? -ENODATA : 0;
}

static pid_t sleeper_start(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pause();
	_exit(0);
}

/* The unit of PID as the peer's, on a kernel with or without SO_PEERPIDFD. */
static bool is_in_unit(uid_t uid, pid_t pid, int pidfd)
{
	struct peer peer = {.uid = uid, .pid = pid};
	bool found;

	peer_find_unit(&peer, pidfd);
	found = peer.unit != NULL;
	assert_int_equal(peer.process != 0, found);
	peer_clear(&peer);
	return found;
}

static pid_t sleeper;

static void end_sleeper(void)
{
	end_child(sleeper);
}

static void old_kernel_believes_no_other_users_process(void **state)
{
	struct peer peer = {.uid = getuid()}, other = {.uid = getuid() + 1};
	int fds = unit_fds();
	uid_t owner;

	(void)state;
	sleeper = sleeper_start();
	peer.pid = other.pid = sleeper;
	assert_true(is_in_unit(getuid(), sleeper, PEER_PIDFD_UNKNOWN));
	assert_false(is_in_unit(getuid() + 1, sleeper, PEER_PIDFD_UNKNOWN));
	assert_false(is_in_unit(getuid(), sleeper, PEER_PIDFD_ENDED));
	assert_true(peer_find_slice(&peer, PEER_PIDFD_UNKNOWN, &owner));
	assert_int_equal(owner, 1000);
	assert_false(peer_find_slice(&other, PEER_PIDFD_UNKNOWN, &owner));
	assert_false(peer_find_slice(&peer, PEER_PIDFD_ENDED, &owner));
	during_look = end_sleeper;
	assert_false(is_in_unit(getuid(), sleeper, PEER_PIDFD_UNKNOWN));
	during_look = NULL;
	assert_false(is_in_unit(getuid(), sleeper, PEER_PIDFD_UNKNOWN));
	assert_int_equal(unit_fds(), fds);
}

/* Nobody is told to end a process that merely has the pid of the one that was meant. */
static void process_is_told_from_the_next_of_its_pid(void **state)
{
	struct peer peer;

	(void)state;
	sleeper = sleeper_start();
	peer = (struct peer){.uid = getuid(), .pid = sleeper};
	peer_find_unit(&peer, PEER_PIDFD_UNKNOWN);
	assert_true(peer_is_there(sleeper, peer.process));
	assert_false(peer_is_there(sleeper, 0));
	assert_false(peer_is_there(getpid(), peer.process));
	end_sleeper();
	assert_false(peer_is_there(sleeper, peer.process));
	peer_clear(&peer);
}

static void descriptor_that_is_no_socket_is_refused(void **state)
{
	struct peer peer = {.pid = 7};
	int fds = unit_fds();

	(void)state;
	assert_int_equal(identify(-1, &peer), -EBADF);
	assert_int_equal(identify(STDERR_FILENO, &peer), -ENOTSOCK);
	assert_int_equal(peer.pid, 7);
	assert_int_equal(unit_fds(), fds);
}

static void peer_is_printed_in_one_line(void **state)
{
	char unit[] = "spdk@3.service";
	char strange[] = "a\nb\".service";
	char longest[300];
	struct peer peer = {.uid = 1000, .pid = 4711};
	struct holder_record record;
	char buffer[128], small[8];

	(void)state;
	assert_string_equal(peer_text(&peer, buffer, sizeof buffer), "uid 1000, pid 4711");
	assert_string_equal(peer_text(&peer, small, sizeof small), "uid 100");
	peer.unit = unit;
	assert_string_equal(peer_text(&peer, buffer, sizeof buffer), "uid 1000, pid 4711 in spdk@3.service");
	peer.unit = strange;
	assert_string_equal(peer_text(&peer, buffer, sizeof buffer), "uid 1000, pid 4711 in a\\x0ab\\x22.service");
	memset(longest, 'u', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	peer.unit = longest;
	peer_record(&peer, &record);
	assert_int_equal(record.uid, 1000);
	assert_int_equal(record.pid, 4711);
	assert_int_equal(strlen(record.unit), UNIT_NAME_SIZE - 1);
	assert_true(strlen(peer_text(&peer, buffer, sizeof buffer)) < sizeof buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(credentials_and_groups),
		cmocka_unit_test(no_groups_and_many),
		cmocka_unit_test(peer_that_has_died_has_no_unit),
		cmocka_unit_test(old_kernel_believes_no_other_users_process),
		cmocka_unit_test(process_is_told_from_the_next_of_its_pid),
		cmocka_unit_test(descriptor_that_is_no_socket_is_refused),
		cmocka_unit_test(peer_is_printed_in_one_line),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
