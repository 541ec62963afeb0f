/* SPDX-License-Identifier: MIT */
#include "front_bench.h"

/* What clients say, and how they hear. */

static const struct listing_request page;

static void hello_is_answered_here(void **state)
{
	struct bench *b = *state;
	const struct hello_request hello = {.version_lowest = 1, .version_highest = 9, .features = UINT64_MAX};
	const struct hello_reply *reply;
	int client = bench_connect(b, 1);

	bench_ask(b, client, BROKER_HELLO, 77, &hello, sizeof hello, -1);
	bench_expect(b, client, BROKER_HELLO, MESSAGE_REPLY, 77);
	reply = packet_body(&b->packet, sizeof *reply);
	assert_int_equal(reply->version, MESSAGE_VERSION);
	assert_int_equal(reply->kind, CHANNEL_BROKER);
	assert_int_equal(reply->features, 0);
	bench_expect_nothing(b, b->control);
	close(client);
}

static void requests_are_relayed_with_their_session(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 42);

	bench_ask(b, client, BROKER_LIST, 77, &page, sizeof page, -1);
	bench_expect(b, b->control, BROKER_LIST, 0, 42);
	assert_int_equal(b->packet.header.length, sizeof page);
	bench_answer(b, BROKER_LIST, 42, "all", 3);
	bench_expect(b, client, BROKER_LIST, MESSAGE_REPLY, 77);
	assert_memory_equal(b->packet.payload, "all", 3);
	bench_expect_nothing(b, client);
	close(client);
}

static void descriptors_of_replies_are_passed_on(void **state)
{
	const struct message_header request = {.type = BROKER_OPEN, .cookie = 42};
	struct open_request open = {.name = "0000:01:00.0"};
	struct bench *b = *state;
	int client = bench_client(b, 42), device[2], got;

	unit_pair(device);
	bench_ask(b, client, BROKER_OPEN, 7, &open, sizeof open, -1);
	bench_expect(b, b->control, BROKER_OPEN, 0, 42);
	packet_reply(&b->packet, &request);
	bench_send(b, b->control, device[1]);
	close(device[1]);
	bench_expect(b, client, BROKER_OPEN, MESSAGE_REPLY, 7);
	got = fdset_take(&b->packet.fds, 0);
	assert_true(got >= 0);
	assert_false(bench_is_over(device[0]));
	close(got);
	assert_true(bench_is_over(device[0]));
	close(device[0]);
	close(client);
}

/* The front has no copy of a device channel that never reached the client. */
static void device_channel_for_nobody_is_closed(void **state)
{
	const struct message_header request = {.type = BROKER_OPEN, .cookie = 42};
	struct bench *b = *state;
	int device[2];

	unit_pair(device);
	packet_reply(&b->packet, &request);
	bench_send(b, b->control, device[1]);
	close(device[1]);
	bench_settle(b);
	assert_true(bench_is_over(device[0]));
	close(device[0]);
}

static void one_request_at_a_time(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1), other = bench_client(b, 2);

	for (uint64_t i = 1; i <= 3; i++)
		bench_ask(b, client, BROKER_PING, i, NULL, 0, -1);
	for (uint64_t i = 1; i <= 3; i++) {
		bench_expect(b, b->control, BROKER_PING, 0, 1);
		bench_expect_nothing(b, b->control);
		/* another client's turn comes meanwhile */
		bench_ask(b, other, BROKER_PING, 9, NULL, 0, -1);
		bench_expect(b, b->control, BROKER_PING, 0, 2);
		bench_answer(b, BROKER_PING, 2, NULL, 0);
		bench_expect(b, other, BROKER_PING, MESSAGE_REPLY, 9);
		bench_answer(b, BROKER_PING, 1, NULL, 0);
		bench_expect(b, client, BROKER_PING, MESSAGE_REPLY, i);
	}
	close(client);
	close(other);
}

/* All of them have a request ready: each gets a turn before any gets a second. */
static void turns_go_round(void **state)
{
	struct bench *b = *state;
	int clients[40];
	unsigned int turns[40] = {0};

	for (size_t i = 0; i < 40; i++)
		clients[i] = bench_client(b, i + 1);
	for (size_t i = 0; i < 40; i++) {
		bench_ask(b, clients[i], 99, 1, NULL, 0, -1);
		bench_ask(b, clients[i], 99, 2, NULL, 0, -1);
	}
	for (size_t step = 0; step < 3; step++)
		front_step(&b->front, 0);
	for (size_t i = 0; i < 40; i++) {
		while (packet_receive(clients[i], MSG_DONTWAIT, 0, &b->packet) == PACKET_RECEIVED)
			turns[i]++;
		assert_in_range(turns[i], 1, 2);
		close(clients[i]);
	}
}

