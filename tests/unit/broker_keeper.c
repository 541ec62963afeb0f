/* SPDX-License-Identifier: MIT */
#include "base/limits.h"
#include "base/loop.h"
#include "broker_bench.h"
#include "fdset.h"
#include "message.h"
#include "packet.h"
#include "refusal.h"
#include "state/broker.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

/* Keepers that misbehave: the broker is root, and they are not. */

/* ---- the life of a lease ---- */

static void refusal_of_the_keeper_reaches_the_client(void **state)
{
	struct detail detail;
	int keeper = keeper_start(), client = client_new();

	(void)state;
	client_open(client, C);
	close(keeper_take_lease(keeper, C, true));
	refuse(&detail, REFUSAL_MALFORMED, "not this one");
	packet_refuse(&packet, &(struct message_header){.type = KEEPER_LEASE, .cookie = 1}, REFUSAL_MALFORMED, &detail);
	assert_int_equal(packet_send(keeper, 0, &packet), 0);
	turn();
	assert_int_equal(client_answer(client, &detail), REFUSAL_MALFORMED);
	assert_string_equal(detail.text, "not this one");
	close(keeper);
	turn();
	assert_int_equal(group(2)->state, GROUP_FREE);
	assert_string_equal(memory_host->devices[2].device.driver, "nvme");
	close(client);
	turn();
}

/* ---- keepers that misbehave: the broker is root, and they are not ---- */

/* CLIENT has lost a keeper: it is refused when the next one ends as well. */
static void lose_second_keeper(int client)
{
	struct detail detail;
	int keeper = keeper_start();

	close(keeper_take_lease(keeper, A, true));
	close(keeper);
	turn();
	assert_int_equal(client_answer(client, &detail), REFUSAL_NO_KEEPER);
	assert_string_equal(detail.text, A ": the keeper ended before it had the device");
}

/* RELEASED for what it has not accepted yet; the answer to LEASE comes afterwards. */
static void released_before_accepted_ends_the_lease(void **state)
{
	int keeper = keeper_start(), client = client_new();

	(void)state;
	client_open(client, A);
	close(keeper_take_lease(keeper, A, true));
	keeper_released(keeper, A, 0);
	packet_reply(&packet, &(struct message_header){.type = KEEPER_LEASE, .cookie = 1});
	packet_append(&packet, sizeof(struct lease_reply));
	packet_send(keeper, MSG_DONTWAIT, &packet);
	turn();
	close(keeper);
	turn();
	lose_second_keeper(client);
	assert_true(client_alive(client));
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(group(1)->state, GROUP_FREE);
	close(client);
	turn();
}

/* The client of the first keeper notices nothing; and the next OPEN has a second try, too. */
static void keeper_lost_before_the_lease_is_replaced(void **state)
{
	int keeper, client = client_new();

	(void)state;
	for (int i = 0; i < 3; i++) {
		keeper = keeper_start();
		client_open(client, A);
		close(keeper_take_lease(keeper, A, true));
		close(keeper);
		turn();
		keeper = keeper_start();
		close(keeper_take_lease(keeper, A, true));
		keeper_accept(keeper);
		assert_int_equal(client_answer(client, NULL), 0);
		fdset_clear(&packet.fds);
		assert_int_equal(broker.counters.opens, i + 1);
		keeper_released(keeper, A, 0);
		close(keeper);
		turn();
		assert_int_equal(group(1)->state, GROUP_FREE);
	}
	keeper = keeper_start();
	client_open(client, A);
	close(keeper_take_lease(keeper, A, true));
	close(keeper);
	turn();
	lose_second_keeper(client);
	close(client);
	turn();
}

static uint64_t patience_us(const struct keeper *keeper)
{
	uint64_t due_us = 0;

	assert_true(sd_event_source_get_enabled(keeper->timeout, NULL) > 0);
	sd_event_source_get_time(keeper->timeout, &due_us);
	return due_us - loop_now(broker.event);
}

