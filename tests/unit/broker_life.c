/* SPDX-License-Identifier: MIT */
#include "base/limits.h"
#include "base/loop.h"
#include "host/host.h"
#include "lease/group.h"
#include "policy/policy_text.h"
#include "service/service.h"
#include "state/broker.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>

/*
 * A whole broker in this process, on a host that is an array, with clients and keepers that are this test: what session
 * tests cannot make real keepers and kernels do.
 */

/* ---- the host ---- */

static struct machine {
	struct host_device device;
	char override[DRIVER_NAME_SIZE];
	bool present;
	int probe_error;
	uint32_t ids; /* what its configuration space begins with */
	int resettable;
} machine[4];

static int group_error, look_error;
static host_changed changed;
static void *changed_context;

static struct machine *machine_find(const char *name)
{
	for (size_t i = 0; i < 4; i++) {
		if (machine[i].present && strcmp(machine[i].device.name, name) == 0)
			return &machine[i];
	}
	return NULL;
}

static int host_enumerate(host_found found, void *context)
{
	for (size_t i = 0; i < 4; i++) {
		if (machine[i].present)
			found(context, &machine[i].device);
	}
	return 0;
}

static int host_watch(sd_event *event, host_changed callback, void *context)
{
	(void)event;
	changed = callback;
	changed_context = context;
	return 0;
}

static int host_look(const char *name, struct host_device *ret_device)
{
	const struct machine *found = machine_find(name);

	if (look_error || !found)
		return look_error ? look_error : -ENODEV;
	*ret_device = found->device;
	return 0;
}

static int host_probe(const char *name, uint32_t *ret_ids)
{
	const struct machine *found = machine_find(name);

	if (!found)
		return -ENODEV;
	*ret_ids = found->ids;
	return found->probe_error;
}

static int host_resettable(const char *name)
{
	const struct machine *found = machine_find(name);

	return found ? found->resettable : -ENODEV;
}

static int host_override_get(const char *name, char ret_driver[DRIVER_NAME_SIZE])
{
	memcpy(ret_driver, machine_find(name)->override, DRIVER_NAME_SIZE);
	return 0;
}

static int host_override_set(const char *name, const char *driver)
{
	snprintf(machine_find(name)->override, DRIVER_NAME_SIZE, "%s", driver);
	return 0;
}

static int host_unbind(const char *name, const char *driver)
{
	(void)driver;
	machine_find(name)->device.driver[0] = '\0';
	return 0;
}

static int host_bind(const char *name, const char *driver)
{
	snprintf(machine_find(name)->device.driver, DRIVER_NAME_SIZE, "%s", driver);
	return 0;
}

static int host_group_open(uint32_t group)
{
	(void)group;
	return group_error ? group_error : open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int window_error; /* 0: the module vfio_window is loaded */

/* A regular file, so that it cannot be taken for a group or a channel. */
static int host_window_open(void)
{
	return window_error ? window_error : memfd_create("window", MFD_CLOEXEC);
}

static const struct host host = {
	.enumerate = host_enumerate,
	.subscribe = host_watch,
	.read = host_look,
	.read_ids = host_probe,
	.resettable = host_resettable,
	.override_get = host_override_get,
	.override_set = host_override_set,
	.driver_unbind = host_unbind,
	.driver_bind = host_bind,
	.group_open = host_group_open,
	.window_open = host_window_open,
};

#define A "0000:01:00.0" /* group 1, vfio-pci */
#define B "0000:01:00.1" /* group 1, vfio-pci */
#define C "0000:02:00.0" /* group 2, nvme */
#define D "0000:03:00.0" /* no group */

static void make_machine(void)
{
	static const struct host_device devices[4] = {
		{A, "vfio-pci", 1, 0x1234, 0x11e8, 0x00ff00},
		{B, "vfio-pci", 1, 0x1234, 0x11e8, 0x00ff00},
		{C, "nvme", 2, 0x1b36, 0x0010, 0x010802},
		{D, "", GROUP_NONE, 0x1234, 0x11e8, 0x00ff00},
	};

	group_error = look_error = window_error = 0;
	for (size_t i = 0; i < 4; i++)
		machine[i] =
			(struct machine){.device = devices[i], .present = true, .ids = 0x11e81234, .resettable = 1};
}

/* ---- the broker ---- */

static char directory[64], claims[96], quarantine[96];
static struct sockaddr_un broker_address = {.sun_family = AF_UNIX}, keeper_address = {.sun_family = AF_UNIX};
static struct broker broker;
static sd_event *event;
static int keeper_listener = -1, fds_before;
static struct packet packet;

static int listen_at(struct sockaddr_un *address, const char *name)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address->sun_path, sizeof address->sun_path, "%s/%s", directory, name);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

