/* SPDX-License-Identifier: MIT */
#include "keeper_bench.h"

#include "clock.h"
#include "revocation.h"

#include <time.h>

/* Orders to take a device back: deadlines, what the client hears, and in which order. */

static const char by[] = "taken back by root, pid 77: for a test";

static int order(struct bench *b, size_t i, uint64_t deadline_us, enum end_reason reason)
{
	struct revoke_order order = {.reason = reason, .deadline_us = deadline_us};

	strcpy(order.name, bench_names[i]);
	strcpy(order.text, by);
	return bench_call(b, b->broker, KEEPER_REVOKE, &order, sizeof order);
}

static void expect_pending(struct bench *b, size_t i, enum end_reason reason, uint64_t left_us)
{
	const struct pending_event *pending =
		bench_event(b, b->clients[i], DEVICE_EVENT_REVOKE_PENDING, sizeof *pending);

	assert_int_equal(pending->reason, reason);
	assert_int_equal(pending->left_us, left_us);
	assert_non_null(strstr(pending->detail, bench_names[i]));
	assert_non_null(strstr(pending->detail, by));
}

/* The last words of device I are these, not only REFUSAL. */
static void expect_words(struct bench *b, size_t i, enum refusal why, const char *words)
{
	const struct closed_event *closed = bench_event(b, b->clients[i], DEVICE_EVENT_CLOSED, sizeof *closed);

	assert_int_equal(closed->refusal, why);
	if (!strstr(closed->detail, words))
		fail_msg("\"%s\" is not in \"%s\"", words, closed->detail);
}

static enum end_reason released_for(struct bench *b, size_t i)
{
	const struct released_event *released = bench_event(b, b->broker, KEEPER_EVENT_RELEASED, sizeof *released);

	assert_string_equal(released->name, bench_names[i]);
	assert_int_equal(released->error, 0);
	return (enum end_reason)released->report.reason;
}

static void test_at_once(void **state)
{
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(order(&b, 0, 0, ENDED_ADMINISTRATOR), 0);
	assert_int_equal(b.group->devices[0].opened, 0);
	assert_int_equal(b.group->container, 0);
	expect_words(&b, 0, REFUSAL_REVOKED, by);
	assert_int_equal(released_for(&b, 0), ENDED_ADMINISTRATOR);
	bench_settle(&b);
	assert_false(b.running);
	bench_stop(&b);
}

static void test_deadline(void **state)
{
	struct bench b;
	uint64_t start = clock_us();

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(order(&b, 0, 50000, ENDED_TIME), 0);
	expect_pending(&b, 0, ENDED_TIME, 50000);
	/* it may go on until then */
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RESET, NULL, 0), 0);
	assert_int_equal(b.group->devices[0].opened, 1);
	assert_int_equal(released_for(&b, 0), ENDED_TIME);
	assert_in_range(clock_us() - start, 50000, 5000000);
	expect_words(&b, 0, REFUSAL_REVOKED, by);
	bench_stop(&b);
}

/*
 * The wait for a deadline ends at the deadline, also if the caller would wait for ever, and not before the caller's
 * own.
 */
static void test_timeouts(void **state)
{
	struct iommu_group group = {.device_count = 0};
	struct device device = {.group = &group};
	int wait_ms;

	(void)state;
	assert_int_equal(revocation_timeout(&group, -1), -1);
	assert_int_equal(revocation_timeout(&group, 7), 7);
	revocation_init(&device.revocation);
	group.devices[group.device_count++] = &device;
	assert_int_equal(revocation_timeout(&group, -1), -1);
	assert_null(revocation_due(&group));
	device.revocation.deadline_us = clock_us() + 10000000;
	wait_ms = revocation_timeout(&group, -1);
	assert_in_range(wait_ms, 1, 10000);
	assert_int_equal(revocation_timeout(&group, 7), 7);
	assert_null(revocation_due(&group));
	device.revocation.deadline_us = UINT64_MAX - 1;
	assert_int_equal(revocation_timeout(&group, -1), INT32_MAX);
	device.revocation.deadline_us = clock_us();
	assert_int_equal(revocation_timeout(&group, -1), 0);
	assert_ptr_equal(revocation_due(&group), &device);
}

