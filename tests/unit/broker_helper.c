/* SPDX-License-Identifier: MIT */
#include "base/limits.h"
#include "base/loop.h"
#include "broker_bench.h"
#include "helper/helper.h"
#include "helper/operation.h"
#include "state/inventory.h"
#include "unit.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

/* Helpers that hang, answer late, or end: the group alone waits, and ends where it belongs. */

/* More devices with host drivers, each in a group of its own: 4 to 7. */
#define E "0000:04:00.0"
#define F "0000:05:00.0"
#define G "0000:06:00.0"
#define H "0000:07:00.0" /* a virtual function of C */

static int begin_large(void **state)
{
	static const struct host_device devices[] = {
		{A, "vfio-pci", 1, 0x1234, 0x11e8, 0x00ff00, "", false, false},
		{B, "vfio-pci", 1, 0x1234, 0x11e8, 0x00ff00, "", false, false},
		{C, "nvme", 2, 0x1b36, 0x0010, 0x010802, "", false, false},
		{E, "nvme", 4, 0x1b36, 0x0010, 0x010802, "", false, false},
		{F, "nvme", 5, 0x1b36, 0x0010, 0x010802, "", false, false},
		{G, "nvme", 6, 0x1b36, 0x0010, 0x010802, "", false, false},
		{H, "", 7, 0x1b36, 0x0011, 0x010802, C, false, false},
	};

	make_machine();
	memory_host_reset(devices, sizeof devices / sizeof *devices);
	memory_host->devices[6].present = false;
	fds_before = unit_fds();
	make_directory();
	start_broker(*state);
	return 0;
}

static void pass(uint64_t time_us)
{
	uint64_t since = loop_now(event);

	while (loop_now(event) - since < time_us)
		tick(10000);
}

static void await_state(uint32_t number, enum group_state state)
{
	for (int i = 0; i < 8000 && group(number)->state != state; i++)
		tick(1000);
	assert_int_equal(group(number)->state, state);
}

/* The answer to a request, once it comes. */
static int await_answer(int client, struct detail *detail)
{
	int r = client_answer(client, detail);

	for (int i = 0; i < 8000 && r == -EAGAIN; i++) {
		tick(1000);
		r = client_answer(client, detail);
	}
	return r;
}

static void await_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (int i = 0; i < 8000 && poll(&p, 1, 0) == 0; i++)
		tick(1000);
}

/* ORDER about NAME hangs from now on. */
static void hang(size_t slot, uint16_t order, const char *name)
{
	hangs[slot] = (struct hang){order, name};
}

static bool somebody_hangs(void)
{
	for (size_t i = 0; i < HELPERS_SERVED; i++) {
		if (helpers[i] && helper_hangs(helpers[i]))
			return true;
	}
	return false;
}

static void go_on(size_t slot)
{
	hangs[slot].name = NULL;
}

static void expect_home(size_t device)
{
	assert_string_equal(memory_host->devices[device].device.driver, "nvme");
	assert_string_equal(memory_host->devices[device].override, "");
}

/* What CHECK says first of NAME. */
static int first_obstacle(int client, const char *name, struct detail *detail)
{
	struct check_request check = {0};
	const struct check_reply *reply;
	const struct check_obstacle *obstacle;
	int r;

	memcpy(check.name, name, strlen(name));
	client_send(client, BROKER_CHECK, &check, sizeof check);
	assert_int_equal(await_answer(client, NULL), 0);
	reply = packet_body(&packet, sizeof *reply);
	if (reply->count == 0)
		return 0;
	obstacle = (const void *)(packet.payload + sizeof *reply);
	r = (int)obstacle->refusal;
	snprintf(detail->text, sizeof detail->text, "%s", obstacle->detail);
	return r;
}

static void expect_words(const struct detail *detail, const char *words)
{
	if (!strstr(detail->text, words))
		fail_msg("\"%s\" does not say \"%s\"", detail->text, words);
}