/* Lets the broker do all it has to do at once. */
static void turn(void)
{
	while (sd_event_run(event, 3000) > 0)
		;
}

/* *STATE: the policy, if it is not to be the default. */
static int begin(void **state)
{
	const char *rules = *state ? *state : "[allow all]\nclass = *\nuser = *\nrebind = yes\n";
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error = {0};
	static struct broker_options options;

	options = (struct broker_options){
		.keeper_socket = keeper_address.sun_path,
		.claims_directory = claims,
		.quarantine_directory = quarantine,
		.sessions_per_user = 8,
		.leases_per_user = 8,
	};
	make_machine();
	fds_before = unit_fds();
	packet_init(&packet);
	strcpy(directory, "/tmp/broker_life.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(claims, sizeof claims, "%s/claims", directory);
	assert_int_equal(mkdir(claims, 0700), 0);
	snprintf(quarantine, sizeof quarantine, "%s/quarantine", directory);
	assert_int_equal(mkdir(quarantine, 0700), 0);
	keeper_listener = listen_at(&keeper_address, "keeper");
	assert_int_equal(policy_read(policy, "t.conf", rules, &error), 0);
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(
		service_init(&broker, event, &host, &options, policy, &error, listen_at(&broker_address, "broker")), 0);
	turn();
	return 0;
}

static int end(void **state)
{
	char command[128];

	(void)state;
	service_clear(&broker);
	sd_event_unref(event);
	close(keeper_listener);
	packet_clear(&packet);
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command) == 0 && unit_fds() == fds_before ? 0 : -1;
}

/* ---- a client ---- */

static void client_send(int fd, uint16_t type, const void *payload, size_t size)
{
	packet_request(&packet, type, 7);
	if (size > 0)
		memcpy(packet_append(&packet, size), payload, size);
	assert_int_equal(packet_send(fd, MSG_DONTWAIT, &packet), 0);
}

static int client_new(void)
{
	const struct hello_request hello = {0, 1, 1, 0};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&broker_address, sizeof broker_address), 0);
	client_send(fd, BROKER_HELLO, &hello, sizeof hello);
	turn();
	assert_int_equal(packet_receive(fd, MSG_DONTWAIT, true, &packet), PACKET_RECEIVED);
	return fd;
}

static void client_open(int fd, const char *name)
{
	struct open_request open = {0};

	memcpy(open.name, name, strlen(name));
	client_send(fd, BROKER_OPEN, &open, sizeof open);
	turn();
}

/* What came: 0, a refusal or a negative errno; -EAGAIN: nothing yet. */
static int client_answer(int fd, struct detail *detail)
{
	struct detail unused;
	int r = packet_receive(fd, MSG_DONTWAIT, true, &packet);

	if (r != PACKET_RECEIVED)
		return r == PACKET_END ? -EPIPE : r;
	r = packet.header.flags & MESSAGE_REFUSED ? packet_refusal(&packet, detail ? detail : &unused) : 0;
	return r;
}

static bool client_alive(int fd)
{
	client_send(fd, BROKER_PING, NULL, 0);
	turn();
	return client_answer(fd, NULL) == 0;
}

/* ---- a keeper ---- */