/* Shorter counts, and is announced; longer does not. */
static void test_several(void **state)
{
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(order(&b, 0, 3600 * UINT64_C(1000000), ENDED_POLICY), 0);
	expect_pending(&b, 0, ENDED_POLICY, 3600 * UINT64_C(1000000));
	assert_int_equal(order(&b, 0, UINT64_MAX, ENDED_TIME), 0);
	assert_false(bench_readable(b.clients[0]));
	assert_int_equal(order(&b, 0, 20000, ENDED_ADMINISTRATOR), 0);
	expect_pending(&b, 0, ENDED_ADMINISTRATOR, 20000);
	assert_int_equal(order(&b, 0, 30000, ENDED_POLICY), 0);
	assert_int_equal(released_for(&b, 0), ENDED_ADMINISTRATOR);
	bench_stop(&b);
}

/* The polite holder. */
static void test_released_meanwhile(void **state)
{
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(order(&b, 0, 3600 * UINT64_C(1000000), ENDED_ADMINISTRATOR), 0);
	expect_pending(&b, 0, ENDED_ADMINISTRATOR, 3600 * UINT64_C(1000000));
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RELEASE, NULL, 0), 0);
	bench_expect_closed(&b, 0, REFUSAL_NONE);
	assert_int_equal(released_for(&b, 0), ENDED_RELEASED);
	bench_stop(&b);
}

static void test_not_leased(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b, 1);
	assert_int_equal(order(&b, 1, 0, ENDED_ADMINISTRATOR), REFUSAL_REVOKED);
	assert_detail(&b, bench_names[1]);
	assert_true(b.running);
	bench_stop(&b);
}

/* The sibling stays, and so does the group in the domain. */
static void test_sibling(void **state)
{
	OWNED_FD domain = fake_container_open();
	struct bench b;

	(void)state;
	bench_start(&b, 2);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_int_equal(bench_bind(&b, 1, domain), 0);
	assert_int_equal(order(&b, 0, 0, ENDED_ADMINISTRATOR), 0);
	assert_int_equal(released_for(&b, 0), ENDED_ADMINISTRATOR);
	assert_int_equal(b.group->devices[0].opened, 0);
	assert_true(b.group->container != 0);
	assert_int_equal(bench_call(&b, b.clients[1], DEVICE_RESET, NULL, 0), 0);
	bench_stop(&b);
}

/* A client that keeps the keeper busy, and reads nothing: at the deadline it loses the device all the same. */
static void test_busy_client(void **state)
{
	struct bench b;
	int steps = 0;

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(order(&b, 0, 20000, ENDED_ADMINISTRATOR), 0);
	while (b.group->devices[0].opened) {
		packet_request(&b.packet, DEVICE_PING, 1);
		packet_send(b.clients[0], MSG_DONTWAIT, &b.packet);
		b.running = keeper_step(b.keeper, 10);
		steps++;
	}
	assert_true(steps > 20);
	assert_int_equal(released_for(&b, 0), ENDED_ADMINISTRATOR);
	bench_stop(&b);
}

/* The broker learns that the device is closed before the group leaves the domain, which may hang. */
static void test_leaving(void **state)
{
	const struct released_event *leaving;
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(order(&b, 0, 0, ENDED_ADMINISTRATOR), 0);
	leaving = bench_event(&b, b.broker, KEEPER_EVENT_LEAVING, sizeof *leaving);
	assert_string_equal(leaving->name, bench_names[0]);
	assert_true(leaving->report.steps_done & 1U << RELEASE_CLOSE);
	assert_false(leaving->report.steps_done & 1U << RELEASE_LEAVE);
	assert_int_equal(released_for(&b, 0), ENDED_ADMINISTRATOR);
	bench_stop(&b);
}

/* An uncorrectable error: the lease ends, the client hears why, and so does the broker. */
static void test_fault(void **state)
{
	const struct fault_event *fault;
	struct bench b;

	(void)state;
	bench_start(&b, 1);
	b.group->devices[0].express = true;
	{
		OWNED_FD domain = fake_container_open();

		assert_int_equal(bench_bind(&b, 0, domain), 0);
	}
	assert_int_equal(fake_device_fault(&b.group->devices[0]), 1);
	fault = bench_event(&b, b.broker, KEEPER_EVENT_FAULT, sizeof *fault);
	assert_string_equal(fault->name, bench_names[0]);
	assert_int_equal(released_for(&b, 0), ENDED_ERROR);
	expect_words(&b, 0, REFUSAL_DEVICE_BAD_STATE, "uncorrectable error");
	assert_int_equal(b.group->devices[0].opened, 0);
	bench_stop(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(test_at_once),
		bench_test(test_deadline),
		cmocka_unit_test(test_timeouts),
		bench_test(test_several),
		bench_test(test_released_meanwhile),
		bench_test(test_not_leased),
		bench_test(test_sibling),
		bench_test(test_busy_client),
		bench_test(test_leaving),
		bench_test(test_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
