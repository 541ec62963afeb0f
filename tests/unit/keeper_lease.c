/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "device_bench.h"
#include "fdset.h"
#include "keeper.h"
#include "keeper_bench.h"
#include "limits.h"
#include "message.h"
#include "packet.h"
#include "refusal.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

/* How a lease begins and ends: what the broker sends, what it hears, who may go when. */

/* ---- leases ---- */

static void test_lease(void **state)
{
	struct bench b;
	struct lease_request lease = bench_lease_request(0, LEASE_GROUP);
	const struct lease_reply *who;

	(void)state;
	bench_start(&b, 0);
	/* without a lease the keeper waits */
	bench_settle(&b);
	assert_true(b.running);
	assert_int_equal(bench_lease_as(&b, &lease, &b.clients[0]), 0);
	who = packet_body(&b.packet, sizeof *who);
	assert_non_null(who);
	assert_int_equal(who->pid, getpid());
	assert_int_equal(who->uid, getuid());
	bench_stop(&b);
}

static void test_lease_refusals(void **state)
{
	struct bench b;
	struct lease_request lease;
	int client;

	(void)state;
	bench_start(&b, 0);
	lease = bench_lease_request(0, 0);
	assert_int_equal(bench_lease_as(&b, &lease, &client), REFUSAL_MALFORMED);
	assert_detail(&b, "first lease");
	lease.flags = LEASE_GROUP;
	assert_int_equal(bench_lease_as(&b, &lease, &b.clients[0]), 0);
	assert_int_equal(bench_lease_as(&b, &lease, &client), REFUSAL_MALFORMED);
	assert_detail(&b, "already");
	lease.flags = 0;
	assert_int_equal(bench_lease_as(&b, &lease, &client), REFUSAL_DEVICE_BUSY);
	assert_detail(&b, bench_names[0]);
	lease = bench_lease_request(1, 0);
	lease.group = 8;
	assert_int_equal(bench_lease_as(&b, &lease, &client), REFUSAL_MALFORMED);
	assert_detail(&b, "group 8");
	/* none of this has touched the lease that there is */
	bench_hello(&b, b.clients[0]);
	bench_stop(&b);
}

static void test_lease_wrong_fds(void **state)
{
	struct bench b;
	struct lease_request lease = bench_lease_request(0, LEASE_GROUP);
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	OWNED_FD stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int pair[2];

	(void)state;
	unit_pair(pair);
	bench_start(&b, 0);
	assert_int_equal(
		bench_call_fds(&b, b.broker, KEEPER_LEASE, &lease, sizeof lease, (int[]){b.group_copy, event}, 2),
		REFUSAL_MALFORMED);
	assert_detail(&b, "device channel");
	assert_int_equal(
		bench_call_fds(&b, b.broker, KEEPER_LEASE, &lease, sizeof lease, (int[]){b.group_copy, stream}, 2),
		REFUSAL_MALFORMED);
	assert_int_equal(bench_call_fds(&b, b.broker, KEEPER_LEASE, &lease, sizeof lease, (int[]){event, pair[1]}, 2),
		REFUSAL_MALFORMED);
	assert_detail(&b, "group 7");
	assert_int_equal(
		bench_call_fds(&b, b.broker, KEEPER_LEASE, &lease, sizeof lease, (int[]){b.group_copy, pair[1]}, 2), 0);
	close(pair[0]);
	close(pair[1]);
	bench_stop(&b);
}

static void test_lease_too_many(void **state)
{
	struct bench b;
	int clients[DEVICES_MAX], client;

	(void)state;
	bench_start(&b, 0);
	for (int i = 0; i <= DEVICES_MAX; i++) {
		struct lease_request lease = bench_lease_request(0, i == 0 ? LEASE_GROUP : 0);

		snprintf(lease.name, sizeof lease.name, "0000:%02x:00.0", i);
		assert_int_equal(bench_lease_as(&b, &lease, i < DEVICES_MAX ? &clients[i] : &client),
			i < DEVICES_MAX ? 0 : REFUSAL_QUOTA);
	}
	for (int i = 0; i < DEVICES_MAX; i++)
		close(clients[i]);
	for (int i = 0; i < DEVICES_MAX && b.running; i++)
		b.running = keeper_step(b.keeper, 0);
	assert_false(b.running);
	bench_stop(&b);
}