/* Accepts the broker's connection and answers its HELLO. */
static int keeper_start(void)
{
	int fd = -1;

	/* After one that failed, the broker takes its time (KEEPER_RETRY_US). */
	for (int i = 0; i < 3000 && fd < 0; i++) {
		sd_event_run(event, i ? 1000 : 0);
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

static mode_t kind_of(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return status.st_mode & S_IFMT;
}

/* Takes the LEASE off the socket. Returns the keeper's end of the device channel. */
static int keeper_take_lease(int fd, const char *name, bool first)
{
	const struct lease_request *lease;
	bool windows = window_error == 0;
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

static void keeper_accept(int fd)
{
	const struct lease_reply reply = {4711, 999};

	packet_reply(&packet, &(struct message_header){.type = KEEPER_LEASE, .cookie = 1});
	memcpy(packet_append(&packet, sizeof reply), &reply, sizeof reply);
	assert_int_equal(packet_send(fd, 0, &packet), 0);
	turn();
}

static void keeper_reports(int fd, const char *name, const struct release_report *report, uint32_t remaining)
{
	struct released_event *released;

	packet_event(&packet, KEEPER_EVENT_RELEASED);
	released = packet_append(&packet, sizeof *released);
	memcpy(released->name, name, strlen(name));
	released->remaining = remaining;
	released->report = *report;
	assert_int_equal(packet_send(fd, 0, &packet), 0);
}

static void keeper_released(int fd, const char *name, uint32_t remaining)
{
	const struct release_report nothing_done = {0};

	keeper_reports(fd, name, &nothing_done, remaining);
	turn();
}

/* Through this keeper, which gets the group with its FIRST device. */
static void client_gets(int client, const char *name, int keeper, bool first)
{
	client_open(client, name);
	close(keeper_take_lease(keeper, name, first));
	keeper_accept(keeper);
	assert_int_equal(client_answer(client, NULL), 0);
	assert_int_equal(packet.fds.count, 1);
	fdset_clear(&packet.fds);
}

/* A client that has A, through this keeper. */
static int client_with(const char *name, int keeper)
{
	int client = client_new();

	client_gets(client, name, keeper, true);
	return client;
}

static struct iommu_group *group(uint32_t number)
{
	struct iommu_group *found;

	LIST_FOREACH(found, &broker.inventory.groups, in_inventory) {
		if (found->number == number)
			return found;
	}
	fail_msg("there is no group %u", number);
	return NULL;
}

/* ---- the life of a lease ---- */

static void lease_and_release(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	assert_int_equal(broker.leases_count, 1);
	assert_int_equal(group(1)->state, GROUP_HELD);
	assert_int_equal(group(1)->keeper->pid, 4711);
	assert_int_equal(group(1)->holder.pid, getpid());
	keeper_released(keeper, A, 0);
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(group(1)->state, GROUP_RELEASING);
	close(keeper);
	turn();
	assert_int_equal(group(1)->state, GROUP_FREE);
	assert_true(client_alive(client));
	close(client);
	turn();
	assert_int_equal(broker.sessions_count, 0);
	assert_true(RB_EMPTY(&broker.users.tree));
}

/* It used to put off the keeper in reserve by a second, which everybody who came in that time had to start for himself. */
static void short_lease(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper), enabled = 0;
	uint64_t due = UINT64_MAX;

	(void)state;
	keeper_released(keeper, A, 0);
	close(keeper);
	turn();
	assert_int_equal(sd_event_source_get_enabled(broker.spare_timer, &enabled) >= 0, 1);
	assert_int_equal(sd_event_source_get_time(broker.spare_timer, &due), 0);
	assert_true(broker.spare || (enabled && due < loop_now(broker.event) + KEEPER_RETRY_US / 2));
	close(client);
	turn();
}

static void second_device_of_a_group(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper), other = client_new();

	(void)state;
	client_open(other, B);
	assert_int_equal(client_answer(other, NULL), REFUSAL_DEVICE_BUSY);
	client_gets(client, B, keeper, false);
	keeper_released(keeper, A, 1);
	assert_int_equal(group(1)->state, GROUP_HELD);
	keeper_released(keeper, B, 0);
	assert_int_equal(group(1)->state, GROUP_RELEASING);
	close(keeper);
	close(client);
	close(other);
	turn();
	assert_int_equal(group(1)->state, GROUP_FREE);
}

/* The keeper sees the end of what the broker sends, which is how it is told to let go. */
static void end_of_session(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper);

	(void)state;
	assert_string_equal(machine[2].device.driver, "vfio-pci");
	close(client);
	turn();
	assert_int_equal(packet_receive(keeper, MSG_DONTWAIT, true, &packet), PACKET_END);
	assert_int_equal(group(2)->state, GROUP_RELEASING);
	/* not before it has let go */
	assert_string_equal(machine[2].device.driver, "vfio-pci");
	group_error = -EBUSY;
	close(keeper);
	turn();
	assert_int_equal(group(2)->state, GROUP_RESTORING);
	assert_string_equal(machine[2].device.driver, "vfio-pci");
	group_error = 0;
	for (int i = 0; i < 50 && group(2)->state != GROUP_FREE; i++)
		turn();
	assert_int_equal(group(2)->state, GROUP_FREE);
	assert_string_equal(machine[2].device.driver, "nvme");
	assert_string_equal(machine[2].override, "");
}

