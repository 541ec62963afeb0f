/* SPDX-License-Identifier: MIT */
#include "actors.h"
#include "base/limits.h"
#include "base/store.h"
#include "broker_kill.h"
#include "broker_world.h"
#include "fd_store.h"
#include "front/front.h"
#include "front_process.h"
#include "helper_process.h"
#include "input.h"
#include "isolation.h"
#include "lease/group.h"
#include "log.h"
#include "memory_host.h"
#include "policy/policy_text.h"
#include "service/service.h"
#include "service_keepers.h"
#include "state/broker.h"
#include "state/inventory.h"
#include "state/quarantine_state.h"
#include "virtual_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <systemd/sd-login.h>
#include <unistd.h>

/*
 * The whole service: the broker, fronts, helpers and keepers as they are, on a host in memory and the fake kernel, with
 * clients of two users, hot-plug, failures, deaths, also of the broker, and time. What it must never do is in check()
 * (after each step), in actors.c (the protocol), in isolation.h and in finish() (when everybody has gone, everything is
 * as before).
 *
 * The input is a sequence of steps. 1 byte: the lowest 3 bits are an enum actor_step or an enum world_step, the next
 * 4 say who; with the highest, the servers do not get their turn before the next step. Then what the step wants.
 */
enum world_step {
	WORLD_HOST = ACTOR_STEPS, /* 1 byte: enum host_step or process_step, and what about */
	WORLD_KEEPER,		  /* 1 byte: enum keeper_step */
	WORLD_TIME,		  /* who says how much; or that the broker is killed: enum broker_step */
};

/* What happens until there is another one. */
enum broker_step {
	BROKER_KILLED = 12,
	BROKER_KILLED_KEEPERS_RUN,
	BROKER_KILLED_TIME_PASSES,
	BROKER_KILLED_TWICE,
};

enum host_step {
	HOST_PLUG,
	HOST_UNPLUG,
	HOST_TAKES_DRIVER, /* somebody gives a device without driver one */
	HOST_DIES,
	HOST_LIVES,
	HOST_FAILS,
	HOST_WORKS,
	HOST_STRANGER, /* another program has the group open, or no more */
};

/* In the place of a host_step: bytes from 128 on. */
enum process_step {
	FRONT_DIES,
	FRONT_STICKS,
	FRONT_GOES_ON,
	HELPER_DIES,
	HELPER_STICKS,
	HELPER_GOES_ON,
	HELPER_DIES_IN_ORDER, /* its next: after so many calls to the kernel, or before the answer */
	PROCESS_STEPS,
};

enum keeper_step {
	KEEPER_DIES,
	KEEPER_STICKS,
	KEEPER_GOES_ON,
	KEEPER_KERNEL_FAILS,
	KEEPER_KERNEL_WORKS,
	KEEPER_UNPLUG,
	KEEPER_VANISHES,
	KEEPER_REAPPEARS,
};

#define STEPS_MAX    96
#define ROUNDS_MAX   64
#define GROUPS_COUNT 3

static struct broker broker;
static sd_event *event;
static struct actors actors;
static int groups[GROUPS_COUNT], strangers[GROUPS_COUNT];
static struct broker_world world;
static bool taken_over; /* by another broker, at least once */

/* The sessions that the last broker had when it was killed. */
#define SESSIONS_MAX 32
static uint64_t inherited[SESSIONS_MAX];
static size_t inherited_count;

static const struct host_device devices_at_start[] = {
	{.name = "0000:01:00.0", .driver = "nvme", .group = 1, .vendor = 0x1b36, .device = 0x10, .class = 0x010802},
	{.name = "0000:02:00.0", .driver = "", .group = 2, .vendor = 0x1234, .device = 0x11e8, .class = 0x00ff00},
	{.name = "0000:02:00.1", .driver = "vfio-pci", .group = 2, .vendor = 0x1234, .device = 0x11e8, .class = 0xff00},
	{.name = "0000:03:00.0", .driver = "vfio-pci", .group = 3, .vendor = 0x1234, .device = 0x11e8, .class = 0xff00},
};
#define DEVICES_COUNT (sizeof devices_at_start / sizeof devices_at_start[0])
#define STUBBORN      2 /* of these, see isolation.h */

