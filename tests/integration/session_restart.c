/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include "systemd.h"

#include <linux/vfio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/*
 * The broker is killed, restarted or stopped, and systemd (systemd.c) has its sockets meanwhile. Clients notice nothing of
 * the first two: what they hold they keep, what they have asked is answered, once.
 */

static const struct world_options with_systemd = {.systemd = true};
#define RESTART_CASE(name) CASE_IN(name, &with_systemd)

#define STORES 600 /* STORES_PER_MINUTE of the broker */

static void kill_and_start(void)
{
	world_kill_broker();
	world_start_broker();
}

static void expect_leased(struct vbroker_session *session, const char *name, enum vbroker_device_state state)
{
	struct vbroker_device_entry *entries;
	size_t count, i;

	expect_ok(vbroker_session_list(session, &entries, &count));
	for (i = 0; i < count && strcmp(entries[i].name, name) != 0; i++)
		;
	assert_true(i < count);
	assert_int_equal(entries[i].state, state);
	if (state == VBROKER_STATE_LEASED) {
		assert_int_equal(entries[i].holder.uid, getuid());
		assert_int_equal(entries[i].holder.pid, getpid());
	}
	free(entries);
}

static struct vbroker_lease_entry lease_of(struct vbroker_session *session, const char *name)
{
	struct vbroker_lease_entry *entries, found = {0};
	size_t count;

	expect_ok(vbroker_session_leases(session, &entries, &count));
	for (size_t i = 0; i < count; i++) {
		if (strcmp(entries[i].name, name) == 0)
			found = entries[i];
	}
	free(entries);
	return found;
}

/* ---- nothing is lost ---- */

static void everything_goes_on(void (*again)(void))
{
	struct vbroker_session *first = session_begin(), *session = session_begin(), *other;
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_device *nvme = device_begin(session, NVME), *twin = device_begin(session, TWIN), *edu;
	struct vbroker_lease_entry before, after;
	uint64_t value;

	vbroker_session_close(first); /* so that ids are not just counted anew */
	expect_ok(vbroker_device_bind(nvme, domain));
	before = lease_of(session, NVME);
	for (int i = 0; i < 3; i++) {
		again();
		expect_ok(vbroker_region_read(nvme, VFIO_PCI_BAR0_REGION_INDEX, 0, 4, &value));
		expect_ok(vbroker_device_ping(twin));
		expect_ok(vbroker_session_ping(session));
		expect_leased(session, NVME, VBROKER_STATE_LEASED);
		after = lease_of(session, NVME);
		assert_int_equal(after.session, before.session);
		assert_int_equal(after.keeper_pid, before.keeper_pid);
		assert_int_equal(after.keeper_uid, before.keeper_uid);
		assert_true(after.age_us >= before.age_us);
		before = after;
		expect_driver(NVME, "vfio-pci");
		assert_int_equal(host_claims(), 1);
	}
	/* Not a new session's: its number is a new one, and what is held stays held. */
	other = session_begin();
	edu = device_begin(other, EDU);
	assert_true(lease_of(other, EDU).session > after.session);
	vbroker_device_close(edu);
	expect_refused(vbroker_device_open(other, NVME, &edu), VBROKER_DEVICE_BUSY, "is held by uid");
	expect_refused(vbroker_device_open(other, TWIN_2, &edu), VBROKER_DEVICE_BUSY, "belongs to an IOMMU group that");
	/* The old one can have more: of the group that it has, and of others. */
	expect_refused(vbroker_device_open(session, NVME, &edu), VBROKER_DEVICE_BUSY, "this session has it already");
	vbroker_device_close(device_begin(session, TWIN_2));
	vbroker_device_close(device_begin(session, EDU));
	vbroker_device_close(nvme);
	vbroker_device_close(device_begin(session, NVME));
	vbroker_device_close(twin);
	vbroker_session_close(session);
	vbroker_session_close(other);
	vbroker_domain_close(domain);
	world_settle();
}

static void killed(void **state)
{
	(void)state;
	everything_goes_on(kill_and_start);
}

static void restarted(void **state)
{
	(void)state;
	everything_goes_on(world_restart_broker);
	assert_non_null(strstr(host_read("log"), "restarting: 1 sessions and 2 leases go on"));
}

