/* SPDX-License-Identifier: MIT */
#include "base/store.h"
#include "log.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* What systemd is told, at a $NOTIFY_SOCKET that is this test's. */

static int systemd = -1;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static int begin(void **state)
{
	(void)state;
	snprintf(address.sun_path, sizeof address.sun_path, "/tmp/broker_store.%d", (int)getpid());
	systemd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(systemd, (struct sockaddr *)&address, sizeof address), 0);
	return setenv("NOTIFY_SOCKET", address.sun_path, 1);
}

static int end(void **state)
{
	(void)state;
	close(systemd);
	unlink(address.sun_path);
	return unsetenv("NOTIFY_SOCKET");
}

/* Receives one message; returns the fd that came with it, or -1. */
static int told(const char *expected)
{
	union {
		struct cmsghdr align;
		char bytes[256];
	} control;
	char text[256] = "";
	struct iovec iov = {text, sizeof text - 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
	int fd = -1;

	message.msg_controllen = sizeof control.bytes;
	assert_true(recvmsg(systemd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) > 0);
	assert_string_equal(text, expected);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(c), sizeof fd);
	}
	return fd;
}

static void sockets_are_stored_by_name(void **state)
{
	struct stat sent, came;
	int pair[2], fd;

	(void)state;
	unit_pair(pair);
	assert_int_equal(fstat(pair[0], &sent), 0);
	assert_true(store_session(pair[0], 0x1a, 0xffffffffff));
	fd = told("FDSTORE=1\nFDNAME=session-1a-ffffffffff");
	assert_int_equal(fstat(fd, &came), 0);
	assert_int_equal(came.st_ino, sent.st_ino);
	close(fd);
	/* It is not polled: what a keeper has said last is to be read by the next broker. */
	assert_true(store_keeper(pair[0], 12));
	fd = told("FDSTORE=1\nFDPOLL=0\nFDNAME=group-12");
	assert_true(fd >= 0);
	close(fd);
	store_forget_keeper(12);
	assert_int_equal(told("FDSTOREREMOVE=1\nFDNAME=group-12"), -1);
	close(pair[0]);
	close(pair[1]);
}

static void without_systemd_nothing_is_stored(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_false(store_session(STDIN_FILENO, 1, 1));
	assert_false(store_keeper(STDIN_FILENO, 1));
	store_forget_keeper(1);
	log_set_level(LOG_EMERG);
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	assert_false(store_session(STDIN_FILENO, 1, 1));
	log_set_level(LOG_INFO);
}

static void names_are_read_as_they_were_written(void **state)
{
	static const char *const others[] = {"", "vfio-broker.socket", "stored", "session-", "session-1", "session-1-",
		"session-1-2-3", "session-1-2 ", "session- 1-2", "session-01-2", "session-1-0x2", "session-+1-2",
		"session-A-2", "session-11112222333344445-1", "group-", "group-x", "group--1", "group-01", "group-1x",
		"group-4294967296", "Group-1"};
	struct stored stored;

	(void)state;
	assert_true(store_parse("session-1a-ffffffffff", &stored));
	assert_false(stored.is_keeper);
	assert_int_equal(stored.session, 0x1a);
	assert_int_equal(stored.started, 0xffffffffff);
	assert_true(store_parse("session-ffffffffffffffff-0", &stored));
	assert_true(stored.session == UINT64_MAX);
	assert_true(store_parse("group-4294967295", &stored));
	assert_true(stored.is_keeper);
	assert_int_equal(stored.group, UINT32_MAX);
	assert_int_equal(stored.fd, -1);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		if (store_parse(others[i], &stored))
			fail_msg("\"%s\" is taken for a name of the store", others[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sockets_are_stored_by_name, begin, end),
		cmocka_unit_test_setup_teardown(without_systemd_nothing_is_stored, begin, end),
		cmocka_unit_test(names_are_read_as_they_were_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
