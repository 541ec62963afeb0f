/* SPDX-License-Identifier: MIT */
#include "broker_bench.h"
#include "host/host.h"
#include "message.h"
#include "refusal.h"
#include "state/broker.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"
#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

/* A host that says no, and devices that come and go. */

/* ---- the host ---- */

static struct admission_case {
	const char *name;
	int look, probe; /* errnos */
	bool dead;
	int refusal;
} cases[] = {
	{A, 0, EIO, false, REFUSAL_DEVICE_BAD_STATE},
	{A, ENODEV, 0, false, REFUSAL_NO_SUCH_DEVICE},
	{D, 0, 0, false, REFUSAL_NO_IOMMU},
	{"0000:77:00.0", 0, 0, false, REFUSAL_NO_SUCH_DEVICE},
	{A, 0, 0, true, REFUSAL_DEVICE_BAD_STATE}, /* which puts it into quarantine */
	{A, 0, 0, false, REFUSAL_QUARANTINED},
};

static void failing_host_has_its_refusals(void **state)
{
	int client = client_new();

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		memory_host->look_failure = cases[i].look;
		memory_host->failures[MEMORY_PROBE] = cases[i].probe;
		memory_host->devices[0].dead = cases[i].dead;
		client_open(client, cases[i].name);
		assert_int_equal(client_answer(client, NULL), cases[i].refusal);
	}
	close(client);
	turn();
}

/* Whatever the policy says: this one lets everybody have everything. */
static void bridges_are_never_leased(void **state)
{
	static const uint32_t classes[] = {0x060000, 0x060100, 0x060400, 0x060401, 0x060700};
	struct host_device *device = &memory_host->devices[2].device;
	int client = client_new();
	struct detail detail;

	(void)state;
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		device->class = classes[i];
		client_open(client, C);
		assert_int_equal(client_answer(client, &detail), REFUSAL_NOT_LEASABLE);
		assert_non_null(strstr(detail.text, C));
	}
	/* The header counts, not the class alone. */
	device->class = 0x088000;
	device->bridge = true;
	client_open(client, C);
	assert_int_equal(client_answer(client, NULL), REFUSAL_NOT_LEASABLE);
	assert_string_equal(device->driver, "nvme");
	close(client);
	turn();
}

/* mlx5_vfio_pci and the like give a device to VFIO as well, and know how to: it is leased from them as it is. */
static void driver_of_vfio_is_kept(void **state)
{
	struct host_device *device = &memory_host->devices[2].device;
	int keeper = keeper_start(), client;

	(void)state;
	strcpy(device->driver, "nvme_vfio_pci");
	client = client_with(C, keeper);
	assert_null(inventory_find(&broker.inventory, C)->claim);
	close(client);
	close(keeper);
	turn();
	assert_string_equal(device->driver, "nvme_vfio_pci");
	assert_int_equal(group(2)->state, GROUP_FREE);
}

/* ---- what the host uses ---- */

/* What CHECK says first of NAME. */
static int first_obstacle(int client, const char *name, uint32_t flags, struct detail *detail)
{
	struct check_request check = {.flags = flags};
	const struct check_reply *reply;
	const struct check_obstacle *obstacle;

	memcpy(check.name, name, strlen(name));
	client_send(client, BROKER_CHECK, &check, sizeof check);
	turn();
	assert_int_equal(client_answer(client, NULL), 0);
	reply = packet_body(&packet, sizeof *reply);
	if (reply->count == 0)
		return 0;
	obstacle = (const void *)(packet.payload + sizeof *reply);
	snprintf(detail->text, sizeof detail->text, "%s", obstacle->detail);
	return (int)obstacle->refusal;
}

/* OPEN and CHECK say the same. */
static void expect_refused(int client, const char *name, int refusal, const char *words)
{
	struct detail opened, checked;

	client_open(client, name);
	assert_int_equal(client_answer(client, &opened), refusal);
	assert_int_equal(first_obstacle(client, name, 0, &checked), refusal);
	assert_string_equal(opened.text, checked.text);
	if (!strstr(opened.text, words))
		fail_msg("\"%s\" does not say \"%s\"", opened.text, words);
}

