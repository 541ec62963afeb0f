/* SPDX-License-Identifier: MIT */
#include "front_bench.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

/*
 * Descriptors that clients attach. A pair of sockets is attached: as long as the front has the one end open, the other
 * sees no hang-up.
 */

/* Sends a packet of SIZE bytes with COUNT copies of FD, raw. */
static void attach(int client, const void *bytes, size_t size, int fd, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * FDSET_MAX)];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)bytes, size};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(sizeof fd * count)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd * count);
	for (size_t i = 0; i < count; i++)
		memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
	assert_int_equal(sendmsg(client, &message, 0), size);
}

static const struct message_header ping = {.type = BROKER_PING, .cookie = 5};

/* A pair of which one end is to be attached, as bait. */
struct bait {
	int here, there;
};

static struct bait bait_new(void)
{
	int pair[2];

	unit_pair(pair);
	return (struct bait){pair[0], pair[1]};
}

static void attach_bait(int client, const void *bytes, size_t size, struct bait *bait, size_t count)
{
	attach(client, bytes, size, bait->there, count);
	fd_cleanup(&bait->there);
}

/* The front has all of them open, and closes them in its end. */
static void expect_all_kept(struct bench *b, struct bait *baits, size_t count)
{
	bench_settle(b);
	for (size_t i = 0; i < count; i++)
		assert_false(bench_is_over(baits[i].here));
	front_release(&b->front);
	b->running = false;
	for (size_t i = 0; i < count; i++) {
		assert_true(bench_is_over(baits[i].here));
		close(baits[i].here);
	}
}

static void expect_kept(struct bench *b, struct bait *bait)
{
	expect_all_kept(b, bait, 1);
}

static void request_with_descriptors_is_refused(void **state)
{
	struct bait bait = bait_new();
	struct bench *b = *state;
	int client = bench_client(b, 1);

	attach_bait(client, &ping, sizeof ping, &bait, 2);
	bench_expect_refusal(b, client, BROKER_PING, 5, REFUSAL_MALFORMED);
	assert_string_equal(b->detail.text, "PING: 2 file descriptors; no request of the broker channel takes any");
	bench_expect_end(b, client);
	bench_expect_counts(b, 1, 1);
	bench_expect_closed(b, 1, FRONT_END_DESCRIPTORS, 0);
	assert_int_equal(b->front.kept_count, 1);
	assert_int_equal(b->front.sessions_count, 0);
	/* the socket is kept too, and says nothing more */
	bench_expect_nothing(b, b->control);
	assert_int_equal(send(client, "", 1, MSG_NOSIGNAL), -1);
	bench_ping(b);
	expect_kept(b, &bait);
	close(client);
}

static void before_hello(void **state)
{
	struct bait bait = bait_new();
	struct bench *b = *state;
	int client = bench_connect(b, 1);

	attach_bait(client, &ping, sizeof ping, &bait, 1);
	bench_expect_refusal(b, client, BROKER_PING, 5, REFUSAL_MALFORMED);
	bench_expect_end(b, client);
	expect_kept(b, &bait);
	close(client);
}

static void as_many_as_one_packet_takes(void **state)
{
	struct bait bait = bait_new();
	struct bench *b = *state;
	int client = bench_client(b, 1), fds = unit_fds();

	attach_bait(client, &ping, sizeof ping, &bait, FDSET_MAX);
	bench_expect_refusal(b, client, BROKER_PING, 5, REFUSAL_MALFORMED);
	assert_int_equal(unit_fds(), fds - 1 + FDSET_MAX);
	assert_int_equal(b->front.kept_count, 1);
	expect_kept(b, &bait);
	close(client);
}

/* Broken framing does not have the descriptors closed. */
static void packets_without_framing(void **state)
{
	const struct message_header wrong = {.type = BROKER_PING, .length = 9, .cookie = 5};
	struct bait baits[] = {bait_new(), bait_new(), bait_new(), bait_new()};
	static char long_packet[MESSAGE_SIZE_MAX + 1];
	const struct {
		const void *bytes;
		size_t size;
	} packets[] = {{"", 0}, {"x", 1}, {&wrong, sizeof wrong}, {long_packet, sizeof long_packet}};
	struct bench *b = *state;

	for (size_t i = 0; i < 4; i++) {
		int client = bench_client(b, i + 1);

		attach_bait(client, packets[i].bytes, packets[i].size, &baits[i], 1);
		assert_int_equal(bench_receive(b, client), PACKET_RECEIVED);
		assert_int_equal(packet_refusal(&b->packet, &b->detail), REFUSAL_MALFORMED);
		bench_expect_end(b, client);
		bench_expect_counts(b, 1, 1);
		bench_expect_closed(b, i + 1, FRONT_END_DESCRIPTORS, 0);
		close(client);
	}
	expect_all_kept(b, baits, 4);
}

/* ---- on the queue at the end ---- */

