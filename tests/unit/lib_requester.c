/* SPDX-License-Identifier: MIT */
#include "requester.h"

#include "detail.h"
#include "lib_server.h"
#include "vfio-broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

static struct server server;
static struct requester requester;

static void begin(const struct request_table *table, void (*script)(struct server *), const void *argument)
{
	server_start(&server, table, script, argument);
	requester_init(&requester, server.client, table);
}

static void finish(void)
{
	requester_clear(&requester);
	close(server.client);
	server_finish(&server);
}

static const struct requester_reply eight_bytes = {.size = 8};

static int call(const struct requester_reply *expected)
{
	detail_clear();
	requester_begin(&requester, DEVICE_DESCRIBE, 0);
	return requester_call(&requester, expected);
}

/* ---- what must work ---- */

static void answer_pings(struct server *s)
{
	while (server_receive(s)) {
		server_reply(s, 0);
		server_send(s);
	}
}

static void test_ping(void **state)
{
	(void)state;
	begin(&device_table, answer_pings, NULL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(requester_ping(&requester), 0);
	finish();
	assert_int_equal(server.requests, 3);
}

static void test_non_blocking_socket(void **state)
{
	(void)state;
	begin(&device_table, answer_pings, NULL);
	assert_int_equal(fcntl(server.client, F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(requester_ping(&requester), 0);
	finish();
}

static void answer_with_events(struct server *s)
{
	server_receive(s);
	for (uint16_t type = 100; type < 105; type++) {
		packet_event(&s->reply, type);
		packet_append(&s->reply, 24);
		server_send(s);
	}
	memset(server_reply(s, 8), 'x', 8);
	server_send(s);
}

static void test_events_in_between(void **state)
{
	(void)state;
	begin(&device_table, answer_with_events, NULL);
	assert_int_equal(call(&eight_bytes), 0);
	assert_memory_equal(requester.packet.payload, "xxxxxxxx", 8);
	finish();
}

/* As a broker whose predecessor was killed between its reply and the next request. */
static void answer_twice(struct server *s)
{
	for (int i = 0; server_receive(s); i++) {
		s->request.header.cookie--;
		for (int j = 0; i > 0 && j < 2; j++) {
			server_reply(s, 3);
			fdset_add(&s->reply.fds, dup(STDERR_FILENO));
			server_send(s);
		}
		s->request.header.cookie++;
		memset(server_reply(s, 8), 'x', 8);
		fdset_add(&s->reply.fds, dup(STDERR_FILENO));
		server_send(s);
	}
}

static void test_second_replies(void **state)
{
	static const struct requester_reply eight_and_fd = {.size = 8, .fds = 1};

	(void)state;
	begin(&broker_table, answer_twice, NULL);
	for (int i = 0; i < 3; i++) {
		requester_begin(&requester, BROKER_STATUS, 0);
		assert_int_equal(requester_call(&requester, &eight_and_fd), 0);
		assert_memory_equal(requester.packet.payload, "xxxxxxxx", 8);
		assert_int_equal(requester.packet.fds.count, 1);
		fdset_clear(&requester.packet.fds);
	}
	finish();
	/* Keepers and owners of domains have no successors. */
	begin(&device_table, answer_twice, NULL);
	assert_int_equal(call(&eight_and_fd), 0);
	fdset_clear(&requester.packet.fds);
	assert_int_equal(call(&eight_and_fd), -EPROTO);
	finish();
}

static void answer_hello(struct server *s)
{
	server_greet(s, CHANNEL_DOMAIN);
}

static void test_hello(void **state)
{
	enum channel_kind kind = 0;

	(void)state;
	begin(&device_table, answer_hello, NULL);
	assert_int_equal(requester_hello(&requester, &kind), 0);
	assert_int_equal(kind, CHANNEL_DOMAIN);
	finish();
}

static void refuse_request(struct server *s)
{
	struct detail detail;

	server_receive(s);
	refuse(&detail, REFUSAL_DEVICE_BUSY, "uid 1000 has it\033[2J");
	packet_refuse(&s->reply, &s->request.header, REFUSAL_DEVICE_BUSY, &detail);
	server_send(s);
	server_receive(s);
	packet_refuse(&s->reply, &s->request.header, -EIO, NULL);
	server_send(s);
}

static void test_refusals(void **state)
{
	(void)state;
	begin(&device_table, refuse_request, NULL);
	assert_int_equal(call(&eight_bytes), REFUSAL_DEVICE_BUSY);
	assert_string_equal(vbroker_detail(), "uid 1000 has it?[2J");
	assert_int_equal(call(&eight_bytes), -EIO);
	assert_string_equal(vbroker_detail(), "");
	finish();
}

static void test_attach_bad_fd(void **state)
{
	(void)state;
	begin(&device_table, answer_pings, NULL);
	requester_begin(&requester, DEVICE_BIND, sizeof(struct bind_request));
	assert_int_equal(requester_attach(&requester, -1), -EBADF);
	assert_int_equal(requester_ping(&requester), 0);
	finish();
}

/* ---- replies that are none: each costs the channel, -EPROTO, and nothing else ---- */

struct lie {
	const char *name;
	void (*tell)(struct server *s);
	unsigned int fds_expected;
};

static void send_raw(struct server *s, const void *bytes, size_t size)
{
	send(s->fd, bytes, size, MSG_NOSIGNAL);
}

static void wrong_cookie(struct server *s)
{
	server_reply(s, 8);
	s->reply.header.cookie++;
	server_send(s);
}

static void wrong_type(struct server *s)
{
	server_reply(s, 8);
	s->reply.header.type++;
	server_send(s);
}

static void no_reply_flag(struct server *s)
{
	server_reply(s, 8);
	s->reply.header.flags = 0;
	server_send(s);
}

static void unknown_flag(struct server *s)
{
	server_reply(s, 8);
	s->reply.header.flags |= 1 << 9;
	server_send(s);
}

static void event_with_cookie(struct server *s)
{
	server_reply(s, 8);
	s->reply.header.flags = MESSAGE_EVENT;
	server_send(s);
}

static void short_payload(struct server *s)
{
	server_reply(s, 7);
	server_send(s);
}

static void trailing_byte(struct server *s)
{
	server_reply(s, 9);
	server_send(s);
}

static void refusal_cut(struct server *s)
{
	server_reply(s, 4);
	s->reply.header.flags |= MESSAGE_REFUSED;
	server_send(s);
}

static void refusal_none(struct server *s)
{
	server_reply(s, sizeof(struct message_refusal));
	s->reply.header.flags |= MESSAGE_REFUSED;
	server_send(s);
}

static void refusal_negative(struct server *s)
{
	struct message_refusal *refusal = server_reply(s, sizeof *refusal);

	refusal->refusal = UINT32_MAX;
	s->reply.header.flags |= MESSAGE_REFUSED;
	server_send(s);
}

static void lying_length(struct server *s)
{
	server_reply(s, 8);
	s->reply.header.length = 4000;
	send_raw(s, &s->reply.header, sizeof s->reply.header + 8);
}

static void half_header(struct server *s)
{
	server_reply(s, 0);
	send_raw(s, &s->reply.header, 9);
}

static void empty_packet(struct server *s)
{
	send_raw(s, "", 0);
	/* Open until the client has seen it: an empty packet on a socket that is hung up is the end. */
	server_receive(s);
}

static void oversized(struct server *s)
{
	static uint8_t bytes[MESSAGE_SIZE_MAX + 8];

	server_reply(s, 8);
	memcpy(bytes, &s->reply.header, sizeof s->reply.header);
	send_raw(s, bytes, sizeof bytes);
}

static void answer_with_surplus_fd(struct server *s)
{
	server_receive(s);
	server_reply(s, 8);
	fdset_add(&s->reply.fds, dup(s->fd));
	server_send(s);
}

static void two_fds(struct server *s)
{
	server_reply(s, 8);
	fdset_add(&s->reply.fds, dup(s->fd));
	fdset_add(&s->reply.fds, dup(s->fd));
	server_send(s);
}

static void fd_with_refusal(struct server *s)
{
	packet_refuse(&s->reply, &s->request.header, REFUSAL_DENIED, NULL);
	fdset_add(&s->reply.fds, dup(s->fd));
	server_send(s);
}

static void closed_event_cut(struct server *s)
{
	packet_event(&s->reply, DEVICE_EVENT_CLOSED);
	packet_append(&s->reply, sizeof(struct closed_event) - 1);
	server_send(s);
}

static void closed_event_negative(struct server *s)
{
	server_send_closed(s, UINT32_MAX, "");
}

static const struct lie lies[] = {
	{"wrong cookie", wrong_cookie, 0},
	{"wrong type", wrong_type, 0},
	{"no reply flag", no_reply_flag, 0},
	{"unknown flag", unknown_flag, 0},
	{"event with a cookie", event_with_cookie, 0},
	{"short payload", short_payload, 0},
	{"trailing byte", trailing_byte, 0},
	{"refusal cut short", refusal_cut, 0},
	{"refusal NONE", refusal_none, 0},
	{"refusal below 0", refusal_negative, 0},
	{"length not its own", lying_length, 0},
	{"half a header", half_header, 0},
	{"empty packet", empty_packet, 0},
	{"oversized packet", oversized, 0},
	{"two fds where one is expected", two_fds, 1},
	{"fd with a refusal", fd_with_refusal, 1},
	{"CLOSED event cut short", closed_event_cut, 0},
	{"CLOSED event, refusal below 0", closed_event_negative, 0},
};

static void tell_lie(struct server *s)
{
	const struct lie *lie = s->argument;

	server_receive(s);
	lie->tell(s);
	/* Nothing may come any more. */
	if (server_receive(s))
		s->malformed++;
}

/* No lie, but nothing to keep either: the kernel drops it. */
static void test_surplus_fd(void **state)
{
	static const struct requester_reply expected = {.size = 8};

	(void)state;
	begin(&device_table, answer_with_surplus_fd, NULL);
	assert_int_equal(call(&expected), 0);
	assert_int_equal(requester.packet.fds.count, 0);
	finish();
}

static void test_lies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		const struct requester_reply expected = {.size = 8, .fds = lies[i].fds_expected};

		begin(&device_table, tell_lie, &lies[i]);
		if (call(&expected) != -EPROTO)
			fail_msg("%s: %s", lies[i].name, vbroker_detail());
		assert_string_not_equal(vbroker_detail(), "");
		assert_int_equal(requester.packet.fds.count, 0);
		/* It stays so, with its reason, and sends nothing. */
		detail_clear();
		assert_int_equal(call(&expected), -EPROTO);
		assert_string_not_equal(vbroker_detail(), "");
		finish();
	}
}

static void test_missing_fd(void **state)
{
	const struct requester_reply one_fd = {.fds = 1};

	(void)state;
	begin(&device_table, answer_pings, NULL);
	assert_int_equal(call(&one_fd), -EPROTO);
	finish();
}

static void answer_ten_bytes(struct server *s)
{
	server_receive(s);
	server_reply(s, 10);
	server_send(s);
}

static void test_half_an_element(void **state)
{
	const struct requester_reply elements = {.size = 2, .element_size = 3};

	(void)state;
	begin(&device_table, answer_ten_bytes, NULL);
	assert_int_equal(call(&elements), -EPROTO);
	finish();
}

static void answer_other_version(struct server *s)
{
	struct hello_reply *reply;

	server_receive(s);
	reply = server_reply(s, sizeof *reply);
	reply->version = MESSAGE_VERSION + 1;
	reply->kind = CHANNEL_DEVICE;
	server_send(s);
}

static void test_hello_other_version(void **state)
{
	enum channel_kind kind;

	(void)state;
	begin(&device_table, answer_other_version, NULL);
	assert_int_equal(requester_hello(&requester, &kind), -EPROTO);
	finish();
}

/* Receives and says nothing until the client has gone. */
static void stay_silent(struct server *s)
{
	while (server_receive(s))
		;
}

#define TIMEOUT_MS 20

static void expect_late(int result, const char *who)
{
	assert_int_equal(result, -ETIME);
	if (!strstr(vbroker_detail(), who))
		fail_msg("'%s' does not say %s", vbroker_detail(), who);
}

static void test_no_answer(void **state)
{
	(void)state;
	begin(&device_table, stay_silent, NULL);
	requester_name(&requester, "0000:01:00.0");
	vbroker_set_timeout(TIMEOUT_MS);
	expect_late(
		call(&eight_bytes), "the keeper of 0000:01:00.0 is stopped or hangs: no reply to DESCRIBE in 0.02 s");
	/* A late answer would be taken for that of the next request: there is no next one. */
	vbroker_set_timeout(-1);
	expect_late(call(&eight_bytes), "no reply to DESCRIBE");
	vbroker_set_timeout(0);
	finish();
	assert_int_equal(server.requests, 1);
	begin(&domain_table, stay_silent, NULL);
	vbroker_set_timeout(TIMEOUT_MS);
	expect_late(call(&eight_bytes), "the owner of the domain");
	vbroker_set_timeout(0);
	finish();
}

/* Answers each request with a descriptor, but not before the next request. */
static void answer_one_late(struct server *s)
{
	struct message_header last;

	server_receive(s);
	last = s->request.header;
	while (server_receive(s)) {
		packet_reply(&s->reply, &last);
		memset(packet_append(&s->reply, 8), 'l', 8);
		fdset_add(&s->reply.fds, dup(STDERR_FILENO));
		server_send(s);
		last = s->request.header;
		memset(server_reply(s, 8), 'x', 8);
		fdset_add(&s->reply.fds, dup(STDERR_FILENO));
		server_send(s);
	}
}

/* The session goes on, with the right replies, and no descriptor is lost. */
static void test_late_answer_on_session(void **state)
{
	static const struct requester_reply eight_and_fd = {.size = 8, .fds = 1};

	(void)state;
	begin(&broker_table, answer_one_late, NULL);
	vbroker_set_timeout(TIMEOUT_MS);
	requester_begin(&requester, BROKER_STATUS, 0);
	expect_late(requester_call(&requester, &eight_and_fd), "no reply to STATUS in 0.02 s");
	vbroker_set_timeout(-1);
	for (int i = 0; i < 2; i++) {
		requester_begin(&requester, BROKER_STATUS, 0);
		assert_int_equal(requester_call(&requester, &eight_and_fd), 0);
		assert_memory_equal(requester.packet.payload, "xxxxxxxx", 8);
		fdset_clear(&requester.packet.fds);
	}
	vbroker_set_timeout(0);
	finish();
}

/* The answer is there after the call has given up: it is not read, and goes with the channel. */
static void test_late_answer_on_device(void **state)
{
	static const struct requester_reply eight_and_fd = {.size = 8, .fds = 1};
	struct pollfd p;

	(void)state;
	begin(&device_table, answer_one_late, NULL);
	vbroker_set_timeout(TIMEOUT_MS);
	expect_late(call(&eight_and_fd), "no reply to DESCRIBE");
	vbroker_set_timeout(0);
	requester_begin(&requester, DEVICE_PING, 0);
	assert_int_equal(packet_send(server.client, 0, &requester.packet), 0);
	p = (struct pollfd){.fd = server.client, .events = POLLIN};
	assert_int_equal(poll(&p, 1, -1), 1);
	expect_late(call(&eight_and_fd), "no reply to DESCRIBE");
	finish();
}

static void send_events_for_ever(struct server *s)
{
	server_receive(s);
	do {
		packet_event(&s->reply, 100);
		usleep(1000);
	} while (packet_send(s->fd, 0, &s->reply) == 0);
}

static void test_events_instead_of_an_answer(void **state)
{
	(void)state;
	begin(&device_table, send_events_for_ever, NULL);
	vbroker_set_timeout(TIMEOUT_MS);
	expect_late(call(&eight_bytes), "no reply to DESCRIBE");
	vbroker_set_timeout(0);
	finish();
}

static void wait_for_end(struct server *s)
{
	struct pollfd p = {.fd = s->fd};

	poll(&p, 1, -1);
}

/* The server reads nothing, and the socket gets full. */
static void test_no_reader(void **state)
{
	int size = 1;

	(void)state;
	begin(&broker_table, wait_for_end, NULL);
	setsockopt(server.client, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	vbroker_set_timeout(1);
	for (int i = 0; i < 100; i++)
		expect_late(requester_ping(&requester), "no reply to PING");
	assert_int_equal(send(server.client, "", 1, MSG_DONTWAIT), -1);
	vbroker_set_timeout(0);
	finish();
}

/* ---- the end ---- */

static void hang_up(struct server *s)
{
	server_receive(s);
}

static void test_end_of_device(void **state)
{
	(void)state;
	begin(&device_table, hang_up, NULL);
	assert_int_equal(call(&eight_bytes), REFUSAL_REVOKED);
	assert_non_null(strstr(vbroker_detail(), "without a reason"));
	assert_int_equal(call(&eight_bytes), REFUSAL_REVOKED);
	assert_non_null(strstr(vbroker_detail(), "without a reason"));
	finish();
}

static void test_end_of_session(void **state)
{
	(void)state;
	begin(&broker_table, hang_up, NULL);
	detail_clear();
	assert_int_equal(requester_ping(&requester), -ECONNRESET);
	assert_string_not_equal(vbroker_detail(), "");
	finish();
}

static void revoke_instead(struct server *s)
{
	server_receive(s);
	server_send_closed(s, REFUSAL_REVOKED, "the administrator wants it");
}

static void test_revoked_during_call(void **state)
{
	(void)state;
	begin(&device_table, revoke_instead, NULL);
	assert_int_equal(call(&eight_bytes), REFUSAL_REVOKED);
	assert_string_equal(vbroker_detail(), "the administrator wants it");
	assert_int_equal(requester_ping(&requester), REFUSAL_REVOKED);
	assert_string_equal(vbroker_detail(), "the administrator wants it");
	finish();
}

static void revoke_at_once(struct server *s)
{
	server_send_closed(s, REFUSAL_GONE, "unplugged");
}

/* The socket is closed before the request: sending fails, but what was sent before it still says why. */
static void test_closed_before_call(void **state)
{
	(void)state;
	begin(&device_table, revoke_at_once, NULL);
	server_wait(&server);
	assert_int_equal(call(&eight_bytes), REFUSAL_GONE);
	assert_string_equal(vbroker_detail(), "unplugged");
	finish();
}

static void revoke_with_request_unread(struct server *s)
{
	char byte;

	/* The client's request is there, and is not read: then close() resets the connection. */
	recv(s->fd, &byte, 1, MSG_PEEK);
	server_send_closed(s, REFUSAL_REVOKED, "policy changed");
}

static void test_reset_connection(void **state)
{
	(void)state;
	begin(&device_table, revoke_with_request_unread, NULL);
	requester_begin(&requester, DEVICE_DESCRIBE, 0);
	assert_int_equal(packet_send(server.client, 0, &requester.packet), 0);
	server_wait(&server);
	assert_int_equal(call(&eight_bytes), REFUSAL_REVOKED);
	assert_string_equal(vbroker_detail(), "policy changed");
	finish();
}

static void release_elsewhere(struct server *s)
{
	server_receive(s);
	server_send_closed(s, REFUSAL_NONE, "");
}

static void test_released_through_a_copy(void **state)
{
	(void)state;
	begin(&device_table, release_elsewhere, NULL);
	assert_int_equal(call(&eight_bytes), REFUSAL_REVOKED);
	assert_non_null(strstr(vbroker_detail(), "another copy"));
	finish();
}

/* On a session, 128 is no CLOSED event but one that is not known: it is skipped. */
static void test_closed_event_on_session(void **state)
{
	(void)state;
	begin(&broker_table, revoke_instead, NULL);
	detail_clear();
	assert_int_equal(requester_ping(&requester), -ECONNRESET);
	finish();
}

static const struct detail too_many = {"uid 1000 has 1024 sessions, the limit"};

static void refuse_channel(struct server *s)
{
	const struct message_header none = {.type = COMMON_HELLO};

	server_receive(s);
	packet_refuse(&s->reply, &none, REFUSAL_QUOTA, &too_many);
	server_send(s);
}

static void test_channel_refused(void **state)
{
	(void)state;
	begin(&broker_table, refuse_channel, NULL);
	/* It stays the answer to whatever is asked. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(requester_ping(&requester), REFUSAL_QUOTA);
		assert_string_equal(vbroker_detail(), too_many.text);
	}
	finish();
}

static void refuse_channel_at_once(struct server *s)
{
	const struct message_header none = {.type = COMMON_HELLO};

	packet_refuse(&s->reply, &none, REFUSAL_QUOTA, &too_many);
	server_send(s);
}

static void test_channel_refused_before_request(void **state)
{
	struct pollfd p;

	(void)state;
	begin(&broker_table, refuse_channel_at_once, NULL);
	p = (struct pollfd){.fd = server.client};
	assert_int_equal(poll(&p, 1, -1), 1);
	assert_true(p.revents & POLLHUP);
	/* The request cannot be sent any more, but why is still to be read. */
	assert_int_equal(requester_ping(&requester), REFUSAL_QUOTA);
	assert_string_equal(vbroker_detail(), too_many.text);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_non_blocking_socket),
		cmocka_unit_test(test_channel_refused),
		cmocka_unit_test(test_channel_refused_before_request),
		cmocka_unit_test(test_events_in_between),
		cmocka_unit_test(test_second_replies),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_attach_bad_fd),
		cmocka_unit_test(test_surplus_fd),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_missing_fd),
		cmocka_unit_test(test_half_an_element),
		cmocka_unit_test(test_hello_other_version),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_late_answer_on_session),
		cmocka_unit_test(test_late_answer_on_device),
		cmocka_unit_test(test_events_instead_of_an_answer),
		cmocka_unit_test(test_no_reader),
		cmocka_unit_test(test_end_of_device),
		cmocka_unit_test(test_end_of_session),
		cmocka_unit_test(test_revoked_during_call),
		cmocka_unit_test(test_closed_before_call),
		cmocka_unit_test(test_reset_connection),
		cmocka_unit_test(test_released_through_a_copy),
		cmocka_unit_test(test_closed_event_on_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