static void killed_again_and_again(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, NVME);

	(void)state;
	for (unsigned int i = 0; i < 10; i++) {
		world_kill_broker();
		world_launch_broker();
		nap(i);
	}
	kill_and_start();
	expect_ok(vbroker_session_ping(session));
	expect_ok(vbroker_device_ping(device));
	expect_leased(session, NVME, VBROKER_STATE_LEASED);
	vbroker_device_close(device);
	vbroker_session_close(session);
	world_settle();
}

static void stopped(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, NVME);

	(void)state;
	kill_and_start();
	world_stop_broker();
	expect_driver(NVME, "nvme");
	assert_int_equal(host_claims(), 0);
	expect_refused(vbroker_device_ping(device), VBROKER_REVOKED, NULL);
	assert_int_equal(vbroker_session_ping(session), -ECONNRESET);
	vbroker_device_close(device);
	vbroker_session_close(session);
	world_start_broker();
	world_settle();
}

/* ---- limits ---- */

static const struct world_options two_leases = {.systemd = true, .broker_arguments = {"--leases-per-user", "2"}};

static void limits_are_charged_again(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *a = device_begin(session, EDU), *b = device_begin(session, EDU_2), *c;

	(void)state;
	kill_and_start();
	/* The keepers' answers are what is counted. */
	for (int i = 0; lease_of(session, EDU).session == 0 || lease_of(session, EDU_2).session == 0; i++) {
		assert_true(i < 500);
		nap(2);
	}
	expect_refused(vbroker_device_open(session, NVME, &c), VBROKER_QUOTA, "--leases-per-user");
	vbroker_device_close(a);
	for (int r = -1, i = 0; r != 0; i++) {
		r = vbroker_device_open(session, NVME, &c);
		assert_true(i < 500 && (r == 0 || r == VBROKER_QUOTA));
		nap(2);
	}
	vbroker_device_close(b);
	vbroker_device_close(c);
	vbroker_session_close(session);
	world_settle();
}

/* Who comes and goes as fast as he can is no work for systemd after a while, and is kept again when he has calmed down. */
static void churn_is_not_stored(void **state)
{
	struct vbroker_session *session;
	size_t stored = systemd_stored();

	(void)state;
	for (int i = 0; i < STORES + 200; i++)
		vbroker_session_close(session_begin());
	/* The harness has had some before; and this takes less than ten seconds on any machine. */
	assert_in_range(systemd_stored() - stored, STORES - 10, STORES + 100);
	nap(60000 / STORES + 50);
	session = session_begin();
	kill_and_start();
	expect_ok(vbroker_session_ping(session));
	vbroker_session_close(session);
	world_settle();
}

/* ---- requests ---- */

/* Stopped, it leaves on the sockets what comes; so a kill finds it there. */
static void stop_broker(int session)
{
	int status;

	/* A request that was answered and is still on the socket is answered again (channel_keep()). */
	raw_wait_taken(session);
	kill(world()->broker, SIGSTOP);
	/* It may be at work on the other processor for a moment yet. */
	assert_int_equal(waitpid(world()->broker, &status, WUNTRACED), world()->broker);
	assert_true(WIFSTOPPED(status));
}

static void ask_nobody(int session, uint64_t cookie)
{
	struct page_request page = {0};
	struct open_request open = {.name = NVME};

	stop_broker(session);
	raw_request(session, BROKER_PING, cookie, NULL, 0);
	raw_request(session, BROKER_LIST, cookie + 1, &page, sizeof page);
	raw_request(session, BROKER_OPEN, cookie + 2, &open, sizeof open);
	raw_request(session, BROKER_PING, cookie + 3, NULL, 0);
}

