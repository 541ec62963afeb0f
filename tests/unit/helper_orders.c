/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "fdset.h"
#include "helper_message.h"
#include "memory_host.h"
#include "orders.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* Orders to a helper in this process, on a host in memory. */

#define A  "0000:01:00.0"
#define VF "0000:01:00.1"

static struct orders orders;
static struct packet request, reply;
static int broker; /* its end of the channel */

/* ---- a helper and its broker ---- */

static void send_order(uint16_t type, const void *body, size_t size)
{
	packet_request(&request, type, 7);
	if (size > 0)
		memcpy(packet_append(&request, size), body, size);
	assert_int_equal(packet_send(broker, 0, &request), 0);
}

static const void *answer(uint16_t type, size_t size)
{
	assert_true(orders_step(&orders, 1000));
	assert_int_equal(packet_receive(broker, MSG_DONTWAIT, 1, &reply), PACKET_RECEIVED);
	assert_int_equal(reply.header.type, type);
	assert_int_equal(reply.header.cookie, 7);
	assert_int_equal(reply.fds.count, 0);
	if (reply.header.flags & MESSAGE_REFUSED)
		return NULL;
	assert_int_equal(reply.header.length, size);
	return reply.payload;
}

static struct helper_reply order(uint16_t type, struct helper_order body)
{
	const struct helper_reply *answered;

	send_order(type, &body, sizeof body);
	answered = answer(type, sizeof *answered);
	assert_non_null(answered);
	return *answered;
}

static void hello(void)
{
	const struct hello_request body = {.version_lowest = 1, .version_highest = MESSAGE_VERSION};
	const struct helper_hello_reply *who;

	send_order(HELPER_HELLO, &body, sizeof body);
	who = answer(HELPER_HELLO, sizeof *who);
	assert_non_null(who);
	assert_int_equal(who->hello.kind, CHANNEL_HELPER);
	assert_int_equal(who->pid, getpid());
	assert_int_equal(who->uid, getuid());
}

static int setup(void **state)
{
	static const struct host_device devices[] = {
		{A, "e1000", 1, 0x8086, 0x100e, 0x020000, "", false, false},
		{VF, "", 2, 0x8086, 0x10ca, 0x020000, A, false, false},
	};
	int pair[2];

	(void)state;
	memory_host->group_open = NULL;
	memory_host_reset(devices, 2);
	unit_pair(pair);
	broker = pair[0];
	packet_init(&request);
	packet_init(&reply);
	orders_init(&orders, &memory_hardware, pair[1]);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(broker);
	assert_true(orders.channel.fd < 0 || !orders_step(&orders, 0));
	assert_int_equal(orders.channel.fd, -1);
	return 0;
}

/* ---- one device ---- */

static void look_reads_ids_and_node(void **state)
{
	const struct helper_order both = {.flags = HELPER_LOOK_IDS | HELPER_LOOK_NODE, .group = 1, .name = A};
	struct helper_reply seen;
	int fds;

	(void)state;
	hello();
	fds = unit_fds();
	seen = order(HELPER_LOOK, both);
	assert_int_equal(seen.error, 0);
	assert_int_equal(seen.node_error, 0);
	assert_int_equal(seen.ids, 0x100e8086);
	assert_true(seen.command != 0 && seen.command != UINT32_MAX);
	/* errors are told apart */
	memory_host->failures[MEMORY_GROUP] = EBUSY;
	seen = order(HELPER_LOOK, both);
	assert_int_equal(seen.error, 0);
	assert_int_equal(seen.node_error, EBUSY);
	assert_int_equal(seen.ids, 0x100e8086);
	memory_host->failures[MEMORY_GROUP] = 0;
	memory_host->failures[MEMORY_PROBE] = EIO;
	seen = order(HELPER_LOOK, both);
	assert_int_equal(seen.error, EIO);
	assert_int_equal(seen.node_error, 0);
	assert_int_equal(seen.ids, 0);
	/* the node is not kept */
	assert_int_equal(unit_fds(), fds);
}