/* CLIENT's OPEN of NAME, of group NUMBER, gets as far as it goes, and is given back. */
static void finish_open(int client, const char *name, uint32_t number)
{
	int keeper = keeper_start();

	for (int i = 0; i < 2000 && !group(number)->keeper; i++)
		tick(1000);
	turn();
	close(keeper_take_lease(keeper, name, true));
	keeper_accept(keeper);
	assert_int_equal(client_answer(client, NULL), 0);
	fdset_clear(&packet.fds);
	close(client);
	close(keeper);
	turn();
	await_state(number, GROUP_FREE);
}

/* Another client gets A, whatever hangs. */
static void others_work(void)
{
	int client = client_new();

	client_open(client, A);
	finish_open(client, A, 1);
}

/* ---- on the way to vfio-pci ---- */

/* Each order in turn is late, and is carried out in the end. */
static void late_order_is_undone(void **state)
{
	static const uint16_t orders[] = {HELPER_LOOK, HELPER_OVERRIDE_SET, HELPER_UNBIND, HELPER_BIND};
	static const char *const names[] = {C, E, F, G};
	static const uint32_t groups[] = {2, 4, 5, 6};
	struct detail detail;
	int clients[4], other = client_new();

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		hang(i, orders[i], names[i]);
		clients[i] = client_new();
		client_open(clients[i], names[i]);
		if (i == 2)
			others_work();
	}
	pass(HELPER_NAMED_US + 200000);
	/* named to all who ask, and no fifth */
	assert_int_equal(first_obstacle(other, F, &detail), REFUSAL_DEVICE_BUSY);
	expect_words(&detail, "unbinding " F " from nvme");
	assert_int_equal(helper_count_hung(&broker, 0), 4);
	client_open(other, A);
	assert_int_equal(client_answer(other, &detail), REFUSAL_QUOTA);
	expect_words(&detail, "4 helpers hang");
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(await_answer(clients[i], &detail), REFUSAL_QUARANTINED);
		expect_words(&detail, names[i]);
		assert_int_equal(group(groups[i])->state, GROUP_QUARANTINED);
	}
	client_open(other, G);
	assert_int_equal(client_answer(other, &detail), REFUSAL_QUARANTINED);
	expect_words(&detail, "binding " G " to vfio-pci");
	for (size_t i = 0; i < 4; i++) {
		go_on(i);
		turn();
		await_state(groups[i], GROUP_FREE);
		expect_home(2 + i);
		close(clients[i]);
	}
	assert_int_equal(broker.leases_count, 0);
	close(other);
	turn();
}

/* ---- LEASE ---- */

/* The keeper's channel is shut down: the late helper gives the group to nobody. */
static void late_lease_reaches_nobody(void **state)
{
	struct detail detail;
	int keeper = keeper_start(), client = client_new();

	(void)state;
	hang(0, HELPER_LEASE, C);
	client_open(client, C);
	assert_int_equal(group(2)->state, GROUP_HELD);
	assert_int_equal(await_answer(client, &detail), REFUSAL_QUARANTINED);
	expect_words(&detail, "opening /dev/vfio/2 for " C);
	assert_int_equal(group(2)->state, GROUP_QUARANTINED);
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(packet_receive(keeper, MSG_DONTWAIT, true, &packet), PACKET_END);
	go_on(0);
	turn();
	assert_int_equal(packet_receive(keeper, MSG_DONTWAIT, true, &packet), PACKET_END);
	close(keeper);
	await_state(2, GROUP_FREE);
	expect_home(2);
	close(client);
	turn();
}

/* The session ends before the helper has sent LEASE. */
static void stop_takes_the_channel_back(void **state)
{
	int keeper = keeper_start(), client = client_new();

	(void)state;
	hang(0, HELPER_LEASE, A);
	client_open(client, A);
	close(client);
	turn();
	assert_int_equal(packet_receive(keeper, MSG_DONTWAIT, true, &packet), PACKET_END);
	go_on(0);
	turn();
	assert_int_equal(packet_receive(keeper, MSG_DONTWAIT, true, &packet), PACKET_END);
	close(keeper);
	await_state(1, GROUP_FREE);
}