static void expect_in_place(size_t device, const char *driver)
{
	assert_string_equal(memory_host->devices[device].device.driver, driver);
	assert_string_equal(memory_host->devices[device].override, "");
}

static void what_the_host_uses_stays(void **state)
{
	int client = client_new();
	struct detail detail;

	(void)state;
	strcpy(memory_host->devices[2].use, "mounted on /srv by /dev/nvme0n1");
	expect_refused(client, C, REFUSAL_IN_USE,
		C ": mounted on /srv by /dev/nvme0n1; end that, or add \"in-use = take\" to rule \"all\"");
	/* Nothing was begun. */
	expect_in_place(2, "nvme");
	assert_null(inventory_find(&broker.inventory, C)->claim);
	assert_int_equal(group(2)->state, GROUP_FREE);
	/* The fact alone, for EXPLAIN. */
	assert_int_equal(first_obstacle(client, C, BROKER_CHECK_USE, &detail), REFUSAL_IN_USE);
	assert_string_equal(detail.text, "mounted on /srv by /dev/nvme0n1");
	/* Nobody can say. */
	memory_host->failures[MEMORY_INSPECT] = ENOTCONN;
	expect_refused(client, C, REFUSAL_FAILED, "vfio-inspector.socket");
	expect_in_place(2, "nvme");
	memory_host->failures[MEMORY_INSPECT] = 0;
	memory_host->devices[2].use[0] = '\0';
	assert_int_equal(first_obstacle(client, C, 0, &detail), 0);
	assert_int_equal(first_obstacle(client, C, BROKER_CHECK_USE, &detail), 0);
	/* A device of VFIO's is not the host's. */
	strcpy(memory_host->devices[0].use, "eth0 is up");
	assert_int_equal(first_obstacle(client, A, 0, &detail), 0);
	close(client);
	turn();
}

/* By the rule's own word; nobody looks then. */
static void what_the_host_uses_is_taken(void **state)
{
	int keeper, client;

	(void)state;
	strcpy(memory_host->devices[2].use, "mounted on /srv by /dev/nvme0n1");
	memory_host->failures[MEMORY_INSPECT] = ENOTCONN;
	keeper = keeper_start();
	client = client_with(C, keeper);
	assert_string_equal(memory_host->devices[2].device.driver, "vfio-pci");
	close(client);
	close(keeper);
	turn();
}

/* The others of the group are taken as well, and each is looked at. */
static void siblings_that_the_host_uses_stay(void **state)
{
	int client = client_new();

	(void)state;
	strcpy(memory_host->devices[0].device.driver, "e1000");
	strcpy(memory_host->devices[1].device.driver, "e1000");
	strcpy(memory_host->devices[1].use, "eth1 is up");
	expect_refused(client, A, REFUSAL_IN_USE, B ": eth1 is up");
	/* The sibling, taken first, goes back. */
	memory_host->devices[1].use[0] = '\0';
	strcpy(memory_host->devices[0].use, "eth0 is up");
	expect_refused(client, A, REFUSAL_IN_USE, A ": eth0 is up");
	for (int i = 0; i < 3000 && group(1)->state != GROUP_FREE; i++)
		tick(1000);
	expect_in_place(0, "e1000");
	expect_in_place(1, "e1000");
	close(client);
	turn();
}

/* ---- groups ---- */

static void group_cannot_be_opened(void **state)
{
	static const int errors[] = {EBUSY, ENOENT, EPERM};
	static const int refusals[] = {REFUSAL_DEVICE_BUSY, REFUSAL_DEVICE_BAD_STATE, REFUSAL_DEVICE_BAD_STATE};
	int keeper = keeper_start(), client = client_new();

	(void)state;
	for (int i = 0; i < 3; i++) {
		memory_host->failures[MEMORY_GROUP] = errors[i];
		client_open(client, C);
		assert_int_equal(client_answer(client, NULL), refusals[i]);
		/* EBUSY is seen before a keeper is taken. Any other keeper has to let go. */
		if (errors[i] != EBUSY) {
			close(keeper);
			turn();
			keeper = keeper_start();
		}
		assert_string_equal(memory_host->devices[2].device.driver, "nvme");
		assert_int_equal(group(2)->state, GROUP_FREE);
	}
	close(client);
	close(keeper);
	turn();
}