/* Who asks while it is being released waits, in the order of asking; the second one is told who was faster. */
static void open_waits_for_a_release(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper), spare = keeper_start();
	int first = client_new(), second = client_new();

	(void)state;
	close(client);
	turn();
	client_open(first, C);
	client_open(second, C);
	assert_int_equal(client_answer(first, NULL), -EAGAIN);
	assert_int_equal(client_answer(second, NULL), -EAGAIN);
	close(keeper);
	turn();
	close(keeper_take_lease(spare, C, true));
	assert_int_equal(client_answer(second, NULL), REFUSAL_DEVICE_BUSY);
	assert_int_equal(client_answer(first, NULL), -EAGAIN);
	keeper_accept(spare);
	assert_int_equal(client_answer(first, NULL), 0);
	packet_clear(&packet);
	close(first);
	close(second);
	close(spare);
	turn();
}

static void who_waits_may_leave(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper), waiting = client_new();

	(void)state;
	close(client);
	turn();
	client_open(waiting, C);
	close(waiting);
	turn();
	assert_int_equal(broker.sessions_count, 0);
	assert_true(TAILQ_EMPTY(&group(2)->waiters));
	close(keeper);
	turn();
	assert_int_equal(group(2)->state, GROUP_FREE);
}

/* The client has gone before the keeper answered: the lease ends without having begun. */
static void client_leaves_before_the_answer(void **state)
{
	int keeper = keeper_start(), client = client_new();

	(void)state;
	client_open(client, A);
	close(keeper_take_lease(keeper, A, true));
	close(client);
	turn();
	assert_int_equal(group(1)->state, GROUP_RELEASING);
	keeper_accept(keeper);
	keeper_released(keeper, A, 0);
	close(keeper);
	turn();
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(group(1)->state, GROUP_FREE);
}

/* The group is taken back, by policy say, while the keeper's answer is on the way: it has let go before that is read. */
static void taken_back_before_the_answer(void **state)
{
	int keeper = keeper_start(), client = client_new();

	(void)state;
	client_open(client, A);
	close(keeper_take_lease(keeper, A, true));
	group_release(group(1));
	keeper_accept(keeper);
	keeper_released(keeper, A, 0);
	close(keeper);
	turn();
	assert_int_equal(client_answer(client, NULL), REFUSAL_REVOKED);
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(group(1)->state, GROUP_FREE);
	close(client);
	turn();
}

static void keeper_refuses(void **state)
{
	struct detail detail;
	int keeper = keeper_start(), client = client_new();

	(void)state;
	client_open(client, C);
	close(keeper_take_lease(keeper, C, true));
	refuse(&detail, REFUSAL_MALFORMED, "not this one");
	packet_refuse(&packet, &(struct message_header){.type = KEEPER_LEASE, .cookie = 1}, REFUSAL_MALFORMED, &detail);
	assert_int_equal(packet_send(keeper, 0, &packet), 0);
	turn();
	assert_int_equal(client_answer(client, &detail), REFUSAL_MALFORMED);
	assert_string_equal(detail.text, "not this one");
	close(keeper);
	turn();
	assert_int_equal(group(2)->state, GROUP_FREE);
	assert_string_equal(machine[2].device.driver, "nvme");
	close(client);
	turn();
}

/* ---- keepers that misbehave: the broker is root, and they are not ---- */

/* RELEASED for what it has not accepted yet; the answer to LEASE comes afterwards. */
static void released_before_accepted(void **state)
{
	int keeper = keeper_start(), client = client_new();

	(void)state;
	client_open(client, A);
	close(keeper_take_lease(keeper, A, true));
	keeper_released(keeper, A, 0);
	packet_reply(&packet, &(struct message_header){.type = KEEPER_LEASE, .cookie = 1});
	packet_append(&packet, sizeof(struct lease_reply));
	packet_send(keeper, MSG_DONTWAIT, &packet);
	turn();
	close(keeper);
	turn();
	assert_int_equal(client_answer(client, NULL), REFUSAL_NO_KEEPER);
	assert_true(client_alive(client));
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(group(1)->state, GROUP_FREE);
	close(client);
	turn();
}