static void look_asks_an_inspector(void **state)
{
	const struct helper_order about = {.flags = HELPER_LOOK_USE, .name = A};
	struct helper_reply seen;
	int fds;

	(void)state;
	hello();
	fds = unit_fds();
	seen = order(HELPER_LOOK, about);
	assert_int_equal(seen.use_error, 0);
	assert_string_equal(seen.use, "");
	strcpy(memory_host->devices[0].use, "eth0 is up");
	packet_request(&request, HELPER_LOOK, 7);
	memcpy(packet_append(&request, sizeof about), &about, sizeof about);
	assert_int_equal(fdset_add(&request.fds, open("/dev/null", O_RDONLY | O_CLOEXEC)), 0);
	assert_int_equal(packet_send(broker, 0, &request), 0);
	seen = *(const struct helper_reply *)answer(HELPER_LOOK, sizeof seen);
	assert_string_equal(seen.use, "eth0 is up");
	/* The connection to the inspector is not kept. */
	assert_int_equal(unit_fds(), fds);
	memory_host->failures[MEMORY_INSPECT] = ENOTCONN;
	seen = order(HELPER_LOOK, about);
	assert_int_equal(seen.use_error, ENOTCONN);
	assert_int_equal(seen.error, 0);
}

static void look_tells_dead_from_virtual(void **state)
{
	struct helper_reply seen;

	(void)state;
	hello();
	seen = order(HELPER_LOOK, (struct helper_order){.flags = HELPER_LOOK_IDS, .name = VF});
	assert_int_equal(seen.ids, UINT32_MAX);
	assert_true(seen.command != UINT32_MAX);
	memory_host->devices[1].dead = true;
	seen = order(HELPER_LOOK, (struct helper_order){.flags = HELPER_LOOK_IDS, .name = VF});
	assert_int_equal(seen.error, 0);
	assert_int_equal(seen.ids, UINT32_MAX);
	assert_int_equal(seen.command, UINT32_MAX);
	/* only what was asked for is done */
	assert_int_equal(memory_host->calls, 2);
	seen = order(HELPER_LOOK, (struct helper_order){.flags = HELPER_LOOK_NODE, .group = 2, .name = VF});
	assert_int_equal(seen.ids, 0);
	assert_int_equal(memory_host->calls, 3);
}

/* The module of the driver is being loaded: the file unbind comes a moment after the device has the driver. */
static void unbind_waits_for_its_file(void **state)
{
	(void)state;
	hello();
	memory_host->fails_at = 1;
	memory_host->fails_with = ENOENT;
	assert_int_equal(order(HELPER_UNBIND, (struct helper_order){.name = A, .driver = "e1000"}).error, 0);
	assert_string_equal(memory_host->devices[0].device.driver, "");
	assert_int_equal(memory_host->calls, 2);
}

static void driver_orders_do_one_step_each(void **state)
{
	const struct helper_order vfio = {.name = A, .driver = "vfio-pci"};
	struct memory_device *device = &memory_host->devices[0];
	struct helper_reply seen;

	(void)state;
	hello();
	assert_int_equal(order(HELPER_OVERRIDE_SET, vfio).error, 0);
	assert_string_equal(device->override, "vfio-pci");
	seen = order(HELPER_OVERRIDE_GET, (struct helper_order){.name = A});
	assert_int_equal(seen.error, 0);
	assert_string_equal(seen.driver, "vfio-pci");
	assert_int_equal(order(HELPER_BIND, vfio).error, EBUSY);
	assert_int_equal(order(HELPER_UNBIND, vfio).error, ENODEV); /* not its driver */
	assert_int_equal(order(HELPER_UNBIND, (struct helper_order){.name = A, .driver = "e1000"}).error, 0);
	assert_string_equal(device->device.driver, "");
	assert_int_equal(order(HELPER_BIND, vfio).error, 0);
	assert_string_equal(device->device.driver, "vfio-pci");
	assert_int_equal(order(HELPER_OVERRIDE_SET, (struct helper_order){.name = A}).error, 0);
	assert_string_equal(device->override, "");
	assert_int_equal(memory_host->calls, 7);
	/* A device that has a driver keeps the driver. */
	strcpy(memory_host->new_driver, "e1000e");
	assert_int_equal(order(HELPER_PROBE, (struct helper_order){.name = A}).error, 0);
	assert_string_equal(device->device.driver, "vfio-pci");
	assert_int_equal(order(HELPER_UNBIND, vfio).error, 0);
	assert_int_equal(order(HELPER_PROBE, (struct helper_order){.name = A}).error, 0);
	assert_string_equal(device->device.driver, "e1000e");
	device->present = false;
	assert_int_equal(order(HELPER_OVERRIDE_GET, (struct helper_order){.name = A}).error, ENODEV);
}