/* What a broker asks that was started after the one which made the leases. */
static void query(struct bench *b, size_t count)
{
	const struct query_request request = {0};
	const struct query_reply *reply = (const void *)b->packet.payload;

	assert_int_equal(bench_call(b, b->broker, KEEPER_QUERY, &request, sizeof request), 0);
	assert_int_equal(b->packet.header.length, sizeof *reply + count * sizeof(struct query_record));
	assert_int_equal(reply->count, count);
	assert_int_equal(reply->pid, getpid());
	assert_int_equal(reply->uid, getuid());
	assert_int_equal(reply->group, count ? 7 : 0);
}

static void test_query(void **state)
{
	static struct bench b;
	const struct query_record *records = (const void *)(b.packet.payload + sizeof(struct query_reply));
	OWNED_FD domain = fake_container_open();
	struct lease_request lease = bench_lease_request(0, LEASE_GROUP);
	char byte;

	(void)state;
	bench_start(&b, 0);
	query(&b, 0);
	lease.origin = (struct lease_origin){5, 600, 7, 800, {1000, 4711, "lab.service"}};
	strcpy(lease.rule, bench_rule);
	lease.mappings = 12;
	assert_int_equal(bench_lease_as(&b, &lease, &b.clients[0]), 0);
	bench_hello(&b, b.clients[0]);
	for (size_t i = 1; i < 3; i++) {
		lease = bench_lease_request(i, 0);
		assert_int_equal(bench_lease_as(&b, &lease, &b.clients[i]), 0);
	}
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_int_equal(((const struct bind_reply *)packet_body(&b.packet, sizeof(struct bind_reply)))->mappings, 12);
	query(&b, 3);
	assert_string_equal(records[0].name, bench_names[0]);
	assert_int_equal(records[0].flags, QUERY_BOUND);
	assert_int_equal(records[0].origin.session, 5);
	assert_int_equal(records[0].origin.session_started, 600);
	assert_int_equal(records[0].origin.zero, 7);
	assert_int_equal(records[0].origin.since, 800);
	assert_int_equal(records[0].origin.holder.uid, 1000);
	assert_string_equal(records[0].origin.holder.unit, "lab.service");
	assert_string_equal(records[0].rule, bench_rule);
	assert_string_equal(records[2].name, bench_names[2]);
	assert_int_equal(records[2].flags, 0);
	/* Nothing else has changed. */
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_PING, NULL, 0), 0);
	assert_int_equal(recv(b.broker, &byte, 1, MSG_DONTWAIT), -1);
	bench_stop(&b);
}

/* The earlier broker was killed with a client's end of a channel that it had not sent: nobody has that device. */
static void test_query_without_clients(void **state)
{
	static struct bench b;
	const struct query_record *records = (const void *)(b.packet.payload + sizeof(struct query_reply));
	const struct query_request request = {0};

	(void)state;
	bench_start(&b, 2);
	close(fd_take(&b.clients[0]));
	packet_request(&b.packet, KEEPER_QUERY, 1);
	memcpy(packet_append(&b.packet, sizeof request), &request, sizeof request);
	assert_int_equal(packet_send(b.broker, MSG_DONTWAIT, &b.packet), 0);
	bench_expect_released(&b, 0, 1, 0);
	bench_pump(&b, b.broker);
	assert_int_equal(packet_receive(b.broker, MSG_DONTWAIT, 0, &b.packet), PACKET_RECEIVED);
	assert_int_equal(b.packet.header.type, KEEPER_QUERY);
	assert_int_equal(b.packet.header.length, sizeof(struct query_reply) + sizeof(struct query_record));
	assert_string_equal(records[0].name, bench_names[1]);
	/* Without any left, its work is done; the reply arrives before the end. */
	close(fd_take(&b.clients[1]));
	packet_request(&b.packet, KEEPER_QUERY, 2);
	memcpy(packet_append(&b.packet, sizeof request), &request, sizeof request);
	assert_int_equal(packet_send(b.broker, MSG_DONTWAIT, &b.packet), 0);
	bench_expect_released(&b, 1, 0, 0);
	bench_settle(&b);
	assert_false(b.running);
	assert_int_equal(packet_receive(b.broker, MSG_DONTWAIT, 0, &b.packet), PACKET_RECEIVED);
	assert_int_equal(b.packet.header.type, KEEPER_QUERY);
	assert_int_equal(b.packet.header.length, sizeof(struct query_reply));
	assert_int_equal(packet_receive(b.broker, MSG_DONTWAIT, 0, &b.packet), PACKET_END);
	bench_stop(&b);
}