/* ---- on the way back ---- */

static void late_way_back_holds_nobody_up(void **state)
{
	struct revoke_request revoke = {.name = C};
	struct unquarantine_request release = {.name = C};
	int keeper = keeper_start(), client = client_with(C, keeper), other = client_new();
	struct detail detail;

	(void)state;
	hang(0, HELPER_UNBIND, C);
	close(client);
	close(keeper);
	turn();
	assert_int_equal(group(2)->state, GROUP_RESTORING);
	pass(HELPER_NAMED_US + 100000);
	others_work();
	client_send(other, BROKER_REVOKE, &revoke, sizeof revoke);
	turn();
	assert_int_equal(client_answer(other, NULL), 0);
	assert_int_equal(((const struct revoke_reply *)packet_body(&packet, sizeof(struct revoke_reply)))->result,
		REVOKE_INCOMPLETE);
	client_send(other, BROKER_UNQUARANTINE, &release, sizeof release);
	turn();
	assert_int_equal(client_answer(other, &detail), REFUSAL_DEVICE_BUSY);
	expect_words(&detail, "unbinding " C " from vfio-pci");
	await_state(2, GROUP_QUARANTINED);
	client_open(other, C);
	assert_int_equal(client_answer(other, &detail), REFUSAL_QUARANTINED);
	expect_words(&detail, "unbinding " C " from vfio-pci");
	go_on(0);
	await_state(2, GROUP_FREE);
	expect_home(2);
	close(other);
	turn();
}

/* ---- helpers that end ---- */

static void kill_helper_at_work(void)
{
	for (size_t i = 0; i < HELPERS_SERVED; i++) {
		if (helpers[i] && helper_hangs(helpers[i]))
			helper_end(i);
	}
}

static void lost_order_is_undone(void **state)
{
	static const uint16_t orders[] = {
		HELPER_LOOK, HELPER_OVERRIDE_GET, HELPER_OVERRIDE_SET, HELPER_UNBIND, HELPER_BIND, HELPER_LEASE};
	struct detail detail;
	int keeper = keeper_start();

	(void)state;
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		int client = client_new();

		hang(0, orders[i], C);
		client_open(client, C);
		kill_helper_at_work();
		go_on(0);
		turn();
		/* Nobody knows what the keeper got; the next one gets the device. */
		if (orders[i] == HELPER_LEASE) {
			close(keeper);
			keeper = keeper_start();
			await_readable(keeper);
			close(keeper_take_lease(keeper, C, true));
			keeper_accept(keeper);
			close(keeper);
		}
		assert_int_equal(await_answer(client, &detail), orders[i] == HELPER_LEASE ? 0 : REFUSAL_FAILED);
		fdset_clear(&packet.fds);
		await_state(2, GROUP_FREE);
		expect_home(2);
		close(client);
		turn();
	}
}

/* CHECK says what OPEN would be told. */
static void lost_look_fails(void **state)
{
	struct check_request check = {.name = C};
	const struct check_obstacle *obstacle;
	int client = client_new();

	(void)state;
	hang(0, HELPER_LOOK, C);
	client_send(client, BROKER_CHECK, &check, sizeof check);
	turn();
	kill_helper_at_work();
	go_on(0);
	assert_int_equal(await_answer(client, NULL), 0);
	obstacle = (const void *)(packet.payload + sizeof(struct check_reply));
	assert_int_equal(obstacle->refusal, REFUSAL_FAILED);
	close(client);
	turn();
}

/* The way back starts anew, with another helper. */
static void lost_way_back_is_tried_again(void **state)
{
	static const uint16_t orders[] = {HELPER_LOOK, HELPER_OVERRIDE_SET, HELPER_UNBIND, HELPER_BIND};

	(void)state;
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		int keeper = keeper_start(), client = client_with(C, keeper);

		hang(0, orders[i], C);
		close(client);
		close(keeper);
		turn();
		kill_helper_at_work();
		go_on(0);
		await_state(2, GROUP_FREE);
		expect_home(2);
	}
}