static void returning_device_joins_its_new_group(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	memory_host->devices[0].present = memory_host->devices[2].present = false;
	memory_host_tell(HOST_REMOVED, A);
	memory_host_tell(HOST_REMOVED, C);
	memory_host_tell(HOST_REMOVED, C);
	memory_host_tell(HOST_REMOVED, "0000:99:00.0");
	memory_host_tell(HOST_ADDED, "0000:99:00.0");
	assert_int_equal(broker.inventory.count, 2);
	assert_null(inventory_find(&broker.inventory, C));
	assert_non_null(inventory_find(&broker.inventory, A)); /* leased */
	memory_host->devices[0].present = true;
	memory_host->devices[0].device.group = 9;
	memory_host_tell(HOST_ADDED, A);
	assert_int_equal(group(1)->state, GROUP_HELD);
	close(client);
	close(keeper);
	turn();
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(group(1)->state, GROUP_FREE);
	assert_ptr_equal(inventory_find(&broker.inventory, A)->group, group(9));
	memory_host->devices[0].present = false;
	memory_host_tell(HOST_REMOVED, A);
	assert_null(inventory_find(&broker.inventory, A));
}

/* The broker lost uevents: it finds by itself what has changed meanwhile. */
static void missed_uevents_are_caught_up(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	memory_host->devices[0].present = memory_host->devices[2].present = false;
	memory_host_tell(HOST_MISSED, "");
	assert_int_equal(broker.inventory.count, 2);
	assert_null(inventory_find(&broker.inventory, C));
	assert_false(inventory_find(&broker.inventory, A)->present); /* leased */
	memory_host->devices[0].present = memory_host->devices[2].present = true;
	memory_host_tell(HOST_MISSED, "");
	assert_int_equal(broker.inventory.count, 4);
	assert_true(inventory_find(&broker.inventory, A)->present);
	assert_non_null(inventory_find(&broker.inventory, C));
	/* a failure to look is no news */
	memory_host->look_failure = EIO;
	memory_host_tell(HOST_MISSED, "");
	memory_host->look_failure = 0;
	assert_int_equal(broker.inventory.count, 4);
	close(client);
	close(keeper);
	turn();
}

/*
 * The device left while it was claimed: there is nothing to give back to a host driver, and no record of the claim
 * stays.
 */
static void unplugged_while_claimed(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper);

	(void)state;
	memory_host->devices[2].present = false;
	memory_host_tell(HOST_REMOVED, C);
	close(client);
	close(keeper);
	turn();
	assert_null(inventory_find(&broker.inventory, C));
	assert_int_equal(rmdir(claims), 0); /* no record in it */
}

/* ---- access = direct ---- */

/* The host takes a leased device out of its keeper's hands, which cannot reset it any more. */
static void host_takes(int keeper, const char *name)
{
	struct release_report report = {.reason = ENDED_UNPLUG, .reset = RESET_FAILED};

	report.steps[RELEASE_RESET].error = EAGAIN;
	keeper_reports(keeper, name, &report, 0);
	close(keeper);
	turn();
}

/* Hot-unplug: it was not reset, but leaves, so that there is nothing to say. It may read all ones meanwhile. */
static void unplugged_device_is_not_quarantined(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper), other = client_new();

	(void)state;
	memory_host->devices[2].dead = true;
	host_takes(keeper, C);
	assert_int_equal(group(2)->state, GROUP_RESTORING);
	assert_string_equal(memory_host->devices[2].device.driver, "vfio-pci");
	/* who asks meanwhile has to wait */
	memory_host->devices[2].dead = false;
	client_open(other, C);
	assert_int_equal(client_answer(other, NULL), -EAGAIN);
	memory_host->devices[2].present = false;
	memory_host_tell(HOST_REMOVED, C);
	turn();
	assert_int_equal(client_answer(other, NULL), REFUSAL_NO_SUCH_DEVICE);
	assert_null(inventory_find(&broker.inventory, C));
	assert_int_equal(broker.audit.counts[CHANGE_QUARANTINE], 0);
	assert_int_equal(broker.audit.counts[CHANGE_QUARANTINE_END], 0);
	assert_int_equal(rmdir(claims), 0); /* no record in it */
	assert_int_equal(rmdir(quarantine), 0);
	close(client);
	close(other);
	turn();
}