/* The packet is the second, behind one that is in work, when the client goes. */
static void behind_a_pending_request(void **state)
{
	struct bait bait = bait_new();
	struct bench *b = *state;
	int client = bench_client(b, 1), fds = unit_fds();

	bench_ask(b, client, BROKER_PING, 1, NULL, 0, -1);
	attach_bait(client, &ping, sizeof ping, &bait, 1);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	close(client);
	bench_expect_closed(b, 1, FRONT_END_HANGUP, 0);
	assert_int_equal(b->front.kept_count, 1);
	/* nothing of it has entered the process: the socket alone is open (the client and the bait's end are not) */
	assert_int_equal(unit_fds(), fds - 2);
	expect_kept(b, &bait);
}

/* Neither plain packets nor empty ones before it hide it; an empty packet looks like the end. */
static void far_back_in_the_queue(void **state)
{
	struct bait bait = bait_new();
	struct bench *b = *state;
	int client = bench_client(b, 1);

	bench_ask(b, client, BROKER_PING, 1, NULL, 0, -1);
	bench_settle(b);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(send(client, "", 0, 0), 0);
		assert_int_equal(send(client, &ping, sizeof ping, 0), sizeof ping);
		assert_int_equal(send(client, "", 0, 0), 0);
	}
	attach_bait(client, &ping, sizeof ping, &bait, 1);
	close(client);
	bench_settle(b);
	assert_int_equal(b->front.kept_count, 1);
	expect_kept(b, &bait);
}

/* An empty packet is the next to be read when the client has gone. */
static void behind_an_empty_packet(void **state)
{
	struct bait bait = bait_new();
	struct bench *b = *state;
	int client = bench_client(b, 1);

	assert_int_equal(send(client, "", 0, 0), 0);
	attach_bait(client, "", 0, &bait, 1);
	close(client);
	bench_settle(b);
	assert_int_equal(b->front.sessions_count, 0);
	assert_int_equal(b->front.kept_count, 1);
	expect_kept(b, &bait);
}

static void queued_without_descriptors_is_closed(void **state)
{
	struct bench *b = *state;
	int client = bench_client(b, 1), fds = unit_fds();

	bench_ask(b, client, BROKER_PING, 1, NULL, 0, -1);
	bench_settle(b);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(send(client, "", 0, 0), 0);
		assert_int_equal(send(client, &ping, sizeof ping, 0), sizeof ping);
	}
	bench_ask(b, b->control, FRONT_CLOSE, 1, NULL, 0, -1);
	bench_settle(b);
	assert_true(bench_is_over(client));
	assert_int_equal(unit_fds(), fds - 1);
	assert_int_equal(b->front.kept_count, 0);
	bench_expect(b, b->control, BROKER_PING, 0, 1);
	close(client);
}

static void when_the_broker_ends_the_session(void **state)
{
	struct bait bait = bait_new();
	struct bench *b = *state;
	int client = bench_client(b, 1);

	bench_ask(b, client, BROKER_PING, 1, NULL, 0, -1);
	bench_settle(b);
	attach_bait(client, &ping, sizeof ping, &bait, 1);
	bench_ask(b, b->control, FRONT_CLOSE, 1, NULL, 0, -1);
	bench_expect_end(b, client);
	assert_int_equal(b->front.kept_count, 1);
	expect_kept(b, &bait);
	close(client);
}

static void when_the_client_is_turned_away(void **state)
{
	const struct front_connect connect = {{REFUSAL_QUOTA, 0}};
	struct bait bait = bait_new();
	struct bench *b = *state;
	int pair[2];

	unit_pair(pair);
	attach_bait(pair[0], &ping, sizeof ping, &bait, 1);
	bench_ask(b, b->control, FRONT_CONNECT, 7, &connect, sizeof connect, pair[1]);
	close(pair[1]);
	bench_expect_refusal(b, pair[0], BROKER_HELLO, 0, REFUSAL_QUOTA);
	bench_expect_end(b, pair[0]);
	expect_kept(b, &bait);
	close(pair[0]);
}

static void when_replies_are_not_read(void **state)
{
	const struct listing_request page = {0};
	static uint8_t bytes[50000];
	struct bait bait = bait_new();
	struct bench *b = *state;
	int client = bench_client(b, 1);

	for (uint64_t i = 1; !b->front.sessions.rbh_root->unsent; i++) {
		assert_in_range(i, 1, 100);
		bench_ask(b, client, BROKER_LIST, i, &page, sizeof page, -1);
		bench_expect(b, b->control, BROKER_LIST, 0, 1);
		bench_answer(b, BROKER_LIST, 1, bytes, sizeof bytes);
		bench_settle(b);
	}
	attach_bait(client, &ping, sizeof ping, &bait, 1);
	bench_settle(b);
	assert_int_equal(b->front.kept_count, 0);
	close(client);
	bench_expect_closed(b, 1, FRONT_END_HANGUP, 0);
	assert_int_equal(b->front.kept_count, 1);
	expect_kept(b, &bait);
}