/* ---- physical and virtual functions ---- */

static void physical_function_with_virtual_ones_keeps_its_driver(void **state)
{
	struct detail detail;
	int client = client_new();

	(void)state;
	memory_host_plug(6, true);
	client_open(client, C);
	assert_int_equal(client_answer(client, &detail), REFUSAL_GROUP_NOT_VIABLE);
	expect_words(&detail, H);
	expect_home(2);
	close(client);
	turn();
}

/* The kernel tells of a virtual function before it has linked it to its physical one, and tells again. */
static void virtual_function_is_known_once_it_is_linked(void **state)
{
	char *physfn = memory_host->devices[6].device.physfn;
	int keeper = keeper_start(), client = client_new();
	struct detail detail;

	(void)state;
	memory_host_plug(6, true);
	memset(physfn, 0, DEVICE_NAME_SIZE);
	memory_host_tell(HOST_REMOVED, H);
	memory_host_tell(HOST_ADDED, H);
	memcpy(physfn, C, sizeof C);
	memory_host_tell(HOST_ADDED, H);
	client_open(client, C);
	assert_int_equal(client_answer(client, &detail), REFUSAL_GROUP_NOT_VIABLE);
	expect_words(&detail, H);
	expect_home(2);
	close(client);
	close(keeper);
	turn();
}

/* A virtual function waits while its physical function hangs. */
static void set_waits_for_its_order(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper), other = client_new();
	struct detail detail;

	(void)state;
	hang(0, HELPER_UNBIND, C);
	close(client);
	close(keeper);
	turn();
	memory_host_plug(6, true);
	client_open(other, H);
	assert_int_equal(client_answer(other, &detail), -EAGAIN);
	assert_int_equal(group(7)->state, GROUP_CLAIMING);
	assert_int_equal(await_answer(other, &detail), REFUSAL_DEVICE_BUSY);
	expect_words(&detail, "unbinding " C " from vfio-pci");
	assert_int_equal(group(7)->state, GROUP_FREE);
	client_open(other, H);
	assert_int_equal(client_answer(other, &detail), REFUSAL_DEVICE_BUSY);
	memory_host_plug(6, false);
	go_on(0);
	await_state(2, GROUP_FREE);
	expect_home(2);
	close(other);
	turn();
}

/* ---- quiet devices ---- */

/* The client has switched bus mastering on. */
static void make_busy(size_t device)
{
	memory_host->devices[device].command |= PCI_COMMAND_MASTER;
}

static bool is_busy(size_t device)
{
	return memory_host->devices[device].command & PCI_COMMAND_MASTER;
}

static void revoke_in(int client, const char *name, uint32_t deadline_ms)
{
	struct revoke_request revoke = {.deadline_ms = deadline_ms};

	memcpy(revoke.name, name, strlen(name));
	client_send(client, BROKER_REVOKE, &revoke, sizeof revoke);
	turn();
}

static void expect_order(int keeper, uint16_t type)
{
	assert_int_equal(packet_receive(keeper, MSG_DONTWAIT, true, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.type, type);
}

/* The keeper does nothing, and its other device goes on. */
static void revoked_device_is_quiet_without_its_keeper(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper), root = client_new(), other_root = client_new();

	(void)state;
	client_gets(client, B, keeper, false);
	make_busy(0);
	make_busy(1);
	revoke_in(root, A, 300);
	expect_order(keeper, KEEPER_REVOKE);
	assert_true(is_busy(0));
	pass(400000);
	turn();
	assert_false(is_busy(0));
	assert_true(is_busy(1));
	assert_int_equal(group(1)->state, GROUP_HELD);
	revoke_in(other_root, B, 0);
	assert_false(is_busy(1));
	close(client);
	close(keeper);
	close(root);
	close(other_root);
	turn();
	await_state(1, GROUP_FREE);
}