/* Systemd may be busy. A keeper that runs has no excuse. */
static void keeper_that_starts_is_waited_for(void **state)
{
	int client = client_new(), keeper;

	(void)state;
	client_open(client, A);
	assert_int_equal(group(1)->keeper->state, KEEPER_STARTING);
	assert_in_range(patience_us(group(1)->keeper), KEEPER_START_US / 2, KEEPER_START_US);
	keeper = keeper_start();
	assert_int_equal(group(1)->keeper->state, KEEPER_READY);
	assert_in_range(patience_us(group(1)->keeper), 1, KEEPER_ANSWER_US);
	close(keeper_take_lease(keeper, A, true));
	keeper_accept(keeper);
	assert_int_equal(client_answer(client, NULL), 0);
	fdset_clear(&packet.fds);
	close(keeper);
	close(client);
	turn();
}

/* RELEASED for a device that another keeper has. */
static void released_of_another_keepers_device_is_ignored(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);
	int other_keeper = keeper_start(), other = client_with(C, other_keeper);

	(void)state;
	keeper_released(keeper, C, 0);
	assert_int_equal(broker.leases_count, 2);
	assert_int_equal(group(2)->state, GROUP_HELD);
	keeper_released(keeper, "0000:99:00.0", 0);
	keeper_released(keeper, A, 0);
	keeper_released(keeper, A, 0);
	assert_int_equal(broker.leases_count, 1);
	close(keeper);
	close(other_keeper);
	close(client);
	close(other);
	turn();
	assert_int_equal(broker.leases_count, 0);
}

/* A packet that is no answer costs the keeper its channel, and its devices go back. */
static void nonsense_costs_the_keeper_its_channel(void **state)
{
	(void)state;
	for (int kind = 0; kind < 9; kind++) {
		int keeper = keeper_start(), client = client_with(A, keeper);

		switch (kind) {
		case 0:
			send(keeper, "", 0, 0);
			break;
		case 1:
			send(keeper, "x", 1, 0);
			break;
		case 2: /* a request */
			packet_request(&packet, KEEPER_PING, 3);
			packet_send(keeper, 0, &packet);
			break;
		case 3: /* an answer to nothing */
			keeper_accept(keeper);
			break;
		case 4: /* an event that is too short */
			packet_event(&packet, KEEPER_EVENT_RELEASED);
			packet_append(&packet, 8);
			packet_send(keeper, 0, &packet);
			break;
		case 5: /* no name */
			keeper_released(keeper, "../../etc", 0);
			break;
		case 6:
			packet_reply(&packet, &(struct message_header){.type = 77, .cookie = 1});
			packet_send(keeper, 0, &packet);
			break;
		case 7: /* fds, which the kernel drops */
			packet_event(&packet, KEEPER_EVENT_RELEASED);
			packet_append(&packet, sizeof(struct released_event));
			for (int i = 0; i < 10; i++)
				fdset_add(&packet.fds, open("/dev/null", O_RDONLY | O_CLOEXEC));
			packet_send(keeper, 0, &packet);
			break;
		default: /* HELLO refused late */
			packet_refuse(&packet, &(struct message_header){.type = KEEPER_HELLO, .cookie = 1},
				REFUSAL_DENIED, NULL);
			packet_send(keeper, 0, &packet);
			break;
		}
		turn();
		if (broker.leases_count != 0)
			fail_msg("kind %d", kind);
		assert_int_equal(group(1)->state, GROUP_FREE);
		assert_true(client_alive(client));
		close(keeper);
		close(client);
		turn();
	}
}

/* Replies to LEASE of the wrong form, with somebody waiting for them. */
static void malformed_answer_refuses_the_open(void **state)
{
	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		int keeper = keeper_start(), client = client_new(), r;

		client_open(client, A);
		close(keeper_take_lease(keeper, A, true));
		packet_reply(&packet, &(struct message_header){.type = KEEPER_LEASE, .cookie = 1});
		if (kind == 1)
			packet_append(&packet, 4);
		if (kind == 2) {
			packet.header.flags |= MESSAGE_REFUSED;
			packet_append(&packet, 3);
		}
		packet_send(keeper, 0, &packet);
		turn();
		r = client_answer(client, NULL);
		if (kind < 2 ? r != -EAGAIN : r == 0 || r == -EAGAIN)
			fail_msg("kind %d: %d", kind, r);
		close(keeper);
		/* The broker has given the keeper up, and tries the next one. */
		if (kind < 2)
			lose_second_keeper(client);
		turn();
		assert_int_equal(broker.leases_count, 0);
		assert_int_equal(group(1)->state, GROUP_FREE);
		assert_true(client_alive(client));
		close(client);
		turn();
	}
}