static void requests_wait_for_the_next_broker(void **state)
{
	int old = raw_connect(world()->broker_socket), fresh;

	(void)state;
	raw_hello(old);
	ask_nobody(old, 10);
	/* This connection has not been accepted either. */
	fresh = raw_connect(world()->broker_socket);
	raw_request(fresh, BROKER_HELLO, 1,
		&(struct hello_request){.version_lowest = MESSAGE_VERSION, .version_highest = MESSAGE_VERSION},
		sizeof(struct hello_request));
	kill_and_start();
	assert_int_equal(raw_reply(old, BROKER_PING, 10), 0);
	assert_int_equal(raw_reply(old, BROKER_LIST, 11), 0);
	assert_int_equal(raw_reply(old, BROKER_OPEN, 12), 0);
	assert_int_equal(raw_reply(old, BROKER_PING, 13), 0);
	assert_int_equal(raw_reply(fresh, BROKER_HELLO, 1), 0);
	close(old);
	close(fresh);
	world_settle();
}

/* The broker was killed between its reply to OPEN and taking the request off the socket. */
static void answered_open_is_not_answered_again(void **state)
{
	const struct open_request open = {.name = NVME};
	int session = raw_connect(world()->broker_socket), device;

	(void)state;
	raw_hello(session);
	device = raw_open(session, NVME); /* its cookie is 2 */
	raw_wait_taken(session);	  /* that moment is to be made by hand */
	world_kill_broker();
	raw_request(session, BROKER_OPEN, 2, &open, sizeof open);
	raw_request(session, BROKER_PING, 3, NULL, 0);
	world_start_broker();
	assert_int_equal(raw_reply(session, BROKER_PING, 3), 0);
	raw_request(device, DEVICE_PING, 2, NULL, 0);
	assert_int_equal(raw_reply(device, DEVICE_PING, 2), 0);
	/* Only the request that was the first in the queue can be such a one, */
	raw_request(session, BROKER_OPEN, 2, &open, sizeof open);
	assert_int_equal(raw_reply(session, BROKER_OPEN, 2), REFUSAL_DEVICE_BUSY);
	/* and only with this cookie. */
	world_kill_broker();
	raw_request(session, BROKER_OPEN, 4, &open, sizeof open);
	world_start_broker();
	assert_int_equal(raw_reply(session, BROKER_OPEN, 4), REFUSAL_DEVICE_BUSY);
	close(device);
	close(session);
	world_settle();
}

/* The same, and the client has closed the device since. */
static void answered_and_released_open_is_not_answered_again(void **state)
{
	struct open_request open = {.name = NVME};
	int session = raw_connect(world()->broker_socket), device, twin_2;

	(void)state;
	raw_hello(session);
	device = raw_open(session, NVME); /* its cookie is 2 */
	raw_wait_taken(session);
	world_kill_broker();
	close(device);
	raw_request(session, BROKER_OPEN, 2, &open, sizeof open);
	raw_request(session, BROKER_PING, 3, NULL, 0);
	world_start_broker();
	assert_int_equal(raw_reply(session, BROKER_PING, 3), 0);
	/* The same, where the keeper goes on with another device. */
	twin_2 = raw_open(session, TWIN_2);
	device = raw_open(session, TWIN);
	raw_wait_taken(session);
	world_kill_broker();
	close(device);
	strcpy(open.name, TWIN);
	raw_request(session, BROKER_OPEN, 2, &open, sizeof open);
	raw_request(session, BROKER_PING, 3, NULL, 0);
	world_start_broker();
	assert_int_equal(raw_reply(session, BROKER_PING, 3), 0);
	close(raw_open(session, TWIN));
	close(twin_2);
	close(session);
	world_settle();
}

static void raw_revoke(int session, uint64_t cookie, const char *name)
{
	struct revoke_request revoke = {0};

	snprintf(revoke.name, sizeof revoke.name, "%s", name);
	raw_request(session, BROKER_REVOKE, cookie, &revoke, sizeof revoke);
}

