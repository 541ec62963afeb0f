/* SPDX-License-Identifier: MIT */
#ifndef BROKER_BENCH_H
#define BROKER_BENCH_H

#include "fdset.h"
#include "front_process.h"
#include "helper_message.h"
#include "memory_host.h"
#include "message.h"
#include "orders.h"
#include "packet.h"
#include "policy/policy_text.h"
#include "refusal.h"
#include "service/service.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

/*
 * A whole broker in this process, on a host in memory, and fronts, with clients and keepers that are this test: what
 * session tests cannot make real keepers and kernels do.
 */

/* ---- the host ---- */

/* A character device like a group, which the keeper gets; nothing else is asked of it. */
static inline int open_null(uint32_t group)
{
	(void)group;
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

#define A "0000:01:00.0" /* group 1, vfio-pci */
#define B "0000:01:00.1" /* group 1, vfio-pci */
#define C "0000:02:00.0" /* group 2, nvme */
#define D "0000:03:00.0" /* no group */

static inline void make_machine(void)
{
	static const struct host_device devices[4] = {
		{A, "vfio-pci", 1, 0x1234, 0x11e8, 0x00ff00, "", false, false},
		{B, "vfio-pci", 1, 0x1234, 0x11e8, 0x00ff00, "", false, false},
		{C, "nvme", 2, 0x1b36, 0x0010, 0x010802, "", false, false},
		{D, "", GROUP_NONE, 0x1234, 0x11e8, 0x00ff00, "", false, false},
	};

	memory_host->group_open = open_null;
	memory_host_reset(devices, 4);
}

/* ---- the broker ---- */

static char directory[64], claims[96], quarantine[96];
static struct sockaddr_un broker_address = {.sun_family = AF_UNIX}, keeper_address = {.sun_family = AF_UNIX},
			  front_address = {.sun_family = AF_UNIX}, helper_address = {.sun_family = AF_UNIX};
static struct broker broker;
static sd_event *event;
static int keeper_listener = -1, front_listener = -1, fds_before;
static struct packet packet;

static inline int listen_at(struct sockaddr_un *address, const char *name)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address->sun_path, sizeof address->sun_path, "%s/%s", directory, name);
	assert_true(fd >= 0);
	unlink(address->sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

/* Fronts that the broker wants begin. */
static inline void start_fronts(void)
{
	int fd;

	while ((fd = accept4(front_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		assert_true(front_process_start(fd) >= 0);
}

/* ---- helpers: on the host in memory, and as fast as it ---- */

#define HELPERS_SERVED 8
static struct orders *helpers[HELPERS_SERVED]; /* NULL: none */
static int helper_listener = -1;

static inline void helpers_accept(void)
{
	int fd;

	for (size_t i = 0; i < HELPERS_SERVED; i++) {
		if (helpers[i])
			continue;
		fd = accept4(helper_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		helpers[i] = calloc(1, sizeof *helpers[i]);
		assert_non_null(helpers[i]);
		orders_init(helpers[i], &memory_hardware, fd);
	}
}

/* Orders that no helper begins, until the name is NULL. */
static struct hang {
	uint16_t order;
	const char *name;
} hangs[HELPERS_SERVED];

/* All orders have the name of the device at the same place. */
static inline bool helper_hangs(const struct orders *orders)
{
	struct {
		struct message_header header;
		struct helper_order order;
	} begin = {0};

	static_assert(offsetof(struct helper_order, name) == offsetof(struct lease_request, name), "the same place");
	if (recv(orders->channel.fd, &begin, sizeof begin, MSG_PEEK | MSG_DONTWAIT) <= 0)
		return false;
	for (size_t i = 0; i < HELPERS_SERVED; i++) {
		if (hangs[i].name && hangs[i].order == begin.header.type &&
			strcmp(hangs[i].name, begin.order.name) == 0)
			return true;
	}
	return false;
}

static inline void helper_end(size_t i)
{
	channel_close(&helpers[i]->channel);
	free(helpers[i]);
	helpers[i] = NULL;
}

/* Returns whether there was anything to do. */
static inline bool helpers_serve(void)
{
	bool busy = false;

	helpers_accept();
	for (size_t i = 0; i < HELPERS_SERVED; i++) {
		struct pollfd p = {helpers[i] ? helpers[i]->channel.fd : -1, POLLIN | POLLRDHUP, 0};

		if (!helpers[i] || poll(&p, 1, 0) <= 0 || helper_hangs(helpers[i]))
			continue;
		busy = true;
		if (!orders_step(helpers[i], 0))
			helper_end(i);
	}
	return busy;
}

/* Lets the loop turn once, and waits at most TIMEOUT_US for that. */
static inline bool tick(uint64_t timeout_us)
{
	bool busy = helpers_serve();

	start_fronts();
	front_process_step();
	return sd_event_run(event, busy ? 0 : timeout_us) > 0 || busy;
}

/* Lets the broker, the fronts and the helpers do all they have to do at once. */
static inline void turn(void)
{
	for (int quiet = 0; quiet < 3; quiet++) {
		if (tick(1000))
			quiet = -1;
	}
}

#define DEFAULT_RULES "[allow all]\nclass = *\nuser = *\nrebind = yes\n"

/* The directory of the test: sockets and records. */
static inline void make_directory(void)
{
	strcpy(directory, "/tmp/broker_life.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(claims, sizeof claims, "%s/claims", directory);
	assert_int_equal(mkdir(claims, 0700), 0);
	snprintf(quarantine, sizeof quarantine, "%s/quarantine", directory);
	assert_int_equal(mkdir(quarantine, 0700), 0);
}

static inline void remove_directory(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", directory);
	assert_int_equal(system(command), 0);
}

/* A broker in the test's directory, after another one that was killed, say. */
static inline void start_broker(const char *rules)
{
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error = {0};
	static struct broker_options options;

	options = (struct broker_options){
		.keeper_socket = keeper_address.sun_path,
		.front_socket = front_address.sun_path,
		.helper_socket = helper_address.sun_path,
		.claims_directory = claims,
		.quarantine_directory = quarantine,
		.sessions_per_user = 8,
		.leases_per_user = 8,
	};
	packet_init(&packet);
	keeper_listener = listen_at(&keeper_address, "keeper");
	front_listener = listen_at(&front_address, "front");
	helper_listener = listen_at(&helper_address, "helper");
	memset(hangs, 0, sizeof hangs);
	assert_int_equal(policy_read(policy, "t.conf", rules ? rules : DEFAULT_RULES, &error), 0);
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(service_init(&broker, event, &memory_host_functions, &options, policy, &error,
				 listen_at(&broker_address, "broker")),
		0);
	turn();
}

static inline void end_broker(void)
{
	service_clear(&broker);
	front_process_release();
	sd_event_unref(event);
	close(keeper_listener);
	close(front_listener);
	close(helper_listener);
	for (size_t i = 0; i < HELPERS_SERVED; i++) {
		if (helpers[i])
			helper_end(i);
	}
	packet_clear(&packet);
}

/* *STATE: the policy, if it is not to be the default. */
static inline int begin(void **state)
{
	make_machine();
	fds_before = unit_fds();
	make_directory();
	start_broker(*state);
	return 0;
}

static inline int end(void **state)
{
	(void)state;
	end_broker();
	remove_directory();
	return unit_fds() == fds_before ? 0 : -1;
}

/* ---- a client ---- */

static inline void client_send(int fd, uint16_t type, const void *payload, size_t size)
{
	packet_request(&packet, type, 7);
	if (size > 0)
		memcpy(packet_append(&packet, size), payload, size);
	assert_int_equal(packet_send(fd, MSG_DONTWAIT, &packet), 0);
}

static inline int client_new(void)
{
	const struct hello_request hello = {0, 1, 1, 0};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&broker_address, sizeof broker_address), 0);
	client_send(fd, BROKER_HELLO, &hello, sizeof hello);
	turn();
	assert_int_equal(packet_receive(fd, MSG_DONTWAIT, true, &packet), PACKET_RECEIVED);
	return fd;
}

static inline void client_open(int fd, const char *name)
{
	struct open_request open = {0};

	memcpy(open.name, name, strlen(name));
	client_send(fd, BROKER_OPEN, &open, sizeof open);
	turn();
}

/* What came: 0, a refusal or a negative errno; -EAGAIN: nothing yet. */
static inline int client_answer(int fd, struct detail *detail)
{
	struct detail unused;
	int r = packet_receive(fd, MSG_DONTWAIT, true, &packet);

	if (r != PACKET_RECEIVED)
		return r == PACKET_END ? -EPIPE : r;
	r = packet.header.flags & MESSAGE_REFUSED ? packet_refusal(&packet, detail ? detail : &unused) : 0;
	return r;
}

static inline bool client_alive(int fd)
{
	client_send(fd, BROKER_PING, NULL, 0);
	turn();
	return client_answer(fd, NULL) == 0;
}

/* ---- a keeper ---- */

/* Accepts the broker's connection and answers its HELLO. */
static inline int keeper_start(void)
{
	int fd = -1;

	/* After one that failed, the broker takes its time (KEEPER_RETRY_US). */
	for (int i = 0; i < 3000 && fd < 0; i++) {
		tick(i ? 1000 : 0);
		fd = accept4(keeper_listener, NULL, NULL, SOCK_CLOEXEC);
	}
	assert_true(fd >= 0);
	assert_int_equal(packet_receive(fd, MSG_DONTWAIT, true, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.type, KEEPER_HELLO);
	packet_reply(&packet, &(struct message_header){.type = KEEPER_HELLO, .cookie = packet.header.cookie});
	packet_append(&packet, sizeof(struct hello_reply));
	assert_int_equal(packet_send(fd, 0, &packet), 0);
	turn();
	return fd;
}

static struct lease_request offered; /* what LEASE said last */

static inline mode_t kind_of(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return status.st_mode & S_IFMT;
}

/* Takes the LEASE off the socket. Returns the keeper's end of the device channel. */
static inline int keeper_take_lease(int fd, const char *name, bool first)
{
	const struct lease_request *lease;
	bool windows = memory_host->failures[MEMORY_WINDOW] == 0;
	size_t i = 0;
	int channel;

	assert_int_equal(packet_receive(fd, MSG_DONTWAIT, true, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.type, KEEPER_LEASE);
	lease = packet_body(&packet, sizeof *lease);
	offered = *lease;
	assert_string_equal(lease->name, name);
	assert_int_equal(lease->flags, (first ? LEASE_GROUP : 0) | (windows ? LEASE_WINDOWS : 0));
	assert_int_equal(packet.fds.count, 1 + first + windows);
	if (first)
		assert_int_equal(kind_of(packet.fds.fds[i++]), S_IFCHR);
	if (windows)
		assert_int_equal(kind_of(packet.fds.fds[i++]), S_IFREG);
	assert_int_equal(kind_of(packet.fds.fds[i]), S_IFSOCK);
	channel = fdset_take(&packet.fds, i);
	fdset_clear(&packet.fds);
	return channel;
}

static inline void keeper_accept(int fd)
{
	const struct lease_reply reply = {4711, 999};

	packet_reply(&packet, &(struct message_header){.type = KEEPER_LEASE, .cookie = 1});
	memcpy(packet_append(&packet, sizeof reply), &reply, sizeof reply);
	assert_int_equal(packet_send(fd, 0, &packet), 0);
	turn();
}

/* The step of ERROR (an errno) has failed; 0: none. */
static inline void keeper_reports_error(
	int fd, const char *name, const struct release_report *report, uint32_t remaining, uint32_t error)
{
	struct released_event *released;

	packet_event(&packet, KEEPER_EVENT_RELEASED);
	released = packet_append(&packet, sizeof *released);
	memcpy(released->name, name, strlen(name));
	released->remaining = remaining;
	released->error = error;
	released->report = *report;
	assert_int_equal(packet_send(fd, 0, &packet), 0);
}

static inline void keeper_reports(int fd, const char *name, const struct release_report *report, uint32_t remaining)
{
	keeper_reports_error(fd, name, report, remaining, 0);
}

static inline void keeper_released(int fd, const char *name, uint32_t remaining)
{
	const struct release_report nothing_done = {0};

	keeper_reports(fd, name, &nothing_done, remaining);
	turn();
}

/* Through this keeper, which gets the group with its FIRST device. */
static inline void client_gets(int client, const char *name, int keeper, bool first)
{
	client_open(client, name);
	close(keeper_take_lease(keeper, name, first));
	keeper_accept(keeper);
	assert_int_equal(client_answer(client, NULL), 0);
	assert_int_equal(packet.fds.count, 1);
	fdset_clear(&packet.fds);
}

/* A client that has A, through this keeper. */
static inline int client_with(const char *name, int keeper)
{
	int client = client_new();

	client_gets(client, name, keeper, true);
	return client;
}

static inline struct iommu_group *group(uint32_t number)
{
	struct iommu_group *found;

	LIST_FOREACH(found, &broker.inventory.groups, in_inventory) {
		if (found->number == number)
			return found;
	}
	fail_msg("there is no group %u", number);
	return NULL;
}

#endif