/* Bus mastering and INTx alone. */
static void quiet_changes_two_bits(void **state)
{
	const struct helper_order about = {.name = VF};
	struct memory_device *device = &memory_host->devices[1];
	struct helper_reply seen;

	(void)state;
	hello();
	device->command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR;
	seen = order(HELPER_QUIET, about);
	assert_int_equal(seen.error, 0);
	assert_int_equal(seen.command, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR);
	assert_int_equal(device->command, PCI_COMMAND_MEMORY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	/* A second time, nothing is left to be done. */
	seen = order(HELPER_QUIET, about);
	assert_int_equal(seen.error, 0);
	assert_int_equal(seen.command, device->command);
	assert_int_equal(memory_host->devices[0].command, PCI_COMMAND_MEMORY);
	memory_host->failures[MEMORY_QUIET] = EPERM;
	seen = order(HELPER_QUIET, about);
	assert_int_equal(seen.error, EPERM);
	assert_int_equal(seen.command, 0);
}

static void reset_says_what_came_of_it(void **state)
{
	const struct helper_order about = {.name = A};

	(void)state;
	hello();
	assert_int_equal(order(HELPER_RESET, about).error, 0);
	assert_int_equal(memory_host->devices[0].resets, 1);
	memory_host->failures[MEMORY_RESET] = EIO;
	assert_int_equal(order(HELPER_RESET, about).error, EIO);
	memory_host->failures[MEMORY_RESET] = 0;
	memory_host->devices[0].stubborn = true;
	assert_int_equal(order(HELPER_RESET, about).error, ENOTTY);
	memory_host->devices[0].present = false;
	assert_int_equal(order(HELPER_RESET, about).error, ENODEV);
	assert_int_equal(memory_host->devices[0].resets, 1);
	assert_int_equal(memory_host->devices[1].resets, 0);
}

/* The bus is that of a group which nobody has, and all of it has to be with VFIO. */
static void bus_is_reset_as_a_whole(void **state)
{
	const struct helper_order about = {.group = 1, .name = A};

	(void)state;
	hello();
	memory_host->devices[0].shares_bus = true;
	assert_int_equal(order(HELPER_RESET, about).error, ENOTTY);
	assert_int_equal(order(HELPER_RESET_BUS, about).error, EBUSY); /* with e1000 */
	snprintf(memory_host->devices[0].device.driver, DRIVER_NAME_SIZE, "vfio-pci");
	memory_host->failures[MEMORY_GROUP] = EBUSY;
	assert_int_equal(order(HELPER_RESET_BUS, about).error, EBUSY);
	assert_int_equal(memory_host->devices[0].resets, 0);
	memory_host->failures[MEMORY_GROUP] = 0;
	assert_int_equal(order(HELPER_RESET_BUS, about).error, 0);
	assert_int_equal(memory_host->devices[0].resets, 1);
	assert_int_equal(memory_host->devices[1].resets, 0);
	/* Somebody reads a file of the device in that moment. */
	memory_host->fails_at = memory_host->calls + 2;
	memory_host->fails_with = EAGAIN;
	assert_int_equal(order(HELPER_RESET_BUS, about).error, 0);
	assert_int_equal(memory_host->devices[0].resets, 2);
}

static void ill_formed_orders_do_nothing(void **state)
{
	const struct helper_order path = {.name = A, .driver = "../../x"};
	const struct helper_order good = {.name = A, .driver = "e1000"};

	(void)state;
	send_order(HELPER_UNBIND, &good, sizeof good);
	assert_null(answer(HELPER_UNBIND, 0)); /* before HELLO */
	hello();
	send_order(HELPER_UNBIND, &path, sizeof path);
	assert_null(answer(HELPER_UNBIND, 0));
	send_order(HELPER_TYPE_MAX, &good, sizeof good);
	assert_null(answer(HELPER_TYPE_MAX, 0));
	assert_int_equal(memory_host->calls, 0);
	/* and cost the helper nothing */
	assert_int_equal(order(HELPER_UNBIND, good).error, 0);
}

/* ---- a broker that wants no more ---- */

static void order_before_shutdown_is_not_done(void **state)
{
	const struct helper_order good = {.name = A, .driver = "e1000"};

	(void)state;
	hello();
	send_order(HELPER_UNBIND, &good, sizeof good);
	shutdown(broker, SHUT_WR);
	assert_false(orders_step(&orders, 1000));
	assert_int_equal(memory_host->calls, 0);
	assert_int_equal(packet_receive(broker, MSG_DONTWAIT, 1, &reply), PACKET_END);
}

static int shutdown_meanwhile(uint32_t group)
{
	(void)group;
	shutdown(broker, SHUT_WR);
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* ---- leases ---- */

/* The far ends: of the keeper's channel, and the client's of the device channel. */
static int keeper, client;

static void send_lease(uint32_t flags)
{
	struct lease_request body = {.flags = flags, .group = 1, .name = A, .vendor = 0x8086, .mappings = 4};
	int to_keeper[2], device[2];

	strcpy(body.rule, "a rule");
	unit_pair(to_keeper);
	unit_pair(device);
	keeper = to_keeper[0];
	client = device[0];
	packet_request(&request, HELPER_LEASE, 7);
	memcpy(packet_append(&request, sizeof body), &body, sizeof body);
	fdset_add(&request.fds, to_keeper[1]);
	fdset_add(&request.fds, device[1]);
	assert_int_equal(packet_send(broker, 0, &request), 0);
}

static uint32_t lease_error(void)
{
	const struct helper_reply *answered = answer(HELPER_LEASE, sizeof *answered);

	assert_non_null(answered);
	return answered->error;
}

/* What the keeper gets is what a keeper takes. */
static void assert_given(uint32_t flags, size_t fds)
{
	const struct lease_request *lease;
	struct detail detail;

	assert_int_equal(packet_receive(keeper, MSG_DONTWAIT, 1, &reply), PACKET_RECEIVED);
	assert_int_equal(table_check(&keeper_table, STATE_READY, &reply, &detail), 0);
	assert_int_equal(reply.header.type, KEEPER_LEASE);
	assert_int_equal(reply.header.cookie, 1);
	lease = packet_body(&reply, sizeof *lease);
	assert_int_equal(lease->flags, flags);
	assert_int_equal(lease->mappings, 4);
	assert_string_equal(lease->rule, "a rule");
	assert_int_equal(reply.fds.count, fds);
	/* The last is the device channel. */
	assert_int_equal(send(reply.fds.fds[fds - 1], "x", 1, MSG_DONTWAIT), 1);
	assert_int_equal(recv(client, &detail, 1, MSG_DONTWAIT), 1);
	packet_clear(&reply);
}

/* Nobody has an end of the device channel any more, and the keeper has heard nothing. */
static void assert_not_given(void)
{
	struct pollfd p = {client, POLLIN, 0};

	assert_int_equal(packet_receive(keeper, MSG_DONTWAIT, 1, &reply), PACKET_END);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(p.revents & POLLHUP);
}

static void end_lease(int fds)
{
	close(keeper);
	close(client);
	assert_int_equal(unit_fds(), fds);
}

static void lease_goes_to_the_keeper(void **state)
{
	static const struct {
		uint32_t asked;
		int window; /* errno */
		uint32_t given;
		size_t fds;
	} cases[] = {
		{LEASE_GROUP, 0, LEASE_GROUP | LEASE_WINDOWS, 3},
		{LEASE_GROUP, ENOENT, LEASE_GROUP, 2},
		{LEASE_GROUP | LEASE_DIRECT, EIO, LEASE_GROUP | LEASE_DIRECT, 2},
		{0, 0, LEASE_WINDOWS, 2},
		{0, ENOENT, 0, 1},
	};
	int fds;

	(void)state;
	hello();
	fds = unit_fds();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		memory_host->failures[MEMORY_WINDOW] = cases[i].window;
		memory_host->calls = 0;
		send_lease(cases[i].asked);
		assert_int_equal(lease_error(), 0);
		assert_given(cases[i].given, cases[i].fds);
		assert_int_equal(memory_host->calls, 1 + !!(cases[i].asked & LEASE_GROUP));
		end_lease(fds);
	}
}

static void failed_lease_gives_nothing(void **state)
{
	int fds;

	(void)state;
	hello();
	fds = unit_fds();
	memory_host->failures[MEMORY_GROUP] = EBUSY;
	send_lease(LEASE_GROUP);
	assert_int_equal(lease_error(), EBUSY);
	assert_not_given();
	end_lease(fds);
	memory_host->failures[MEMORY_GROUP] = 0;
	/* The broker has given up: it has shut the keeper's channel down. */
	send_lease(LEASE_GROUP);
	shutdown(keeper, SHUT_RDWR);
	assert_int_equal(lease_error(), EPIPE);
	end_lease(fds);
}

static void keeper_that_does_not_read_is_not_waited_for(void **state)
{
	struct packet *packet = &request;
	int copy;

	(void)state;
	hello();
	send_lease(0);
	/* the helper's end of the keeper's channel, to be filled */
	assert_int_equal(packet_receive(orders.channel.fd, MSG_DONTWAIT, 1, &reply), PACKET_RECEIVED);
	copy = dup(reply.fds.fds[0]);
	packet_request(packet, COMMON_PING, 1);
	packet_append(packet, 60000);
	while (packet_send(copy, MSG_DONTWAIT, packet) == 0)
		;
	while (send(copy, packet, 1, MSG_DONTWAIT) > 0)
		;
	close(copy);
	assert_int_equal(packet_send(broker, 0, &reply), 0);
	assert_int_equal(lease_error(), EAGAIN);
	close(keeper);
	close(client);
}

static void shutdown_stops_a_lease_between_its_steps(void **state)
{
	(void)state;
	hello();
	memory_host->group_open = shutdown_meanwhile;
	send_lease(LEASE_GROUP);
	assert_int_equal(lease_error(), ECANCELED);
	assert_int_equal(memory_host->calls, 1); /* no window was opened */
	assert_not_given();
	close(keeper);
	close(client);
	assert_false(orders_step(&orders, 1000));
}

static void shutdown_stops_a_look_between_its_steps(void **state)
{
	struct helper_order both = {.flags = HELPER_LOOK_IDS | HELPER_LOOK_NODE, .group = 1, .name = A};

	(void)state;
	hello();
	memory_host->group_open = shutdown_meanwhile;
	assert_int_equal(order(HELPER_LOOK, both).node_error, 0); /* the last step was under way */
	assert_false(orders_step(&orders, 1000));
}

#define ORDERS_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ORDERS_TEST(look_reads_ids_and_node),
		ORDERS_TEST(look_asks_an_inspector),
		ORDERS_TEST(look_tells_dead_from_virtual),
		ORDERS_TEST(unbind_waits_for_its_file),
		ORDERS_TEST(driver_orders_do_one_step_each),
		ORDERS_TEST(quiet_changes_two_bits),
		ORDERS_TEST(reset_says_what_came_of_it),
		ORDERS_TEST(bus_is_reset_as_a_whole),
		ORDERS_TEST(ill_formed_orders_do_nothing),
		ORDERS_TEST(order_before_shutdown_is_not_done),
		ORDERS_TEST(lease_goes_to_the_keeper),
		ORDERS_TEST(failed_lease_gives_nothing),
		ORDERS_TEST(keeper_that_does_not_read_is_not_waited_for),
		ORDERS_TEST(shutdown_stops_a_lease_between_its_steps),
		ORDERS_TEST(shutdown_stops_a_look_between_its_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