/* An order that hangs holds up the next holder, and nobody else. */
static void late_quiet_meets_no_other_holder(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper), root = client_new();

	(void)state;
	make_busy(2);
	hang(0, HELPER_QUIET, C);
	revoke_in(root, C, 0);
	expect_order(keeper, KEEPER_REVOKE);
	close(client);
	keeper_released(keeper, C, 0);
	close(keeper);
	turn();
	others_work();
	pass(HELPER_NAMED_US + 100000);
	assert_true(group(2)->state != GROUP_FREE);
	assert_string_equal(memory_host->devices[2].device.driver, "vfio-pci");
	assert_true(is_busy(2));
	go_on(0);
	await_state(2, GROUP_FREE);
	expect_home(2);
	assert_false(is_busy(2));
	close(root);
	turn();
}

/* An order that hangs for another reason is not waited for. */
static void quiet_waits_for_no_other_order(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper), root = client_new();

	(void)state;
	make_busy(0);
	hang(0, HELPER_LEASE, B);
	client_open(client, B);
	turn();
	assert_true(somebody_hangs());
	revoke_in(root, A, 0);
	assert_false(is_busy(0));
	go_on(0);
	turn();
	/* Before the keeper's end: no next keeper is tried for a client that has gone. */
	close(client);
	turn();
	close(keeper);
	close(root);
	turn();
	await_state(1, GROUP_FREE);
}

/* All other places are taken by helpers that hang. */
static void quiet_has_places_of_its_own(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper), root = client_new(), first = client_new(),
	    second = client_new();
	unsigned int others = HELPERS_MAX - HELPERS_QUIETING - broker.helpers_count;

	(void)state;
	make_busy(0);
	broker.helpers_count += others;
	/* The helper in reserve is taken, and there is no place for another. */
	hang(0, HELPER_LOOK, E);
	client_open(first, E);
	client_open(second, F);
	pass(2 * HELPER_SPARE_US);
	assert_true(somebody_hangs());
	assert_null(group(5)->keeper);
	assert_true(is_busy(0));
	revoke_in(root, A, 0);
	assert_false(is_busy(0));
	broker.helpers_count -= others;
	close(client);
	turn();
	close(keeper);
	close(root);
	turn();
	await_state(1, GROUP_FREE);
	finish_open(second, F, 5);
	go_on(0);
	finish_open(first, E, 4);
}

/* The keeper was killed: both devices, and not the one that its client has given back. */
static void killed_keeper_leaves_quiet_devices(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	client_gets(client, B, keeper, false);
	make_busy(0);
	make_busy(1);
	close(keeper);
	turn();
	assert_false(is_busy(0));
	assert_false(is_busy(1));
	await_state(1, GROUP_FREE);
	close(client);
	keeper = keeper_start();
	client = client_with(A, keeper);
	make_busy(0);
	keeper_released(keeper, A, 0);
	close(keeper);
	turn();
	assert_true(is_busy(0));
	close(client);
	await_state(1, GROUP_FREE);
}

/* A deadline is on record for the next broker, but not of a device that the client does not have yet. */
static void deadline_on_record(void **state)
{
	int keeper = keeper_start(), client = client_new(), root = client_new();
	struct stat status;
	char path[160];

	(void)state;
	snprintf(path, sizeof path, "%s/%s", quarantine, A);
	client_open(client, A);
	close(keeper_take_lease(keeper, A, true));
	revoke_in(root, A, 60000);
	assert_int_equal(stat(path, &status), -1);
	assert_false(inventory_find(&broker.inventory, A)->handed_out);
	expect_order(keeper, KEEPER_REVOKE);
	keeper_accept(keeper);
	assert_int_equal(stat(path, &status), 0);
	close(client);
	close(keeper);
	close(root);
	turn();
	await_state(1, GROUP_FREE);
	assert_int_equal(stat(path, &status), -1);
}

/* The session of A has ended, and nobody has ordered a revocation. C is revoked, and the audit trail says once that the
 * revocation is incomplete. */