static void expect_revoked(int session, uint64_t cookie, enum revoke_result result, const char *words)
{
	static struct packet packet;
	const struct revoke_reply *reply;

	assert_int_equal(raw_receive(session, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.type, BROKER_REVOKE);
	assert_int_equal(packet.header.cookie, cookie);
	assert_int_equal(packet.header.flags, MESSAGE_REPLY);
	reply = packet_body(&packet, sizeof *reply);
	assert_non_null(reply);
	if (reply->result != result || !strstr(reply->detail, words))
		fail_msg("%u, %s", reply->result, reply->detail);
	if (result == REVOKE_COMPLETE) {
		assert_int_equal(reply->holder.pid, getpid());
		assert_int_equal(reply->reported, 1);
		assert_true(reply->keeper_pid > 1);
	}
	packet_clear(&packet);
}

/* To those in PIDS; if there are none yet, to all, who are there from then on. */
static void signal_keepers(pid_t pids[KEEPERS_MAX], int number)
{
	if (pids[0] == 0)
		keepers(pids);
	for (size_t i = 0; i < KEEPERS_MAX && pids[i] > 0; i++)
		kill(pids[i], number);
}

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
	vbroker_session_close(session_begin());
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
static void revoke_of_what_is_released_anyway(void **state)
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
	vbroker_session_close(session_begin());
	signal_keepers(pids, SIGCONT);
	expect_revoked(other, 2, REVOKE_NOBODY, "other devices of its IOMMU group");
	expect_revoked(administrator, 2, REVOKE_COMPLETE, "");
	vbroker_device_close(twin);
	close(administrator);
	close(other);
	world_settle();
}

/* The keeper had its order from the broker that was killed, and does it while the next one waits for its word. */
static void revoke_that_was_ordered_before(void **state)
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
	/* Two turns of everybody later it has been read. */
	vbroker_session_close(session_begin());
	vbroker_session_close(session_begin());
	kill_and_start();
	vbroker_session_close(session_begin());
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
	while (vbroker_device_revocation(nvme, &notice) == 0 && now_ms() - began < 5000)
		nap(2);
	assert_int_equal(notice.reason, VBROKER_ENDED_ADMINISTRATOR);
	assert_in_range(notice.left_us, 1, 400000);
	expect_revoked(administrator, 2, REVOKE_COMPLETE, "");
	vbroker_device_close(nvme);
	vbroker_session_close(session);
	close(administrator);
	world_settle();
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
	raw_wait_taken(administrator); /* that moment is to be made by hand */
	stop_broker(next);
	raw_request(next, BROKER_OPEN, 3, &open, sizeof open);
	signal_keepers(pids, SIGSTOP);
	world_kill_broker();
	raw_revoke(administrator, 2, TWIN_2);
	world_start_broker();
	vbroker_session_close(session_begin());
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

/* The broker was killed between its reply to REVOKE and taking the request off the socket; then somebody else has the device,
 * whose OPEN was waiting for a broker, and he keeps it. Two administrators, because the next broker works on what it finds in an
 * order of its own: for one of the REVOKEs the device is leased again. */
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
	raw_wait_taken(before); /* that moment is to be made by hand */
	raw_wait_taken(after);
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

/* Until what is on record is no lease that goes on: QUARANTINE_IN_USE is 1. */
static void await_judged(const char *name)
{
	char record[64];

	snprintf(record, sizeof record, "quarantine/%s", name);
	for (int i = 0; i < 1000 && host_read(record)[0] == '1'; i++)
		nap(5);
	assert_int_not_equal(host_read(record)[0], '1');
}

static const struct world_options lax = {
	.systemd = true, .policy = "[allow lax]\naddress = " EDU "\nuser = *\nreset = optional\nsettle = 0ms\n"};

/* A lease of another process. Afterwards it is on record that EDU was not reset, and who had it. */
static void use_as_another_process(char record[512])
{
	int status;
	pid_t pid;

	host_set_reset(1, EDU, false);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		device_use(session_begin(), EDU);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	await_judged(EDU);
	snprintf(record, 512, "%s", host_read("quarantine/" EDU));
}

/* A lease that ends with a reset, so that nothing is on record any more. */
static void end_with_a_reset(unsigned int group, const char *name)
{
	struct vbroker_session *session = session_begin();

	host_set_reset(group, name, true);
	device_use(session, name);
	vbroker_session_close(session);
	world_settle();
}

/*
 * The broker that was killed had seen to the REVOKE, but for the answer. What is on record then is the lease before the one that was
 * revoked, because that one did nothing with the device; so its holder is not who had the device last. That moment is made by
 * hand: the keeper ends, and the next broker has its socket, but no word of it.
 */