static void ill_formed_requests_are_refused_here(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	bench_ask(b, client, 99, 3, NULL, 0, -1);
	bench_expect_refusal(b, client, 99, 3, REFUSAL_UNSUPPORTED);
	bench_ask(b, client, FRONT_CONNECT, 4, NULL, 0, -1);
	bench_expect_refusal(b, client, FRONT_CONNECT, 4, REFUSAL_UNSUPPORTED);
	bench_ask(b, client, BROKER_LIST, 5, NULL, 0, -1);
	bench_expect_refusal(b, client, BROKER_LIST, 5, REFUSAL_MALFORMED);
	assert_string_equal(b->detail.text, "LIST: 0 bytes of payload, at least 8 needed");
	bench_expect_nothing(b, b->control);
	/* the broker hears of the number with the next packet */
	bench_ask(b, client, BROKER_PING, 6, NULL, 0, -1);
	bench_expect_counts(b, 3, 3);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	bench_answer(b, BROKER_PING, 1, NULL, 0);
	bench_expect(b, client, BROKER_PING, MESSAGE_REPLY, 6);
	bench_ping(b);
	close(client);
}

static void nothing_before_hello(void **state)
{
	struct bench *b = *state;
	int client = bench_connect(b, 1);

	bench_ask(b, client, BROKER_LIST, 5, &page, sizeof page, -1);
	bench_expect_refusal(b, client, BROKER_LIST, 5, REFUSAL_MALFORMED);
	assert_string_equal(b->detail.text, "LIST before HELLO");
	bench_expect_nothing(b, b->control);
	close(client);
}

static void broken_framing(struct bench *b, const void *bytes, size_t size, uint16_t type, uint64_t cookie)
{
	int client = bench_client(b, 1);

	assert_int_equal(send(client, bytes, size, 0), size);
	bench_expect_refusal(b, client, type, cookie, REFUSAL_MALFORMED);
	bench_expect_end(b, client);
	assert_true(bench_is_over(client));
	bench_expect_counts(b, 1, 1);
	bench_expect_closed(b, 1, FRONT_END_BROKEN, 0);
	close(client);
}

static void broken_framing_ends_the_session(void **state)
{
	struct bench *b = *state;
	const struct message_header header = {.type = BROKER_PING, .length = 1, .cookie = 3};

	broken_framing(b, "x", 1, 0, 0);
	broken_framing(b, "", 0, 0, 0);
	broken_framing(b, &header, sizeof header, BROKER_PING, 3);
}

/* ---- the end ---- */

static void hang_up_without_a_request(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	close(client);
	bench_expect_closed(b, 1, FRONT_END_HANGUP, 0);
	bench_expect_nothing(b, b->control);
}