static void test_keeper_channel(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b, 0);
	assert_int_equal(bench_call(&b, b.broker, KEEPER_PING, NULL, 0), 0);
	assert_int_equal(bench_call(&b, b.broker, 99, NULL, 0), REFUSAL_UNSUPPORTED);
	bench_stop(&b);
}

/* ---- the end of a lease ---- */

static void test_release(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();

	(void)state;
	bench_start(&b, 2);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_int_equal(bench_bind(&b, 1, domain), 0);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RELEASE, NULL, 0), 0);
	assert_free(&b, 0);
	bench_expect_closed(&b, 0, REFUSAL_NONE);
	bench_expect_released(&b, 0, 1, 0);
	/* the sibling goes on */
	assert_true(fake_container_view(domain)->iommu);
	assert_int_equal(bench_call(&b, b.clients[1], DEVICE_RESET, NULL, 0), 0);
	/* with the reply to the last one, the group is out of the domain */
	assert_int_equal(bench_call(&b, b.clients[1], DEVICE_RELEASE, NULL, 0), 0);
	assert_false(fake_container_view(domain)->iommu);
	bench_expect_closed(&b, 1, REFUSAL_NONE);
	bench_expect_released(&b, 1, 0, 0);
	assert_int_equal(packet_receive(b.broker, MSG_DONTWAIT, 0, &b.packet), PACKET_END);
	assert_false(b.running);
	bench_stop(&b);
}

static void test_client_goes(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();

	(void)state;
	bench_start(&b, 2);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	close(fd_take(&b.clients[0]));
	bench_expect_released(&b, 0, 1, 0);
	assert_free(&b, 0);
	assert_false(fake_container_view(domain)->iommu);
	assert_true(b.running);
	/* the device can be leased again, by the same keeper */
	assert_int_equal(
		bench_lease_as(&b, &(struct lease_request){.group = 7, .name = "0000:01:00.0"}, &b.clients[0]), 0);
	close(fd_take(&b.clients[1]));
	bench_expect_released(&b, 1, 1, 0);
	close(fd_take(&b.clients[0]));
	bench_expect_released(&b, 0, 0, 0);
	bench_settle(&b);
	assert_false(b.running);
	bench_stop(&b);
}

/* Requests that were on their way do not keep the last words from arriving. */
static void test_release_with_more_to_come(void **state)
{
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	for (uint64_t cookie = 1; cookie < 10; cookie++) {
		packet_request(&b.packet, cookie == 1 ? DEVICE_RELEASE : DEVICE_PING, cookie);
		assert_int_equal(packet_send(b.clients[0], MSG_DONTWAIT, &b.packet), 0);
	}
	bench_pump(&b, b.clients[0]);
	assert_int_equal(packet_receive(b.clients[0], MSG_DONTWAIT, 0, &b.packet), PACKET_RECEIVED);
	assert_int_equal(b.packet.header.type, DEVICE_RELEASE);
	bench_expect_closed(&b, 0, REFUSAL_NONE);
	bench_stop(&b);
}