static void revoke_of_what_was_released_before(void **state)
{
	int administrator = raw_connect(world()->broker_socket), holder = raw_connect(world()->broker_socket), device;
	pid_t pids[KEEPERS_MAX] = {0};
	char before[512];

	(void)state;
	use_as_another_process(before);
	raw_hello(administrator);
	raw_hello(holder);
	device = raw_open(holder, EDU);
	stop_broker(administrator);
	raw_revoke(administrator, 2, EDU);
	signal_keepers(pids, SIGSTOP);
	world_kill_broker();
	host_write("quarantine/" EDU, before);
	world_start_broker();
	vbroker_session_close(session_begin());
	signal_keepers(pids, SIGKILL);
	expect_revoked(administrator, 2, REVOKE_NOBODY, "may have seen to it");
	close(device);
	close(holder);
	close(administrator);
	end_with_a_reset(1, EDU);
}

/* A lease that does nothing with the device changes nothing of what stands against that: also if the broker is killed in it, twice, and
 * if it ends while there is none. */
static void what_stood_against_it_before(void **state)
{
	char before[512];

	(void)state;
	use_as_another_process(before);
	for (int i = 0; i < 3; i++) {
		struct vbroker_session *session = session_begin();
		struct vbroker_device *device = device_begin(session, EDU);

		assert_int_equal(host_read("quarantine/" EDU)[0], '1');
		if (i > 0)
			kill_and_start();
		expect_ok(vbroker_device_ping(device));
		if (i > 0)
			world_kill_broker();
		if (i == 1)
			world_start_broker();
		vbroker_device_close(device);
		if (i == 2)
			world_start_broker();
		await_judged(EDU);
		assert_string_equal(host_read("quarantine/" EDU), before);
		vbroker_session_close(session);
	}
	end_with_a_reset(1, EDU);
}

static const struct world_options twins = {
	.systemd = true, .policy = "[allow same]\naddress = " TWIN " " TWIN_2 "\nuser = *\nreset = same-user\n"};
static const struct world_options twins_direct = {.systemd = true,
	.policy = "[allow same]\naddress = " TWIN " " TWIN_2 "\nuser = *\naccess = direct\nreset = same-user\n"};

static void expect_twin_is_kept_from_strangers(void)
{
	assert_int_equal(stranger_opens(TWIN), VBROKER_QUARANTINED);
	end_with_a_reset(4, TWIN);
}

/* The broker was killed after it had read how a lease ended, and before it had that on record, while the group goes on with another. */
static void end_that_was_not_recorded(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *twin = device_begin(session, TWIN), *twin_2 = device_begin(session, TWIN_2);
	struct vbroker_domain *domain = domain_begin();
	char lent[512];

	(void)state;
	host_set_reset(4, TWIN, false);
	expect_ok(vbroker_device_bind(twin, domain));
	snprintf(lent, sizeof lent, "%s", host_read("quarantine/" TWIN));
	assert_int_equal(lent[0], '1');
	vbroker_device_close(twin);
	await_judged(TWIN);
	world_kill_broker();
	host_write("quarantine/" TWIN, lent); /* that moment is to be made by hand */
	world_start_broker();
	expect_ok(vbroker_device_ping(twin_2));
	/* The same user may have it again, and does nothing with it. */
	vbroker_device_close(device_begin(session, TWIN));
	expect_ok(vbroker_device_ping(twin_2));
	vbroker_device_close(twin_2);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	expect_twin_is_kept_from_strangers();
}

/* His client has closed it, but may have the VFIO device still: all of the group is taken back, as without a kill. */
static void direct_ends_while_the_group_goes_on(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *twin = device_begin(session, TWIN), *twin_2 = device_begin(session, TWIN_2);
	struct vbroker_domain *domain = domain_begin();
	int file;

	(void)state;
	host_set_reset(4, TWIN, false);
	expect_ok(vbroker_device_bind(twin, domain));
	expect_ok(vbroker_device_file(twin, &file));
	world_kill_broker();
	vbroker_device_close(twin);
	world_start_broker();
	for (int i = 0; i < 1000 && vbroker_device_ping(twin_2) == 0; i++)
		nap(5);
	expect_refused(vbroker_device_ping(twin_2), VBROKER_REVOKED, NULL);
	close(file);
	vbroker_device_close(twin_2);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	await_judged(TWIN);
	expect_twin_is_kept_from_strangers();
}

