/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include "raw_channel.h"

/* What the broker says about itself: CHECK, LIST, STATUS, SESSIONS, LEASES; and long lists in pages. */

/* ---- CHECK ---- */

static void expect_obstacles(struct vbroker_session *session, const char *name, int claim, const int *refusals)
{
	struct vbroker_obstacle *obstacles;
	size_t count;
	int found_claim;

	expect_ok(vbroker_session_check(session, name, &obstacles, &count, &found_claim));
	for (size_t i = 0; i < count; i++) {
		if (refusals[i] != obstacles[i].refusal)
			fail_msg("%s: obstacle %zu is %s: %s", name, i, vbroker_refusal_name(obstacles[i].refusal),
				obstacles[i].detail);
		assert_true(obstacles[i].detail[0] != '\0');
	}
	assert_int_equal(refusals[count], 0);
	assert_int_equal(found_claim, claim);
	free(obstacles);
}

#define NOTHING	  ((const int[]){0})
#define ONLY(...) ((const int[]){__VA_ARGS__, 0})

static void check(void **state)
{
	struct vbroker_session *session = session_begin(), *other = session_begin();
	struct vbroker_device *device;

	(void)state;
	expect_obstacles(session, EDU, 0, NOTHING);
	expect_obstacles(session, NVME, 1, NOTHING);
	/* which has no driver to be taken from */
	expect_obstacles(session, BARE, 0, NOTHING);
	expect_obstacles(session, LOCKED, 0, ONLY(VBROKER_DENIED));
	expect_obstacles(session, NOBODYS, 0, ONLY(VBROKER_DENIED));
	expect_obstacles(session, VIRTIO, 1, ONLY(VBROKER_DENIED));
	expect_obstacles(session, NO_IOMMU, 0, ONLY(VBROKER_NO_IOMMU));
	/* the look itself puts it into quarantine, which OPEN is told from then on */
	expect_obstacles(session, DEAD, 0, ONLY(VBROKER_QUARANTINED, VBROKER_DEVICE_BAD_STATE));
	expect_obstacles(session, MIXED, 0, ONLY(VBROKER_GROUP_NOT_VIABLE));
	expect_obstacles(session, "0000:00:1f.0", 0, ONLY(VBROKER_NO_SUCH_DEVICE));
	/* all at once, the most important first */
	host_write("devices/" MIXED "/answers", "no");
	host_write("devices/" MIXED_NIC "/answers", "no");
	expect_obstacles(
		session, MIXED, 0, ONLY(VBROKER_QUARANTINED, VBROKER_GROUP_NOT_VIABLE, VBROKER_DEVICE_BAD_STATE));
	/* no helper works for a user without a right to the device */
	expect_obstacles(session, MIXED_NIC, 1, ONLY(VBROKER_DENIED, VBROKER_QUARANTINED));
	/* it only looks */
	expect_driver(NVME, "nvme");
	assert_int_equal(host_claims(), 0);
	device = device_begin(session, NVME);
	expect_obstacles(session, NVME, 0, ONLY(VBROKER_DEVICE_BUSY));
	expect_obstacles(other, NVME, 0, ONLY(VBROKER_DEVICE_BUSY));
	vbroker_device_close(device);
	vbroker_session_close(session);
	vbroker_session_close(other);
	world_settle();
}

/* ---- LIST ---- */

static const struct vbroker_device_entry *find(
	const struct vbroker_device_entry *entries, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(entries[i].name, name) == 0)
			return &entries[i];
	}
	fail_msg("%s is not in the list", name);
	return NULL;
}

