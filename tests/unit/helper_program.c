/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "helper_message.h"
#include "packet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* vfio-helper as a process, in its filter, on a host made of files (tests/fake/file_tree.h): its ends. */

#define A "0000:01:00.0"

static const char *program;
static char host[] = "/tmp/helper_program.XXXXXX";
static struct packet packet;
static pid_t helper;
static int channel;

static void file(const char *name, const char *text)
{
	char path[512];
	int fd;

	snprintf(path, sizeof path, "%s/%s", host, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void folder(const char *name)
{
	char path[512];

	snprintf(path, sizeof path, "%s/%s", host, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void assert_driver(const char *driver)
{
	char path[512], text[64] = "";
	int fd;

	snprintf(path, sizeof path, "%s/devices/" A "/driver", host);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof text - 1) >= 0);
	close(fd);
	assert_string_equal(text, driver);
}

static int make_host(void **state)
{
	(void)state;
	packet_init(&packet);
	assert_non_null(mkdtemp(host));
	folder("devices");
	folder("devices/" A);
	folder("drivers");
	file("drivers/e1000", "");
	file("devices/" A "/ids", "8086 100e 020000 1");
	assert_int_equal(setenv("FAKE_HOST", host, 1), 0);
	return 0;
}

static int remove_host(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof command, "rm -r %s", host);
	return system(command);
}

/* As systemd starts a helper. */
static void start(void **state)
{
	char pid[16];
	int pair[2];

	(void)state;
	file("devices/" A "/driver", "e1000");
	unit_pair(pair);
	channel = pair[0];
	helper = fork();
	assert_true(helper >= 0);
	if (helper == 0) {
		snprintf(pid, sizeof pid, "%d", getpid());
		setenv("LISTEN_PID", pid, 1);
		setenv("LISTEN_FDS", "1", 1);
		if (pair[1] == 3)
			fcntl(3, F_SETFD, 0);
		else
			dup2(pair[1], 3);
		execl(program, program, NULL);
		_exit(127);
	}
	close(pair[1]);
}

static void send_order(uint16_t type, const void *body, size_t size)
{
	packet_request(&packet, type, 1);
	memcpy(packet_append(&packet, size), body, size);
	assert_int_equal(packet_send(channel, 0, &packet), 0);
}

static void hello(void)
{
	const struct hello_request body = {.version_lowest = 1, .version_highest = MESSAGE_VERSION};
	const struct helper_hello_reply *who;

	send_order(HELPER_HELLO, &body, sizeof body);
	assert_int_equal(packet_receive(channel, 0, 0, &packet), PACKET_RECEIVED);
	who = packet_body(&packet, sizeof *who);
	assert_non_null(who);
	assert_int_equal(who->pid, helper);
}

static void send_unbind(void)
{
	send_order(HELPER_UNBIND, &(struct helper_order){.name = A, .driver = "e1000"}, sizeof(struct helper_order));
}

static int error_answered(void)
{
	const struct helper_reply *answer;

	assert_int_equal(packet_receive(channel, 0, 0, &packet), PACKET_RECEIVED);
	answer = packet_body(&packet, sizeof *answer);
	assert_non_null(answer);
	return (int)answer->error;
}

static void assert_silent(int ms)
{
	struct pollfd p = {channel, POLLIN, 0};

	assert_int_equal(poll(&p, 1, ms), 0);
}

static void release(const char *step)
{
	char path[512];

	snprintf(path, sizeof path, "%s/hang-%s", host, step);
	assert_int_equal(unlink(path), 0);
}

static int ended(void)
{
	int status;

	assert_int_equal(waitpid(helper, &status, 0), helper);
	close(channel);
	return status;
}

static void helper_ends_with_its_connection(void **state)
{
	start(state);
	hello();
	send_unbind();
	assert_int_equal(error_answered(), 0);
	assert_driver("");
	shutdown(channel, SHUT_WR);
	assert_int_equal(packet_receive(channel, 0, 0, &packet), PACKET_END);
	assert_int_equal(ended(), 0);
}

static void all_orders_pass_the_filter(void **state)
{
	const struct helper_order plain = {.name = A}, named = {.name = A, .driver = "e1000"};

	start(state);
	hello();
	send_order(HELPER_LOOK, &(struct helper_order){.flags = 3, .group = 9, .name = A}, sizeof plain);
	assert_int_equal(error_answered(), 0);
	send_order(HELPER_OVERRIDE_SET, &named, sizeof named);
	assert_int_equal(error_answered(), 0);
	send_order(HELPER_OVERRIDE_GET, &plain, sizeof plain);
	assert_int_equal(error_answered(), 0);
	send_unbind();
	assert_int_equal(error_answered(), 0);
	send_order(HELPER_BIND, &named, sizeof named);
	assert_int_equal(error_answered(), 0);
	assert_driver("e1000");
	send_order(HELPER_OVERRIDE_SET, &plain, sizeof plain);
	assert_int_equal(error_answered(), 0);
	shutdown(channel, SHUT_WR);
	assert_int_equal(ended(), 0);
}

static void signal_ends_an_idle_helper(void **state)
{
	start(state);
	hello();
	assert_int_equal(kill(helper, SIGTERM), 0);
	assert_int_equal(ended(), SIGTERM);
}

/* In the middle of an order, the signal waits until the answer is sent. */
static void signal_waits_for_the_answer(void **state)
{
	int status;

	start(state);
	hello();
	file("hang-unbind", A);
	send_unbind();
	assert_silent(100);
	assert_int_equal(kill(helper, SIGTERM), 0);
	assert_silent(100);
	release("unbind");
	assert_int_equal(error_answered(), 0);
	assert_driver("");
	status = ended();
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
}

/* The broker has given up: the step under way is finished, the next is not begun. */
static void late_helper_does_no_further_step(void **state)
{
	start(state);
	hello();
	file("hang-unbind", "");
	send_unbind();
	assert_silent(50);
	send_order(HELPER_BIND, &(struct helper_order){.name = A, .driver = "e1000"}, sizeof(struct helper_order));
	shutdown(channel, SHUT_WR);
	release("unbind");
	assert_int_equal(error_answered(), 0);
	assert_int_equal(packet_receive(channel, 0, 0, &packet), PACKET_END);
	assert_int_equal(ended(), 0);
	assert_driver("");
}

static void helper_needs_its_socket(void **state)
{
	int status;

	(void)state;
	helper = fork();
	if (helper == 0) {
		close(STDERR_FILENO);
		unsetenv("LISTEN_PID");
		execl(program, program, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(helper, &status, 0), helper);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(helper_ends_with_its_connection),
		cmocka_unit_test(all_orders_pass_the_filter),
		cmocka_unit_test(signal_ends_an_idle_helper),
		cmocka_unit_test(signal_waits_for_the_answer),
		cmocka_unit_test(late_helper_does_no_further_step),
		cmocka_unit_test(helper_needs_its_socket),
	};

	if (argc < 2)
		return EXIT_FAILURE;
	program = argv[1];
	return cmocka_run_group_tests(tests, make_host, remove_host);
}
