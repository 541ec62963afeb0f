/* SPDX-License-Identifier: MIT */
#include "channel.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/*
 * A service with the domain table, whose handlers do what each case needs. The client's side is the raw socket, so
 * that the client can be as slow and as rude as it likes.
 */
struct service {
	int fds_before;
	struct channel channel;
	int client;
	uint64_t cookie;
	unsigned int calls;
	struct channel_buffers buffers;
	struct packet packet; /* the client's */
};

static struct service service_state;

static int answer(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct service *s = context;

	(void)request;
	(void)detail;
	s->calls++;
	memset(packet_append(reply, 30000), 'r', 30000);
	fdset_add(&reply->fds, dup(STDERR_FILENO));
	return 0;
}

static int answer_refused(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct service *s = context;

	(void)request;
	s->calls++;
	packet_append(reply, 100);
	fdset_add(&reply->fds, dup(STDERR_FILENO));
	return refuse(detail, REFUSAL_QUOTA, "no more");
}

static int answer_later(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct service *s = context;

	(void)request;
	(void)reply;
	(void)detail;
	s->calls++;
	return CHANNEL_LATER;
}

static int answer_by_closing(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct service *s = context;

	(void)request;
	(void)detail;
	fdset_add(&reply->fds, dup(STDERR_FILENO));
	channel_close(&s->channel);
	return 0;
}

static int answer_failed(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	(void)context;
	(void)request;
	(void)reply;
	refuse(detail, REFUSAL_FAILED, "while testing");
	return -EDOM;
}

static const channel_handler handlers[DOMAIN_TYPE_MAX] = {
	[DOMAIN_DESCRIBE] = answer,
	[DOMAIN_MAP] = answer_refused,
	[DOMAIN_UNMAP] = answer_later,
	[DOMAIN_FORGET] = answer_by_closing,
};

static const channel_handler failing_handlers[DOMAIN_TYPE_MAX] = {[DOMAIN_DESCRIBE] = answer_failed};

static const struct channel_service service = {&domain_table, handlers, 0x5};
static const struct channel_service failing_service = {&domain_table, failing_handlers, 0};
static const struct channel_service no_fds_service = {&broker_table, handlers, 0};

static int serve_setup(void **state)
{
	struct service *s = &service_state;
	int pair[2];

	memset(s, 0, sizeof *s);
	s->fds_before = unit_fds();
	unit_pair(pair);
	channel_init(&s->channel, pair[0]);
	s->client = pair[1];
	packet_init(&s->packet);
	packet_init(&s->buffers.request);
	packet_init(&s->buffers.reply);
	*state = s;
	return 0;
}

static int serve_teardown(void **state)
{
	struct service *s = *state;

	channel_close(&s->channel);
	channel_close(&s->channel);
	if (s->client >= 0)
		close(s->client);
	packet_clear(&s->packet);
	/* Between requests nothing may be left in the process's two packets. */
	assert_int_equal(unit_fds(), s->fds_before);
	return 0;
}

static uint64_t ask(struct service *s, uint16_t type, const void *body, size_t size)
{
	packet_request(&s->packet, type, ++s->cookie);
	if (size > 0)
		memcpy(packet_append(&s->packet, size), body, size);
	assert_int_equal(packet_send(s->client, MSG_DONTWAIT, &s->packet), 0);
	return s->cookie;
}

static void ask_hello(struct service *s)
{
	const struct hello_request hello = {.version_lowest = 1, .version_highest = 1, .features = 0xf};

	ask(s, COMMON_HELLO, &hello, sizeof hello);
}

static uint64_t ask_unmap(struct service *s)
{
	const struct {
		struct array_header header;
		struct unmap_element element;
	} unmap = {{.count = 1}, {0, 4096}};

	return ask(s, DOMAIN_UNMAP, &unmap, sizeof unmap);
}

