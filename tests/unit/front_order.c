/* SPDX-License-Identifier: MIT */
#include "front_bench.h"

#include "clock.h"

/* What the broker says; restarts of the broker; a control socket that is full. */

static const struct listing_request page;

static void turn_away_says_why(void **state)
{
	const struct front_connect connect = {{REFUSAL_QUOTA, 0}};
	struct bench *b = *state;
	int pair[2];

	unit_pair(pair);
	/* the client's HELLO is on the socket already: it must not turn the refusal into ECONNRESET */
	bench_ask(b, pair[0], BROKER_HELLO, 1, NULL, 0, -1);
	packet_request(&b->packet, FRONT_CONNECT, 7);
	bench_start_packet(b, &connect, sizeof connect);
	bench_start_packet(b, "no more", 7);
	bench_send(b, b->control, pair[1]);
	close(pair[1]);
	bench_expect_refusal(b, pair[0], BROKER_HELLO, 0, REFUSAL_QUOTA);
	assert_string_equal(b->detail.text, "no more");
	bench_expect_end(b, pair[0]);
	assert_true(bench_is_over(pair[0]));
	bench_expect_nothing(b, b->control);
	assert_int_equal(b->front.sessions_count, 0);
	close(pair[0]);
}

static void turn_away_of_a_client_that_has_left(void **state)
{
	const struct front_connect connect = {{REFUSAL_FAILED, ENOMEM}};
	struct bench *b = *state;
	int pair[2];

	unit_pair(pair);
	close(pair[0]);
	bench_ask(b, b->control, FRONT_CONNECT, 7, &connect, sizeof connect, pair[1]);
	close(pair[1]);
	bench_ping(b);
}

