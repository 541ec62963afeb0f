/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "fdset.h"
#include "harness.h"
#include "hostile.h"
#include "message.h"
#include "packet.h"
#include "raw_channel.h"
#include "refusal.h"
#include "table.h"
#include "unit.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

/* Every request with every wrong descriptor, and in every wrong state. */

/* ---- every wrong descriptor, and every wrong state ---- */

enum kind {
	KIND_EVENTFD,
	KIND_DOMAIN,
	KIND_GROUP,
	KIND_PIPE_END,
	KIND_FILE,
	KIND_DIRECTORY,
	KIND_NULL,
	KIND_TERMINAL,
	KIND_STREAM,
	KIND_INTERNET,
	KIND_SEQPACKET,
	KIND_EPOLL,
	KIND_TIMER,
	KIND_INOTIFY,
	KIND_PIDFD,
	KIND_MEMFD,
	KIND_PATH,
	KINDS,
};

static int kind_open(enum kind kind)
{
	char path[160];
	int ends[2];

	switch (kind) {
	case KIND_EVENTFD:
		return eventfd(0, EFD_CLOEXEC);
	case KIND_DOMAIN:
		return fake_container_open();
	case KIND_GROUP:
		snprintf(path, sizeof path, "%s/groups/10", world()->directory);
		return open(path, O_RDWR | O_CLOEXEC);
	case KIND_PIPE_END:
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		close(ends[1]);
		return ends[0];
	case KIND_FILE:
		return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	case KIND_DIRECTORY:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case KIND_NULL:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case KIND_TERMINAL:
		return open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	case KIND_STREAM:
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case KIND_INTERNET:
		return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case KIND_SEQPACKET:
		return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	case KIND_EPOLL:
		return epoll_create1(EPOLL_CLOEXEC);
	case KIND_TIMER:
		return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	case KIND_INOTIFY:
		return inotify_init1(IN_CLOEXEC);
	case KIND_PIDFD:
		return (int)syscall(SYS_pidfd_open, getpid(), 0);
	case KIND_MEMFD:
		return memfd_create("memory", MFD_CLOEXEC);
	case KIND_PATH:
		return open("/dev/null", O_PATH | O_CLOEXEC);
	case KINDS:
		break;
	}
	return -1;
}

/* A request with a payload that is as good as can be without knowing more: sizes are right, names are of a device. */
static size_t make_request(const struct request_table *table, uint16_t type, size_t fds, struct request *request)
{
	const struct request_rule *rule = &table->rules[type];
	struct lease_request lease = {.flags = fds == 2 ? LEASE_GROUP : 0, .group = 10, .name = NOBODYS};
	struct irq_request irq = {.index = 1, .count = (uint32_t)fds};
	struct region_request region = {.length = 4, .width = 4};
	struct open_request name = {.name = EDU};
	struct explain_request explain = {.name = EDU};

	*request = (struct request){.header = {type, 0, (uint32_t)rule->size, 9}};
	if (type == COMMON_HELLO)
		memcpy(request->payload, &hello, sizeof hello);
	else if (table->kind == CHANNEL_KEEPER && type == KEEPER_LEASE)
		memcpy(request->payload, &lease, sizeof lease);
	else if (table->kind == CHANNEL_DEVICE && rule->size == sizeof irq)
		memcpy(request->payload, &irq, sizeof irq);
	else if (table->kind == CHANNEL_DEVICE && rule->size == sizeof region)
		memcpy(request->payload, &region, sizeof region);
	else if (table->kind == CHANNEL_BROKER && type == BROKER_EXPLAIN)
		memcpy(request->payload, &explain, sizeof explain);
	else if (table->kind == CHANNEL_BROKER && rule->size >= sizeof name)
		memcpy(request->payload, &name, sizeof name);
	return sizeof request->header + rule->size;
}