static uint64_t ask_map(struct service *s)
{
	const struct {
		struct array_header header;
		struct map_element element;
	} map = {{.count = 1}, {.flags = MAP_DEVICE_READ, .handle = 1, .length = 1}};

	return ask(s, DOMAIN_MAP, &map, sizeof map);
}

static uint64_t ask_forget(struct service *s)
{
	const struct {
		struct array_header header;
		struct forget_element element;
	} forget = {{.count = 1}, {1, 0}};

	return ask(s, DOMAIN_FORGET, &forget, sizeof forget);
}

static int serve(struct service *s)
{
	return channel_serve(&s->channel, &service, s, &s->buffers);
}

/* Takes one packet on the client's side: a reply to COOKIE. */
static void take_reply(struct service *s, uint64_t cookie, uint16_t flags)
{
	assert_int_equal(packet_receive(s->client, MSG_DONTWAIT, 1, &s->packet), PACKET_RECEIVED);
	assert_int_equal(s->packet.header.cookie, cookie);
	assert_int_equal(s->packet.header.flags, MESSAGE_REPLY | flags);
}

static void take_refusal(struct service *s, uint64_t cookie, int refusal)
{
	struct detail detail;

	take_reply(s, cookie, MESSAGE_REFUSED);
	assert_int_equal(packet_refusal(&s->packet, &detail), refusal);
}

static void greet(struct service *s)
{
	ask_hello(s);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	take_reply(s, s->cookie, 0);
}

static void hello_opens_the_channel(void **state)
{
	struct service *s = *state;
	const struct hello_reply *hello = (const void *)s->packet.payload;

	assert_int_equal(s->channel.state, STATE_NEW);
	ask(s, COMMON_PING, NULL, 0);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	take_refusal(s, 1, REFUSAL_MALFORMED);
	greet(s);
	assert_int_equal(hello->features, 0x5);
	assert_int_equal(hello->kind, CHANNEL_DOMAIN);
	assert_int_equal(s->channel.state, STATE_READY);
	ask(s, COMMON_PING, NULL, 0);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	take_reply(s, 3, 0);
	assert_int_equal(s->packet.header.length, 0);
	/* Another HELLO does not unbind anything. */
	s->channel.state = STATE_BOUND;
	greet(s);
	assert_int_equal(s->channel.state, STATE_BOUND);
	assert_int_equal(s->channel.requests, 4);
	assert_int_equal(s->channel.refusals, 1);
}

static void refused_hello_leaves_it_new(void **state)
{
	struct service *s = *state;
	const struct hello_request hello = {.version_lowest = 2, .version_highest = 3};

	ask(s, COMMON_HELLO, &hello, sizeof hello);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	take_refusal(s, 1, REFUSAL_UNSUPPORTED);
	assert_int_equal(s->channel.state, STATE_NEW);
}

static void nothing_to_read_is_fine(void **state)
{
	struct service *s = *state;

	assert_int_equal(channel_events(&s->channel), POLLIN);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	assert_int_equal(s->channel.requests, 0);
}