static void list(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, NVME);
	struct vbroker_device_entry *entries;
	const struct vbroker_device_entry *e;
	size_t count;

	(void)state;
	expect_ok(vbroker_list_devices(session, &entries, &count));
	assert_int_equal(count, 14);
	for (size_t i = 1; i < count; i++)
		assert_true(strcmp(entries[i - 1].name, entries[i].name) < 0);
	e = find(entries, count, EDU);
	assert_string_equal(e->driver, "vfio-pci");
	assert_int_equal(e->group, 1);
	assert_int_equal(e->vendor, 0x1234);
	assert_int_equal(e->device, 0x11e8);
	assert_int_equal(e->class_code, 0x00ff00);
	assert_int_equal(e->state, VBROKER_STATE_FREE);
	assert_int_equal(e->holder.pid, 0);
	e = find(entries, count, NVME);
	assert_string_equal(e->driver, "vfio-pci");
	assert_int_equal(e->state, VBROKER_STATE_LEASED);
	assert_int_equal(e->holder.pid, getpid());
	assert_int_equal(e->holder.uid, getuid());
	assert_string_equal(find(entries, count, BARE)->driver, "");
	assert_int_equal(find(entries, count, NO_IOMMU)->group, VBROKER_GROUP_NONE);
	free(entries);
	vbroker_device_close(device);
	vbroker_session_close(session);
	world_settle();
}

/* Devices that come and go. */
static void list_follows_the_host(void **state)
{
	struct vbroker_session *session = session_begin();
	char away[128], there[128];
	struct vbroker_device_entry *entries;
	struct vbroker_device *device;
	size_t count = 0;

	(void)state;
	snprintf(there, sizeof there, "%s/devices/" EDU, world()->directory);
	snprintf(away, sizeof away, "%s/unplugged", world()->directory);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(rename(there, away), 0);
		assert_int_equal(vbroker_device_open(session, EDU, &device), VBROKER_NO_SUCH_DEVICE);
		for (int i = 0; i < 200 && count != 13; i++) {
			expect_ok(vbroker_list_devices(session, &entries, &count));
			free(entries);
		}
		assert_int_equal(count, 13);
		assert_int_equal(rename(away, there), 0);
		for (int i = 0; i < 200 && count != 14; i++) {
			expect_ok(vbroker_list_devices(session, &entries, &count));
			free(entries);
		}
		assert_int_equal(count, 14);
		vbroker_device_close(device_begin(session, EDU));
		/* A device that leaves takes its group along: nobody then waits for the end of the lease. */
		await_device_state(session, EDU, VBROKER_STATE_FREE);
	}
	vbroker_session_close(session);
	world_settle();
}

/* The device leaves while it is leased, and another comes at its address, in another group. */
static void unplugged_while_leased(void **state)
{
	struct vbroker_session *session = session_begin(), *other = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	char away[128], there[128];
	pid_t pids[KEEPERS_MAX];

	(void)state;
	snprintf(there, sizeof there, "%s/devices/" EDU, world()->directory);
	snprintf(away, sizeof away, "%s/unplugged", world()->directory);
	assert_int_equal(rename(there, away), 0);
	nap(50);
	expect_ok(vbroker_device_ping(device));
	host_write("unplugged/ids", "1234 11e8 00ff00 10");
	assert_int_equal(rename(away, there), 0);
	nap(50);
	expect_ok(vbroker_session_ping(session));
	vbroker_session_close(session);
	vbroker_device_close(device);
	/* Nobody waits for the group that the device has left; the device is about to come back there. */
	for (int i = 0; i < WAITS && keepers(pids) > 1; i++)
		nap(5);
	host_write("devices/" EDU "/ids", "1234 11e8 00ff00 1");
	assert_int_equal(rename(there, away), 0);
	nap(50);
	assert_int_equal(rename(away, there), 0);
	nap(50);
	device = device_begin(other, EDU);
	vbroker_device_close(device);
	vbroker_session_close(other);
	world_settle();
}

/* ---- STATUS ---- */

