/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "domain.h"
#include "lib_server.h"
#include "vfio-broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

/*
 * Devices, held by a real vfio-keeper (on the fake kernel), whose broker is this test. argv[1] is its path.
 */
static const char *keeper_path;

#define NAME "0000:00:02.0"
#define BAR0 VFIO_PCI_BAR0_REGION_INDEX

struct fixture {
	int fds_before;
	pid_t keeper;
	int broker_end; /* of the keeper's channel */
	int group;	/* our copy, to look at its content */
	struct vbroker_device *device;
	struct vbroker_domain *domain;
};

static struct packet packet;

static void run_keeper(int channel)
{
	char pid[16];

	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	if (channel == 3 ? fcntl(3, F_SETFD, 0) == 0 : dup2(channel, 3) == 3)
		execl(keeper_path, "vfio-keeper", (char *)NULL);
	_exit(127);
}

static void ask_keeper(int channel)
{
	assert_int_equal(packet_send(channel, 0, &packet), 0);
	assert_int_equal(packet_receive(channel, 0, false, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.flags, MESSAGE_REPLY);
}

static void lease(int channel, int group, int device_channel)
{
	struct hello_request *hello;
	struct lease_request *request;

	packet_request(&packet, KEEPER_HELLO, 1);
	hello = packet_append(&packet, sizeof *hello);
	hello->version_lowest = hello->version_highest = MESSAGE_VERSION;
	ask_keeper(channel);
	packet_request(&packet, KEEPER_LEASE, 2);
	request = packet_append(&packet, sizeof *request);
	*request = (struct lease_request){
		.flags = LEASE_GROUP, .group = 1, .name = NAME, .vendor = 0x1234, .device = 0x11e8, .class = 0x00ff00};
	fdset_add(&packet.fds, dup(group));
	fdset_add(&packet.fds, device_channel);
	ask_keeper(channel);
}

static int set_up(void **state)
{
	static const char *const names[] = {NAME, NULL};
	static struct fixture fixture;
	struct fixture *f = &fixture;
	int keeper[2], device[2];

	f->fds_before = unit_fds();
	packet_init(&packet);
	f->group = fake_group_create(1, true, names);
	unit_pair(keeper);
	unit_pair(device);
	f->keeper = fork();
	if (f->keeper == 0)
		run_keeper(keeper[1]);
	close(keeper[1]);
	f->broker_end = keeper[0];
	lease(f->broker_end, f->group, device[1]);
	assert_int_equal(vbroker_device_adopt(device[0], &f->device), 0);
	assert_int_equal(domain_open_on(&fake_domain, &f->domain), 0);
	*state = f;
	return 0;
}

static int set_up_bound(void **state)
{
	struct fixture *f;

	set_up(state);
	f = *state;
	assert_int_equal(vbroker_device_bind(f->device, f->domain), 0);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int status;

	vbroker_device_close(f->device);
	vbroker_domain_close(f->domain);
	close(f->broker_end);
	close(f->group);
	assert_int_equal(waitpid(f->keeper, &status, 0), f->keeper);
	/* 0, or killed by the test; not a sanitizer's complaint */
	assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	packet_clear(&packet);
	assert_int_equal(unit_fds(), f->fds_before);
	return 0;
}

/* ---- as a whole ---- */

static void test_describe(void **state)
{
	struct fixture *f = *state;
	struct vbroker_device_info info;

	assert_int_equal(vbroker_device_ping(f->device), 0);
	assert_int_equal(vbroker_device_describe(f->device, &info), 0);
	assert_string_equal(info.name, NAME);
	assert_int_equal(info.vendor, 0x1234);
	assert_int_equal(info.device, 0x11e8);
	assert_int_equal(info.class_code, 0x00ff00);
	assert_int_equal(info.group, 1);
	assert_false(info.bound);
	assert_null(vbroker_device_domain(f->device));
	assert_int_equal(vbroker_device_bind(f->device, f->domain), 0);
	assert_ptr_equal(vbroker_device_domain(f->device), f->domain);
	assert_int_equal(vbroker_device_describe(f->device, &info), 0);
	assert_true(info.bound);
	assert_true(info.can_reset);
	assert_true(info.regions_count > VFIO_PCI_CONFIG_REGION_INDEX);
	assert_int_equal(info.regions[BAR0].index, BAR0);
	assert_int_equal(info.regions[BAR0].size, FAKE_BAR0_SIZE);
	assert_int_equal(info.irqs[VFIO_PCI_MSI_IRQ_INDEX].count, FAKE_MSI_COUNT);
}

static void test_order_of_things(void **state)
{
	struct fixture *f = *state;
	uint64_t value = 7;

	assert_int_equal(vbroker_region_read(f->device, BAR0, 0, 4, &value), VBROKER_NOT_BOUND);
	assert_int_equal(value, 7);
	assert_int_equal(vbroker_device_unbind(f->device), VBROKER_NOT_BOUND);
	assert_int_equal(vbroker_device_bind(f->device, f->domain), 0);
	assert_int_equal(vbroker_device_bind(f->device, f->domain), VBROKER_ALREADY_BOUND);
	assert_int_equal(vbroker_device_unbind(f->device), 0);
	assert_null(vbroker_device_domain(f->device));
	assert_int_equal(vbroker_device_bind(f->device, f->domain), 0);
	assert_int_equal(vbroker_device_reset(f->device), 0);
}

/* The promise of vbroker_device_close(): when it returns, it is over. */
static void test_close_waits(void **state)
{
	struct fixture *f = *state;

	assert_int_not_equal(fake_group_view(f->group)->container, 0);
	vbroker_device_close(f->device);
	f->device = NULL;
	assert_int_equal(fake_group_view(f->group)->container, 0);
	assert_int_equal(fake_group_view(f->group)->devices[0].opened, 0);
}

/* Closing is for all copies of the channel, and the others are told. */
static void test_close_with_a_copy(void **state)
{
	struct fixture *f = *state;
	struct vbroker_device *copy;

	assert_int_equal(vbroker_device_adopt(dup(vbroker_device_fd(f->device)), &copy), 0);
	assert_int_equal(vbroker_device_ping(copy), 0);
	vbroker_device_close(copy);
	assert_int_equal(fake_group_view(f->group)->container, 0);
	assert_int_equal(vbroker_device_ping(f->device), VBROKER_REVOKED);
	assert_non_null(strstr(vbroker_detail(), "another copy"));
}

static void test_keeper_dies(void **state)
{
	struct fixture *f = *state;
	uint64_t value;

	assert_int_equal(kill(f->keeper, SIGKILL), 0);
	assert_int_equal(vbroker_region_read(f->device, BAR0, 0, 4, &value), VBROKER_REVOKED);
	assert_int_equal(vbroker_device_ping(f->device), VBROKER_REVOKED);
}

/* ---- regions ---- */

static void test_values(void **state)
{
	struct fixture *f = *state;
	uint64_t value;

	assert_int_equal(vbroker_region_read(f->device, BAR0, FAKE_REG_ID, 4, &value), 0);
	assert_int_equal(value, 0x010000ed);
	assert_int_equal(vbroker_region_write(f->device, BAR0, 0x100, 8, 0x1122334455667788), 0);
	for (unsigned int width = 1; width <= 8; width *= 2) {
		assert_int_equal(vbroker_region_read(f->device, BAR0, 0x100, width, &value), 0);
		assert_int_equal(value, 0x1122334455667788 & (UINT64_MAX >> (64 - 8 * width)));
	}
	assert_int_equal(vbroker_region_write(f->device, BAR0, 0x102, 1, 0xffffffab), 0);
	assert_int_equal(vbroker_region_read(f->device, BAR0, 0x100, 4, &value), 0);
	assert_int_equal(value, 0x55ab7788);
}

static void test_wrong_accesses(void **state)
{
	struct fixture *f = *state;
	uint64_t value = 7;

	assert_int_equal(vbroker_region_read(f->device, BAR0, 0, 3, &value), -EINVAL);
	assert_int_equal(vbroker_region_read(f->device, BAR0, 0, 0, &value), -EINVAL);
	assert_int_equal(vbroker_region_write(f->device, BAR0, 0, 16, 0), -EINVAL);
	assert_int_equal(vbroker_region_read(f->device, BAR0, 1, 4, &value), VBROKER_MALFORMED);
	assert_int_not_equal(vbroker_region_read(f->device, BAR0, FAKE_BAR0_SIZE, 4, &value), 0);
	assert_int_not_equal(vbroker_region_read(f->device, 63, 0, 4, &value), 0);
	assert_string_not_equal(vbroker_detail(), "");
	assert_int_equal(value, 7);
	assert_int_equal(vbroker_device_ping(f->device), 0);
}

static void test_many_bytes(void **state)
{
	struct fixture *f = *state;
	static uint8_t there[60000], back[60000];

	for (size_t i = 0; i < sizeof there; i++)
		there[i] = (uint8_t)(i * 31 + (i >> 8));
	assert_int_equal(vbroker_region_write_bytes(f->device, BAR0, 0x100, there, sizeof there, 4), 0);
	assert_int_equal(vbroker_region_read_bytes(f->device, BAR0, 0x100, back, sizeof back, 8), 0);
	assert_memory_equal(there, back, sizeof there);
	memset(back, 0, sizeof back);
	assert_int_equal(vbroker_region_read_bytes(f->device, BAR0, 0x101, back, sizeof back - 1, 0), 0);
	assert_memory_equal(there + 1, back, sizeof there - 1);
	assert_int_equal(vbroker_region_read_bytes(f->device, BAR0, 0x100, back, 0, 4), 0);
}

static void test_program(void **state)
{
	struct fixture *f = *state;
	struct vbroker_op ops[] = {
		{.kind = VBROKER_OP_WRITE, .region = BAR0, .width = 4, .offset = 0x100, .value = 0xff00ff00, .mask = 9},
		{.kind = VBROKER_OP_MODIFY, .region = BAR0, .width = 4, .offset = 0x100, .value = 0x12, .mask = 0xff},
		/* What has no meaning may hold anything. */
		{.kind = VBROKER_OP_READ,
			.region = BAR0,
			.width = 4,
			.offset = 0x100,
			.value = 5,
			.mask = 6,
			.timeout_us = 7},
		{.kind = VBROKER_OP_WRITE, .region = BAR0, .width = 4, .offset = FAKE_REG_DELAY, .value = 3000},
		{.kind = VBROKER_OP_POLL,
			.region = BAR0,
			.width = 4,
			.offset = FAKE_REG_DONE,
			.value = 1,
			.mask = 1,
			.timeout_us = 900000},
	};
	size_t done = 0;

	assert_int_equal(vbroker_region_program(f->device, ops, 5, &done), 0);
	assert_int_equal(done, 5);
	assert_int_equal(ops[1].result, 0xff00ff00);
	assert_int_equal(ops[2].result, 0xff00ff12);
	assert_int_equal(ops[4].result & 1, 1);
}

static void test_program_stops(void **state)
{
	struct fixture *f = *state;
	struct vbroker_op ops[] = {
		{.kind = VBROKER_OP_WRITE, .region = BAR0, .width = 4, .offset = 0x100, .value = 5},
		{.kind = VBROKER_OP_POLL,
			.region = BAR0,
			.width = 4,
			.offset = 0x100,
			.value = 2,
			.mask = 2,
			.timeout_us = 2000},
		{.kind = VBROKER_OP_WRITE, .region = BAR0, .width = 4, .offset = 0x100, .value = 99},
	};
	uint64_t value;
	size_t done = 77;

	assert_int_equal(vbroker_region_program(f->device, ops, 3, &done), -ETIMEDOUT);
	assert_int_equal(done, 1);
	assert_int_equal(ops[1].result, 5);
	assert_non_null(strstr(vbroker_detail(), "operation 1"));
	assert_int_equal(vbroker_region_read(f->device, BAR0, 0x100, 4, &value), 0);
	assert_int_equal(value, 5);
}

static void test_wrong_programs(void **state)
{
	struct fixture *f = *state;
	static struct vbroker_op ops[VBROKER_PROGRAM_MAX + 1];
	size_t done = 77;

	for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
		ops[i] = (struct vbroker_op){.kind = VBROKER_OP_READ, .region = BAR0, .width = 4, .offset = 4 * i};
	assert_int_equal(vbroker_region_program(f->device, ops, 0, &done), -EINVAL);
	assert_int_equal(vbroker_region_program(f->device, ops, VBROKER_PROGRAM_MAX + 1, &done), -EINVAL);
	ops[1].width = 260;
	assert_int_equal(vbroker_region_program(f->device, ops, 2, &done), -EINVAL);
	ops[1].width = 4;
	ops[1].region = 65536;
	assert_int_equal(vbroker_region_program(f->device, ops, 2, &done), -EINVAL);
	ops[1].region = BAR0;
	ops[1].kind = 0;
	assert_int_equal(vbroker_region_program(f->device, ops, 2, &done), -EINVAL);
	assert_int_equal(done, 77);
	ops[1].kind = VBROKER_OP_READ;
	assert_int_equal(vbroker_region_program(f->device, ops, VBROKER_PROGRAM_MAX, &done), 0);
	assert_int_equal(done, VBROKER_PROGRAM_MAX);
}

/* ---- interrupts ---- */

static bool signalled(int event)
{
	struct pollfd p = {.fd = event, .events = POLLIN};
	uint64_t count;

	return poll(&p, 1, 0) == 1 && read(event, &count, sizeof count) == sizeof count;
}

static void test_interrupts(void **state)
{
	struct fixture *f = *state;
	int events[FAKE_MSI_COUNT];

	for (int i = 0; i < FAKE_MSI_COUNT; i++)
		events[i] = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(vbroker_irq_set(f->device, VFIO_PCI_MSI_IRQ_INDEX, 0, events, FAKE_MSI_COUNT), 0);
	assert_int_equal(vbroker_region_write(f->device, BAR0, FAKE_REG_RAISE, 4, 2), 0);
	for (int i = 0; i < FAKE_MSI_COUNT; i++)
		assert_int_equal(signalled(events[i]), i == 2);
	assert_int_equal(vbroker_irq_clear(f->device, VFIO_PCI_MSI_IRQ_INDEX, 2, 1), 0);
	assert_int_equal(vbroker_region_write(f->device, BAR0, FAKE_REG_RAISE, 4, 2), 0);
	assert_int_equal(vbroker_region_write(f->device, BAR0, FAKE_REG_RAISE, 4, 3), 0);
	assert_false(signalled(events[2]));
	assert_true(signalled(events[3]));
	assert_int_equal(vbroker_irq_clear(f->device, VFIO_PCI_MSI_IRQ_INDEX, 0, 0), 0);
	assert_int_equal(vbroker_region_write(f->device, BAR0, FAKE_REG_RAISE, 4, 3), 0);
	assert_false(signalled(events[3]));
	for (int i = 0; i < FAKE_MSI_COUNT; i++)
		close(events[i]);
}

static void test_wrong_interrupts(void **state)
{
	struct fixture *f = *state;
	static int events[FDSET_MAX + 1];
	int fds = unit_fds();

	events[0] = eventfd(0, EFD_CLOEXEC);
	events[1] = -1;
	assert_int_equal(vbroker_irq_set(f->device, VFIO_PCI_MSI_IRQ_INDEX, 0, events, 0), -EINVAL);
	assert_int_equal(vbroker_irq_set(f->device, VFIO_PCI_MSI_IRQ_INDEX, 0, events, FDSET_MAX + 1), -EINVAL);
	assert_int_equal(vbroker_irq_set(f->device, VFIO_PCI_MSI_IRQ_INDEX, 0, events, 2), -EBADF);
	assert_int_not_equal(vbroker_irq_set(f->device, 77, 0, events, 1), 0);
	assert_int_equal(vbroker_device_ping(f->device), 0);
	close(events[0]);
	assert_int_equal(unit_fds(), fds);
}

static void test_intx(void **state)
{
	struct fixture *f = *state;
	int event = eventfd(0, EFD_CLOEXEC);

	assert_int_equal(vbroker_irq_set(f->device, VFIO_PCI_INTX_IRQ_INDEX, 0, &event, 1), 0);
	assert_int_equal(vbroker_region_write(f->device, BAR0, FAKE_REG_RAISE, 4, 0), 0);
	assert_true(signalled(event));
	assert_int_equal(vbroker_irq_unmask(f->device, VFIO_PCI_INTX_IRQ_INDEX, 0, 1), 0);
	close(event);
}

/* ---- things that are no devices, or no domains ---- */

static struct server server;

static void greet_as_broker(struct server *s)
{
	server_greet(s, CHANNEL_BROKER);
}

static void talk_nonsense(struct server *s)
{
	server_receive(s);
	send(s->fd, "HTTP/1.0 400 Bad Request", 24, 0);
}

static void test_adopt_wrong_channel(void **state)
{
	void (*const scripts[])(struct server *) = {greet_as_broker, talk_nonsense};
	struct vbroker_device *device;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		server_start(&server, &device_table, scripts[i], NULL);
		assert_int_equal(vbroker_device_adopt(server.client, &device), VBROKER_NOT_A_DEVICE);
		assert_string_not_equal(vbroker_detail(), "");
		/* It stays the caller's. */
		assert_int_equal(close(server.client), 0);
		server_finish(&server);
	}
}