/* Of devices that clients ask for: one is not there. */
static const char *const names[] = {"0000:01:00.0", "0000:02:00.0", "0000:02:00.1", "0000:03:00.0", "0000:04:00.0"};

/* ---- who clients are ---- */

static const uid_t uids[ACTORS_SESSIONS] = {1000, 1001, 1000, 0};

int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *size);
int __wrap_sd_pid_get_unit(pid_t pid, char **ret_unit);

/* All clients are this process: what the kernel would say of a client. There is little room for replies, so that a
 * client who does not read is soon found out. */
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
	int r = __real_getsockopt(fd, level, option, value, size), little = 1, client = -1;

	if (r == 0 && level == SOL_SOCKET && option == SO_PEERCRED)
		client = broker_world_client(fd);
	if (client >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
		((struct ucred *)value)->uid = uids[client];
	}
	return r;
}

int __wrap_sd_pid_get_unit(pid_t pid, char **ret_unit)
{
	(void)pid;
	(void)ret_unit;
	return -ENODATA;
}

static int connect_session(size_t i)
{
	return broker_world_connect(&world, (unsigned int)i);
}

/* ---- the kernel's groups ---- */

/* As tests/fake/file_hardware.c: the lock belongs to the open file and goes with its fd to the keeper. */
static int open_group(uint32_t group)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[32];
	int fd;

	if (group < 1 || group > GROUPS_COUNT)
		return -ENOENT;
	snprintf(path, sizeof path, "/proc/self/fd/%d", groups[group - 1]);
	fd = open(path, O_RDWR | O_CLOEXEC);
	INPUT_ASSERT(fd >= 0);
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return fd;
	close(fd);
	return -EBUSY;
}

static void make_groups(void)
{
	for (uint32_t number = 1; number <= GROUPS_COUNT; number++) {
		const char *in_group[DEVICES_COUNT + 1] = {NULL};
		size_t count = 0;

		for (size_t i = 0; i < DEVICES_COUNT; i++) {
			if (devices_at_start[i].group == number)
				in_group[count++] = devices_at_start[i].name;
		}
		groups[number - 1] = keepers_group(number, in_group);
		INPUT_ASSERT(groups[number - 1] >= 0);
	}
}

/* ---- the world ---- */

/* What clients send along: domains, then eventfds, then what is wrong everywhere. */
enum { DOMAINS = 2, EVENTFDS = 2, THINGS = DOMAINS + EVENTFDS + 6 };
static int things[THINGS];