/* RELEASED for a device that another keeper has. */
static void released_of_another(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);
	int other_keeper = keeper_start(), other = client_with(C, other_keeper);

	(void)state;
	keeper_released(keeper, C, 0);
	assert_int_equal(broker.leases_count, 2);
	assert_int_equal(group(2)->state, GROUP_HELD);
	keeper_released(keeper, "0000:99:00.0", 0);
	keeper_released(keeper, A, 0);
	keeper_released(keeper, A, 0);
	assert_int_equal(broker.leases_count, 1);
	close(keeper);
	close(other_keeper);
	close(client);
	close(other);
	turn();
	assert_int_equal(broker.leases_count, 0);
}

/* Anything that is no answer costs the keeper its channel, and its devices go back. */
static void nonsense(void **state)
{
	(void)state;
	for (int kind = 0; kind < 9; kind++) {
		int keeper = keeper_start(), client = client_with(A, keeper);

		switch (kind) {
		case 0:
			send(keeper, "", 0, 0);
			break;
		case 1:
			send(keeper, "x", 1, 0);
			break;
		case 2: /* a request */
			packet_request(&packet, KEEPER_PING, 3);
			packet_send(keeper, 0, &packet);
			break;
		case 3: /* an answer to nothing */
			keeper_accept(keeper);
			break;
		case 4: /* an event that is too short */
			packet_event(&packet, KEEPER_EVENT_RELEASED);
			packet_append(&packet, 8);
			packet_send(keeper, 0, &packet);
			break;
		case 5: /* no name */
			keeper_released(keeper, "../../etc", 0);
			break;
		case 6:
			packet_reply(&packet, &(struct message_header){.type = 77, .cookie = 1});
			packet_send(keeper, 0, &packet);
			break;
		case 7: /* fds, which the kernel drops */
			packet_event(&packet, KEEPER_EVENT_RELEASED);
			packet_append(&packet, sizeof(struct released_event));
			for (int i = 0; i < 10; i++)
				fdset_add(&packet.fds, open("/dev/null", O_RDONLY | O_CLOEXEC));
			packet_send(keeper, 0, &packet);
			break;
		default: /* HELLO refused late */
			packet_refuse(&packet, &(struct message_header){.type = KEEPER_HELLO, .cookie = 1},
				REFUSAL_DENIED, NULL);
			packet_send(keeper, 0, &packet);
			break;
		}
		turn();
		if (broker.leases_count != 0)
			fail_msg("kind %d", kind);
		assert_int_equal(group(1)->state, GROUP_FREE);
		assert_true(client_alive(client));
		close(keeper);
		close(client);
		turn();
	}
}

/* Replies to LEASE of the wrong form, with somebody waiting for them. */
static void nonsense_as_an_answer(void **state)
{
	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		int keeper = keeper_start(), client = client_new(), r;

		client_open(client, A);
		close(keeper_take_lease(keeper, A, true));
		packet_reply(&packet, &(struct message_header){.type = KEEPER_LEASE, .cookie = 1});
		if (kind == 1)
			packet_append(&packet, 4);
		if (kind == 2) {
			packet.header.flags |= MESSAGE_REFUSED;
			packet_append(&packet, 3);
		}
		packet_send(keeper, 0, &packet);
		turn();
		r = client_answer(client, NULL);
		if (r == 0 || r == -EAGAIN)
			fail_msg("kind %d: %d", kind, r);
		close(keeper);
		turn();
		assert_int_equal(broker.leases_count, 0);
		assert_int_equal(group(1)->state, GROUP_FREE);
		assert_true(client_alive(client));
		close(client);
		turn();
	}
}

/* An event that nobody knows is of a newer keeper, and no reason for anything. */
static void unknown_event(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	packet_event(&packet, 200);
	packet_append(&packet, 100);
	packet_send(keeper, 0, &packet);
	turn();
	assert_int_equal(broker.leases_count, 1);
	close(client);
	close(keeper);
	turn();
}

/* ---- the host ---- */

static struct admission_case {
	const char *name;
	int look, probe;
	uint32_t ids;
	int refusal;
} cases[] = {
	{A, 0, -EIO, 0, REFUSAL_DEVICE_BAD_STATE},
	{A, -ENODEV, 0, 0, REFUSAL_NO_SUCH_DEVICE},
	{D, 0, 0, 0, REFUSAL_NO_IOMMU},
	{"0000:77:00.0", 0, 0, 0, REFUSAL_NO_SUCH_DEVICE},
	{A, 0, 0, UINT32_MAX, REFUSAL_DEVICE_BAD_STATE}, /* which puts it into quarantine */
	{A, 0, 0, 0x11e81234, REFUSAL_QUARANTINED},
};

