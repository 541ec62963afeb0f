/* SPDX-License-Identifier: MIT */
#include "fdset.h"
#include "harness.h"
#include "message.h"
#include "packet.h"
#include "raw_channel.h"
#include "restart.h"
#include "unit.h"
#include "vfio-broker.h"

#include <signal.h>

/* REVOKEs that one broker has received and the next one answers. */

/* ---- requests ---- */

/* It is not known before the keepers have answered whom it is about. */
static void revoke_waits_for_the_keeper(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *nvme = device_begin(session, NVME), *twin = device_begin(session, TWIN);
	int administrator = raw_connect(world()->broker_socket), other = raw_connect(world()->broker_socket);
	pid_t pids[KEEPERS_MAX] = {0};

	(void)state;
	raw_hello(administrator);
	raw_hello(other);
	raw_wait_taken(other);
	stop_broker(administrator);
	raw_revoke(administrator, 2, NVME);
	raw_revoke(other, 2, TWIN_2); /* that is in use by nobody, but its group is */
	signal_keepers(pids, SIGSTOP);
	kill_and_start();
	await_turn();
	signal_keepers(pids, SIGCONT);
	expect_revoked(administrator, 2, REVOKE_COMPLETE, "");
	expect_revoked(other, 2, REVOKE_NOBODY, "other devices of its IOMMU group");
	expect_refused(vbroker_device_ping(nvme), VBROKER_REVOKED, "revoked by uid");
	expect_ok(vbroker_device_ping(twin));
	vbroker_device_close(nvme);
	vbroker_device_close(twin);
	vbroker_session_close(session);
	close(administrator);
	close(other);
	world_settle();
}

/* The same, and the holder's session has gone. */
static void revoke_of_a_lease_that_is_ending_waits_for_the_keeper(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *twin = device_begin(session, TWIN);
	int administrator = raw_connect(world()->broker_socket), other = raw_connect(world()->broker_socket);
	pid_t pids[KEEPERS_MAX] = {0};

	(void)state;
	raw_hello(administrator);
	raw_hello(other);
	raw_wait_taken(other);
	stop_broker(administrator);
	raw_revoke(administrator, 2, TWIN);
	raw_revoke(other, 2, TWIN_2);
	signal_keepers(pids, SIGSTOP);
	world_kill_broker();
	vbroker_session_close(session);
	world_start_broker();
	await_turn();
	signal_keepers(pids, SIGCONT);
	expect_revoked(other, 2, REVOKE_NOBODY, "other devices of its IOMMU group");
	expect_revoked(administrator, 2, REVOKE_COMPLETE, "");
	vbroker_device_close(twin);
	close(administrator);
	close(other);
	world_settle();
}

/* The keeper had its order from the broker that was killed, and does it while the next one waits for its word. */
static void revoke_sent_before_the_kill_is_not_sent_again(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *twin = device_begin(session, TWIN), *twin_2 = device_begin(session, TWIN_2);
	int administrator = raw_connect(world()->broker_socket);
	pid_t pids[KEEPERS_MAX] = {0};

	(void)state;
	raw_hello(administrator);
	raw_wait_taken(administrator);
	signal_keepers(pids, SIGSTOP);
	raw_revoke(administrator, 2, TWIN_2);
	await_turn();
	kill_and_start();
	await_turn();
	signal_keepers(pids, SIGCONT);
	expect_revoked(administrator, 2, REVOKE_COMPLETE, "other devices of IOMMU group 4 are still leased");
	expect_ok(vbroker_device_ping(twin));
	expect_refused(vbroker_device_ping(twin_2), VBROKER_REVOKED, "revoked by");
	vbroker_device_close(twin);
	vbroker_device_close(twin_2);
	vbroker_session_close(session);
	close(administrator);
	world_settle();
}

/* The deadline of a REVOKE that waited for a broker is counted from when that has it. */
static void revoke_with_a_deadline(void **state)
{
	struct revoke_request revoke = {.deadline_ms = 400, .name = NVME};
	struct vbroker_session *session = session_begin();
	struct vbroker_device *nvme = device_begin(session, NVME);
	int administrator = raw_connect(world()->broker_socket);
	struct vbroker_notice notice;
	uint64_t began;

	(void)state;
	raw_hello(administrator);
	stop_broker(administrator);
	raw_request(administrator, BROKER_REVOKE, 2, &revoke, sizeof revoke);
	kill_and_start();
	began = now_ms();
	while (vbroker_device_notice(nvme, &notice) == 0 && now_ms() - began < 5000)
		nap(2);
	assert_int_equal(notice.reason, VBROKER_ENDED_ADMINISTRATOR);
	assert_in_range(notice.left_us, 1, 400000);
	expect_revoked(administrator, 2, REVOKE_COMPLETE, "");
	vbroker_device_close(nvme);
	vbroker_session_close(session);
	close(administrator);
	world_settle();
}

/* As a client would leave it, and with bus mastering switched off by a helper. */
#define COMMAND_BUSY  "0006"
#define COMMAND_QUIET "0402"

static void await_quiet(uint64_t due_ms)
{
	for (int i = 0; i < 2000 && strcmp(host_read("devices/" NVME "/command"), COMMAND_QUIET) != 0; i++)
		nap(5);
	assert_string_equal(host_read("devices/" NVME "/command"), COMMAND_QUIET);
	assert_true(now_ms() >= due_ms);
}