/* Somebody has unbound vfio-pci: the device stays, and was not reset. */
static void device_unbound_by_hand_is_quarantined(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper);
	const struct device *device = inventory_find(&broker.inventory, C);

	(void)state;
	host_takes(keeper, C);
	assert_int_equal(group(2)->state, GROUP_RESTORING);
	assert_int_equal(broker.audit.counts[CHANGE_QUARANTINE], 0);
	for (int i = 0; i < 2000 && group(2)->state != GROUP_FREE; i++)
		tick(1000);
	assert_int_equal(group(2)->state, GROUP_FREE);
	assert_int_equal(broker.audit.counts[CHANGE_QUARANTINE], 1);
	assert_true(quarantine_holds(device));
	assert_int_equal(device->quarantine->reason, QUARANTINE_RESET_FAILED);
	assert_int_equal(device->quarantine->error, EAGAIN);
	client_open(client, C);
	assert_int_equal(client_answer(client, NULL), REFUSAL_QUARANTINED);
	/* vfio-pci is no host driver. */
	memory_host_tell(HOST_BOUND, C);
	assert_true(quarantine_holds(device));
	/* Root gives the device to its host driver, which sets it up anew. */
	strcpy(memory_host->devices[2].device.driver, "nvme");
	memory_host_tell(HOST_BOUND, C);
	assert_null(device->quarantine);
	assert_int_equal(broker.audit.counts[CHANGE_QUARANTINE_END], 1);
	turn();
	for (int i = 0; i < 2000 && group(2)->state != GROUP_FREE; i++)
		tick(1000);
	assert_string_equal(memory_host->devices[2].device.driver, "nvme");
	assert_string_equal(memory_host->devices[2].override, "");
	assert_int_equal(rmdir(claims), 0); /* no record in it */
	assert_int_equal(rmdir(quarantine), 0);
	close(client);
	turn();
}

/* The node that the group has with its host driver, a leftover, is not the node that it has with vfio-pci. */
static int node_of_the_driver(uint32_t number)
{
	const char *driver = memory_host->devices[2].device.driver;

	(void)number;
	if (strcmp(driver, "nvme") == 0)
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	return strcmp(driver, "vfio-pci") == 0 ? open("/dev/zero", O_RDWR | O_CLOEXEC) : -ENOENT;
}

static void keeper_gets_the_node_of_after_the_rebind(void **state)
{
	int keeper = keeper_start(), client = client_new();
	struct stat zero, node;

	(void)state;
	assert_int_equal(stat("/dev/zero", &zero), 0);
	memory_host->group_open = node_of_the_driver;
	client_open(client, C);
	assert_int_equal(packet_receive(keeper, MSG_DONTWAIT, true, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.type, KEEPER_LEASE);
	assert_string_equal(memory_host->devices[2].device.driver, "vfio-pci");
	assert_int_equal(fstat(packet.fds.fds[0], &node), 0);
	assert_int_equal(node.st_rdev, zero.st_rdev);
	packet_clear(&packet);
	close(client);
	turn();
	close(keeper);
	turn();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
		CASE(failing_host_has_its_refusals),
		CASE(bridges_are_never_leased),
		CASE(driver_of_vfio_is_kept),
		CASE(what_the_host_uses_stays),
		cmocka_unit_test_prestate_setup_teardown(what_the_host_uses_is_taken, begin, end,
			(void *)"[allow all]\nclass = *\nuser = *\nrebind = yes\nin-use = take\n"),
		CASE(siblings_that_the_host_uses_stay),
		CASE(group_cannot_be_opened),
		CASE(returning_device_joins_its_new_group),
		CASE(missed_uevents_are_caught_up),
		CASE(unplugged_while_claimed),
		CASE(unplugged_device_is_not_quarantined),
		CASE(device_unbound_by_hand_is_quarantined),
		CASE(keeper_gets_the_node_of_after_the_rebind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