static void hang_up_with_a_request_pending(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	for (uint64_t i = 1; i <= 3; i++)
		bench_ask(b, client, BROKER_PING, i, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	/* epoll does not report the requests behind the first; the hang-up it reports */
	bench_settle(b);
	close(client);
	bench_expect_closed(b, 1, FRONT_END_HANGUP, 0);
	/* and its answer is nobody's */
	bench_answer(b, BROKER_PING, 1, NULL, 0);
	bench_ping(b);
}

static void hang_up_with_replies_unread(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	bench_ask(b, client, BROKER_PING, 1, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	bench_answer(b, BROKER_PING, 1, NULL, 0);
	bench_settle(b);
	close(client);
	bench_expect_closed(b, 1, FRONT_END_HANGUP, 0);
}

/* "I shall say no more": what was asked before is answered. */
static void half_closed_client_gets_its_answers(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	for (uint64_t i = 1; i <= 3; i++)
		bench_ask(b, client, BROKER_PING, i, NULL, 0, -1);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	for (uint64_t i = 1; i <= 3; i++) {
		bench_expect(b, b->control, BROKER_PING, 0, 1);
		bench_expect_nothing(b, b->control);
		bench_answer(b, BROKER_PING, 1, NULL, 0);
		bench_expect(b, client, BROKER_PING, MESSAGE_REPLY, i);
	}
	bench_expect_end(b, client);
	bench_expect_closed(b, 1, FRONT_END_HANGUP, 0);
	close(client);
}

/* "I shall listen no more". */
static void deaf_client_is_cut_off(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	assert_int_equal(shutdown(client, SHUT_RD), 0);
	bench_ask(b, client, BROKER_PING, 1, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	bench_answer(b, BROKER_PING, 1, NULL, 0);
	bench_expect_closed(b, 1, FRONT_END_HANGUP, 0);
	assert_int_equal(send(client, "", 1, MSG_NOSIGNAL), -1);
	close(client);
}

/* Requests that were sent before the end are served, the first of them. */
static void last_request_of_a_client_that_has_left(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	bench_ask(b, client, BROKER_PING, 1, NULL, 0, -1);
	close(client);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	bench_expect_closed(b, 1, FRONT_END_HANGUP, 0);
}

/* ---- clients that do not read ---- */

/* Asks and answers until the client's socket is full and one reply waits; returns the number of replies. */
static uint64_t fill(struct bench *b, int client, uint64_t session)
{
	static uint8_t bytes[20000];
	uint64_t asked = 0;

	while (asked < 1000) {
		bench_ask(b, client, BROKER_LIST, ++asked, &page, sizeof page, -1);
		bench_settle(b);
		if (!bench_readable(b->control))
			break;
		bench_expect(b, b->control, BROKER_LIST, 0, session);
		bench_answer(b, BROKER_LIST, session, bytes, sizeof bytes);
		bench_settle(b);
	}
	assert_in_range(asked, 3, 999);
	/* the last was not read: a reply waits */
	return asked - 1;
}

static void one_unsent_reply_at_most(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);
	uint64_t replies = fill(b, client, 1);

	/* no turn for who does not read */
	assert_true(front_step(&b->front, 0));
	bench_expect_nothing(b, b->control);
	for (uint64_t i = 1; i <= replies; i++) {
		bench_expect(b, client, BROKER_LIST, MESSAGE_REPLY, i);
		assert_int_equal(b->packet.header.length, 20000);
	}
	bench_expect(b, b->control, BROKER_LIST, 0, 1);
	bench_answer(b, BROKER_LIST, 1, NULL, 0);
	bench_expect(b, client, BROKER_LIST, MESSAGE_REPLY, replies + 1);
	close(client);
}

static void hang_up_with_a_reply_unsent(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	fill(b, client, 1);
	close(client);
	bench_expect_closed(b, 1, FRONT_END_HANGUP, 0);
}

static void send_event(struct bench *b, uint64_t session)
{
	const struct change_event change = {0};

	packet_event(&b->packet, BROKER_EVENT_CHANGE);
	b->packet.header.cookie = session;
	bench_start_packet(b, &change, sizeof change);
	bench_send(b, b->control, -1);
	bench_settle(b);
}

static void events_reach_the_client(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1);

	send_event(b, 1);
	send_event(b, 2);
	bench_expect(b, client, BROKER_EVENT_CHANGE, MESSAGE_EVENT, 0);
	assert_int_equal(b->packet.header.length, sizeof(struct change_event));
	bench_expect_nothing(b, client);
	bench_expect_nothing(b, b->control);
	close(client);
}

/* Reads all but the replies of fill(), COUNT events. */
static void read_events(struct bench *b, int client, int *ret_count)
{
	*ret_count = 0;
	while (bench_receive(b, client) == PACKET_RECEIVED)
		*ret_count += b->packet.header.type == BROKER_EVENT_CHANGE;
}

static void events_without_room_are_counted(void **state)
{
	const struct front_missed *missed;
	struct bench *b = *state;
	int client = bench_client(b, 1), sent = 0, got;

	while (b->front.sessions.rbh_root->missed == 0 && sent++ < 5000)
		send_event(b, 1);
	assert_in_range(sent, 2, 4999);
	send_event(b, 1);
	send_event(b, 1);
	bench_expect_nothing(b, b->control);
	read_events(b, client, &got);
	assert_int_equal(got, sent - 1);
	bench_expect(b, b->control, FRONT_EVENT_MISSED, MESSAGE_EVENT, 0);
	missed = packet_body(&b->packet, sizeof *missed);
	assert_int_equal(missed->session, 1);
	assert_int_equal(missed->missed, 3);
	/* from here on they come again */
	send_event(b, 1);
	bench_expect(b, client, BROKER_EVENT_CHANGE, MESSAGE_EVENT, 0);
	bench_expect_nothing(b, b->control);
	/* and so do answers */
	bench_ask(b, client, BROKER_PING, 3, NULL, 0, -1);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	close(client);
}

static void events_behind_an_unsent_reply_are_counted(void **state)
{
	const struct front_missed *missed;
	struct bench *b = *state;
	int client = bench_client(b, 1), got;

	fill(b, client, 1);
	send_event(b, 1);
	read_events(b, client, &got);
	assert_int_equal(got, 0);
	bench_expect(b, b->control, FRONT_EVENT_MISSED, MESSAGE_EVENT, 0);
	missed = packet_body(&b->packet, sizeof *missed);
	assert_int_equal(missed->missed, 1);
	bench_expect(b, b->control, BROKER_LIST, 0, 1);
	close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRONT_CASE(hello_is_answered_here),
		FRONT_CASE(requests_are_relayed_with_their_session),
		FRONT_CASE(descriptors_of_replies_are_passed_on),
		FRONT_CASE(device_channel_for_nobody_is_closed),
		FRONT_CASE(one_request_at_a_time),
		FRONT_CASE(turns_go_round),
		FRONT_CASE(ill_formed_requests_are_refused_here),
		FRONT_CASE(nothing_before_hello),
		FRONT_CASE(broken_framing_ends_the_session),
		FRONT_CASE(hang_up_without_a_request),
		FRONT_CASE(hang_up_with_a_request_pending),
		FRONT_CASE(hang_up_with_replies_unread),
		FRONT_CASE(half_closed_client_gets_its_answers),
		FRONT_CASE(deaf_client_is_cut_off),
		FRONT_CASE(last_request_of_a_client_that_has_left),
		FRONT_CASE(one_unsent_reply_at_most),
		FRONT_CASE(hang_up_with_a_reply_unsent),
		FRONT_CASE(events_reach_the_client),
		FRONT_CASE(events_without_room_are_counted),
		FRONT_CASE(events_behind_an_unsent_reply_are_counted),
	};

	log_set_level(-1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