/* An unknown event comes from a newer keeper, and the broker ignores it. */
static void unknown_event_is_ignored(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	packet_event(&packet, 200);
	packet_append(&packet, 100);
	packet_send(keeper, 0, &packet);
	turn();
	assert_int_equal(broker.leases_count, 1);
	close(client);
	close(keeper);
	turn();
}

/* ---- how the end of a lease is told ---- */

static int watcher_new(void)
{
	const struct watch_request watch = {0};
	int fd = client_new();

	client_send(fd, BROKER_WATCH, &watch, sizeof watch);
	turn();
	assert_int_equal(client_answer(fd, NULL), 0);
	return fd;
}

/* The next end of a lease that WATCHER is told of, within two loops of the broker; kind 0: none. */
static struct change_event next_end(int watcher)
{
	struct change_event change = {0};

	turn();
	while (packet_receive(watcher, MSG_DONTWAIT, true, &packet) == PACKET_RECEIVED) {
		assert_int_equal(packet.header.length, sizeof change);
		memcpy(&change, packet.payload, sizeof change);
		if (change.kind == CHANGE_RELEASE || change.kind == CHANGE_REVOKE)
			return change;
	}
	return (struct change_event){0};
}

static void expect_end(int watcher, enum change_kind kind, int level, const char *words)
{
	const struct change_event change = next_end(watcher);

	if (change.kind != kind || (int)change.level != level || !strstr(change.message, words))
		fail_msg("kind %d, level %d, '%s' wanted; kind %u, level %u, '%s' came", kind, level, words,
			change.kind, change.level, change.message);
	assert_string_equal(change.device, A);
	assert_int_equal(change.who.pid, getpid());
	assert_int_equal(next_end(watcher).kind, 0);
}

#define NO_ORDER UINT32_MAX

static void revoke_in(int root, uint32_t deadline_ms)
{
	struct revoke_request revoke = {.deadline_ms = deadline_ms, .name = A};

	client_send(root, BROKER_REVOKE, &revoke, sizeof revoke);
	turn();
}

/* How a lease ends, and what is told. */
static const struct {
	uint32_t order_ms; /* root's */
	uint32_t reason;
	uint32_t error;
	enum change_kind kind;
	int level;
	const char *words;
} ends[] = {
	{NO_ORDER, ENDED_RELEASED, 0, CHANGE_RELEASE, 6, A ": released by uid "},
	{NO_ORDER, ENDED_RELEASED, ETIMEDOUT, CHANGE_RELEASE, 4, "; not cleanly: Connection timed out"},
	{NO_ORDER, ENDED_HANGUP, 0, CHANGE_RELEASE, 6, ", who has closed the device channel"},
	{NO_ORDER, ENDED_BROKEN, 0, CHANGE_RELEASE, 6, ", who has broken the protocol"},
	{NO_ORDER, ENDED_SESSION, 0, CHANGE_RELEASE, 6, ", with the whole IOMMU group"},
	{NO_ORDER, ENDED_ADMINISTRATOR, 0, CHANGE_REVOKE, 5, ": revoked by an administrator"},
	{NO_ORDER, ENDED_POLICY, 0, CHANGE_REVOKE, 5, ": the policy does not allow it any more"},
	{NO_ORDER, ENDED_TIME, 0, CHANGE_REVOKE, 5, ": its lease-time is over"},
	{NO_ORDER, ENDED_UNPLUG, 0, CHANGE_REVOKE, 5, ": the host wants it (hot-unplug, or"},
	{NO_ORDER, ENDED_UNPLUG, EIO, CHANGE_REVOKE, 4, "unbound); not cleanly: Input/output error"},
	{NO_ORDER, ENDED_ERROR, 0, CHANGE_REVOKE, 5, ": it has reported an uncorrectable error"},
	{NO_ORDER, 1000, 0, CHANGE_RELEASE, 6, A ": lost by uid "},
	{0, ENDED_ADMINISTRATOR, 0, CHANGE_REVOKE, 5, A ": taken back from uid "},
	{0, ENDED_ADMINISTRATOR, EIO, CHANGE_REVOKE, 4, "; not cleanly: Input/output error"},
	{60000, ENDED_ADMINISTRATOR, 0, CHANGE_REVOKE, 5, ": revoked by uid 0"},
	{60000, ENDED_RELEASED, 0, CHANGE_REVOKE, 5, A ": given back before the deadline by uid "},
	{60000, ENDED_HANGUP, 0, CHANGE_REVOKE, 5, A ": given back before the deadline by uid "},
	{60000, ENDED_UNPLUG, 0, CHANGE_REVOKE, 5, ": the host wants it"},
	{60000, ENDED_SESSION, 0, CHANGE_REVOKE, 5, A ": taken back from uid "},
};