static void keepers_that_do_not_let_go(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper), other_keeper = keeper_start(),
	    other = client_with(C, other_keeper), root = client_new();
	const uint64_t *counts = broker.audit.counts;

	(void)state;
	make_busy(0);
	close(client);
	revoke_in(root, C, 0);
	assert_true(is_busy(0));
	await_state(1, GROUP_QUARANTINED);
	turn();
	assert_false(is_busy(0));
	assert_int_equal(counts[CHANGE_REVOKE], group(2)->state == GROUP_QUARANTINED);
	await_state(2, GROUP_QUARANTINED);
	assert_int_equal(counts[CHANGE_REVOKE], 1);
	assert_int_equal(counts[CHANGE_RELEASE], 0);
	close(keeper);
	keeper_released(other_keeper, C, 0);
	close(other_keeper);
	await_state(1, GROUP_FREE);
	await_state(2, GROUP_FREE);
	assert_int_equal(counts[CHANGE_REVOKE], 1);
	assert_int_equal(counts[CHANGE_RELEASE], 1);
	assert_int_equal(counts[CHANGE_QUARANTINE_END], 2);
	close(other);
	close(root);
	turn();
}

/* ---- resets ---- */

/* The kernel closed the device and says nobody whether it was reset. */
static void end_without_a_report(int client, int keeper)
{
	close(client);
	close(keeper);
	turn();
}

static void expect_quarantined(const char *name, const char *words)
{
	int other = client_new();
	struct detail detail;

	client_open(other, name);
	assert_int_equal(client_answer(other, &detail), REFUSAL_QUARANTINED);
	expect_words(&detail, words);
	close(other);
	turn();
}

/* Nobody gets the device before a helper has reset it: not the host driver, and not the next client. */
static void silent_end_leads_to_a_reset(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper), next = client_new();

	(void)state;
	hang(0, HELPER_RESET, C);
	end_without_a_report(client, keeper);
	client_open(next, C);
	pass(100000);
	assert_int_equal(client_answer(next, NULL), -EAGAIN);
	assert_int_equal(group(2)->state, GROUP_RESTORING);
	assert_string_equal(memory_host->devices[2].device.driver, "vfio-pci");
	assert_int_equal(memory_host->devices[2].resets, 0);
	close(next);
	turn();
	go_on(0);
	await_state(2, GROUP_FREE);
	expect_home(2);
	assert_int_equal(memory_host->devices[2].resets, 1);
	assert_null(inventory_find(&broker.inventory, C)->quarantine);
}

/* What the keeper has reset is not reset a second time, and neither is a sibling that nobody had. */
static void confirmed_reset_needs_no_helper(void **state)
{
	const struct release_report was_reset = {.reset = RESET_DONE}, unsure = {.reset = RESET_UNSURE};
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	keeper_reports(keeper, A, &was_reset, 0);
	end_without_a_report(client, keeper);
	await_state(1, GROUP_FREE);
	assert_int_equal(memory_host->devices[0].resets, 0);
	/* access = direct */
	keeper = keeper_start();
	client = client_with(A, keeper);
	keeper_reports(keeper, A, &unsure, 0);
	end_without_a_report(client, keeper);
	await_state(1, GROUP_FREE);
	assert_int_equal(memory_host->devices[0].resets, 1);
	assert_int_equal(memory_host->devices[1].resets, 0);
}

static void failed_reset_is_a_quarantine(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper);

	(void)state;
	memory_host->failures[MEMORY_RESET] = EIO;
	end_without_a_report(client, keeper);
	await_state(2, GROUP_FREE);
	expect_quarantined(C, "its reset failed: Input/output error");
	assert_string_equal(memory_host->devices[2].device.driver, "vfio-pci");
	/* Without a method there is no order. */
	memory_host->devices[0].stubborn = true;
	keeper = keeper_start();
	end_without_a_report(client_with(A, keeper), keeper);
	await_state(1, GROUP_FREE);
	expect_quarantined(A, "its keeper died and it has no reset method");
}

/* A reset of a silent device could take a minute. */
static void silent_device_is_not_reset(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper);

	(void)state;
	memory_host->devices[2].dead = true;
	end_without_a_report(client, keeper);
	await_state(2, GROUP_FREE);
	expect_quarantined(C, "all ones");
	assert_int_equal(memory_host->devices[2].resets, 0);
}