static void the_host_says_no(void **state)
{
	int client = client_new();

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		look_error = cases[i].look;
		machine[0].probe_error = cases[i].probe;
		machine[0].ids = cases[i].ids;
		client_open(client, cases[i].name);
		assert_int_equal(client_answer(client, NULL), cases[i].refusal);
	}
	close(client);
	turn();
}

static void group_cannot_be_opened(void **state)
{
	static const int errors[] = {-EBUSY, -ENOENT, -EPERM};
	static const int refusals[] = {REFUSAL_DEVICE_BUSY, REFUSAL_DEVICE_BAD_STATE, REFUSAL_DEVICE_BAD_STATE};
	int client = client_new();

	(void)state;
	for (int i = 0; i < 3; i++) {
		group_error = errors[i];
		client_open(client, C);
		assert_int_equal(client_answer(client, NULL), refusals[i]);
		assert_string_equal(machine[2].device.driver, "nvme");
		assert_int_equal(group(2)->state, GROUP_FREE);
	}
	close(client);
	turn();
}

static void unplugged_and_back(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	machine[0].present = machine[2].present = false;
	changed(changed_context, HOST_REMOVED, A);
	changed(changed_context, HOST_REMOVED, C);
	changed(changed_context, HOST_REMOVED, C);
	changed(changed_context, HOST_REMOVED, "0000:99:00.0");
	changed(changed_context, HOST_ADDED, "0000:99:00.0");
	assert_int_equal(broker.inventory.count, 2);
	assert_null(inventory_find(&broker.inventory, C));
	assert_non_null(inventory_find(&broker.inventory, A)); /* leased */
	machine[0].present = true;
	machine[0].device.group = 9;
	changed(changed_context, HOST_ADDED, A);
	assert_int_equal(group(1)->state, GROUP_HELD);
	close(client);
	close(keeper);
	turn();
	assert_int_equal(broker.leases_count, 0);
	assert_int_equal(group(1)->state, GROUP_FREE);
	assert_ptr_equal(inventory_find(&broker.inventory, A)->group, group(9));
	machine[0].present = false;
	changed(changed_context, HOST_REMOVED, A);
	assert_null(inventory_find(&broker.inventory, A));
}

/* The kernel had more to say than the broker could hear: what has changed meanwhile is found all the same. */
static void changes_were_missed(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	machine[0].present = machine[2].present = false;
	changed(changed_context, HOST_MISSED, "");
	assert_int_equal(broker.inventory.count, 2);
	assert_null(inventory_find(&broker.inventory, C));
	assert_false(inventory_find(&broker.inventory, A)->present); /* leased */
	machine[0].present = machine[2].present = true;
	changed(changed_context, HOST_MISSED, "");
	assert_int_equal(broker.inventory.count, 4);
	assert_true(inventory_find(&broker.inventory, A)->present);
	assert_non_null(inventory_find(&broker.inventory, C));
	/* a failure to look is no news */
	look_error = -EIO;
	changed(changed_context, HOST_MISSED, "");
	look_error = 0;
	assert_int_equal(broker.inventory.count, 4);
	close(client);
	close(keeper);
	turn();
}

/* It left while it was claimed: there is nothing to give back, and nothing to remember. */
static void unplugged_while_claimed(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper);

	(void)state;
	machine[2].present = false;
	changed(changed_context, HOST_REMOVED, C);
	close(client);
	close(keeper);
	turn();
	assert_null(inventory_find(&broker.inventory, C));
	assert_int_equal(rmdir(claims), 0); /* no record in it */
}

/* ---- access = direct ---- */

/* The holder of NAME has the VFIO device itself. */
static void hand_out(const char *name)
{
	struct device *device = inventory_find(&broker.inventory, name);

	device->lease->direct = true;
	device->group->direct = true;
}

static const struct release_report unsure = {.reason = ENDED_RELEASED, .reset = RESET_UNSURE};

/* Whether it is closed, only the whole group can tell. */
static void direct_takes_the_group_along(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	client_gets(client, B, keeper, false);
	hand_out(A);
	keeper_reports(keeper, A, &unsure, 1);
	turn();
	assert_int_equal(group(1)->state, GROUP_RELEASING);
	keeper_released(keeper, B, 0);
	close(keeper);
	turn();
	assert_int_equal(group(1)->state, GROUP_FREE);
	close(client);
	turn();
}