static void test_adopt_no_channel(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct vbroker_device *device;
	int stream[2], datagram[2], ends[2];
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagram), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(listener, 1), 0);
	{
		const int wrong[] = {-1, 9999, STDERR_FILENO, stream[0], datagram[0], ends[0], listener};

		for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
			assert_int_equal(vbroker_device_adopt(wrong[i], &device), VBROKER_NOT_A_DEVICE);
	}
	for (int i = 0; i < 2; i++) {
		close(stream[i]);
		close(datagram[i]);
		close(ends[i]);
	}
	close(listener);
}

/* A file that looks like /dev/vfio/vfio as far as vbroker_bind_fds() looks, whether or not a driver is behind it. */
static int open_domain_node(void)
{
	char directory[] = "/tmp/lib_device.XXXXXX", node[64];
	int fd = -1;

	assert_non_null(mkdtemp(directory));
	snprintf(node, sizeof node, "%s/vfio", directory);
	if (mknod(node, S_IFCHR | 0600, makedev(10, 196)) == 0)
		fd = open(node, O_PATH | O_CLOEXEC);
	unlink(node);
	rmdir(directory);
	return fd;
}

/* One BIND with one fd of the right kind. */
static void accept_bind(struct server *s)
{
	server_greet(s, CHANNEL_DEVICE);
	if (!server_receive(s))
		return;
	if (s->request.header.type != DEVICE_BIND || !domain_is_domain(s->request.fds.fds[0]))
		s->malformed++;
	server_reply(s, sizeof(struct bind_reply));
	server_send(s);
}