/* Sends it with COUNT copies of FD: answered once. Returns 0 or the refusal, negative if that has an errno. */
static int answer_to(int channel, const struct request_table *table, uint16_t type, int fd, size_t count)
{
	struct request request;
	int fds[FDSET_MAX] = {0};
	size_t size = make_request(table, type, count, &request);

	for (size_t i = 0; i < count; i++)
		fds[i] = fd;
	raw_send(channel, &request, size, fds, count);
	return raw_reply(channel, type, 9);
}

static void expect_alive(int channel)
{
	raw_request(channel, COMMON_PING, 77, NULL, 0);
	assert_int_equal(raw_reply(channel, COMMON_PING, 77), 0);
}

static void bind_to_new_domain(int channel)
{
	int domain = fake_container_open();

	assert_int_equal(answer_to(channel, &device_table, DEVICE_BIND, domain, 1), 0);
	close(domain);
}

/* What is known to be harmless with a request that takes descriptors: all else is answered, and then shown the door. */
static bool ends_the_lease(const struct request_rule *rule, enum kind kind)
{
	return rule->fds_max == 0 || (kind != KIND_EVENTFD && kind != KIND_DOMAIN);
}

/* Descriptors with requests that take none meet the same code, whichever the request is, and each costs a lease: so
 * each such request gets some kinds, and each kind goes to some of them. */
static bool is_turn(const struct request_rule *rule, uint16_t type, enum kind kind, enum channel_state state)
{
	return rule->fds_max > 0 || (type + kind + (state == STATE_BOUND)) % 5 == 0;
}

static int device_channel(int session, enum channel_state state)
{
	int channel = raw_open(session, EDU);

	if (state == STATE_BOUND)
		bind_to_new_domain(channel);
	return channel;
}

/*
 * On device channels, where requests take as many as they should, or one: all refused but where KIND is the right
 * one.
 */
static void send_everywhere(int session, enum kind kind, enum channel_state state)
{
	const struct request_table *table = &device_table;
	int channel = device_channel(session, state);
	int fd = kind_open(kind);

	assert_true(fd >= 0);
	for (uint16_t type = 1; type < table->count; type++) {
		const struct request_rule *rule = &table->rules[type];
		size_t count = rule->fds_min > 0 ? rule->fds_min : 1;
		bool right = (type == DEVICE_BIND && kind == KIND_DOMAIN) ||
			(type == DEVICE_IRQ_SET && kind == KIND_EVENTFD);
		int r;

		if (!rule->name || !is_turn(rule, type, kind, state))
			continue;
		r = answer_to(channel, table, type, fd, count);
		if (rule->fds_max == 0)
			assert_int_equal(r, REFUSAL_MALFORMED);
		else if (!(rule->states & state))
			assert_true(r == REFUSAL_NOT_BOUND || r == REFUSAL_ALREADY_BOUND);
		else if (right)
			assert_int_equal(r, 0);
		else if (type == DEVICE_BIND)
			assert_int_equal(r, REFUSAL_NOT_A_DOMAIN);
		else
			assert_true(r != 0);
		if (type == DEVICE_BIND && r == 0)
			assert_int_equal(answer_to(channel, table, DEVICE_UNBIND, -1, 0), 0);
		if (ends_the_lease(rule, kind)) {
			raw_expect_end(channel);
			close(channel);
			channel = device_channel(session, state);
		}
		expect_alive(channel);
	}
	assert_int_equal(answer_to(channel, table, DEVICE_RELEASE, -1, 0), 0);
	close(channel);
	close(fd);
}

static void wrong_descriptors_to_keepers(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 2 * KINDS; i++) {
		int session = raw_connect(world()->broker_socket);

		raw_hello(session);
		send_everywhere(session, (enum kind)(i / 2), i % 2 ? STATE_BOUND : STATE_READY);
		close(session);
	}
	end();
}

/* They end the session, whatever they are, and stay with the front. */
static void wrong_descriptors_to_the_broker(void **state)
{
	(void)state;
	begin();
	for (int kind = 0; kind < KINDS; kind++) {
		int session = raw_connect(world()->broker_socket), fd = kind_open((enum kind)kind);

		raw_hello(session);
		assert_int_equal(answer_to(session, &broker_table, BROKER_PING, fd, 1), REFUSAL_MALFORMED);
		raw_expect_end(session);
		close(fd);
		close(session);
	}
	end();
}