/* Somebody has removed the record: that the device is in use, the keeper knows. */
static void record_that_is_missing(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *twin = device_begin(session, TWIN);
	struct vbroker_domain *domain = domain_begin();
	char path[160];

	(void)state;
	host_set_reset(4, TWIN, false);
	expect_ok(vbroker_device_bind(twin, domain));
	world_kill_broker();
	snprintf(path, sizeof path, "%s/quarantine/" TWIN, world()->directory);
	assert_int_equal(unlink(path), 0);
	world_start_broker();
	expect_ok(vbroker_device_ping(twin));
	vbroker_device_close(twin);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	expect_twin_is_kept_from_strangers();
}

/* What happened meanwhile it is not told, and it is told that. */
static void a_watch_goes_on(void **state)
{
	struct vbroker_session *watcher = session_begin(), *session = session_begin();
	struct vbroker_device *device;
	struct vbroker_change change;

	(void)state;
	expect_ok(vbroker_session_watch(watcher));
	for (int i = 0; i < 3; i++) {
		kill_and_start();
		expect_ok(vbroker_session_event(watcher, 10000, &change));
		assert_int_equal(change.kind, VBROKER_CHANGE_LOST);
		assert_non_null(strstr(change.message, "restarted"));
		device = device_begin(session, EDU);
		vbroker_device_close(device);
		expect_ok(vbroker_session_event(watcher, 10000, &change));
		assert_int_equal(change.kind, VBROKER_CHANGE_GRANT);
		expect_ok(vbroker_session_event(watcher, 10000, &change));
		assert_int_equal(change.kind, VBROKER_CHANGE_RELEASE);
	}
	vbroker_session_close(watcher);
	vbroker_session_close(session);
	world_settle();
}

/* ---- who leaves while there is no broker ---- */

static void client_leaves_meanwhile(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_device *nvme = device_begin(session, NVME), *edu = device_begin(session, EDU);
	int channel;

	(void)state;
	expect_ok(vbroker_device_bind(nvme, domain));
	channel = fcntl(vbroker_device_fd(edu), F_DUPFD_CLOEXEC, 3);
	world_kill_broker();
	/* A copy of the device channel lives on in another process, say: the session was what counts. */
	vbroker_device_close(edu);
	vbroker_session_close(session);
	for (int i = 0; i < 500 && systemd_kept() > 2; i++)
		nap(2);
	assert_int_equal(systemd_kept(), 2); /* the keepers */
	world_start_broker();
	vbroker_device_close(nvme);
	vbroker_domain_close(domain);
	close(channel);
	world_settle();
}

static void session_leaves_and_its_channels_stay(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *nvme = device_begin(session, NVME);

	(void)state;
	world_kill_broker();
	vbroker_session_close(session);
	for (int i = 0; i < 500 && systemd_kept() > 1; i++)
		nap(2);
	world_start_broker();
	world_settle();
	expect_refused(vbroker_device_ping(nvme), VBROKER_REVOKED, NULL);
	assert_non_null(strstr(host_read("log"), "who has left meanwhile: released"));
	vbroker_device_close(nvme);
}

static void device_is_released_meanwhile(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *nvme = device_begin(session, NVME), *twin = device_begin(session, TWIN),
			      *twin_2 = device_begin(session, TWIN_2);

	(void)state;
	world_kill_broker();
	vbroker_device_close(nvme);
	vbroker_device_close(twin);
	world_start_broker();
	expect_ok(vbroker_device_ping(twin_2));
	vbroker_device_close(device_begin(session, TWIN));
	vbroker_device_close(device_begin(session, NVME));
	vbroker_device_close(twin_2);
	vbroker_session_close(session);
	world_settle();
}

static void keeper_dies_meanwhile(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *nvme = device_begin(session, NVME);
	pid_t pids[KEEPERS_MAX] = {0};

	(void)state;
	/* With the request still on the socket, and its keeper dead, nobody would know that it was answered. */
	nap(50);
	world_kill_broker();
	signal_keepers(pids, SIGKILL);
	world_start_broker();
	expect_refused(vbroker_device_ping(nvme), VBROKER_REVOKED, NULL);
	vbroker_device_close(nvme);
	vbroker_device_close(device_begin(session, NVME));
	vbroker_session_close(session);
	world_settle();
}