static void end_is_told_by_its_reason(void **state)
{
	int watcher = watcher_new(), root = client_new();

	(void)state;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		const struct release_report report = {.reason = ends[i].reason};
		int keeper = keeper_start(), client = client_with(A, keeper);
		uint64_t released = broker.audit.counts[CHANGE_RELEASE], revoked = broker.audit.counts[CHANGE_REVOKE],
			 pending = broker.audit.counts[CHANGE_REVOKE_PENDING];

		if (ends[i].order_ms != NO_ORDER)
			revoke_in(root, ends[i].order_ms);
		/* An order is not an end. */
		assert_int_equal(next_end(watcher).kind, 0);
		keeper_reports_error(keeper, A, &report, 0, ends[i].error);
		expect_end(watcher, ends[i].kind, ends[i].level, ends[i].words);
		close(keeper);
		close(client);
		/* REVOKE is answered when the group is free. */
		while (ends[i].order_ms != NO_ORDER && client_answer(root, NULL) == -EAGAIN)
			tick(1000);
		while (group(1)->state != GROUP_FREE)
			tick(1000);
		assert_int_equal(broker.audit.counts[CHANGE_RELEASE], released + (ends[i].kind == CHANGE_RELEASE));
		assert_int_equal(broker.audit.counts[CHANGE_REVOKE], revoked + (ends[i].kind == CHANGE_REVOKE));
		assert_int_equal(broker.audit.counts[CHANGE_REVOKE_PENDING],
			pending + (ends[i].order_ms != NO_ORDER && ends[i].order_ms > 0));
	}
	close(root);
	close(watcher);
	turn();
}

/* A keeper that has died says nothing. What the broker has ordered, and whether the session was there, is known. */
static void end_without_a_report_is_told(void **state)
{
	int watcher = watcher_new(), root = client_new(), keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	close(keeper);
	expect_end(watcher, CHANGE_RELEASE, 4, ": its keeper has ended");
	close(client);
	keeper = keeper_start();
	client = client_with(A, keeper);
	close(client);
	turn();
	close(keeper);
	expect_end(watcher, CHANGE_RELEASE, 6, ", whose session has ended; its keeper has ended without a report");
	keeper = keeper_start();
	client = client_with(A, keeper);
	revoke_in(root, 60000);
	close(keeper);
	expect_end(watcher, CHANGE_REVOKE, 5, A ": taken back from uid ");
	close(client);
	close(root);
	close(watcher);
	turn();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
		CASE(refusal_of_the_keeper_reaches_the_client),
		CASE(released_before_accepted_ends_the_lease),
		CASE(keeper_lost_before_the_lease_is_replaced),
		CASE(keeper_that_starts_is_waited_for),
		CASE(released_of_another_keepers_device_is_ignored),
		CASE(nonsense_costs_the_keeper_its_channel),
		CASE(malformed_answer_refuses_the_open),
		CASE(unknown_event_is_ignored),
		CASE(end_is_told_by_its_reason),
		CASE(end_without_a_report_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