/* They may reach it by DMA. */
static void direct_waits_for_other_devices(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper), other = keeper_start();

	(void)state;
	client_gets(client, C, other, true);
	hand_out(A);
	keeper_reports(keeper, A, &unsure, 0);
	close(keeper);
	turn();
	for (int i = 0; i < 50; i++)
		sd_event_run(event, 1000);
	assert_int_equal(group(1)->state, GROUP_RESTORING);
	keeper_released(other, C, 0);
	close(other);
	for (int i = 0; i < 2000 && group(1)->state != GROUP_FREE; i++)
		sd_event_run(event, 1000);
	assert_int_equal(group(1)->state, GROUP_FREE);
	assert_false(group(1)->direct);
	close(client);
	turn();
}

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
static void taken_and_gone(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper), other = client_new();

	(void)state;
	machine[2].ids = UINT32_MAX;
	host_takes(keeper, C);
	assert_int_equal(group(2)->state, GROUP_RESTORING);
	assert_string_equal(machine[2].device.driver, "vfio-pci");
	/* who asks meanwhile has to wait */
	machine[2].ids = 0x11e81234;
	client_open(other, C);
	assert_int_equal(client_answer(other, NULL), -EAGAIN);
	machine[2].present = false;
	changed(changed_context, HOST_REMOVED, C);
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
static void taken_and_there(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper);
	const struct device *device = inventory_find(&broker.inventory, C);

	(void)state;
	host_takes(keeper, C);
	assert_int_equal(group(2)->state, GROUP_RESTORING);
	assert_int_equal(broker.audit.counts[CHANGE_QUARANTINE], 0);
	for (int i = 0; i < 2000 && group(2)->state != GROUP_FREE; i++)
		sd_event_run(event, 1000);
	assert_int_equal(group(2)->state, GROUP_FREE);
	assert_int_equal(broker.audit.counts[CHANGE_QUARANTINE], 1);
	assert_true(quarantine_holds(device));
	assert_int_equal(device->quarantine->reason, QUARANTINE_RESET_FAILED);
	assert_int_equal(device->quarantine->error, EAGAIN);
	client_open(client, C);
	assert_int_equal(client_answer(client, NULL), REFUSAL_QUARANTINED);
	close(client);
	turn();
}

/* ---- register windows ---- */

static const char window_rules[] = "[deny lab]\naddress = " B "\nuser = *\n"
				   "[allow rest]\nclass = *\nuser = *\nrebind = yes\n"
				   "mappings = 7\nwindows = 3\nwindow-size = 64K\nwindow-range = 0:0x1000-0x1fff 2\n"
				   "[allow more]\nclass = *\nuser = *\nwindows = 99\n";

/* The limits are those of the rule that decides, and the keeper is told its name and place. */
static void limits_of_the_rule(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	assert_int_equal(offered.mappings, 7);
	assert_int_equal(offered.windows.count, 3);
	assert_int_equal(offered.windows.size, 65536);
	assert_int_equal(offered.windows.range_count, 2);
	assert_int_equal(offered.windows.ranges[0].region, 0);
	assert_int_equal(offered.windows.ranges[0].first, 0x1000);
	assert_int_equal(offered.windows.ranges[0].last, 0x1fff);
	assert_int_equal(offered.windows.ranges[1].region, 2);
	assert_int_equal(offered.windows.ranges[1].first, 0);
	assert_int_equal(offered.windows.ranges[1].last, UINT64_MAX);
	assert_string_equal(offered.rule, "\"rest\" (t.conf:4)");
	close(keeper);
	close(client);
	turn();
}

static void limits_without_a_word(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);
	int other_keeper = keeper_start(), other = client_with(C, other_keeper);

	(void)state;
	assert_int_equal(offered.mappings, MAPPINGS_UNLIMITED);
	assert_int_equal(offered.windows.count, WINDOWS_PER_LEASE);
	assert_true(offered.windows.size == UINT64_MAX);
	assert_int_equal(offered.windows.range_count, 0);
	assert_string_equal(offered.rule, "\"all\" (t.conf:1)");
	close(keeper);
	close(client);
	close(other_keeper);
	close(other);
	turn();
}