/* Root has given the device to a driver of the host, which ends what there was against the device. */
static void host_driver_is_not_disturbed(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	snprintf(memory_host->devices[0].device.driver, DRIVER_NAME_SIZE, "e1000");
	end_without_a_report(client, keeper);
	await_state(1, GROUP_FREE);
	assert_int_equal(memory_host->devices[0].resets, 0);
	assert_null(inventory_find(&broker.inventory, A)->quarantine);
}

/* A driver of VFIO's own is none of the host's: it has set nothing up. */
static void driver_of_vfio_resets_nothing(void **state)
{
	int keeper = keeper_start(), client;

	(void)state;
	snprintf(memory_host->devices[0].device.driver, DRIVER_NAME_SIZE, "mlx5_vfio_pci");
	client = client_with(A, keeper);
	end_without_a_report(client, keeper);
	await_state(1, GROUP_FREE);
	assert_int_equal(memory_host->devices[0].resets, 1);
}

static void late_reset_counts_and_lost_reset_does_not(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper);

	(void)state;
	hang(0, HELPER_RESET, C);
	end_without_a_report(client, keeper);
	await_state(2, GROUP_QUARANTINED);
	go_on(0);
	await_state(2, GROUP_FREE);
	expect_home(2);
	assert_int_equal(memory_host->devices[2].resets, 1);
	keeper = keeper_start();
	client = client_with(C, keeper);
	hang(0, HELPER_RESET, C);
	end_without_a_report(client, keeper);
	kill_helper_at_work();
	go_on(0);
	await_state(2, GROUP_FREE);
	expect_home(2);
	assert_int_equal(memory_host->devices[2].resets, 2);
}

/* ---- who may have a helper ---- */

static void no_helper_without_a_right(void **state)
{
	struct detail detail;
	int client = client_new();

	(void)state;
	memory_host->calls = 0;
	client_open(client, C);
	assert_int_equal(client_answer(client, &detail), REFUSAL_DENIED);
	assert_int_equal(first_obstacle(client, C, &detail), REFUSAL_DENIED);
	/* the broker has read the device, and no more: twice for each request, with its sibling's driver */
	assert_true(memory_host->calls <= 4);
	assert_true(TAILQ_EMPTY(&broker.operations));
	close(client);
	turn();
}

int main(void)
{
#define LARGE(name) cmocka_unit_test_setup_teardown(name, begin_large, end)
	const struct CMUnitTest tests[] = {
		LARGE(late_order_is_undone),
		LARGE(late_lease_reaches_nobody),
		LARGE(stop_takes_the_channel_back),
		LARGE(late_way_back_holds_nobody_up),
		LARGE(lost_order_is_undone),
		LARGE(lost_look_fails),
		LARGE(lost_way_back_is_tried_again),
		LARGE(physical_function_with_virtual_ones_keeps_its_driver),
		LARGE(virtual_function_is_known_once_it_is_linked),
		LARGE(set_waits_for_its_order),
		LARGE(revoked_device_is_quiet_without_its_keeper),
		LARGE(late_quiet_meets_no_other_holder),
		LARGE(quiet_waits_for_no_other_order),
		LARGE(quiet_has_places_of_its_own),
		LARGE(killed_keeper_leaves_quiet_devices),
		LARGE(deadline_on_record),
		LARGE(keepers_that_do_not_let_go),
		LARGE(silent_end_leads_to_a_reset),
		LARGE(confirmed_reset_needs_no_helper),
		LARGE(failed_reset_is_a_quarantine),
		LARGE(silent_device_is_not_reset),
		LARGE(host_driver_is_not_disturbed),
		LARGE(driver_of_vfio_resets_nothing),
		LARGE(late_reset_counts_and_lost_reset_does_not),
		cmocka_unit_test_prestate_setup_teardown(
			no_helper_without_a_right, begin_large, end, (void *)"[deny all]\nclass = *\nuser = *\n"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