/* HANGS_FIRST: the keeper says nothing to the next broker; else it hangs when it has named the lease. */
static void quiet_by_the_next_broker(bool hangs_first)
{
	struct revoke_request revoke = {.deadline_ms = 2000, .name = NVME};
	struct vbroker_session *session = session_begin();
	struct vbroker_device *nvme = device_begin(session, NVME);
	int administrator = raw_connect(world()->broker_socket);
	pid_t pids[KEEPERS_MAX] = {0};
	uint64_t due;

	host_write("devices/" NVME "/command", COMMAND_BUSY);
	raw_hello(administrator);
	due = now_ms() + revoke.deadline_ms;
	raw_request(administrator, BROKER_REVOKE, 2, &revoke, sizeof revoke);
	await_turn();
	/* Nobody is there to send the request again. */
	close(administrator);
	await_turn();
	if (hangs_first)
		signal_keepers(pids, SIGSTOP);
	kill_and_start();
	if (!hangs_first) {
		expect_refused(vbroker_session_unquarantine(session, NVME, 0, &(struct vbroker_unquarantined){0}),
			VBROKER_NOT_QUARANTINED, NULL);
		signal_keepers(pids, SIGSTOP);
	}
	await_quiet(due);
	signal_keepers(pids, SIGCONT);
	vbroker_device_close(nvme);
	vbroker_session_close(session);
	world_settle();
}

/* The next broker has a helper make the device quiet at the deadline, although the keeper hangs. */
static void deadline_outlives_the_broker(void **state)
{
	(void)state;
	quiet_by_the_next_broker(true);
	quiet_by_the_next_broker(false);
}

/* As below, where the group stays held, so that OPEN and REVOKE wait for the same keeper. */
static void answered_revoke_does_not_reach_the_next_lease_of_a_group(void **state)
{
	const struct open_request open = {.name = TWIN_2};
	int next = raw_connect(world()->broker_socket), administrator = raw_connect(world()->broker_socket), twin,
	    twin_2;
	pid_t pids[KEEPERS_MAX] = {0};
	static struct packet packet;

	(void)state;
	raw_hello(administrator);
	raw_hello(next);
	twin = raw_open(next, TWIN);
	twin_2 = raw_open(next, TWIN_2);
	raw_revoke(administrator, 2, TWIN_2);
	expect_revoked(administrator, 2, REVOKE_COMPLETE, "still leased");
	close(twin_2);
	stop_broker(next);
	raw_request(next, BROKER_OPEN, 3, &open, sizeof open);
	signal_keepers(pids, SIGSTOP);
	world_kill_broker();
	raw_revoke(administrator, 2, TWIN_2);
	world_start_broker();
	await_turn();
	signal_keepers(pids, SIGCONT);
	assert_int_equal(raw_receive(next, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.flags, MESSAGE_REPLY);
	twin_2 = fdset_take(&packet.fds, 0);
	expect_revoked(administrator, 2, REVOKE_NOBODY, "other devices of its IOMMU group");
	raw_hello(twin_2);
	close(twin);
	close(twin_2);
	close(administrator);
	close(next);
	world_settle();
}

/*
 * REVOKEs that come while there is no broker, after an OPEN of another client: that client has the device from the next
 * broker, later than the REVOKEs came, and keeps it.
 */
static void answered_revoke_does_not_reach_the_next_holder(void **state)
{
	const struct open_request open = {.name = NVME};
	int before = raw_connect(world()->broker_socket), next = raw_connect(world()->broker_socket),
	    after = raw_connect(world()->broker_socket), device;
	static struct packet packet;

	(void)state;
	raw_hello(before);
	raw_hello(next);
	raw_hello(after);
	device = raw_open(next, NVME);
	raw_revoke(before, 2, NVME);
	expect_revoked(before, 2, REVOKE_COMPLETE, "");
	raw_revoke(after, 2, NVME);
	expect_revoked(after, 2, REVOKE_NOBODY, "");
	close(device);
	stop_broker(next);
	raw_request(next, BROKER_OPEN, 3, &open, sizeof open);
	world_kill_broker();
	raw_revoke(before, 2, NVME);
	raw_revoke(after, 2, NVME);
	world_start_broker();
	assert_int_equal(raw_receive(next, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.flags, MESSAGE_REPLY);
	device = fdset_take(&packet.fds, 0);
	expect_revoked(before, 2, REVOKE_NOBODY, "");
	expect_revoked(after, 2, REVOKE_NOBODY, "");
	raw_hello(device);
	raw_request(device, DEVICE_PING, 2, NULL, 0);
	assert_int_equal(raw_reply(device, DEVICE_PING, 2), 0);
	/* One that comes now is meant, */
	raw_revoke(before, 3, NVME);
	expect_revoked(before, 3, REVOKE_COMPLETE, "");
	close(device);
	/* also as the first of a session that asked nothing when the broker was killed. */
	raw_wait_taken(before);
	raw_wait_taken(next);
	kill_and_start();
	device = raw_open(next, NVME);
	raw_revoke(before, 4, NVME);
	expect_revoked(before, 4, REVOKE_COMPLETE, "");
	close(device);
	close(before);
	close(next);
	close(after);
	world_settle();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RESTART_CASE(revoke_waits_for_the_keeper),
		RESTART_CASE(revoke_of_a_lease_that_is_ending_waits_for_the_keeper),
		RESTART_CASE(revoke_sent_before_the_kill_is_not_sent_again),
		RESTART_CASE(revoke_with_a_deadline),
		RESTART_CASE(deadline_outlives_the_broker),
		RESTART_CASE(answered_revoke_does_not_reach_the_next_holder),
		RESTART_CASE(answered_revoke_does_not_reach_the_next_lease_of_a_group),
	};

	return HARNESS_RUN(argc, argv, "restart_revoke", tests);
}