/* Each device of a group has a control file of its own, also the second. */
static void windows_of_the_second_device(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	client_open(client, B);
	close(keeper_take_lease(keeper, B, false));
	assert_int_equal(offered.flags, LEASE_WINDOWS);
	keeper_accept(keeper);
	assert_int_equal(client_answer(client, NULL), 0);
	packet_clear(&packet);
	close(keeper);
	close(client);
	turn();
}

/* Whatever a rule's name is: the text ends within its field, and where the rule stands comes with it. */
#define LONG_NAME "0123456789012345678901234567890123456789012345678901234567890123456789"
static const char long_rules[] = "[allow " LONG_NAME "]\nclass = *\nuser = *\n";

static void rule_of_a_long_name(void **state)
{
	int keeper = keeper_start(), client = client_with(A, keeper);

	(void)state;
	assert_string_equal(offered.rule, "\"0123456789012345678901234567890123456789\" (t.conf:1)");
	close(keeper);
	close(client);
	turn();
}

/* What the broker logs of one lease of A. */
static char logged[4096];

static void lease_logged(void)
{
	int keeper = keeper_start(), client, pipe_fds[2], saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	ssize_t size;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	dup2(pipe_fds[1], STDERR_FILENO);
	close(pipe_fds[1]);
	client = client_with(A, keeper);
	dup2(saved, STDERR_FILENO);
	close(saved);
	size = read(pipe_fds[0], logged, sizeof logged - 1);
	logged[size < 0 ? 0 : size] = '\0';
	close(pipe_fds[0]);
	close(keeper);
	close(client);
	turn();
	assert_int_equal(group(1)->state, GROUP_FREE);
}

/* A host without the module is a good host. */
static void no_module(void **state)
{
	(void)state;
	window_error = -ENOENT;
	lease_logged();
	assert_null(strstr(logged, "window"));
}

/* One that keeps the broker from its node is worth a word, and the lease all the same. */
static void module_out_of_reach(void **state)
{
	static const char warning[] = "<4>" A ": no register windows: /dev/vfio/window: Operation not permitted\n";
	const char *found;

	(void)state;
	window_error = -EPERM;
	lease_logged();
	found = strstr(logged, warning);
	assert_non_null(found);
	assert_null(strstr(found + strlen(warning), "window"));
	window_error = 0;
	lease_logged();
	assert_null(strstr(logged, "window"));
}

/* ---- the end ---- */

static void stop_waits_for_keepers(void **state)
{
	int keeper = keeper_start(), client = client_with(C, keeper), spare = keeper_start();

	(void)state;
	service_stop(&broker);
	turn();
	assert_int_equal(sd_event_get_state(event), SD_EVENT_INITIAL);
	assert_string_equal(machine[2].device.driver, "vfio-pci");
	assert_int_equal(client_answer(client, NULL), -EPIPE);
	close(keeper);
	while (sd_event_get_state(event) != SD_EVENT_FINISHED)
		assert_true(sd_event_run(event, 1000000) >= 0);
	assert_string_equal(machine[2].device.driver, "nvme");
	close(client);
	close(spare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name)	     cmocka_unit_test_setup_teardown(name, begin, end)
#define CASE_BY(name, rules) cmocka_unit_test_prestate_setup_teardown(name, begin, end, (void *)(uintptr_t)(rules))
		CASE(lease_and_release),
		CASE(short_lease),
		CASE(second_device_of_a_group),
		CASE(end_of_session),
		CASE(open_waits_for_a_release),
		CASE(who_waits_may_leave),
		CASE(client_leaves_before_the_answer),
		CASE(taken_back_before_the_answer),
		CASE(keeper_refuses),
		CASE(released_before_accepted),
		CASE(released_of_another),
		CASE(nonsense),
		CASE(nonsense_as_an_answer),
		CASE(unknown_event),
		CASE(the_host_says_no),
		CASE(group_cannot_be_opened),
		CASE(unplugged_and_back),
		CASE(changes_were_missed),
		CASE(unplugged_while_claimed),
		CASE(taken_and_gone),
		CASE(direct_takes_the_group_along),
		CASE(direct_waits_for_other_devices),
		CASE(taken_and_there),
		CASE_BY(limits_of_the_rule, window_rules),
		CASE(limits_without_a_word),
		CASE(windows_of_the_second_device),
		CASE_BY(rule_of_a_long_name, long_rules),
		CASE(no_module),
		CASE(module_out_of_reach),
		CASE(stop_waits_for_keepers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
