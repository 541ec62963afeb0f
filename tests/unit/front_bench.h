/* SPDX-License-Identifier: MIT */
#ifndef FRONT_BENCH_H
#define FRONT_BENCH_H

#include "unit.h"

#include "fdset.h"
#include "front.h"
#include "front_message.h"
#include "limits.h"
#include "log.h"
#include "packet.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/*
 * A front in this process: the test plays the broker and the clients, and lets the front take a step whenever an answer
 * is due.
 */
struct bench {
	int fds_before;
	struct front front;
	bool running;
	int lifeline, control; /* our ends; -1: closed */
	struct packet packet;  /* what came last */
	struct detail detail;  /* of the last refusal */
};

static inline bool bench_readable(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0) > 0;
}

/* Whether the other end of FD is open nowhere. */
static inline bool bench_is_over(int fd)
{
	struct pollfd p = {fd, 0, 0};

	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

/* Steps until there is nothing to do. */
static inline void bench_settle(struct bench *b)
{
	for (int i = 0; i < 20 && b->running; i++)
		b->running = front_step(&b->front, 0);
}

/* Sends b->packet with a copy of FD (-1: none) over CHANNEL. */
static inline void bench_send(struct bench *b, int channel, int fd)
{
	if (fd >= 0)
		fdset_add(&b->packet.fds, dup(fd));
	assert_int_equal(packet_send(channel, MSG_DONTWAIT, &b->packet), 0);
}

static inline void bench_start_packet(struct bench *b, const void *body, size_t size)
{
	if (size > 0)
		memcpy(packet_append(&b->packet, size), body, size);
}

/* A request of a client, or an order of the broker. */
static inline void bench_ask(
	struct bench *b, int channel, uint16_t type, uint64_t cookie, const void *body, size_t size, int fd)
{
	packet_request(&b->packet, type, cookie);
	bench_start_packet(b, body, size);
	bench_send(b, channel, fd);
}

/* What has come on CHANNEL: PACKET_RECEIVED, PACKET_END or -EAGAIN. */
static inline int bench_receive(struct bench *b, int channel)
{
	bench_settle(b);
	return packet_receive(channel, MSG_DONTWAIT, 1, &b->packet);
}

/* Expects a packet of this head. */
static inline void bench_expect(struct bench *b, int channel, uint16_t type, uint16_t flags, uint64_t cookie)
{
	assert_int_equal(bench_receive(b, channel), PACKET_RECEIVED);
	assert_int_equal(b->packet.header.type, type);
	assert_int_equal(b->packet.header.flags, flags);
	assert_int_equal(b->packet.header.cookie, cookie);
}

static inline void bench_expect_nothing(struct bench *b, int channel)
{
	assert_int_equal(bench_receive(b, channel), -EAGAIN);
}

static inline void bench_expect_end(struct bench *b, int channel)
{
	assert_int_equal(bench_receive(b, channel), PACKET_END);
}

/* A refused reply. */
static inline void bench_expect_refusal(
	struct bench *b, int channel, uint16_t type, uint64_t cookie, enum refusal refusal)
{
	bench_expect(b, channel, type, MESSAGE_REPLY | MESSAGE_REFUSED, cookie);
	assert_int_equal(packet_refusal(&b->packet, &b->detail), refusal);
}

/* COUNTS, which come before the next packet for the broker. */
static inline void bench_expect_counts(struct bench *b, uint64_t requests, uint64_t refusals)
{
	const struct front_counts *counts;

	bench_expect(b, b->control, FRONT_EVENT_COUNTS, MESSAGE_EVENT, 0);
	counts = packet_body(&b->packet, sizeof *counts);
	assert_int_equal(counts->requests, requests);
	assert_int_equal(counts->refusals, refusals);
}

static inline void bench_expect_closed(struct bench *b, uint64_t session, enum front_end why, int error)
{
	const struct front_closed *closed;

	bench_expect(b, b->control, FRONT_EVENT_CLOSED, MESSAGE_EVENT, 0);
	closed = packet_body(&b->packet, sizeof *closed);
	assert_int_equal(closed->session, session);
	assert_int_equal(closed->why, why);
	assert_int_equal(closed->error, error);
}

/* The broker has read everything when it gets this answer. */
static inline void bench_ping(struct bench *b)
{
	bench_ask(b, b->control, FRONT_PING, 0xffff, NULL, 0, -1);
	bench_expect(b, b->control, FRONT_PING, MESSAGE_REPLY, 0xffff);
}

/* A client, connected as SESSION: its end, without HELLO. */
static inline int bench_connect(struct bench *b, uint64_t session)
{
	const struct front_connect connect = {{0}};
	int pair[2];

	unit_pair(pair);
	bench_ask(b, b->control, FRONT_CONNECT, session, &connect, sizeof connect, pair[1]);
	close(pair[1]);
	bench_settle(b);
	return pair[0];
}

/* The same after HELLO. */
static inline int bench_client(struct bench *b, uint64_t session)
{
	const struct hello_request hello = {.version_lowest = 1, .version_highest = 1};
	int client = bench_connect(b, session);

	bench_ask(b, client, BROKER_HELLO, 1, &hello, sizeof hello, -1);
	bench_expect(b, client, BROKER_HELLO, MESSAGE_REPLY, 1);
	bench_ask(b, b->control, FRONT_PING, 0xffff, NULL, 0, -1);
	bench_expect_counts(b, 1, 0);
	bench_expect(b, b->control, FRONT_PING, MESSAGE_REPLY, 0xffff);
	return client;
}

/* The broker answers a relayed request of SESSION. */
static inline void bench_answer(struct bench *b, uint16_t type, uint64_t session, const void *body, size_t size)
{
	const struct message_header request = {.type = type, .cookie = session};

	packet_reply(&b->packet, &request);
	bench_start_packet(b, body, size);
	bench_send(b, b->control, -1);
}

/* A front before HELLO. */
static inline struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof *b);
	int pair[2];

	assert_non_null(b);
	b->fds_before = unit_fds();
	unit_pair(pair);
	b->lifeline = pair[0];
	b->control = -1;
	packet_init(&b->packet);
	assert_int_equal(front_init(&b->front, pair[1]), 0);
	b->running = true;
	return b;
}