static void test_broken_framing(void **state)
{
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	assert_int_equal(write(b.clients[0], "?", 1), 1);
	bench_pump(&b, b.clients[0]);
	assert_int_equal(packet_receive(b.clients[0], MSG_DONTWAIT, 0, &b.packet), PACKET_RECEIVED);
	assert_int_equal(packet_refusal(&b.packet, &b.detail), REFUSAL_MALFORMED);
	bench_expect_closed(&b, 0, REFUSAL_MALFORMED);
	bench_expect_released(&b, 0, 0, 0);
	assert_free(&b, 0);
	bench_stop(&b);
}

static void end_broker(struct bench *b)
{
	assert_int_equal(shutdown(b->broker, SHUT_WR), 0);
	bench_settle(b);
	assert_false(b->running);
}

static void test_broker_ends(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	int one[] = {event};

	(void)state;
	bench_start(&b, 3);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_int_equal(bench_bind(&b, 2, domain), 0);
	assert_int_equal(irq(&b, DEVICE_IRQ_SET, MSI, 0, 1, one), 0);
	end_broker(&b);
	assert_false(fake_container_view(domain)->iommu);
	for (size_t i = 0; i < 3; i++) {
		assert_free(&b, i);
		bench_expect_closed(&b, i, REFUSAL_REVOKED);
		bench_expect_released(&b, i, (uint32_t)(2 - i), 0);
	}
	assert_int_equal(packet_receive(b.broker, MSG_DONTWAIT, 0, &b.packet), PACKET_END);
	bench_stop(&b);
}

/* A broker that is gone altogether, with a keeper that has no lease, and one that has. */
static void test_broker_dies(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b, 0);
	close(fd_take(&b.broker));
	bench_settle(&b);
	assert_false(b.running);
	bench_stop(&b);
	bench_start_bound(&b);
	close(fd_take(&b.broker));
	bench_settle(&b);
	assert_false(b.running);
	assert_free(&b, 0);
	bench_expect_closed(&b, 0, REFUSAL_REVOKED);
	bench_stop(&b);
}

/* A client that keeps the keeper busy and reads nothing does not delay its end. */
static void test_broker_ends_busy_keeper(void **state)
{
	struct bench b;
	int sent = 0;

	(void)state;
	bench_start_bound(&b);
	for (int i = 0; i < 1000; i++) {
		packet_request(&b.packet, DEVICE_DESCRIBE, 1);
		sent += packet_send(b.clients[0], MSG_DONTWAIT, &b.packet) == 0;
		b.running = keeper_step(b.keeper, 0);
	}
	assert_true(sent < 1000);
	assert_int_equal(shutdown(b.broker, SHUT_WR), 0);
	assert_false(keeper_step(b.keeper, 0));
	assert_free(&b, 0);
	bench_expect_released(&b, 0, 0, 0);
	b.running = false;
	bench_stop(&b);
}

static void test_release_reports_failure(void **state)
{
	struct bench b;

	(void)state;
	bench_start_bound(&b);
	fake_kernel_fail(FAKE_DETACH, EBUSY);
	end_broker(&b);
	bench_expect_closed(&b, 0, REFUSAL_REVOKED);
	bench_expect_released(&b, 0, 0, EBUSY);
	assert_int_equal(fake_vfio.group_detach(b.group_copy), -EBUSY);
	fake_kernel_fail(FAKE_DETACH, 0);
	assert_int_equal(fake_vfio.group_detach(b.group_copy), 0);
	bench_stop(&b);
}

static void *run_keeper(void *bench)
{
	struct bench *b = bench;

	/* The thread that attached has to be the one that detaches: the fake's mutexes are its. */
	while (keeper_step(b->keeper, -1))
		;
	return NULL;
}