static void test_bind_in_either_order(void **state)
{
	int domain = open_domain_node();

	(void)state;
	if (domain < 0) {
		print_message("skipped: making a device node needs CAP_MKNOD\n");
		skip();
	}
	for (int swapped = 0; swapped < 2; swapped++) {
		server_start(&server, &device_table, accept_bind, NULL);
		assert_int_equal(
			swapped ? vbroker_bind_fds(domain, server.client) : vbroker_bind_fds(server.client, domain), 0);
		close(server.client);
		server_finish(&server);
		assert_int_equal(server.requests, 2);
	}
	/* Two of a kind */
	assert_int_equal(vbroker_bind_fds(domain, domain), VBROKER_NOT_A_DEVICE);
	assert_int_equal(vbroker_bind_fds(domain, STDERR_FILENO), VBROKER_NOT_A_DEVICE);
	assert_int_equal(vbroker_bind_fds(9999, domain), VBROKER_NOT_A_DEVICE);
	assert_non_null(strstr(vbroker_detail(), "9999 is not open"));
	/* A channel, but of the wrong kind: told before BIND is sent */
	server_start(&server, &device_table, greet_as_broker, NULL);
	assert_int_equal(vbroker_bind_fds(domain, server.client), VBROKER_NOT_A_DEVICE);
	close(server.client);
	server_finish(&server);
	assert_int_equal(server.requests, 1);
	close(domain);
}