static void make_things(void)
{
	int at = 0, ends[2];

	for (int i = 0; i < DOMAINS; i++)
		things[at++] = keepers_container();
	for (int i = 0; i < EVENTFDS; i++)
		things[at++] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	INPUT_ASSERT(pipe2(ends, O_CLOEXEC) == 0);
	things[at++] = ends[0];
	things[at++] = ends[1];
	things[at++] = open("/dev/null", O_RDWR | O_CLOEXEC);
	things[at++] = groups[0];
	things[at++] = memfd_create("memory", MFD_CLOEXEC);
	things[at++] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	for (int i = 0; i < THINGS; i++)
		INPUT_ASSERT(things[i] >= 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(-1);
	/* Opens what a keeper opens once. */
	keepers_init();
	broker_world_make(&world, "fuzz_service");
	make_groups();
	make_things();
	memory_host->group_open = open_group;
	actors.connect = connect_session;
	actors.names = names;
	actors.name_count = sizeof names / sizeof names[0];
	actors.fds = things;
	actors.fd_count = THINGS;
	actors.domain_count = DOMAINS;
	return 0;
}

/* ---- turns ---- */

static bool run_broker(void)
{
	int turns = 0;

	while (turns < 32 && sd_event_run(event, 0) > 0)
		turns++;
	return turns > 0;
}

/* As systemd does, as long as there is room for another process. */
static bool start_keepers(void)
{
	int fd, count = 0;

	while (keepers_running() < KEEPERS_SLOTS &&
		(fd = accept4(world.keeper_listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		INPUT_ASSERT(keepers_start(fd) == 0);
		count++;
	}
	return count > 0;
}

static bool run_processes(void)
{
	bool more = start_keepers();

	more = broker_world_start_processes(&world) || more;
	for (size_t i = 0; i < KEEPERS_SLOTS; i++)
		more = keepers_step(i) || more;
	more = front_process_step() || more;
	return helpers_step() || more;
}

static void run(void)
{
	bool more = true;

	for (int round = 0; more && round < ROUNDS_MAX; round++) {
		more = run_broker();
		more = run_processes() || more;
	}
}

static void pass(uint64_t microseconds)
{
	virtual_clock_pass(microseconds);
	run();
}

/* ---- what always holds ---- */

static const struct session *find_session(uint64_t id)
{
	const struct session *session = NULL;
	const struct front *front;

	LIST_FOREACH(front, &broker.fronts, in_broker)
		session = session ? session : front_find(front, id);
	return session;
}

/* Nobody loses a session by the end of a broker. */
static void check_inherited(void)
{
	for (size_t i = 0; i < inherited_count; i++)
		INPUT_ASSERT(!front_process_has(inherited[i]) || find_session(inherited[i]));
}

static unsigned int sessions_of(const struct user *user)
{
	const struct session *session;
	const struct front *front;
	unsigned int count = 0;

	LIST_FOREACH(front, &broker.fronts, in_broker) {
		for (session = front_first(front); session; session = front_next(session))
			count += session->user == user;
	}
	return count;
}

static void check_session(const struct session *session)
{
	const struct device *device;
	const struct lease *lease;
	unsigned int sessions = sessions_of(session->user), leases = 0, own = 0;

	LIST_FOREACH(lease, &session->leases, in_session) {
		INPUT_ASSERT(lease->session == session && lease->device->lease == lease);
		own++;
	}
	LIST_FOREACH(device, &broker.inventory.devices, in_inventory)
		leases += device->lease && device->lease->user == session->user;
	INPUT_ASSERT(session->leases_count == own);
	INPUT_ASSERT(session->user->sessions == sessions && session->user->leases == leases);
	INPUT_ASSERT(sessions <= broker.options->sessions_per_user);
	/* Leases of earlier brokers come to those that the user has begun since (takeover.h). */
	INPUT_ASSERT(leases <= broker.options->leases_per_user || taken_over);
}

static void check_group(const struct iommu_group *group)
{
	const struct device *device;

	INPUT_ASSERT(!group->keeper || group->keeper->group == group);
	INPUT_ASSERT(!group->session || group->state == GROUP_HELD);
	INPUT_ASSERT(keepers_with_group(group->number) <= 1);
	LIST_FOREACH(device, &group->devices, in_group) {
		INPUT_ASSERT(device->group == group);
		if (!device->lease)
			continue;
		INPUT_ASSERT(group->state != GROUP_FREE);
		/* What is being taken back is its session's until it is gone. */
		INPUT_ASSERT(!device->lease->session || device->lease->session == group->session ||
			group->state != GROUP_HELD);
	}
}

static void check_front(const struct front *front)
{
	const struct session *session;
	unsigned int sessions = 0;

	for (session = front_first(front); session; session = front_next(session)) {
		INPUT_ASSERT(session->front == front && session->peer.uid == front->owner);
		check_session(session);
		sessions++;
	}
	INPUT_ASSERT(front->sessions_count == sessions);
	INPUT_ASSERT(sessions == 0 || (front->role == FRONT_OWNED && front->state != FRONT_ENDING));
}

static void check(void)
{
	unsigned int sessions = 0, leases = 0, keepers = 0;
	const struct front *front;
	const struct device *device;
	const struct keeper *keeper;
	const struct iommu_group *group;

	LIST_FOREACH(front, &broker.fronts, in_broker) {
		check_front(front);
		sessions += front->sessions_count;
	}
	LIST_FOREACH(device, &broker.inventory.devices, in_inventory) {
		INPUT_ASSERT(keepers_with_device(device->name) <= 1);
		leases += device->lease != NULL;
	}
	LIST_FOREACH(group, &broker.inventory.groups, in_inventory)
		check_group(group);
	LIST_FOREACH(keeper, &broker.keepers, in_broker) {
		INPUT_ASSERT(
			keeper == broker.spare ? !keeper->group : keeper->group && keeper->group->keeper == keeper);
		keepers++;
	}
	INPUT_ASSERT(broker.sessions_count == sessions && broker.leases_count == leases);
	INPUT_ASSERT(broker.keepers_count == keepers);
	check_inherited();
	isolation_check(&broker);
}

/* ---- steps ---- */

static void end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void step_process(size_t who, uint8_t byte)
{
	switch ((enum process_step)(byte % 8)) {
	case FRONT_DIES:
		front_process_kill(who % FRONT_SLOTS);
		break;
	case FRONT_STICKS:
	case FRONT_GOES_ON:
		front_process_stick(who % FRONT_SLOTS, byte % 8 == FRONT_STICKS);
		break;
	case HELPER_DIES:
		helpers_kill(who % HELPER_SLOTS);
		break;
	case HELPER_STICKS:
	case HELPER_GOES_ON:
		helpers_stick(who % HELPER_SLOTS, byte % 8 == HELPER_STICKS);
		break;
	case HELPER_DIES_IN_ORDER:
		helpers_kill_in_order(who % HELPER_SLOTS, byte >> 3 & 3);
		break;
	case PROCESS_STEPS:
		break;
	}
}

static void step_host(size_t who, uint8_t byte)
{
	static const int errors[] = {EIO, EBUSY, ENOENT, ENODEV};
	struct memory_device *device = &memory_host->devices[who % DEVICES_COUNT];
	int *stranger = &strangers[who % GROUPS_COUNT];

	if (byte & 0x80) {
		step_process(who, byte);
		return;
	}
	switch ((enum host_step)(byte % 8)) {
	case HOST_PLUG:
	case HOST_UNPLUG:
		memory_host_plug(who % DEVICES_COUNT, byte % 8 == HOST_PLUG);
		break;
	case HOST_TAKES_DRIVER:
		if (device->present && !device->device.driver[0] && !device->override[0])
			memory_hardware.driver_bind(device->device.name, "e1000");
		memory_host->failed = true;
		break;
	case HOST_DIES:
	case HOST_LIVES:
		device->dead = byte % 8 == HOST_DIES;
		break;
	case HOST_FAILS:
		memory_host->failures[who % MEMORY_STEPS] = errors[byte >> 3 & 3];
		break;
	case HOST_WORKS:
		memory_host->failures[who % MEMORY_STEPS] = 0;
		break;
	case HOST_STRANGER:
		if (*stranger >= 0)
			end(stranger);
		else
			*stranger = open_group(1 + (uint32_t)(who % GROUPS_COUNT));
		break;
	}
}

static void step_keeper(size_t who, uint8_t byte)
{
	static const int errors[] = {EIO, EINVAL, ENOSPC, ENODEV, EBUSY, ENOMEM, EPERM, ENOTTY};

	switch ((enum keeper_step)(byte % 8)) {
	case KEEPER_DIES:
		keepers_kill(who % KEEPERS_SLOTS);
		break;
	case KEEPER_STICKS:
	case KEEPER_GOES_ON:
		keepers_stick(who % KEEPERS_SLOTS, byte % 8 == KEEPER_STICKS);
		break;
	case KEEPER_KERNEL_FAILS:
		keepers_fail((unsigned int)who + (byte & 8 ? 16 : 0), errors[byte >> 4 & 7]);
		break;
	case KEEPER_KERNEL_WORKS:
		keepers_fail((unsigned int)who + (byte & 8 ? 16 : 0), 0);
		break;
	case KEEPER_UNPLUG:
		keepers_request(groups[who % GROUPS_COUNT]);
		break;
	case KEEPER_VANISHES:
	case KEEPER_REAPPEARS:
		keepers_vanish(groups[who % GROUPS_COUNT], byte % 8 == KEEPER_VANISHES);
		break;
	}
}

static void start_broker(void)
{
	static const char rules[] = "[deny one]\naddress = 0000:03:00.0\nuser = 1001\n"
				    "[allow strict]\naddress = 0000:01:00.0\nuser = *\nrebind = yes\n"
				    "[allow all]\naddress = *\nuser = *\nrebind = yes\nwindows = 3\n"
				    "reset = same-user\nsettle = 1s\n";
	static struct stored stored[FD_STORE_MAX];
	static struct broker_options options;
	const struct policy_error no_error = {.text = ""};
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error;

	options = (struct broker_options){.keeper_socket = world.keeper_socket,
		.front_socket = world.front_socket,
		.helper_socket = world.helper_socket,
		.claims_directory = world.claims,
		.quarantine_directory = world.quarantine,
		.sessions_per_user = 2,
		.leases_per_user = 3,
		.stored = stored,
		.stored_count = fd_store_pass(stored)};
	INPUT_ASSERT(sd_event_new(&event) >= 0);
	INPUT_ASSERT(policy_read(policy, "fuzz.conf", rules, &error) == 0);
	INPUT_ASSERT(service_init(&broker, event, &memory_host_functions, &options, policy, &no_error,
			     broker_world_listener(&world)) == 0);
}

static void end_broker(void)
{
	service_clear(&broker);
	sd_event_unref(event);
}

static void kill_broker(void)
{
	const struct session *session;
	const struct front *front;

	inherited_count = 0;
	LIST_FOREACH(front, &broker.fronts, in_broker) {
		for (session = front_first(front); session; session = front_next(session)) {
			INPUT_ASSERT(inherited_count < SESSIONS_MAX);
			inherited[inherited_count++] = session->id;
		}
	}
	broker_kill(&broker);
	sd_event_unref(event);
}

static void run_others(void)
{
	for (int round = 0; round < 4; round++)
		run_processes();
}

/* The roll of each front has all its sessions. */
static void start_next_broker(void)
{
	start_broker();
	for (size_t i = 0; i < inherited_count; i++)
		INPUT_ASSERT(find_session(inherited[i]));
}

static void step_broker(enum broker_step step)
{
	kill_broker();
	if (step == BROKER_KILLED_KEEPERS_RUN || step == BROKER_KILLED_TIME_PASSES)
		run_others();
	if (step == BROKER_KILLED_TIME_PASSES)
		virtual_clock_pass(6000000);
	start_next_broker();
	if (step == BROKER_KILLED_TWICE) {
		kill_broker();
		start_next_broker();
	}
	taken_over = true;
}

static void step(struct input *input)
{
	static const uint64_t times[] = {1000, 5000, 30000, 1100000, 6000000, 16000000};
	uint8_t byte = input_byte(input);
	size_t who = byte >> 3 & 15;

	switch (byte & 7) {
	case WORLD_HOST:
		step_host(who, input_byte(input));
		break;
	case WORLD_KEEPER:
		step_keeper(who, input_byte(input));
		break;
	case WORLD_TIME:
		if (who >= BROKER_KILLED) {
			step_broker((enum broker_step)who);
			break;
		}
		virtual_clock_pass(times[who % 6]);
		break;
	default:
		actors_step(&actors, (enum actor_step)(byte & 7), who, input);
		break;
	}
	if (!(byte & 0x80))
		run();
	check();
}

/* ---- beginning and end ---- */

static void start(void)
{
	virtual_clock_reset();
	keepers_init();
	helpers_init();
	inherited_count = 0;
	actors_init(&actors);
	memory_host_reset(devices_at_start, DEVICES_COUNT);
	for (size_t i = 0; i < GROUPS_COUNT; i++) {
		strangers[i] = -1;
		keepers_vanish(groups[i], false);
	}
	isolation_begin(STUBBORN, groups[devices_at_start[STUBBORN].group - 1]);
	taken_over = false;
	start_broker();
	run();
}

static bool all_free(void)
{
	const struct iommu_group *group;

	LIST_FOREACH(group, &broker.inventory.groups, in_inventory) {
		if (group->state != GROUP_FREE)
			return false;
	}
	return true;
}

/* Whatever was wrong with host and kernel is well again. */
static void heal(void)
{
	memset(memory_host->failures, 0, sizeof memory_host->failures);
	for (unsigned int i = 0; i < 32; i++)
		keepers_fail(i, 0);
	for (size_t i = 0; i < DEVICES_COUNT; i++)
		memory_host->devices[i].dead = false;
	for (size_t i = 0; i < KEEPERS_SLOTS; i++)
		keepers_stick(i, false);
	for (size_t i = 0; i < FRONT_SLOTS; i++)
		front_process_stick(i, false);
	helpers_heal();
	for (size_t i = 0; i < GROUPS_COUNT; i++)
		end(&strangers[i]);
}

static void expect_answers_soon(void)
{
	for (int i = 0; i < 25 && (i < 3 || actors_unanswered(&actors) > 0); i++) {
		pass(1000000);
		actors_read_all(&actors);
		run();
		check();
		actors_read_all(&actors);
	}
	INPUT_ASSERT(actors_unanswered(&actors) == 0);
}

/* Every request that was sent is answered in the end. */
static void expect_answers(void)
{
	expect_answers_soon();
	/* One whose deadline has come may be followed by the next on the same channel. */
	for (int i = 0; i < ACTORS_EXPECTED && actors_revoking(&actors) > 0; i++) {
		pass(UINT32_MAX * UINT64_C(1000));
		expect_answers_soon();
	}
	INPUT_ASSERT(actors_revoking(&actors) == 0);
}

/* Those that were not reset, or do not answer, stay with vfio-pci, on record. */
static bool held(const struct memory_device *device)
{
	const struct device *known = inventory_find(&broker.inventory, device->device.name);

	return known && quarantine_holds(known);
}

static size_t held_count(void)
{
	size_t count = 0;

	for (size_t i = 0; i < DEVICES_COUNT; i++)
		count += memory_host->devices[i].present && held(&memory_host->devices[i]);
	return count;
}

static void expect_drivers(void)
{
	for (size_t i = 0; i < DEVICES_COUNT && !memory_host->failed; i++) {
		const struct memory_device *device = &memory_host->devices[i];

		if (held(device))
			continue;
		INPUT_ASSERT(!device->present || strcmp(device->device.driver, device->at_start.driver) == 0);
		INPUT_ASSERT(!device->present || device->override[0] == '\0');
	}
	INPUT_ASSERT(memory_host->failed || broker_world_claims(&world) <= held_count());
}

/* As an administrator does, when nobody has anything any more. */
static void end_quarantines(void)
{
	struct device *device, *next;

	for (device = LIST_FIRST(&broker.inventory.devices); device; device = next) {
		next = LIST_NEXT(device, in_inventory);
		if (device->quarantine)
			group_end_quarantine(&broker, device);
	}
	pass(1000000);
}

/* When all clients have gone, everything is as before; without time for it if the host is well. */
static void expect_nothing_left(void)
{
	for (size_t i = 0; i < ACTORS_SESSIONS + ACTORS_DEVICES; i++)
		actor_end(&actors.all[i]);
	run();
	for (int i = 0; i < 40 && (i < 2 || !all_free()); i++)
		pass(1000000);
	check();
	INPUT_ASSERT(broker.sessions_count == 0 && broker.leases_count == 0 && all_free());
	INPUT_ASSERT(keepers_running() <= 1 && broker.keepers_count <= 1);
	for (size_t i = 0; i < GROUPS_COUNT; i++)
		INPUT_ASSERT(keepers_group_idle(groups[i]));
	end_quarantines();
	expect_drivers();
	/* One of each is in reserve. */
	pass(FRONT_IDLE_US);
	pass(FRONT_RETRY_US);
	INPUT_ASSERT(front_process_running() <= FRONTS_SPARE && broker.fronts_count <= FRONTS_SPARE);
	INPUT_ASSERT(helpers_running() <= HELPERS_IDLE && broker.helpers_count <= HELPERS_IDLE);
}

static void finish(void)
{
	heal();
	expect_answers();
	expect_nothing_left();
	end_broker();
	fd_store_clear();
	for (int i = 0; i < 8; i++)
		run_processes();
	INPUT_ASSERT(keepers_running() == 0 && front_process_running() == 0 && helpers_running() == 0);
	broker_world_turn_away(&world);
	broker_world_clear(&world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct input_run whole = {start, step, finish, STEPS_MAX};

	input_run(&whole, data, size);
	return 0;
}
