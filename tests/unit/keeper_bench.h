/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_BENCH_H
#define KEEPER_BENCH_H

#include "unit.h"

#include "container.h"
#include "fdset.h"
#include "foreign_fd.h"
#include "keeper.h"
#include "kept.h"
#include "limits.h"
#include "log.h"
#include "packet.h"
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

/*
 * A keeper on the fake kernel, in this process: the test plays the broker and the clients, and lets the keeper take a
 * step whenever an answer is due. So sanitizers see both sides, and nothing depends on timing.
 */
struct bench {
	struct keeper *keeper;
	bool running;
	int broker;	/* our end of the keeper channel */
	int group_copy; /* the group, for looking at it */
	struct fake_group *group;
	int clients[FAKE_DEVICES_MAX]; /* our ends of the device channels; -1: none */
	struct packet packet;	       /* what came last */
	struct detail detail;	       /* of the last refusal */
};

static const char *const bench_names[] = {"0000:01:00.0", "0000:01:00.1", "0000:01:00.2", NULL};
static const char bench_rule[] = "\"lab\" (t.conf:3)";

static inline bool bench_readable(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0) > 0;
}

/* Steps until something is there to be received on FD. */
static inline void bench_pump(struct bench *b, int fd)
{
	for (int i = 0; i < 1000 && !bench_readable(fd); i++) {
		if (b->running)
			b->running = keeper_step(b->keeper, 10);
	}
}

/* Steps until there is nothing to do. */
static inline void bench_settle(struct bench *b)
{
	for (int i = 0; i < 20 && b->running; i++)
		b->running = keeper_step(b->keeper, 0);
}

/* A request, with FDS that stay the caller's. Returns 0, a refusal or a negative errno; b->packet is the reply. */
static inline int bench_call_fds(
	struct bench *b, int channel, uint16_t type, const void *payload, size_t size, const int *fds, size_t fd_count)
{
	packet_request(&b->packet, type, 0x1000U + type);
	if (size > 0)
		memcpy(packet_append(&b->packet, size), payload, size);
	for (size_t i = 0; i < fd_count; i++)
		fdset_add(&b->packet.fds, fcntl(fds[i], F_DUPFD_CLOEXEC, 3));
	assert_int_equal(packet_send(channel, MSG_DONTWAIT, &b->packet), 0);
	do {
		bench_pump(b, channel);
		assert_int_equal(packet_receive(channel, MSG_DONTWAIT, 1, &b->packet), PACKET_RECEIVED);
	} while (channel == b->broker && b->packet.header.type == KEEPER_EVENT_BOUND);
	assert_int_equal(b->packet.header.type, type);
	assert_int_equal(b->packet.header.cookie, 0x1000U + type);
	b->detail.text[0] = '\0';
	return b->packet.header.flags & MESSAGE_REFUSED ? packet_refusal(&b->packet, &b->detail) : 0;
}

static inline int bench_call(struct bench *b, int channel, uint16_t type, const void *payload, size_t size)
{
	return bench_call_fds(b, channel, type, payload, size, NULL, 0);
}

static inline void bench_hello(struct bench *b, int channel)
{
	struct hello_request hello = {0, MESSAGE_VERSION, MESSAGE_VERSION, 0};

	assert_int_equal(bench_call(b, channel, COMMON_HELLO, &hello, sizeof hello), 0);
}

/* LEASE; *RET_CLIENT is our end of its channel. With LEASE_WINDOWS, a control file of its own comes along. */
static inline int bench_lease_as(struct bench *b, const struct lease_request *lease, int *ret_client)
{
	OWNED_FD control = memfd_create("control", MFD_CLOEXEC);
	int pair[2], fds[3], r;
	size_t count = 0;

	unit_pair(pair);
	if (lease->flags & LEASE_GROUP)
		fds[count++] = b->group_copy;
	if (lease->flags & LEASE_WINDOWS)
		fds[count++] = control;
	fds[count++] = pair[1];
	r = bench_call_fds(b, b->broker, KEEPER_LEASE, lease, sizeof *lease, fds, count);
	close(pair[1]);
	if (r == 0)
		*ret_client = pair[0];
	else
		close(pair[0]);
	return r;
}

static inline struct lease_request bench_lease_request(size_t i, uint32_t flags)
{
	struct lease_request lease = {
		.flags = flags, .group = 7, .vendor = 0x1234, .device = 0x11e8, .class = 0x00ff00};

	strcpy(lease.name, bench_names[i]);
	return lease;
}

/* A keeper with COUNT leased devices of one group, greeted and not bound; with windows by LIMITS, unless NULL. */
static inline void bench_start_on(
	struct bench *b, const struct vfio_kernel *kernel, size_t count, const struct window_limits *limits)
{
	int pair[2];

