/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include "helper_message.h"
#include "message.h"
#include "raw_channel.h"
#include "refusal.h"
#include "restart.h"
#include "systemd.h"
#include "unit.h"
#include "vfio-broker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * The broker dies, or is restarted, and nobody notices: leases, clients that wait, the next broker's knowledge.
 */

static struct vbroker_device_entry entry_of(struct vbroker_session *session, const char *name)
{
	struct vbroker_device_entry *entries, found;
	size_t count, i;

	expect_ok(vbroker_list_devices(session, &entries, &count));
	for (i = 0; i < count && strcmp(entries[i].name, name) != 0; i++)
		;
	assert_true(i < count);
	found = entries[i];
	free(entries);
	return found;
}

/* Until its keeper has answered, a device that a keeper of an earlier broker has is leased, to somebody unknown. */
static void expect_leased(struct vbroker_session *session, const char *name, enum vbroker_device_state state)
{
	struct vbroker_device_entry entry = entry_of(session, name);

	for (int i = 0; i < 1000 && entry.state == VBROKER_STATE_LEASED && entry.holder.pid == 0; i++) {
		nap(10);
		entry = entry_of(session, name);
	}
	assert_int_equal(entry.state, state);
	if (state == VBROKER_STATE_LEASED) {
		assert_int_equal(entry.holder.uid, getuid());
		assert_int_equal(entry.holder.pid, getpid());
	}
}

static struct vbroker_lease_entry lease_of(struct vbroker_session *session, const char *name)
{
	struct vbroker_lease_entry *entries, found = {0};
	size_t count;

	expect_ok(vbroker_list_leases(session, &entries, &count));
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

static void leases_survive_a_kill(void **state)
{
	(void)state;
	everything_goes_on(kill_and_start);
}

static void leases_survive_a_restart(void **state)
{
	(void)state;
	everything_goes_on(world_restart_broker);
	assert_non_null(strstr(host_read("log"), "restarting: 1 sessions and 2 leases go on"));
}

static void leases_survive_many_kills(void **state)
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

/* The helper's answer to LEASE is still to be read, while the client has its device already. */
static void device_is_kept_however_new(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct vbroker_device *twin = device_begin(session, TWIN), *twin_2 = device_begin(session, TWIN_2);

		kill_and_start();
		expect_ok(vbroker_session_ping(session));
		expect_leased(session, TWIN, VBROKER_STATE_LEASED);
		expect_ok(vbroker_device_ping(twin));
		expect_ok(vbroker_device_ping(twin_2));
		vbroker_device_close(twin);
		vbroker_device_close(twin_2);
	}
	vbroker_session_close(session);
	world_settle();
}

static void stop_after_a_kill_ends_all_leases(void **state)
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

/* ---- requests ---- */

static void ask_nobody(int session, uint64_t cookie)
{
	struct listing_request page = {0};
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

/* The front has read the reply, so the next broker is not asked again. */
static void answered_open_is_not_answered_again(void **state)
{
	const struct open_request open = {.name = NVME};
	int session = raw_connect(world()->broker_socket), device;

	(void)state;
	raw_hello(session);
	device = raw_open(session, NVME); /* its cookie is 2 */
	world_kill_broker();
	raw_request(session, BROKER_PING, 3, NULL, 0);
	world_start_broker();
	assert_int_equal(raw_reply(session, BROKER_PING, 3), 0);
	raw_request(device, DEVICE_PING, 2, NULL, 0);
	assert_int_equal(raw_reply(device, DEVICE_PING, 2), 0);
	/* A request with a cookie that was there before is one more request. */
	raw_request(session, BROKER_OPEN, 2, &open, sizeof open);
	assert_int_equal(raw_reply(session, BROKER_OPEN, 2), REFUSAL_DEVICE_BUSY);
	world_kill_broker();
	raw_request(session, BROKER_OPEN, 2, &open, sizeof open);
	world_start_broker();
	assert_int_equal(raw_reply(session, BROKER_OPEN, 2), REFUSAL_DEVICE_BUSY);
	close(device);
	close(session);
	world_settle();
}

/* The same, and the client has closed the device since. */
static void answered_and_released_open_is_not_answered_again(void **state)
{
	int session = raw_connect(world()->broker_socket), device, twin_2;

	(void)state;
	raw_hello(session);
	device = raw_open(session, NVME); /* its cookie is 2 */
	world_kill_broker();
	close(device);
	raw_request(session, BROKER_PING, 3, NULL, 0);
	world_start_broker();
	assert_int_equal(raw_reply(session, BROKER_PING, 3), 0);
	/* The same, where the keeper goes on with another device. */
	twin_2 = raw_open(session, TWIN_2);
	device = raw_open(session, TWIN);
	world_kill_broker();
	close(device);
	raw_request(session, BROKER_PING, 3, NULL, 0);
	world_start_broker();
	assert_int_equal(raw_reply(session, BROKER_PING, 3), 0);
	close(raw_open(session, TWIN));
	close(twin_2);
	close(session);
	world_settle();
}

/* The next event but that the policy was read, which a broker does soon after its start. */
static void expect_change(struct vbroker_session *watcher, unsigned int kind, struct vbroker_change *ret_change)
{
	do
		expect_ok(vbroker_session_event(watcher, 10000, ret_change));
	while (ret_change->kind == VBROKER_CHANGE_POLICY);
	assert_int_equal(ret_change->kind, kind);
}

/* The watcher does not hear what happened while there was no broker, and is told that events were missed. */
static void watch_survives_a_kill(void **state)
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
		expect_change(watcher, VBROKER_CHANGE_GRANT, &change);
		expect_change(watcher, VBROKER_CHANGE_RELEASE, &change);
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
	assert_int_equal(systemd_kept("group-"), 2);
	assert_int_equal(systemd_kept("session-"), 0);
	world_start_broker();
	vbroker_device_close(nvme);
	vbroker_domain_close(domain);
	close(channel);
	world_settle();
}

