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
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

/*
 * Descriptors whose close may wait for the client: a keeper closes none of them while it has a device open. Most are
 * the write end of a pipe, or have one: the read end tells when the last copy is closed.
 */

#define BOUND_MS 2000 /* from the request to the close of the device, on a busy machine */

enum carrier {
	CARRIER_PIPE,
	CARRIER_SOCKET, /* with the pipe in its queue */
	CARRIER_EPOLL,	/* with nothing; and so is the next */
	CARRIER_USERFAULTFD,
	CARRIERS,
};

static const char *const carrier_names[] = {"a pipe", "a local socket", "an epoll", "a userfaultfd"};

/* Returns a descriptor, or -1: not on this kernel. *RET_READER is the read end of the pipe. */
static int carrier_open(enum carrier carrier, int *ret_reader)
{
	const struct message_header ping = {COMMON_PING, 0, 0, 1};
	int pipe_fds[2], pair[2];

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	*ret_reader = pipe_fds[0];
	if (carrier == CARRIER_PIPE)
		return pipe_fds[1];
	if (carrier == CARRIER_SOCKET) {
		unit_pair(pair);
		raw_send(pair[0], &ping, sizeof ping, &pipe_fds[1], 1);
		close(pair[0]);
	}
	close(pipe_fds[1]);
	if (carrier == CARRIER_SOCKET)
		return pair[1];
	if (carrier == CARRIER_EPOLL)
		return epoll_create1(EPOLL_CLOEXEC);
	return (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
}

static bool is_hung_up(int reader)
{
	struct pollfd p = {.fd = reader, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* Waits until nobody has DEVICE open, and fails if the last copy of a carrier is closed before. */
static void expect_closed_first(const struct fake_device *device, enum carrier carrier, int reader)
{
	uint64_t start = now_ms();
	bool hung_up = false;

	/* This order: a pipe closed after its device must not be taken for one that was closed before. */
	while ((hung_up = carrier <= CARRIER_SOCKET && is_hung_up(reader)), device->opened > 0) {
		if (hung_up)
			fail_msg("%s was closed while a device was open", carrier_names[carrier]);
		if (now_ms() - start > BOUND_MS)
			fail_msg("%s: the device is open after %d ms", carrier_names[carrier], BOUND_MS);
	}
}

/* And all of it is gone in the end, with the keeper. */
static void expect_gone(enum carrier carrier, int reader)
{
	struct pollfd p = {.fd = reader, .events = POLLIN};

	if (carrier <= CARRIER_SOCKET)
		assert_int_equal(poll(&p, 1, 10000), 1);
	close(reader);
}

static int bound_device(int session, const char *name, int domain)
{
	const struct bind_request bind = {0};
	const struct message_header header = {DEVICE_BIND, 0, sizeof bind, 5};
	uint8_t bytes[sizeof header + sizeof bind] = {0};
	int channel = raw_open(session, name);

	memcpy(bytes, &header, sizeof header);
	raw_send(channel, bytes, sizeof bytes, &domain, 1);
	assert_int_equal(raw_reply(channel, DEVICE_BIND, 5), 0);
	return channel;
}

/* Sends a request of TYPE whose size is right, with FD, and keeps no copy. */
static void send_carrier(int channel, uint16_t type, int fd)
{
	struct {
		struct message_header header;
		uint8_t payload[1024];
	} request = {.header = {type, 0, (uint32_t)device_table.rules[type].size, 9}};
	const struct irq_request irq = {.index = 1, .count = 1};

	if (type == DEVICE_IRQ_SET)
		memcpy(request.payload, &irq, sizeof irq);
	raw_send(channel, &request, sizeof request.header + request.header.length, &fd, 1);
	close(fd);
}

static void on_each_request(void **state)
{
	const struct fake_device *device = host_device(1, EDU);
	int session;

	(void)state;
	begin();
	session = raw_connect(world()->broker_socket);
	raw_hello(session);
	for (int i = 0; i < CARRIERS * (int)device_table.count; i++) {
		enum carrier carrier = (enum carrier)(i % CARRIERS);
		uint16_t type = (uint16_t)(i / CARRIERS);
		int domain, channel, fd, reader;

		if (!device_table.rules[type].name)
			continue;
		fd = carrier_open(carrier, &reader);
		if (fd < 0) {
			close(reader);
			continue;
		}
		domain = fake_container_open();
		channel = bound_device(session, EDU, domain);
		close(domain);
		assert_int_equal(device->opened, 1);
		send_carrier(channel, type, fd);
		expect_closed_first(device, carrier, reader);
		assert_true(raw_reply(channel, type, 9) != 0);
		raw_expect_end(channel);
		close(channel);
		expect_gone(carrier, reader);
	}
	close(session);
	end();
}

/* The lease of SIBLING goes on, or so its client thinks: the keeper must not look into the queue by emptying it. */
static void behind_release(const char *name, const char *sibling, enum carrier carrier)
{
	const struct message_header release = {DEVICE_RELEASE, 0, 0, 8};
	const struct fake_device *device = sibling ? host_device(4, sibling) : host_device(1, name);
	int domain = fake_container_open(), session = raw_connect(world()->broker_socket);
	int channel, other = -1, reader, fd = carrier_open(carrier, &reader);

	raw_hello(session);
	if (sibling)
		other = bound_device(session, sibling, domain);
	channel = bound_device(session, name, domain);
	close(domain);
	assert_int_equal(device->opened, 1);
	raw_send(channel, &release, sizeof release, NULL, 0);
	send_carrier(channel, COMMON_PING, fd);
	expect_closed_first(device, carrier, reader);
	if (other >= 0) {
		raw_expect_end(other);
		close(other);
	}
	close(channel);
	close(session);
	expect_gone(carrier, reader);
}

static void at_the_end_of_a_lease(void **state)
{
	(void)state;
	begin();
	for (int carrier = CARRIER_PIPE; carrier <= CARRIER_SOCKET; carrier++) {
		behind_release(EDU, NULL, (enum carrier)carrier);
		behind_release(TWIN, TWIN_2, (enum carrier)carrier);
	}
	end();
}

/* Who is away leaves a queue, too. */
static void at_a_hangup(void **state)
{
	const struct fake_device *device = host_device(4, TWIN_2);
	int domain, session, channel, other, reader, fd;

	(void)state;
	begin();
	domain = fake_container_open();
	session = raw_connect(world()->broker_socket);
	fd = carrier_open(CARRIER_PIPE, &reader);
	raw_hello(session);
	other = bound_device(session, TWIN_2, domain);
	channel = bound_device(session, TWIN, domain);
	close(domain);
	send_carrier(channel, COMMON_PING, fd);
	close(channel);
	expect_closed_first(device, CARRIER_PIPE, reader);
	close(other);
	close(session);
	expect_gone(CARRIER_PIPE, reader);
	end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(on_each_request),
		CASE(at_the_end_of_a_lease),
		CASE(at_a_hangup),
	};

	return HARNESS_RUN(argc, argv, "foreign", tests);
}