	memset(b->clients, 0xff, sizeof b->clients);
	packet_init(&b->packet);
	log_set_level(LOG_EMERG);
	b->group_copy = fake_group_create(7, true, bench_names);
	assert_true(b->group_copy >= 0);
	b->group = fake_group_view(b->group_copy);
	unit_pair(pair);
	b->keeper = malloc(sizeof *b->keeper);
	assert_non_null(b->keeper);
	keeper_init(b->keeper, kernel, pair[0]);
	b->running = true;
	b->broker = pair[1];
	bench_hello(b, b->broker);
	for (size_t i = 0; i < count; i++) {
		struct lease_request lease = bench_lease_request(i, i == 0 ? LEASE_GROUP : 0);

		if (limits) {
			lease.flags |= LEASE_WINDOWS;
			lease.windows = *limits;
			strcpy(lease.rule, bench_rule);
		}
		assert_int_equal(bench_lease_as(b, &lease, &b->clients[i]), 0);
		bench_hello(b, b->clients[i]);
	}
}

static inline void bench_start_limited(struct bench *b, size_t count, const struct window_limits *limits)
{
	bench_start_on(b, &fake_vfio, count, limits);
}

static inline void bench_start(struct bench *b, size_t count)
{
	bench_start_limited(b, count, NULL);
}

static inline void bench_stop(struct bench *b)
{
	keeper_release(b->keeper);
	kept_release(&b->keeper->group.kept);
	free(b->keeper);
	for (size_t i = 0; i < FAKE_DEVICES_MAX; i++) {
		if (b->clients[i] >= 0)
			close(b->clients[i]);
	}
	if (b->broker >= 0)
		close(b->broker);
	close(b->group_copy);
	packet_clear(&b->packet);
	for (int step = 0; step < FAKE_STEPS; step++)
		fake_kernel_fail((enum fake_step)step, 0);
}

/* BIND of device I with any file descriptor. */
static inline int bench_bind(struct bench *b, size_t i, int domain)
{
	struct bind_request bind = {0};

	return bench_call_fds(b, b->clients[i], DEVICE_BIND, &bind, sizeof bind, &domain, 1);
}

/* One leased device, bound to a domain of its own, which is closed here. */
static inline void bench_start_bound(struct bench *b)
{
	OWNED_FD domain = fake_container_open();

	bench_start(b, 1);
	assert_int_equal(bench_bind(b, 0, domain), 0);
}

/* The next packet on CHANNEL is the event TYPE; returns its payload. */
static inline const void *bench_event(struct bench *b, int channel, uint16_t type, size_t size)
{
	do {
		bench_pump(b, channel);
		assert_int_equal(packet_receive(channel, MSG_DONTWAIT, 0, &b->packet), PACKET_RECEIVED);
		assert_int_equal(b->packet.header.flags, MESSAGE_EVENT);
		/* on the way to RELEASED; few tests look at them */
	} while (b->packet.header.type != type && channel == b->broker &&
		(b->packet.header.type == KEEPER_EVENT_LEAVING || b->packet.header.type == KEEPER_EVENT_BOUND));
	assert_int_equal(b->packet.header.type, type);
	assert_int_equal(b->packet.header.length, size);
	return b->packet.payload;
}

static inline void bench_expect_closed(struct bench *b, size_t i, enum refusal why)
{
	const struct closed_event *closed = bench_event(b, b->clients[i], DEVICE_EVENT_CLOSED, sizeof *closed);

	assert_int_equal(closed->refusal, why);
	assert_non_null(strstr(closed->detail, bench_names[i]));
	/* a keeper in another thread may need a moment to close */
	assert_int_equal(poll(&(struct pollfd){b->clients[i], POLLIN, 0}, 1, 10000), 1);
	assert_int_equal(packet_receive(b->clients[i], MSG_DONTWAIT, 0, &b->packet), PACKET_END);
}

static inline void bench_expect_released(struct bench *b, size_t i, uint32_t remaining, uint32_t error)
{
	const struct released_event *released = bench_event(b, b->broker, KEEPER_EVENT_RELEASED, sizeof *released);

	assert_string_equal(released->name, bench_names[i]);
	assert_int_equal(released->remaining, remaining);
	assert_int_equal(released->error, error);
}

/* The PCI command register of device I. */
static inline unsigned int bench_command(const struct bench *b, size_t i)
{
	return b->group->devices[i].config[4] | (unsigned int)b->group->devices[i].config[5] << 8;
}

#define assert_detail(b, words)                                                                                        \
	do {                                                                                                           \
		if (!strstr((b)->detail.text, words))                                                                  \
			fail_msg("\"%s\" is not in \"%s\"", words, (b)->detail.text);                                  \
	} while (0)

/* The open descriptors but for what the keeper keeps of clients. */
static inline int bench_fds(const struct bench *b)
{
	const struct kept *kept = &b->keeper->group.kept;

	return unit_fds() - (int)(kept->known.count + kept->foreign.count);
}

/* Every test starts and ends with the same number of file descriptors. */
static inline int bench_fds_before(void **state)
{
	if (foreign_fd_open_links() < 0)
		return -1;
	*state = (void *)(intptr_t)unit_fds();
	return 0;
}

static inline int bench_fds_after(void **state)
{
	return unit_fds() == (int)(intptr_t)*state ? 0 : -1;
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, bench_fds_before, bench_fds_after)

#endif