/* Hazard 1: leaving the domain hangs. The device is closed by then, and the client knows. */
static void test_detach_hangs(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();
	struct bind_request bind = {0};
	struct pollfd client;
	pthread_t thread;

	(void)state;
	bench_start(&b, 1);
	b.running = false;
	assert_int_equal(pthread_create(&thread, NULL, run_keeper, &b), 0);
	packet_request(&b.packet, DEVICE_BIND, 1);
	memcpy(packet_append(&b.packet, sizeof bind), &bind, sizeof bind);
	fdset_add(&b.packet.fds, fcntl(domain, F_DUPFD_CLOEXEC, 3));
	assert_int_equal(packet_send(b.clients[0], 0, &b.packet), 0);
	assert_int_equal(packet_receive(b.clients[0], 0, 0, &b.packet), PACKET_RECEIVED);
	assert_int_equal(b.packet.header.flags, MESSAGE_REPLY);
	b.group->hang = true;
	assert_int_equal(shutdown(b.broker, SHUT_WR), 0);
	client = (struct pollfd){b.clients[0], POLLIN, 0};
	assert_int_equal(poll(&client, 1, 10000), 1);
	bench_expect_closed(&b, 0, REFUSAL_REVOKED);
	assert_free(&b, 0);
	/* but the broker has not heard that the group is free: only where it hangs */
	assert_int_equal(packet_receive(b.broker, 0, 0, &b.packet), PACKET_RECEIVED);
	assert_int_equal(b.packet.header.type, KEEPER_EVENT_BOUND);
	assert_int_equal(packet_receive(b.broker, 0, 0, &b.packet), PACKET_RECEIVED);
	assert_int_equal(b.packet.header.type, KEEPER_EVENT_LEAVING);
	assert_false(bench_readable(b.broker));
	assert_int_equal(b.group->container != 0, true);
	b.group->hang = false;
	pthread_join(thread, NULL);
	bench_expect_released(&b, 0, 0, 0);
	assert_int_equal(b.group->container, 0);
	bench_stop(&b);
}

/* The broker records it. */
static void test_bound_is_told(void **state)
{
	const struct bound_event *bound;
	struct bench b;
	OWNED_FD domain = fake_container_open();

	(void)state;
	bench_start(&b, 1);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	bound = bench_event(&b, b.broker, KEEPER_EVENT_BOUND, sizeof *bound);
	assert_string_equal(bound->name, bench_names[0]);
	assert_int_equal(bound->bound, 1);
	/* a refused one is not */
	assert_int_equal(bench_bind(&b, 0, domain), REFUSAL_ALREADY_BOUND);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), 0);
	bound = bench_event(&b, b.broker, KEEPER_EVENT_BOUND, sizeof *bound);
	assert_int_equal(bound->bound, 0);
	assert_false(bench_readable(b.broker));
	bench_stop(&b);
}

/* The host wants the device back (hot-unplug): the VFIO device request interrupt. */
static void test_unplug(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();

	(void)state;
	bench_start(&b, 2);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_int_equal(bench_bind(&b, 1, domain), 0);
	assert_int_equal(fake_device_request(&b.group->devices[0]), 1);
	bench_settle(&b);
	bench_expect_closed(&b, 0, REFUSAL_GONE);
	bench_expect_released(&b, 0, 1, 0);
	assert_free(&b, 0);
	assert_int_equal(bench_call(&b, b.clients[1], DEVICE_RESET, NULL, 0), 0);
	bench_stop(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(test_lease),
		bench_test(test_lease_refusals),
		bench_test(test_lease_wrong_fds),
		bench_test(test_lease_too_many),
		bench_test(test_query),
		bench_test(test_query_without_clients),
		bench_test(test_keeper_channel),
		bench_test(test_release),
		bench_test(test_client_goes),
		bench_test(test_release_with_more_to_come),
		bench_test(test_broken_framing),
		bench_test(test_broker_ends),
		bench_test(test_broker_dies),
		bench_test(test_broker_ends_busy_keeper),
		bench_test(test_release_reports_failure),
		bench_test(test_detach_hangs),
		bench_test(test_bound_is_told),
		bench_test(test_unplug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