static void end_of_the_client(void **state)
{
	struct service *s = *state;

	close(s->client);
	s->client = -1;
	assert_int_equal(serve(s), CHANNEL_ENDED);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	struct service *s = *state;

	ask_hello(s);
	ask(s, COMMON_PING, NULL, 0);
	ask_map(s);
	ask(s, 77, NULL, 0);
	ask(s, COMMON_PING, NULL, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(serve(s), CHANNEL_OPEN);
	take_reply(s, 1, 0);
	take_reply(s, 2, 0);
	take_refusal(s, 3, REFUSAL_QUOTA);
	assert_int_equal(s->packet.fds.count, 0);
	take_refusal(s, 4, REFUSAL_UNSUPPORTED);
	take_reply(s, 5, 0);
	assert_int_equal(s->calls, 1);
}

static void request_without_handler_is_unsupported(void **state)
{
	struct service *s = *state;
	const struct {
		struct array_header header;
		struct alloc_element element;
	} alloc = {{.count = 1}, {.flags = MAP_DEVICE_READ, .length = 1}};

	greet(s);
	ask(s, DOMAIN_ALLOC, &alloc, sizeof alloc);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	take_refusal(s, 2, REFUSAL_UNSUPPORTED);
}

static void handlers_errno_reaches_the_client(void **state)
{
	struct service *s = *state;
	struct detail detail;

	greet(s);
	ask(s, DOMAIN_DESCRIBE, NULL, 0);
	assert_int_equal(channel_serve(&s->channel, &failing_service, s, &s->buffers), CHANNEL_OPEN);
	take_reply(s, 2, MESSAGE_REFUSED);
	assert_int_equal(packet_refusal(&s->packet, &detail), -EDOM);
	assert_string_equal(detail.text, "while testing");
}

static void fds_that_no_handler_took_are_closed(void **state)
{
	struct service *s = *state;

	greet(s);
	packet_request(&s->packet, COMMON_PING, 9);
	fdset_add(&s->packet.fds, dup(s->client));
	assert_int_equal(packet_send(s->client, 0, &s->packet), 0);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	assert_int_equal(unit_fds(), s->fds_before + 2);
	take_refusal(s, 9, REFUSAL_MALFORMED);
}

static void broken_framing_is_told_and_closed(void **state)
{
	struct service *s = *state;
	const uint8_t byte = 1;

	greet(s);
	/* A request that the table refuses is no reason to close. */
	ask(s, COMMON_PING, &byte, 1);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	take_refusal(s, 2, REFUSAL_MALFORMED);
	assert_int_equal(send(s->client, &byte, 1, 0), 1);
	assert_int_equal(serve(s), CHANNEL_BROKEN);
	take_refusal(s, 0, REFUSAL_MALFORMED);
	assert_int_equal(send(s->client, &byte, 0, 0), 0);
	assert_int_equal(serve(s), CHANNEL_BROKEN);
	take_refusal(s, 0, REFUSAL_MALFORMED);
	channel_close(&s->channel);
	assert_int_equal(packet_receive(s->client, MSG_DONTWAIT, 1, &s->packet), PACKET_END);
}

static void unwanted_fds_are_dropped_unseen(void **state)
{
	struct service *s = *state;

	packet_request(&s->packet, COMMON_PING, 9);
	fdset_add(&s->packet.fds, dup(s->client));
	assert_int_equal(packet_send(s->client, 0, &s->packet), 0);
	assert_int_equal(channel_serve(&s->channel, &no_fds_service, s, &s->buffers), CHANNEL_OPEN);
	assert_int_equal(unit_fds(), s->fds_before + 2);
	assert_int_equal(packet_receive(s->client, MSG_DONTWAIT, 1, &s->packet), PACKET_RECEIVED);
	assert_int_equal(s->packet.header.cookie, 9);
	assert_true(s->packet.header.flags & MESSAGE_REPLY);
}

/* Sends DESCRIBE until a reply does not fit the socket any more. Returns how many were asked. */
static unsigned int fill(struct service *s)
{
	unsigned int asked = 0;

	while (!s->channel.unsent) {
		ask(s, DOMAIN_DESCRIBE, NULL, 0);
		assert_int_equal(serve(s), CHANNEL_OPEN);
		assert_true(++asked < 1000);
	}
	return asked;
}

static void client_that_does_not_read_is_not_read(void **state)
{
	struct service *s = *state;
	unsigned int asked, calls;

	greet(s);
	asked = fill(s);
	calls = s->calls;
	assert_int_equal(calls, asked);
	/* It asks on; nobody listens, and the descriptor of the waiting reply is the only one held. */
	ask(s, DOMAIN_DESCRIBE, NULL, 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(channel_events(&s->channel), POLLOUT);
		assert_int_equal(serve(s), CHANNEL_OPEN);
		assert_int_equal(s->calls, calls);
	}
	assert_int_equal(unit_fds(), s->fds_before + 3);
	/* It reads: the one that waited goes out whole and in its place, then the next is served. */
	for (unsigned int i = 0; i < asked - 1; i++)
		take_reply(s, 2 + i, 0);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	assert_null(s->channel.unsent);
	assert_int_equal(channel_events(&s->channel), POLLIN);
	take_reply(s, 1 + asked, 0);
	assert_int_equal(s->packet.header.length, 30000);
	assert_int_equal(s->packet.payload[29999], 'r');
	assert_int_equal(s->packet.fds.count, 1);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	take_reply(s, 2 + asked, 0);
}

static void client_that_dies_without_reading(void **state)
{
	struct service *s = *state;

	greet(s);
	fill(s);
	close(s->client);
	s->client = -1;
	assert_true(serve(s) < 0);
	/* What waited is gone, descriptor included, before anybody closes the channel. */
	assert_int_equal(unit_fds(), s->fds_before + 1);
}

static void closing_frees_what_waits(void **state)
{
	struct service *s = *state;

	greet(s);
	fill(s);
	channel_close(&s->channel);
	assert_int_equal(s->channel.fd, -1);
	assert_int_equal(unit_fds(), s->fds_before + 1);
}

/* The reply holds the only copy of a descriptor whose end somebody waits for: a device channel's, after OPEN. */
static void reply_to_a_dead_client_holds_nothing(void **state)
{
	struct service *s = *state;

	greet(s);
	ask(s, DOMAIN_DESCRIBE, NULL, 0);
	close(s->client);
	s->client = -1;
	assert_int_equal(serve(s), -EPIPE);
	assert_int_equal(unit_fds(), s->fds_before + 1);
}

static void handler_may_close_the_channel(void **state)
{
	struct service *s = *state;

	greet(s);
	ask_forget(s);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	assert_int_equal(s->channel.fd, -1);
	assert_int_equal(unit_fds(), s->fds_before + 1);
	assert_int_equal(packet_receive(s->client, MSG_DONTWAIT, 1, &s->packet), PACKET_END);
}

static void deferred_answer_comes_before_the_next_request(void **state)
{
	struct service *s = *state;
	uint64_t cookie;

	greet(s);
	cookie = ask_unmap(s);
	ask(s, COMMON_PING, NULL, 0);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	assert_true(s->channel.deferred);
	assert_int_equal(channel_events(&s->channel), 0);
	assert_int_equal(packet_receive(s->client, MSG_DONTWAIT, 1, &s->packet), -EAGAIN);
	/* Another channel's requests go through the same buffers meanwhile. */
	packet_reply(&s->buffers.request, &(struct message_header){.type = 99, .cookie = 99});
	packet_reply(&s->buffers.reply, &s->channel.awaiting);
	memset(packet_append(&s->buffers.reply, 3), 'd', 3);
	assert_int_equal(channel_answer(&s->channel, 0, &s->buffers.reply, NULL), CHANNEL_OPEN);
	assert_false(s->channel.deferred);
	assert_int_equal(channel_events(&s->channel), POLLIN);
	take_reply(s, cookie, 0);
	assert_int_equal(s->packet.header.type, DOMAIN_UNMAP);
	assert_int_equal(s->packet.header.length, 3);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	take_reply(s, cookie + 1, 0);
}

static void deferred_answer_can_be_a_refusal(void **state)
{
	struct service *s = *state;
	struct detail detail;
	uint64_t cookie;

	greet(s);
	cookie = ask_unmap(s);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	refuse(&detail, REFUSAL_NO_KEEPER, "none came");
	assert_int_equal(channel_answer(&s->channel, REFUSAL_NO_KEEPER, &s->buffers.reply, &detail), CHANNEL_OPEN);
	take_refusal(s, cookie, REFUSAL_NO_KEEPER);
	assert_int_equal(s->channel.refusals, 1);
}

static void deferred_answer_to_a_dead_client(void **state)
{
	struct service *s = *state;

	greet(s);
	ask_unmap(s);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	close(s->client);
	s->client = -1;
	packet_reply(&s->buffers.reply, &s->channel.awaiting);
	fdset_add(&s->buffers.reply.fds, dup(STDERR_FILENO));
	assert_int_equal(channel_answer(&s->channel, 0, &s->buffers.reply, NULL), -EPIPE);
	assert_int_equal(unit_fds(), s->fds_before + 1);
}

static void events_are_sent_or_dropped(void **state)
{
	struct service *s = *state;
	unsigned int asked;

	greet(s);
	packet_event(&s->buffers.reply, 128);
	channel_notify(&s->channel, &s->buffers.reply);
	assert_int_equal(packet_receive(s->client, MSG_DONTWAIT, 1, &s->packet), PACKET_RECEIVED);
	assert_int_equal(s->packet.header.flags, MESSAGE_EVENT);
	/* Not before a reply that waits, and not in its place. */
	asked = fill(s);
	packet_event(&s->buffers.reply, 128);
	fdset_add(&s->buffers.reply.fds, dup(STDERR_FILENO));
	channel_notify(&s->channel, &s->buffers.reply);
	for (unsigned int i = 0; i < asked - 1; i++)
		take_reply(s, 2 + i, 0);
	assert_int_equal(serve(s), CHANNEL_OPEN);
	take_reply(s, 1 + asked, 0);
	assert_int_equal(packet_receive(s->client, MSG_DONTWAIT, 1, &s->packet), -EAGAIN);
}

/* With a request left unread, plain close() makes the client's next receive ECONNRESET: the event would be lost. */
static void last_words_arrive_before_the_end(void **state)
{
	struct service *s = *state;

	greet(s);
	ask(s, COMMON_PING, NULL, 0);
	packet_request(&s->packet, COMMON_PING, 9);
	fdset_add(&s->packet.fds, dup(STDERR_FILENO));
	assert_int_equal(packet_send(s->client, 0, &s->packet), 0);
	packet_event(&s->buffers.reply, 128);
	channel_notify(&s->channel, &s->buffers.reply);
	channel_finish(&s->channel, &s->buffers.request);
	assert_int_equal(s->channel.fd, -1);
	assert_int_equal(unit_fds(), s->fds_before + 1);
	assert_int_equal(packet_receive(s->client, MSG_DONTWAIT, 1, &s->packet), PACKET_RECEIVED);
	assert_int_equal(s->packet.header.type, 128);
	assert_int_equal(packet_receive(s->client, MSG_DONTWAIT, 1, &s->packet), PACKET_END);
	/* Twice is fine, as with channel_close(). */
	channel_finish(&s->channel, &s->buffers.request);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, serve_setup, serve_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(hello_opens_the_channel),
		CASE(refused_hello_leaves_it_new),
		CASE(nothing_to_read_is_fine),
		CASE(end_of_the_client),
		CASE(pipelined_requests_are_answered_in_order),
		CASE(request_without_handler_is_unsupported),
		CASE(handlers_errno_reaches_the_client),
		CASE(fds_that_no_handler_took_are_closed),
		CASE(broken_framing_is_told_and_closed),
		CASE(unwanted_fds_are_dropped_unseen),
		CASE(client_that_does_not_read_is_not_read),
		CASE(client_that_dies_without_reading),
		CASE(closing_frees_what_waits),
		CASE(reply_to_a_dead_client_holds_nothing),
		CASE(handler_may_close_the_channel),
		CASE(deferred_answer_comes_before_the_next_request),
		CASE(deferred_answer_can_be_a_refusal),
		CASE(deferred_answer_to_a_dead_client),
		CASE(events_are_sent_or_dropped),
		CASE(last_words_arrive_before_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
