/* SPDX-License-Identifier: MIT */
#include "front_bench.h"

#include <fcntl.h>

/* The beginning and the end of a front. */

static void hello_is_answered_on_the_control_socket(void **state)
{
	struct bench *b = *state;
	const struct front_hello_reply *reply;

	bench_hello(b, 1, 7);
	bench_expect(b, b->control, FRONT_HELLO, MESSAGE_REPLY, 5);
	reply = packet_body(&b->packet, sizeof *reply);
	assert_int_equal(b->packet.header.length, sizeof *reply);
	assert_int_equal(reply->hello.version, MESSAGE_VERSION);
	assert_int_equal(reply->hello.kind, CHANNEL_FRONT);
	assert_int_equal(reply->pid, getpid());
	assert_int_equal(reply->uid, getuid());
	bench_expect_nothing(b, b->lifeline);
	bench_ping(b);
}

static void other_versions_are_refused(void **state)
{
	struct bench *b = *state;

	bench_hello(b, 2, 7);
	bench_expect_refusal(b, b->control, FRONT_HELLO, 5, REFUSAL_UNSUPPORTED);
	bench_expect_end(b, b->control);
	assert_false(b->running);
}

static void no_common_version(void **state)
{
	struct bench *b = *state;

	bench_hello(b, 0, 0);
	bench_expect_refusal(b, b->control, FRONT_HELLO, 5, REFUSAL_UNSUPPORTED);
	bench_expect_end(b, b->control);
	assert_false(b->running);
}

static void something_else_than_hello(void **state)
{
	struct bench *b = *state;
	int pair[2];

	unit_pair(pair);
	b->control = pair[0];
	bench_ask(b, b->lifeline, FRONT_PING, 6, NULL, 0, pair[1]);
	close(pair[1]);
	bench_expect_refusal(b, b->control, FRONT_PING, 6, REFUSAL_MALFORMED);
	bench_expect_end(b, b->control);
	assert_false(b->running);
}

static void hello_without_a_control_socket(void **state)
{
	struct bench *b = *state;
	const struct hello_request hello = {.version_lowest = 1, .version_highest = 1};

	bench_ask(b, b->lifeline, FRONT_HELLO, 5, &hello, sizeof hello, -1);
	bench_settle(b);
	assert_false(b->running);
}

static void hello_with_another_file(void **state)
{
	struct bench *b = *state;
	const struct hello_request hello = {.version_lowest = 1, .version_highest = 1};

	bench_ask(b, b->lifeline, FRONT_HELLO, 5, &hello, sizeof hello, STDERR_FILENO);
	bench_settle(b);
	assert_false(b->running);
}

static void life_line_ends_before_hello(void **state)
{
	struct bench *b = *state;

	fd_cleanup(&b->lifeline);
	bench_settle(b);
	assert_false(b->running);
}

static void end_of_the_life_line_ends_all(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	fd_cleanup(&b->lifeline);
	bench_expect_end(b, client);
	bench_expect_end(b, b->control);
	assert_false(b->running);
	assert_false(front_step(&b->front, 0));
	assert_true(bench_is_over(client));
	close(client);
}

/* An earlier broker's end of the control socket is with systemd, or with the next broker. */
static void end_of_the_control_socket_ends_all(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	fd_cleanup(&b->control);
	bench_expect_end(b, client);
	assert_false(b->running);
	/* the life line ends with the process */
	bench_expect_nothing(b, b->lifeline);
	front_release(&b->front);
	bench_expect_end(b, b->lifeline);
	close(client);
}

static void control_socket_shut_down(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	shutdown(b->control, SHUT_WR);
	bench_expect_end(b, client);
	assert_false(b->running);
	close(client);
}

/* A broker that stops says its last words, and closes the socket. */
static void last_replies_reach_the_clients(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1), other = bench_client(b, 2);

	bench_ask(b, client, BROKER_STATUS, 11, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_STATUS, 0, 1);
	bench_ask(b, other, BROKER_STATUS, 12, NULL, 0, -1);
	bench_settle(b);
	bench_answer(b, BROKER_STATUS, 1, "ok", 2);
	/* with a request unread: the kernel tells the front ECONNRESET */
	fd_cleanup(&b->control);
	bench_expect(b, client, BROKER_STATUS, MESSAGE_REPLY, 11);
	bench_expect_end(b, client);
	bench_expect_end(b, other);
	close(client);
	close(other);
}

static void last_replies_come_before_the_end_of_the_life_line(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	bench_ask(b, client, BROKER_STATUS, 11, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_STATUS, 0, 1);
	bench_answer(b, BROKER_STATUS, 1, "ok", 2);
	fd_cleanup(&b->lifeline);
	bench_expect(b, client, BROKER_STATUS, MESSAGE_REPLY, 11);
	bench_expect_end(b, client);
	close(client);
}

/* More packets than one step takes: the clients among them see the end all the same. */
static void connections_on_their_way_see_the_end(void **state)
{
	const struct front_connect connect = {{0}};
	struct bench *b = *state;
	int clients[FRONT_ORDERS_MAX + 10];
	size_t count = sizeof clients / sizeof *clients;

	fd_cleanup(&b->lifeline);
	for (size_t i = 0; i < count; i++) {
		int pair[2];

		unit_pair(pair);
		clients[i] = pair[0];
		bench_ask(b, b->control, FRONT_CONNECT, i + 1, &connect, sizeof connect, pair[1]);
		close(pair[1]);
	}
	for (size_t i = 0; i < count; i++) {
		bench_expect_end(b, clients[i]);
		assert_true(bench_is_over(clients[i]));
		close(clients[i]);
	}
	assert_false(b->running);
}

static void two_fronts_in_one_process(void **state)
{
	struct bench *a = *state, *b;
	int first, second;
	void *other;

	assert_int_equal(bench_setup(&other), 0);
	b = other;
	first = bench_client(a, 1);
	second = bench_client(b, 1);
	shutdown(a->lifeline, SHUT_RDWR);
	bench_expect_end(a, first);
	bench_ask(b, second, BROKER_PING, 9, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	close(first);
	close(second);
	bench_teardown(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRONT_CASE_NEW(hello_is_answered_on_the_control_socket),
		FRONT_CASE_NEW(other_versions_are_refused),
		FRONT_CASE_NEW(no_common_version),
		FRONT_CASE_NEW(something_else_than_hello),
		FRONT_CASE_NEW(hello_without_a_control_socket),
		FRONT_CASE_NEW(hello_with_another_file),
		FRONT_CASE_NEW(life_line_ends_before_hello),
		FRONT_CASE(end_of_the_life_line_ends_all),
		FRONT_CASE(end_of_the_control_socket_ends_all),
		FRONT_CASE(control_socket_shut_down),
		FRONT_CASE(last_replies_reach_the_clients),
		FRONT_CASE(last_replies_come_before_the_end_of_the_life_line),
		FRONT_CASE(connections_on_their_way_see_the_end),
		FRONT_CASE(two_fronts_in_one_process),
	};

	log_set_level(-1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