/* ---- a keeper that takes its time ---- */

static void others_do_not_wait_for_a_slow_keeper(void **state)
{
	struct vbroker_session *session = session_begin(), *other;
	struct vbroker_device *nvme = device_begin(session, NVME), *edu;
	struct vbroker_obstacle *obstacles;
	struct vbroker_released released;
	const struct open_request open = {.name = NVME};
	pid_t pids[KEEPERS_MAX] = {0};
	int claim, waiting;
	size_t count;

	(void)state;
	/* The spare one too: the next broker starts another. */
	signal_keepers(pids, SIGSTOP);
	kill_and_start();
	other = session_begin();
	edu = device_begin(other, EDU);
	expect_ok(vbroker_session_check(other, NVME, &obstacles, &count, &claim));
	assert_true(count > 0);
	assert_int_equal(obstacles[0].refusal, VBROKER_DEVICE_BUSY);
	assert_non_null(strstr(obstacles[0].detail, "has not said yet who has it"));
	free(obstacles);
	expect_refused(vbroker_session_release(other, NVME, VBROKER_RELEASE_FORCE, &released), VBROKER_NOT_QUARANTINED,
		"has not said yet who has it");
	waiting = raw_connect(world()->broker_socket);
	raw_hello(waiting);
	raw_request(waiting, BROKER_OPEN, 2, &open, sizeof open);
	nap(50);
	assert_int_equal(recv(waiting, &claim, 1, MSG_DONTWAIT | MSG_PEEK), -1);
	signal_keepers(pids, SIGCONT);
	assert_int_equal(raw_reply(waiting, BROKER_OPEN, 2), REFUSAL_DEVICE_BUSY);
	expect_ok(vbroker_device_ping(nvme));
	vbroker_device_close(edu);
	vbroker_device_close(nvme);
	vbroker_session_close(session);
	vbroker_session_close(other);
	close(waiting);
	world_settle();
}

/* ---- claims ---- */

/* Killed while it took a second device of a group that a client has: what is half done is finished by the OPEN that is worked on
 * again. */
static void half_a_claim_is_finished(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *twin = device_begin(session, TWIN), *twin_2;

	(void)state;
	world_kill_broker();
	host_write("claims/" TWIN_2, "nvme\n\n");
	host_write("devices/" TWIN_2 "/driver", "nvme");
	host_write("devices/" TWIN_2 "/override", "vfio-pci");
	world_start_broker();
	twin_2 = device_begin(session, TWIN_2);
	expect_driver(TWIN_2, "vfio-pci");
	vbroker_device_close(twin_2);
	vbroker_device_close(twin);
	vbroker_session_close(session);
	for (int i = 0; i < 500 && host_claims() > 0; i++)
		nap(2);
	assert_int_equal(host_claims(), 0);
	expect_driver(TWIN_2, "nvme");
	host_write("devices/" TWIN_2 "/driver", "vfio-pci");
	world_settle();
}

/* ---- random moments ---- */

#define CLIENTS 4

static atomic_bool over;
static atomic_ulong calls, opened;
static char complaint[CLIENTS + 1][300];

static bool want_ok(unsigned int i, const char *what, int r)
{
	char text[200];

	calls++;
	if (r == 0)
		return true;
	vbroker_explain(r, text, sizeof text);
	snprintf(complaint[i], sizeof complaint[i], "%s: %s", what, text);
	return false;
}

/* Each has a device of its own, so that nothing but a lost or doubled answer can be a failure. */
static void *client(void *argument)
{
	static const char *const own[CLIENTS] = {EDU, NVME, TWIN, BARE};
	unsigned int i = (unsigned int)(uintptr_t)argument;
	struct vbroker_device_entry *entries;
	struct vbroker_session *session;
	struct vbroker_device *device;
	size_t count;
	bool fine = true;

	while (fine && !over) {
		fine = want_ok(i, "session", vbroker_session_open(world()->broker_socket, &session));
		for (unsigned int j = 0; fine && j < 5; j++) {
			fine = want_ok(i, "ping", vbroker_session_ping(session)) &&
				want_ok(i, "open", vbroker_device_open(session, own[i], &device));
			if (!fine)
				break;
			opened++;
			fine = want_ok(i, "device ping", vbroker_device_ping(device)) &&
				want_ok(i, "list", vbroker_session_list(session, &entries, &count));
			if (fine)
				free(entries);
			vbroker_device_close(device);
		}
		vbroker_session_close(session);
	}
	return NULL;
}