static void test_bind_wrong_things(void **state)
{
	struct fixture *f = *state;
	int channel = vbroker_device_fd(f->device);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_int_equal(vbroker_bind_fds(channel, null), VBROKER_NOT_A_DOMAIN);
	assert_int_equal(vbroker_bind_fds(null, channel), VBROKER_NOT_A_DOMAIN);
	assert_non_null(strstr(vbroker_detail(), "a character device"));
	assert_int_equal(vbroker_bind_fds(channel, -1), VBROKER_NOT_A_DOMAIN);
	assert_non_null(strstr(vbroker_detail(), "not open"));
	assert_int_equal(vbroker_bind_fds(channel, channel), VBROKER_NOT_A_DOMAIN);
	assert_int_equal(vbroker_bind_fds(null, null), VBROKER_NOT_A_DEVICE);
	assert_int_equal(vbroker_device_bind(f->device, f->domain), 0);
	close(null);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_describe, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_order_of_things, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_close_waits, set_up_bound, tear_down),
		cmocka_unit_test_setup_teardown(test_close_with_a_copy, set_up_bound, tear_down),
		cmocka_unit_test_setup_teardown(test_keeper_dies, set_up_bound, tear_down),
		cmocka_unit_test_setup_teardown(test_values, set_up_bound, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_accesses, set_up_bound, tear_down),
		cmocka_unit_test_setup_teardown(test_many_bytes, set_up_bound, tear_down),
		cmocka_unit_test_setup_teardown(test_program, set_up_bound, tear_down),
		cmocka_unit_test_setup_teardown(test_program_stops, set_up_bound, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_programs, set_up_bound, tear_down),
		cmocka_unit_test_setup_teardown(test_interrupts, set_up_bound, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_interrupts, set_up_bound, tear_down),
		cmocka_unit_test_setup_teardown(test_intx, set_up_bound, tear_down),
		cmocka_unit_test(test_adopt_wrong_channel),
		cmocka_unit_test(test_adopt_no_channel),
		cmocka_unit_test(test_bind_in_either_order),
		cmocka_unit_test_setup_teardown(test_bind_wrong_things, set_up, tear_down),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s PATH-OF-VFIO-KEEPER-FAKE\n", argv[0]);
		return 2;
	}
	keeper_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
