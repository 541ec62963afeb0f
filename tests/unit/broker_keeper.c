/* SPDX-License-Identifier: MIT */
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
	assert_int_equal(client_answer(client, NULL), REFUSAL_NO_KEEPER);
	assert_true(client_alive(client));
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(group(1)->state, GROUP_FREE);
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
		if (r == 0 || r == -EAGAIN)
			fail_msg("kind %d: %d", kind, r);
		close(keeper);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
		CASE(refusal_of_the_keeper_reaches_the_client),
		CASE(released_before_accepted_ends_the_lease),
		CASE(released_of_another_keepers_device_is_ignored),
		CASE(nonsense_costs_the_keeper_its_channel),
		CASE(malformed_answer_refuses_the_open),
		CASE(unknown_event_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