static void channels_outlive_a_session_that_left(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *nvme = device_begin(session, NVME);

	(void)state;
	world_kill_broker();
	vbroker_session_close(session);
	world_start_broker();
	world_settle();
	expect_refused(vbroker_device_ping(nvme), VBROKER_REVOKED, NULL);
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
	nvme = device_begin(session, NVME);
	assert_non_null(strstr(host_read("log"), NVME ": released by uid "));
	vbroker_device_close(nvme);
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
	struct vbroker_unquarantined released;
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
	expect_refused(vbroker_session_unquarantine(other, NVME, VBROKER_UNQUARANTINE_FORCE, &released),
		VBROKER_NOT_QUARANTINED, "has not said yet who has it");
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

/*
 * The broker is killed while it takes a second device of a group that a client has. The OPEN, worked on again by the
 * next broker, finishes the claim.
 */
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

/* ---- orders ---- */

/* As daemon/broker/helper/note.h has it. */
struct note {
	uint64_t since_us;
	uint32_t pid, order, group, uid;
	char device[32], driver[32];
};

/* Puts an order into each note that systemd, in this process, keeps. Returns how many there are. */
static unsigned int note_orders(uint32_t order, uint32_t group, const char *device)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;
	char target[64];

	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
		struct note note;
		int fd = atoi(entry->d_name);

		target[length < 0 ? 0 : length] = '\0';
		if (!strstr(target, "vfio-helper-note"))
			continue;
		assert_int_equal(pread(fd, &note, sizeof note, 0), sizeof note);
		note.order = order;
		note.group = group;
		strcpy(note.device, device);
		assert_int_equal(pwrite(fd, &note, sizeof note, 0), sizeof note);
		count++;
	}
	closedir(dir);
	return count;
}

/* The broker was killed between the note of an order and the order, or between the answer and the note of that: the
 * helper will not answer. */
static void noted_order_may_be_none(void **state)
{
	struct vbroker_session *session = session_begin();

	(void)state;
	vbroker_device_close(device_begin(session, EDU));
	world_kill_broker();
	assert_true(note_orders(HELPER_LOOK, 1, EDU) > 0);
	world_start_broker();
	vbroker_device_close(device_begin(session, EDU));
	vbroker_session_close(session);
	world_settle();
}

/* The broker was killed before it sent HELLO: the helper waits for that, and no order reaches it. */
static void helper_without_hello_is_not_used(void **state)
{
	const struct note none = {.group = UINT32_MAX};
	int note = memfd_create("vfio-helper-note", MFD_CLOEXEC);
	struct vbroker_session *session;

	(void)state;
	assert_int_equal(pwrite(note, &none, sizeof none, 0), sizeof none);
	world_kill_broker();
	systemd_drop();
	systemd_keep("helper-1", raw_connect(world()->helper_socket));
	systemd_keep("helper-1", note);
	world_start_broker();
	session = session_begin();
	vbroker_device_close(device_begin(session, EDU));
	vbroker_session_close(session);
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
	vbroker_describe_result(r, text, sizeof text);
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
				want_ok(i, "list", vbroker_list_devices(session, &entries, &count));
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
		RESTART_CASE(leases_survive_a_kill),
		RESTART_CASE(leases_survive_a_restart),
		RESTART_CASE(leases_survive_many_kills),
		RESTART_CASE(device_is_kept_however_new),
		RESTART_CASE(stop_after_a_kill_ends_all_leases),
		CASE_IN(limits_are_charged_again, &two_leases),
		RESTART_CASE(requests_wait_for_the_next_broker),
		RESTART_CASE(answered_open_is_not_answered_again),
		RESTART_CASE(answered_and_released_open_is_not_answered_again),
		RESTART_CASE(watch_survives_a_kill),
		RESTART_CASE(client_leaves_meanwhile),
		RESTART_CASE(channels_outlive_a_session_that_left),
		RESTART_CASE(device_is_released_meanwhile),
		RESTART_CASE(keeper_dies_meanwhile),
		RESTART_CASE(others_do_not_wait_for_a_slow_keeper),
		RESTART_CASE(half_a_claim_is_finished),
		RESTART_CASE(noted_order_may_be_none),
		RESTART_CASE(helper_without_hello_is_not_used),
		RESTART_CASE(killed_at_random_moments),
	};

	return HARNESS_RUN(argc, argv, "restart", tests);
}