static void status(void **state)
{
	struct vbroker_session *session = session_begin(), *other = session_begin();
	struct vbroker_device *a = device_begin(session, EDU), *b = device_begin(session, TWIN), *none;
	struct vbroker_status before, after;
	int channel;

	(void)state;
	world_await_spare(session);
	expect_ok(vbroker_session_status(session, &before));
	assert_int_equal(before.sessions, 2);
	assert_int_equal(before.leases, 2);
	assert_int_equal(before.keepers, 3);
	assert_int_equal(before.keepers_spare, 1);
	assert_int_equal(before.devices, 14);
	assert_int_equal(before.quarantined, 0);
	assert_true(before.uptime_us > 0);
	assert_int_equal(vbroker_device_open(other, LOCKED, &none), VBROKER_DENIED);
	vbroker_device_close(a);
	channel = raw_connect(world()->broker_socket);
	raw_send(channel, "x", 1, NULL, 0);
	raw_expect_end(channel);
	close(channel);
	for (int i = 0; i < 500; i++) {
		expect_ok(vbroker_session_status(other, &after));
		if (after.keepers == 2 && after.sessions == 2)
			break;
		nap(5);
	}
	assert_int_equal(after.sessions, 2);
	assert_int_equal(after.leases, 1);
	assert_int_equal(after.keepers, 2);
	assert_int_equal(after.opens, before.opens + 1);
	assert_int_equal(after.refusals, before.refusals + 2);
	assert_int_equal(after.releases, before.releases + 1);
	assert_int_equal(after.malformed, before.malformed + 1);
	assert_true(after.requests > before.requests);
	assert_true(after.uptime_us >= before.uptime_us);
	vbroker_device_close(b);
	vbroker_session_close(session);
	vbroker_session_close(other);
	world_settle();
}

/* ---- PROCESSES ---- */

static void keepers_are_listed(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, EDU);
	struct vbroker_process_entry *processes;
	struct vbroker_lease_entry *leases;
	unsigned int idle = 0, working = 0;
	size_t count, leases_count;

	(void)state;
	world_await_spare(session);
	expect_ok(vbroker_list_leases(session, &leases, &leases_count));
	assert_int_equal(leases_count, 1);
	expect_ok(vbroker_list_processes(session, &processes, &count));
	for (size_t i = 0; i < count; i++) {
		if (processes[i].kind != VBROKER_PROCESS_KEEPER)
			continue;
		if (processes[i].state == VBROKER_PROCESS_IDLE) {
			idle++;
			assert_true(processes[i].uid == VBROKER_PROCESS_NOBODYS);
			assert_string_equal(processes[i].name, "");
			continue;
		}
		working++;
		assert_int_equal(processes[i].state, VBROKER_PROCESS_WORKING);
		assert_int_equal(processes[i].pid, leases[0].keeper_pid);
		assert_int_equal(processes[i].uid, getuid());
		assert_string_equal(processes[i].name, EDU);
		assert_string_equal(processes[i].text, "holds group 1");
	}
	assert_int_equal(idle, 1);
	assert_int_equal(working, 1);
	free(processes);
	free(leases);
	vbroker_device_close(device);
	vbroker_session_close(session);
	world_settle();
}

/* ---- SESSIONS and LEASES ---- */