/* What a broker gone mad could do to a keeper: no lease is made of anything but a group and a channel. */
static void wrong_descriptors_from_the_broker(void **state)
{
	(void)state;
	begin();
	for (int kind = 0; kind < KINDS; kind++) {
		int keeper = raw_connect(world()->keeper_socket), fd = kind_open((enum kind)kind);

		raw_hello(keeper);
		for (uint16_t type = 1; type < keeper_table.count; type++) {
			if (!keeper_table.rules[type].name || type == COMMON_HELLO || type == COMMON_PING)
				continue;
			for (size_t count = 1; count <= 3; count++)
				assert_true(answer_to(keeper, &keeper_table, type, fd, count) != 0);
			expect_alive(keeper);
		}
		assert_int_equal(answer_to(keeper, &keeper_table, COMMON_PING, fd, 1), REFUSAL_MALFORMED);
		expect_alive(keeper);
		close(fd);
		close(keeper);
	}
	end();
}

/* Each request in each state that it is not for, and its answer; none changes the state. */
static void expect_wrong_state(int channel, const struct request_table *table, enum channel_state state)
{
	for (uint16_t type = 1; type < table->count; type++) {
		const struct request_rule *rule = &table->rules[type];
		int domain, r;

		if (!rule->name || (rule->states & state))
			continue;
		domain = fake_container_open();
		r = answer_to(channel, table, type, domain, rule->fds_min);
		/* Wrong in form, too, for want of elements: then that is what is said. */
		if (state == STATE_NEW || r == REFUSAL_MALFORMED)
			assert_int_equal(r, REFUSAL_MALFORMED);
		else
			assert_int_equal(r, state == STATE_BOUND ? REFUSAL_ALREADY_BOUND : REFUSAL_NOT_BOUND);
		close(domain);
	}
}

static void requests_in_wrong_states(void **state)
{
	struct packet *packet = malloc(sizeof *packet);
	const struct open_request request = {.name = EDU};
	int session, channel;

	(void)state;
	begin();
	session = raw_connect(world()->broker_socket);
	expect_wrong_state(session, &broker_table, STATE_NEW);
	raw_hello(session);
	expect_wrong_state(session, &broker_table, STATE_READY);
	raw_request(session, BROKER_OPEN, 2, &request, sizeof request);
	assert_int_equal(raw_receive(session, packet), PACKET_RECEIVED);
	channel = fdset_take(&packet->fds, 0);
	expect_wrong_state(channel, &device_table, STATE_NEW);
	raw_hello(channel);
	expect_wrong_state(channel, &device_table, STATE_READY);
	bind_to_new_domain(channel);
	expect_wrong_state(channel, &device_table, STATE_BOUND);
	assert_int_equal(answer_to(channel, &device_table, DEVICE_UNBIND, -1, 0), 0);
	expect_wrong_state(channel, &device_table, STATE_READY);
	close(channel);
	close(session);
	packet_clear(packet);
	free(packet);
	end();
}

int main(int argc, char **argv)
{
	static const struct world_options options = {
		.broker_arguments = {"--sessions-per-user", "1024", "--pass-rights"}};
	const struct rlimit files = {16384, 16384};
	const struct CMUnitTest tests[] = {
		CASE_IN(wrong_descriptors_to_keepers, &options),
		CASE_IN(wrong_descriptors_to_the_broker, &options),
		CASE_IN(wrong_descriptors_from_the_broker, &options),
		CASE_IN(requests_in_wrong_states, &options),
	};

	/* The broker's as well, which keeps some for itself; vfio-broker.service has its own. */
	setrlimit(RLIMIT_NOFILE, &files);
	return HARNESS_RUN(argc, argv, "wrong", tests);
}
