/* SPDX-License-Identifier: MIT */
#include "base/limits.h"
#include "base/notify.h"
#include "base/store.h"
#include "log.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A $NOTIFY_SOCKET that nobody reads for a while: the broker goes on, and its messages come in order. */

static int systemd = -1;
static sd_event *event;
static char path[64];

static void listen_at(const char *name, size_t length)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, name, length);
	systemd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(systemd, (struct sockaddr *)&address,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
		0);
}

static int begin(void **state)
{
	(void)state;
	log_set_level(LOG_ERR);
	snprintf(path, sizeof path, "/tmp/broker_notify.%d", (int)getpid());
	listen_at(path, strlen(path) + 1);
	assert_int_equal(sd_event_new(&event), 0);
	return setenv("NOTIFY_SOCKET", path, 1);
}

static int end(void **state)
{
	(void)state;
	close(systemd);
	notify_end();
	assert_int_equal(notify_kept(), 0);
	sd_event_unref(event);
	unlink(path);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return unsetenv("NOTIFY_SOCKET");
}

/* Receives one message into TEXT; returns the fd that came with it, or -1. False: there is none. */
static bool receive(char text[256], int *ret_fd)
{
	union {
		struct cmsghdr align;
		char bytes[256];
	} control;
	struct iovec iov = {text, 255};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
	ssize_t length;

	message.msg_controllen = sizeof control.bytes;
	length = recvmsg(systemd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (length < 0)
		return false;
	text[length] = '\0';
	*ret_fd = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_type == SCM_RIGHTS)
			memcpy(ret_fd, CMSG_DATA(c), sizeof *ret_fd);
	}
	return true;
}

/* Sends until PID 1's socket is full. Returns how many messages were sent. */
static unsigned int fill(void)
{
	unsigned int sent = 0;
	char text[32];

	while (notify_kept() == 0) {
		snprintf(text, sizeof text, "STATUS=%u", sent++);
		assert_true(notify_send(text, NULL, 0));
		assert_true(sent < 100000);
	}
	return sent;
}

static void expect_numbers(unsigned int first, unsigned int count)
{
	char text[256], expected[32];
	int fd;

	for (unsigned int i = first; i < first + count; i++) {
		/* The timer sends the rest. */
		for (int tries = 0; !receive(text, &fd); tries++) {
			assert_true(tries < 200);
			assert_true(sd_event_run(event, 100000) >= 0);
		}
		snprintf(expected, sizeof expected, "STATUS=%u", i);
		assert_string_equal(text, expected);
		assert_int_equal(fd, -1);
	}
}

static void a_full_socket_keeps_the_order(void **state)
{
	unsigned int sent;
	char text[256];
	int fd;

	(void)state;
	assert_int_equal(notify_begin(event), 0);
	sent = fill();
	for (unsigned int i = 0; i < 20; i++) {
		snprintf(text, sizeof text, "STATUS=%u", sent + i);
		assert_true(notify_send(text, NULL, 0));
	}
	assert_int_equal(notify_kept(), 21);
	expect_numbers(0, sent + 20);
	assert_int_equal(notify_kept(), 0);
	assert_false(receive(text, &fd));
}

static void a_kept_message_has_descriptors_of_its_own(void **state)
{
	struct stat sent, came;
	unsigned int count;
	char text[256];
	int pair[2], fd = -1;

	(void)state;
	count = fill();
	unit_pair(pair);
	assert_int_equal(fstat(pair[0], &sent), 0);
	assert_true(store_put(STORE_KEEPER, 7, &pair[0], 1));
	close(pair[0]);
	expect_numbers(0, count - 1);
	/* Without a loop, the next message brings the others along. */
	assert_true(notify_send("STATUS=last", NULL, 0));
	assert_int_equal(notify_kept(), 0);
	expect_numbers(count - 1, 1);
	assert_true(receive(text, &fd));
	assert_string_equal(text, "FDSTORE=1\nFDPOLL=0\nFDNAME=group-7");
	assert_int_equal(fstat(fd, &came), 0);
	assert_int_equal(came.st_ino, sent.st_ino);
	close(fd);
	assert_true(receive(text, &fd));
	assert_string_equal(text, "STATUS=last");
	close(pair[1]);
}

/* PID 1 has no use for a socket that is forgotten already, and the keeper shall see the end. */
static void forgetting_takes_back_what_waits(void **state)
{
	size_t kept;
	int pair[2];
	char byte;

	(void)state;
	fill();
	kept = notify_kept();
	unit_pair(pair);
	assert_true(store_put(STORE_KEEPER, 7, &pair[0], 1));
	assert_true(store_put(STORE_KEEPER, 77, &pair[1], 1));
	store_forget(STORE_KEEPER, 7);
	close(pair[0]);
	assert_int_equal(notify_kept(), kept + 2);
	assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0);
	/* Again and again: the queue does not grow. */
	for (int i = 0; i < 100; i++) {
		assert_true(store_put(STORE_KEEPER, 7, &pair[1], 1));
		store_forget(STORE_KEEPER, 7);
	}
	assert_int_equal(notify_kept(), kept + 2);
	close(pair[1]);
}

static void the_queue_has_an_end(void **state)
{
	(void)state;
	fill();
	while (notify_kept() < NOTIFY_KEPT_MAX)
		assert_true(notify_send("STATUS=more", NULL, 0));
	log_set_level(LOG_EMERG);
	assert_false(notify_send("STATUS=too many", NULL, 0));
	log_set_level(LOG_INFO);
	assert_int_equal(notify_kept(), NOTIFY_KEPT_MAX);
}

static void abstract_names_work(void **state)
{
	char text[256];
	int fd;

	(void)state;
	close(systemd);
	snprintf(path, sizeof path, "/tmp/broker_notify.%d", (int)getpid());
	unlink(path);
	path[0] = '\0';
	listen_at(path, 1 + strlen(path + 1));
	path[0] = '@';
	setenv("NOTIFY_SOCKET", path, 1);
	assert_true(notify_send("READY=1", NULL, 0));
	assert_true(receive(text, &fd));
	assert_string_equal(text, "READY=1");
}

static void nobody_is_told_without_a_socket(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_false(notify_send("READY=1", NULL, 0));
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_false(notify_send("READY=1", NULL, 0));
	assert_int_equal(notify_kept(), 0);
}

static void the_watchdog_is_told_and_waits_once(void **state)
{
	char text[256];
	size_t kept;
	int fd;

	(void)state;
	setenv("WATCHDOG_USEC", "20000", 1);
	assert_int_equal(notify_begin(event), 0);
	for (int tries = 0; !receive(text, &fd); tries++) {
		assert_true(tries < 1000);
		assert_true(sd_event_run(event, 100000) >= 0);
	}
	assert_string_equal(text, "WATCHDOG=1");
	fill();
	kept = notify_kept();
	for (int i = 0; i < 20; i++)
		assert_true(sd_event_run(event, 20000) >= 0);
	assert_in_range(notify_kept(), kept, kept + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_full_socket_keeps_the_order, begin, end),
		cmocka_unit_test_setup_teardown(a_kept_message_has_descriptors_of_its_own, begin, end),
		cmocka_unit_test_setup_teardown(forgetting_takes_back_what_waits, begin, end),
		cmocka_unit_test_setup_teardown(the_queue_has_an_end, begin, end),
		cmocka_unit_test_setup_teardown(abstract_names_work, begin, end),
		cmocka_unit_test_setup_teardown(nobody_is_told_without_a_socket, begin, end),
		cmocka_unit_test_setup_teardown(the_watchdog_is_told_and_waits_once, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