/* Has a device all the while, and works with it. */
static atomic_ulong longest_us;

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void *worker(void *argument)
{
	struct vbroker_device *device = argument;
	uint64_t value, before;

	for (bool fine = true; fine && !over;) {
		before = now_us();
		fine = want_ok(
			CLIENTS, "register", vbroker_region_read(device, VFIO_PCI_BAR0_REGION_INDEX, 0, 4, &value));
		if (now_us() - before > longest_us)
			longest_us = now_us() - before;
	}
	return NULL;
}

static void killed_at_random_moments(void **state)
{
	const char *given = getenv("VFIO_BROKER_TEST_RESTARTS");
	unsigned long kills = given ? strtoul(given, NULL, 10) : 60;
	struct vbroker_session *session = session_begin();
	struct vbroker_domain *domain = domain_begin();
	struct vbroker_device *device = device_begin(session, EDU_2);
	pthread_t threads[CLIENTS + 1];

	(void)state;
	over = false;
	expect_ok(vbroker_device_bind(device, domain));
	srandom((unsigned int)now_ms());
	for (uintptr_t i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, client, (void *)i), 0);
	assert_int_equal(pthread_create(&threads[CLIENTS], NULL, worker, device), 0);
	for (unsigned long i = 0; i < kills; i++) {
		usleep((unsigned int)random() % 40000);
		world_kill_broker();
		world_launch_broker();
	}
	vbroker_session_close(session_begin()); /* it serves */
	over = true;
	for (size_t i = 0; i <= CLIENTS; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i <= CLIENTS; i++) {
		if (complaint[i][0])
			fail_msg("client %zu: %s", i, complaint[i]);
	}
	print_message("# %lu kills, %lu calls, %lu leases, longest register access %lu us\n", kills, calls, opened,
		longest_us);
	assert_true(opened > kills / 4);
	expect_ok(vbroker_session_ping(session));
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	world_settle();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RESTART_CASE(killed),
		RESTART_CASE(restarted),
		RESTART_CASE(killed_again_and_again),
		RESTART_CASE(stopped),
		CASE_IN(limits_are_charged_again, &two_leases),
		RESTART_CASE(churn_is_not_stored),
		RESTART_CASE(requests_wait_for_the_next_broker),
		RESTART_CASE(answered_open_is_not_answered_again),
		RESTART_CASE(answered_and_released_open_is_not_answered_again),
		RESTART_CASE(revoke_waits_for_the_keeper),
		RESTART_CASE(revoke_of_what_is_released_anyway),
		RESTART_CASE(revoke_that_was_ordered_before),
		RESTART_CASE(revoke_with_a_deadline),
		RESTART_CASE(answered_revoke_does_not_reach_the_next_holder),
		RESTART_CASE(answered_revoke_does_not_reach_the_next_lease_of_a_group),
		CASE_IN(revoke_of_what_was_released_before, &lax),
		CASE_IN(what_stood_against_it_before, &lax),
		CASE_IN(end_that_was_not_recorded, &twins),
		CASE_IN(direct_ends_while_the_group_goes_on, &twins_direct),
		CASE_IN(record_that_is_missing, &twins),
		RESTART_CASE(a_watch_goes_on),
		RESTART_CASE(client_leaves_meanwhile),
		RESTART_CASE(session_leaves_and_its_channels_stay),
		RESTART_CASE(device_is_released_meanwhile),
		RESTART_CASE(keeper_dies_meanwhile),
		RESTART_CASE(others_do_not_wait_for_a_slow_keeper),
		RESTART_CASE(half_a_claim_is_finished),
		RESTART_CASE(killed_at_random_moments),
	};

	return HARNESS_RUN(argc, argv, "restart", tests);
}