static void sessions_and_leases(void **state)
{
	struct vbroker_session *session = session_begin(), *other = session_begin();
	struct vbroker_device *a = device_begin(session, TWIN), *b = device_begin(session, TWIN_2),
			      *c = device_begin(other, NVME);
	struct vbroker_session_entry *sessions;
	struct vbroker_lease_entry *leases;
	uint64_t id = 0, other_id = 0;
	pid_t pids[KEEPERS_MAX];
	size_t count;

	(void)state;
	expect_ok(vbroker_list_sessions(session, &sessions, &count));
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(sessions[i].peer.pid, getpid());
		assert_int_equal(sessions[i].peer.uid, getuid());
		assert_true(sessions[i].requests >= 1);
		*(sessions[i].leases == 2 ? &id : &other_id) = sessions[i].id;
	}
	free(sessions);
	assert_true(id > 0 && other_id > 0 && id != other_id);
	expect_ok(vbroker_list_leases(other, &leases, &count));
	assert_int_equal(count, 3);
	assert_string_equal(leases[0].name, NVME);
	assert_int_equal(leases[0].session, other_id);
	assert_int_equal(leases[0].group, 3);
	assert_string_equal(leases[1].name, TWIN);
	assert_string_equal(leases[2].name, TWIN_2);
	assert_int_equal(leases[2].session, id);
	assert_int_equal(leases[1].keeper_pid, leases[2].keeper_pid);
	assert_int_not_equal(leases[0].keeper_pid, leases[1].keeper_pid);
	for (size_t i = 0; i < count; i++) {
		bool runs = false;

		assert_int_equal(leases[i].state, VBROKER_STATE_LEASED);
		assert_int_equal(leases[i].keeper_uid, getuid());
		assert_true(leases[i].age_us < 60000000);
		for (size_t j = keepers(pids); j > 0; j--)
			runs = runs || pids[j - 1] == (pid_t)leases[i].keeper_pid;
		assert_true(runs);
	}
	free(leases);
	vbroker_device_close(a);
	vbroker_device_close(b);
	vbroker_device_close(c);
	expect_ok(vbroker_list_leases(other, &leases, &count));
	assert_int_equal(count, 0);
	free(leases);
	vbroker_session_close(session);
	vbroker_session_close(other);
	world_settle();
}

/* ---- pages ---- */

static const struct world_options many_sessions = {.broker_arguments = {"--sessions-per-user", "2000"}};

/* 104 bytes each: 800 of them need two packets. */
static void long_lists(void **state)
{
	enum { COUNT = 800 };
	struct vbroker_session *session = session_begin();
	struct vbroker_session_entry *entries;
	struct vbroker_status status;
	static int channels[COUNT];
	size_t count;

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		channels[i] = raw_connect(world()->broker_socket);
	/* A list that grows between two pages would have some twice. */
	do
		expect_ok(vbroker_session_status(session, &status));
	while (status.sessions < COUNT + 1);
	expect_ok(vbroker_list_sessions(session, &entries, &count));
	assert_int_equal(count, COUNT + 1);
	for (size_t i = 1; i < count; i++)
		assert_true(entries[i].id < entries[i - 1].id);
	free(entries);
	for (size_t i = 0; i < COUNT; i++)
		close(channels[i]);
	vbroker_session_close(session);
	world_settle();
}

/* One page by hand: START, and what comes back. */
static uint32_t page(int channel, uint32_t start, uint32_t *ret_total)
{
	static struct packet packet;
	const struct listing_request request = {.start = start};
	struct listing_reply reply;

	raw_request(channel, BROKER_LIST, 3, &request, sizeof request);
	assert_int_equal(raw_receive(channel, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.flags, MESSAGE_REPLY);
	memcpy(&reply, packet.payload, sizeof reply);
	assert_int_equal(packet.header.length, sizeof reply + reply.count * sizeof(struct device_record));
	*ret_total = reply.total;
	return reply.count;
}

static void pages(void **state)
{
	int channel = raw_connect(world()->broker_socket);
	uint32_t total;

	(void)state;
	raw_hello(channel);
	assert_int_equal(page(channel, 0, &total), 14);
	assert_int_equal(total, 14);
	assert_int_equal(page(channel, 5, &total), 9);
	assert_int_equal(total, 14);
	assert_int_equal(page(channel, 14, &total), 0);
	assert_int_equal(total, 14);
	assert_int_equal(page(channel, UINT32_MAX, &total), 0);
	close(channel);
	world_settle();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(check),
		CASE(list),
		CASE(list_follows_the_host),
		CASE(unplugged_while_leased),
		CASE(status),
		CASE(keepers_are_listed),
		CASE(sessions_and_leases),
		CASE_IN(long_lists, &many_sessions),
		CASE(pages),
	};

	return HARNESS_RUN(argc, argv, "reports", tests);
}