/* A socket with the descriptor in its queue, in the queue of a socket, and so on. */
static void nested(void **state)
{
	struct bait bait = bait_new();
	struct bench *b = *state;
	int client = bench_client(b, 1), inner[2], outer[2];

	unit_pair(inner);
	unit_pair(outer);
	attach_bait(inner[0], &ping, sizeof ping, &bait, 1);
	attach(outer[0], &ping, sizeof ping, inner[1], 1);
	attach(client, &ping, sizeof ping, outer[1], 1);
	close(inner[0]);
	close(inner[1]);
	close(outer[0]);
	close(outer[1]);
	bench_expect_refusal(b, client, BROKER_PING, 5, REFUSAL_MALFORMED);
	close(client);
	expect_kept(b, &bait);
}

static void files_of_all_kinds(void **state)
{
	const int files[] = {
		eventfd(0, EFD_CLOEXEC), memfd_create("bait", MFD_CLOEXEC), dup(STDERR_FILENO), epoll_create1(0)};
	struct bench *b = *state;

	for (size_t i = 0; i < 4; i++) {
		int client = bench_client(b, i + 1), before = unit_fds();

		assert_true(files[i] >= 0);
		attach(client, &ping, sizeof ping, files[i], 1);
		bench_expect_refusal(b, client, BROKER_PING, 5, REFUSAL_MALFORMED);
		assert_int_equal(unit_fds(), before + 1);
		bench_expect_counts(b, 1, 1);
		bench_expect_closed(b, i + 1, FRONT_END_DESCRIPTORS, 0);
		close(files[i]);
		close(client);
	}
	assert_int_equal(b->front.kept_count, 4);
}

/* ---- the end ---- */

static void too_many_end_the_front(void **state)
{
	struct bait bait = bait_new();
	struct bench *b = *state;
	int bystander = bench_client(b, 1000);

	for (size_t i = 1; i <= FRONT_KEPT_MAX + 1; i++) {
		int client = bench_client(b, i);

		assert_true(b->running);
		attach(client, &ping, sizeof ping, bait.there, 1);
		bench_expect_refusal(b, client, BROKER_PING, 5, REFUSAL_MALFORMED);
		bench_expect_counts(b, 1, 1);
		bench_expect_closed(b, i, FRONT_END_DESCRIPTORS, 0);
		close(client);
	}
	close(bait.there);
	assert_false(b->running);
	/* broker and clients see the end, although nothing of it is closed */
	bench_expect_end(b, b->control);
	bench_expect_end(b, bystander);
	/* the life line tells that the process has not ended */
	bench_expect_nothing(b, b->lifeline);
	close(bystander);
	expect_kept(b, &bait);
}

static void kept_over_the_end_of_the_broker(void **state)
{
	struct bait baits[] = {bait_new(), bait_new()};
	struct bench *b = *state;
	int client = bench_client(b, 1), other = bench_client(b, 2);

	attach_bait(client, &ping, sizeof ping, &baits[0], 1);
	bench_expect_refusal(b, client, BROKER_PING, 5, REFUSAL_MALFORMED);
	bench_ask(b, other, BROKER_PING, 1, NULL, 0, -1);
	bench_settle(b);
	attach_bait(other, &ping, sizeof ping, &baits[1], 1);
	fd_cleanup(&b->lifeline);
	bench_expect_end(b, other);
	assert_false(b->running);
	assert_int_equal(b->front.kept_count, 2);
	expect_all_kept(b, baits, 2);
	close(client);
	close(other);
}

/* A client whose CONNECT the front has not read when it ends. */
static void kept_of_a_connection_on_its_way(void **state)
{
	const struct front_connect connect = {{0}};
	struct bait bait = bait_new();
	struct bench *b = *state;
	int pair[2];

	unit_pair(pair);
	attach_bait(pair[0], &ping, sizeof ping, &bait, 1);
	for (int i = 0; i < FRONT_ORDERS_MAX; i++)
		bench_ask(b, b->control, FRONT_CLOSE, 99, NULL, 0, -1);
	bench_ask(b, b->control, FRONT_CONNECT, 7, &connect, sizeof connect, pair[1]);
	close(pair[1]);
	fd_cleanup(&b->lifeline);
	bench_expect_end(b, pair[0]);
	assert_int_equal(b->front.kept_count, 1);
	expect_kept(b, &bait);
	close(pair[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRONT_CASE(request_with_descriptors_is_refused),
		FRONT_CASE(before_hello),
		FRONT_CASE(as_many_as_one_packet_takes),
		FRONT_CASE(packets_without_framing),
		FRONT_CASE(behind_a_pending_request),
		FRONT_CASE(far_back_in_the_queue),
		FRONT_CASE(behind_an_empty_packet),
		FRONT_CASE(queued_without_descriptors_is_closed),
		FRONT_CASE(when_the_broker_ends_the_session),
		FRONT_CASE(when_the_client_is_turned_away),
		FRONT_CASE(when_replies_are_not_read),
		FRONT_CASE(nested),
		FRONT_CASE(files_of_all_kinds),
		FRONT_CASE(too_many_end_the_front),
		FRONT_CASE(kept_over_the_end_of_the_broker),
		FRONT_CASE(kept_of_a_connection_on_its_way),
	};

	log_set_level(-1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
