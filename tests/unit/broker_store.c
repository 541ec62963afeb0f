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

static void descriptors_are_stored_by_name(void **state)
{
	struct stat sent, came;
	int pair[2], fd;

	(void)state;
	unit_pair(pair);
	assert_int_equal(fstat(pair[0], &sent), 0);
	/* It is not polled: what a keeper has said last is to be read by the next broker. */
	assert_true(store_put(STORE_KEEPER, 12, pair, 1));
	fd = told("FDSTORE=1\nFDPOLL=0\nFDNAME=group-12");
	assert_int_equal(fstat(fd, &came), 0);
	assert_int_equal(came.st_ino, sent.st_ino);
	close(fd);
	assert_true(store_put(STORE_FRONT, UINT64_MAX, pair, 1));
	close(told("FDSTORE=1\nFDPOLL=0\nFDNAME=front-18446744073709551615"));
	assert_true(store_put(STORE_HELPER, 3, pair, 1));
	close(told("FDSTORE=1\nFDPOLL=0\nFDNAME=helper-3"));
	store_forget(STORE_KEEPER, 12);
	assert_int_equal(told("FDSTOREREMOVE=1\nFDNAME=group-12"), -1);
	close(pair[0]);
	close(pair[1]);
}

static void without_systemd_nothing_is_stored(void **state)
{
	const int fd = STDIN_FILENO;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_false(store_put(STORE_FRONT, 1, &fd, 1));
	store_forget(STORE_FRONT, 1);
	log_set_level(LOG_EMERG);
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	assert_false(store_put(STORE_FRONT, 1, &fd, 1));
	log_set_level(LOG_INFO);
}

static void names_are_read_as_they_were_written(void **state)
{
	static const char *const others[] = {"", "vfio-broker.socket", "stored", "session-", "session-1", "group-",
		"group-x", "group--1", "group-01", "group-1x", "group-18446744073709551616", "Group-1", "front-",
		"front- 1", "front-+1", "front-1-2", "helper-0x1"};
	struct stored stored;

	(void)state;
	assert_true(store_parse("group-4294967295", &stored));
	assert_int_equal(stored.kind, STORE_KEEPER);
	assert_int_equal(stored.number, UINT32_MAX);
	assert_int_equal(stored.fd, -1);
	assert_true(store_parse("front-18446744073709551615", &stored));
	assert_int_equal(stored.kind, STORE_FRONT);
	assert_true(stored.number == UINT64_MAX);
	assert_true(store_parse("helper-7", &stored));
	assert_int_equal(stored.kind, STORE_HELPER);
	/* Of a broker before fronts. */
	assert_true(store_parse("session-1a-ffffffffff", &stored));
	assert_int_equal(stored.kind, STORE_SESSION);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		if (store_parse(others[i], &stored))
			fail_msg("\"%s\" is taken for a name of the store", others[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(descriptors_are_stored_by_name, begin, end),
		cmocka_unit_test_setup_teardown(without_systemd_nothing_is_stored, begin, end),
		cmocka_unit_test(names_are_read_as_they_were_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