static void close_comes_after_the_replies_before_it(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	bench_ask(b, client, BROKER_PING, 3, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	bench_answer(b, BROKER_PING, 1, NULL, 0);
	bench_ask(b, b->control, FRONT_CLOSE, 1, NULL, 0, -1);
	bench_expect(b, client, BROKER_PING, MESSAGE_REPLY, 3);
	bench_expect_end(b, client);
	assert_true(bench_is_over(client));
	bench_expect_nothing(b, b->control);
	close(client);
}

static void close_ends_a_session_with_a_request(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	bench_ask(b, client, BROKER_PING, 3, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	bench_ask(b, b->control, FRONT_CLOSE, 1, NULL, 0, -1);
	bench_expect_end(b, client);
	/* a session that has ended */
	bench_ask(b, b->control, FRONT_CLOSE, 1, NULL, 0, -1);
	bench_answer(b, BROKER_PING, 1, NULL, 0);
	bench_ping(b);
	close(client);
}

static void look_finds_a_client_there(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	bench_ask(b, b->control, FRONT_LOOK, 1, NULL, 0, -1);
	bench_expect(b, b->control, FRONT_LOOK, MESSAGE_REPLY, 1);
	bench_expect_nothing(b, b->control);
	/* half closed is not hung up */
	bench_ask(b, client, BROKER_PING, 3, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	shutdown(client, SHUT_WR);
	bench_ask(b, b->control, FRONT_LOOK, 1, NULL, 0, -1);
	bench_expect(b, b->control, FRONT_LOOK, MESSAGE_REPLY, 1);
	close(client);
}

/* Both ends are ready at once: the order comes first, and the requests behind the hang-up do not count. */
static void look_finds_a_client_gone(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	bench_ask(b, client, BROKER_PING, 3, NULL, 0, -1);
	bench_ask(b, b->control, FRONT_LOOK, 1, NULL, 0, -1);
	close(client);
	bench_expect_closed(b, 1, FRONT_END_HANGUP, 0);
	bench_expect(b, b->control, FRONT_LOOK, MESSAGE_REPLY, 1);
	bench_expect_nothing(b, b->control);
	/* a session that has ended */
	bench_ask(b, b->control, FRONT_LOOK, 1, NULL, 0, -1);
	bench_expect(b, b->control, FRONT_LOOK, MESSAGE_REPLY, 1);
}

static void answers_that_nobody_waits_for_are_dropped(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	bench_answer(b, BROKER_PING, 1, NULL, 0);
	bench_answer(b, BROKER_PING, 2, NULL, 0);
	bench_ask(b, client, BROKER_PING, 3, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	/* of another type */
	bench_answer(b, BROKER_LIST, 1, NULL, 0);
	bench_answer(b, BROKER_PING, 1, NULL, 0);
	bench_answer(b, BROKER_PING, 1, NULL, 0);
	bench_expect(b, client, BROKER_PING, MESSAGE_REPLY, 3);
	bench_expect_nothing(b, client);
	close(client);
}

static void strange_orders_are_refused(void **state)
{
	const struct front_connect connect = {{0}};
	struct bench *b = *state;

	bench_ask(b, b->control, FRONT_TYPE_MAX, 1, NULL, 0, -1);
	bench_expect_refusal(b, b->control, FRONT_TYPE_MAX, 1, REFUSAL_UNSUPPORTED);
	bench_ask(b, b->control, BROKER_PING, 2, NULL, 0, -1);
	bench_expect_refusal(b, b->control, BROKER_PING, 2, REFUSAL_UNSUPPORTED);
	bench_ask(b, b->control, FRONT_PING, 3, "x", 1, -1);
	bench_expect_refusal(b, b->control, FRONT_PING, 3, REFUSAL_MALFORMED);
	bench_ask(b, b->control, FRONT_CONNECT, 4, &connect, sizeof connect, -1);
	bench_expect_refusal(b, b->control, FRONT_CONNECT, 4, REFUSAL_MALFORMED);
	bench_ask(b, b->control, FRONT_CONNECT, 5, &connect, 4, b->lifeline);
	bench_expect_refusal(b, b->control, FRONT_CONNECT, 5, REFUSAL_MALFORMED);
	bench_ping(b);
}

static void numbers_of_sessions_are_unique(void **state)
{
	struct bench *b = *state;
	int first = bench_client(b, 1), second = bench_connect(b, 1), zero;

	bench_expect_closed(b, 1, FRONT_END_FAILED, EEXIST);
	bench_expect_end(b, first);
	bench_expect_end(b, second);
	zero = bench_connect(b, 0);
	bench_expect_closed(b, 0, FRONT_END_FAILED, EINVAL);
	bench_expect_end(b, zero);
	close(first);
	close(second);
	close(zero);
}

/* ---- a full control socket ---- */

#define CLIENTS 100

/* CLIENTS ask more than the control socket has room for. */
static void flood(struct bench *b, int *clients)
{
	static struct {
		struct message_header header;
		struct explain_request explain;
		uint32_t groups[2000];
	} request = {.header = {BROKER_EXPLAIN, 0, sizeof request - sizeof request.header, 5},
		.explain = {.name = "0000:01:00.0"}};

	for (size_t i = 0; i < CLIENTS; i++)
		clients[i] = bench_client(b, i + 1);
	for (size_t i = 0; i < CLIENTS; i++)
		assert_int_equal(send(clients[i], &request, sizeof request, 0), sizeof request);
	bench_settle(b);
	assert_true(b->front.blocked);
}

static void close_all(const int *clients, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(clients[i]);
}

static void full_control_socket_loses_nothing(void **state)
{
	struct bench *b = *state;
	int clients[CLIENTS];
	bool seen[CLIENTS + 1] = {false};
	size_t got = 0, ping_after = 0;

	flood(b, clients);
	bench_ask(b, b->control, FRONT_PING, 500, NULL, 0, -1);
	close(clients[0]);
	bench_settle(b);
	assert_true(b->front.blocked);
	/* what has waited comes in this order: packets of the front, then requests */
	while (got < CLIENTS) {
		assert_int_equal(bench_receive(b, b->control), PACKET_RECEIVED);
		if (b->packet.header.type == FRONT_PING)
			ping_after = got;
		if (b->packet.header.type != BROKER_EXPLAIN)
			continue;
		assert_false(seen[b->packet.header.cookie]);
		seen[b->packet.header.cookie] = true;
		got++;
	}
	assert_in_range(ping_after, 1, CLIENTS - 1);
	bench_settle(b);
	assert_false(b->front.blocked);
	close_all(clients + 1, CLIENTS - 1);
}

/* ---- a new broker ---- */

static size_t query(struct bench *b, uint64_t cookie, struct front_query_record *records, size_t max)
{
	const struct front_query_reply *reply;
	size_t count = 0;

	do {
		/* whatever was sent before is the earlier broker's */
		do
			assert_int_equal(bench_receive(b, b->control), PACKET_RECEIVED);
		while (b->packet.header.type != FRONT_QUERY);
		assert_int_equal(b->packet.header.cookie, cookie);
		reply = packet_body(&b->packet, sizeof *reply);
		assert_int_equal(reply->pid, getpid());
		assert_int_equal(reply->uid, getuid());
		assert_int_equal(b->packet.header.length, sizeof *reply + reply->count * sizeof *records);
		assert_in_range(count + reply->count, 0, max);
		memcpy(records + count, reply + 1, reply->count * sizeof *records);
		count += reply->count;
	} while (reply->more);
	return count;
}

static void query_of_an_empty_front(void **state)
{
	struct bench *b = *state;
	struct front_query_record record;

	bench_ask(b, b->control, FRONT_QUERY, 9, NULL, 0, -1);
	assert_int_equal(query(b, 9, &record, 1), 0);
	bench_expect_nothing(b, b->control);
}

static void query_names_the_sessions(void **state)
{
	struct bench *b = *state;
	struct front_query_record records[600];
	int clients[500];
	uint64_t before = clock_us();

	for (size_t i = 0; i < 500; i++)
		clients[i] = bench_client(b, 2 * i + 1);
	bench_ask(b, clients[7], BROKER_PING, 3, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_PING, 0, 15);
	bench_ask(b, b->control, FRONT_QUERY, 9, NULL, 0, -1);
	assert_int_equal(query(b, 9, records, 600), 500);
	for (size_t i = 0; i < 500; i++) {
		assert_int_equal(records[i].session, 2 * i + 1);
		assert_int_equal(records[i].flags, i == 7 ? FRONT_QUERY_PENDING : 0);
		assert_int_equal(records[i].zero, 0);
		if (i == 7)
			assert_in_range(records[i].arrived_us, before, clock_us());
		else
			assert_int_equal(records[i].arrived_us, 0);
	}
	bench_expect(b, b->control, BROKER_PING, 0, 15);
	bench_expect_nothing(b, b->control);
	close_all(clients, 500);
}

/* The earlier broker answered one of three, the next broker gets the two others again, in the order of arrival. */
static void unanswered_requests_are_sent_again_once(void **state)
{
	static const uint64_t order[] = {30, 10, 20};
	struct bench *b = *state;
	struct front_query_record records[3];
	int clients[3];

	for (size_t i = 0; i < 3; i++)
		clients[i] = bench_client(b, order[i]);
	for (size_t i = 0; i < 3; i++) {
		bench_ask(b, clients[i], BROKER_LIST, 100 + i, &page, sizeof page, -1);
		bench_expect(b, b->control, BROKER_LIST, 0, order[i]);
	}
	bench_answer(b, BROKER_LIST, 10, NULL, 0);
	bench_expect(b, clients[1], BROKER_LIST, MESSAGE_REPLY, 101);
	for (uint64_t broker = 2; broker < 5; broker++) {
		bench_ask(b, b->control, FRONT_QUERY, broker, NULL, 0, -1);
		assert_int_equal(query(b, broker, records, 3), 3);
		bench_expect(b, b->control, BROKER_LIST, 0, 30);
		assert_int_equal(b->packet.header.length, sizeof page);
		bench_expect(b, b->control, BROKER_LIST, 0, 20);
		bench_expect_nothing(b, b->control);
	}
	for (size_t i = 0; i < 3; i += 2) {
		bench_answer(b, BROKER_LIST, order[i], NULL, 0);
		bench_expect(b, clients[i], BROKER_LIST, MESSAGE_REPLY, 100 + i);
		bench_expect_nothing(b, clients[i]);
	}
	bench_ask(b, b->control, FRONT_QUERY, 9, NULL, 0, -1);
	assert_int_equal(query(b, 9, records, 3), 3);
	bench_expect_nothing(b, b->control);
	close_all(clients, 3);
}

/* A reply that the earlier broker sent in its last moment is on the control socket before the QUERY. */
static void last_reply_of_the_earlier_broker_counts(void **state)
{
	struct bench *b = *state;
	struct front_query_record record;
	int client = bench_client(b, 1);

	bench_ask(b, client, BROKER_PING, 3, NULL, 0, -1);
	bench_settle(b);
	bench_answer(b, BROKER_PING, 1, NULL, 0);
	bench_ask(b, b->control, FRONT_QUERY, 9, NULL, 0, -1);
	assert_int_equal(query(b, 9, &record, 1), 1);
	assert_int_equal(record.flags, 0);
	bench_expect(b, client, BROKER_PING, MESSAGE_REPLY, 3);
	bench_expect_nothing(b, b->control);
	close(client);
}

static void query_through_a_full_control_socket(void **state)
{
	struct bench *b = *state;
	struct front_query_record records[CLIENTS];
	bool seen[CLIENTS + 1] = {false};
	int clients[CLIENTS];
	size_t again = 0;

	flood(b, clients);
	/* PING of the earlier broker, two new ones of which the first is killed: neither PING nor first QUERY is
	 * answered */
	bench_ask(b, b->control, FRONT_PING, 500, NULL, 0, -1);
	bench_ask(b, b->control, FRONT_QUERY, 8, NULL, 0, -1);
	bench_ask(b, b->control, FRONT_QUERY, 9, NULL, 0, -1);
	bench_settle(b);
	while (bench_readable(b->control)) {
		assert_int_equal(packet_receive(b->control, MSG_DONTWAIT, 0, &b->packet), PACKET_RECEIVED);
		assert_int_equal(b->packet.header.type, BROKER_EXPLAIN);
	}
	assert_int_equal(query(b, 9, records, CLIENTS), CLIENTS);
	for (size_t i = 0; i < CLIENTS; i++)
		again += records[i].flags == FRONT_QUERY_PENDING;
	assert_in_range(again, 1, CLIENTS);
	for (size_t i = 0; i < CLIENTS; i++) {
		assert_int_equal(bench_receive(b, b->control), PACKET_RECEIVED);
		assert_int_equal(b->packet.header.type, BROKER_EXPLAIN);
		assert_false(seen[b->packet.header.cookie]);
		seen[b->packet.header.cookie] = true;
		/* those that arrived before the QUERY come first */
		if (i < again)
			assert_int_equal(records[b->packet.header.cookie - 1].flags, FRONT_QUERY_PENDING);
	}
	bench_expect_nothing(b, b->control);
	close_all(clients, CLIENTS);
}

/* The session ends while the answer is on its way: CLOSED comes behind the answer. */
static void end_of_a_session_comes_behind_the_answer(void **state)
{
	struct bench *b = *state;
	struct front_query_record records[CLIENTS];
	int clients[CLIENTS];

	flood(b, clients);
	bench_ask(b, b->control, FRONT_QUERY, 9, NULL, 0, -1);
	bench_settle(b);
	close(clients[0]);
	bench_ask(b, b->control, FRONT_LOOK, 1, NULL, 0, -1);
	bench_settle(b);
	query(b, 9, records, CLIENTS);
	bench_expect_closed(b, 1, FRONT_END_HANGUP, 0);
	bench_expect(b, b->control, FRONT_LOOK, MESSAGE_REPLY, 1);
	/* its request is not sent again */
	for (size_t i = 1; i < CLIENTS; i++) {
		assert_int_equal(bench_receive(b, b->control), PACKET_RECEIVED);
		assert_int_equal(b->packet.header.type, BROKER_EXPLAIN);
		assert_int_not_equal(b->packet.header.cookie, 1);
	}
	bench_expect_nothing(b, b->control);
	close_all(clients + 1, CLIENTS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRONT_CASE(turn_away_says_why),
		FRONT_CASE(turn_away_of_a_client_that_has_left),
		FRONT_CASE(close_comes_after_the_replies_before_it),
		FRONT_CASE(close_ends_a_session_with_a_request),
		FRONT_CASE(look_finds_a_client_there),
		FRONT_CASE(look_finds_a_client_gone),
		FRONT_CASE(answers_that_nobody_waits_for_are_dropped),
		FRONT_CASE(strange_orders_are_refused),
		FRONT_CASE(numbers_of_sessions_are_unique),
		FRONT_CASE(full_control_socket_loses_nothing),
		FRONT_CASE(query_of_an_empty_front),
		FRONT_CASE(query_names_the_sessions),
		FRONT_CASE(unanswered_requests_are_sent_again_once),
		FRONT_CASE(last_reply_of_the_earlier_broker_counts),
		FRONT_CASE(query_through_a_full_control_socket),
		FRONT_CASE(end_of_a_session_comes_behind_the_answer),
	};

	log_set_level(-1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