/* HELLO with these versions, and a control socket. */
static inline void bench_hello(struct bench *b, uint16_t lowest, uint16_t highest)
{
	const struct hello_request hello = {.version_lowest = lowest, .version_highest = highest};
	int pair[2];

	unit_pair(pair);
	b->control = pair[0];
	bench_ask(b, b->lifeline, FRONT_HELLO, 5, &hello, sizeof hello, pair[1]);
	close(pair[1]);
	bench_settle(b);
}

static inline int bench_setup(void **state)
{
	struct bench *b = bench_new();

	bench_hello(b, 1, 1);
	bench_expect(b, b->control, FRONT_HELLO, MESSAGE_REPLY, 5);
	*state = b;
	return 0;
}

static inline int bench_setup_new(void **state)
{
	*state = bench_new();
	return 0;
}

/* Every test closes its clients: no descriptor is left. */
static inline int bench_teardown(void **state)
{
	struct bench *b = *state;

	front_release(&b->front);
	front_release(&b->front);
	packet_clear(&b->packet);
	fd_cleanup(&b->lifeline);
	fd_cleanup(&b->control);
	assert_int_equal(unit_fds(), b->fds_before);
	free(b);
	return 0;
}

#define FRONT_CASE(function)	 cmocka_unit_test_setup_teardown(function, bench_setup, bench_teardown)
#define FRONT_CASE_NEW(function) cmocka_unit_test_setup_teardown(function, bench_setup_new, bench_teardown)

#endif
