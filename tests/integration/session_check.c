/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <sys/stat.h>
#include <unistd.h>

/*
 * CHECK says what OPEN does: in each state of the host, for each device and each caller, CHECK has no obstacle if and
 * only if OPEN succeeds, and the refusal of OPEN is one of CHECK's obstacles.
 */

/* ---- who asks ---- */

enum caller {
	HOLDER, /* root, and has what is leased in a state */
	ROOT,	/* root with another session */
	USER,	/* STRANGER: fewer rules fit */
	CALLERS_COUNT,
};

static const char *const caller_names[CALLERS_COUNT] = {"the holder", "root", "a user"};
static struct vbroker_session *callers[CALLERS_COUNT];
static struct vbroker_device *leased[3]; /* in the present state */

static void callers_begin(void)
{
	callers[HOLDER] = session_begin();
	callers[ROOT] = session_begin();
	assert_int_equal(chmod(world()->directory, 0711), 0);
	assert_int_equal(chmod(world()->broker_socket, 0666), 0);
	/* The kernel tells the broker the effective user of the moment. */
	assert_int_equal(setegid(STRANGER), 0);
	assert_int_equal(seteuid(STRANGER), 0);
	callers[USER] = session_begin();
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(setegid(0), 0);
}

static void callers_end(void)
{
	for (size_t i = 0; i < CALLERS_COUNT; i++)
		vbroker_session_close(callers[i]);
}

/* ---- one question ---- */

static const char *const names[] = {EDU, EDU_2, NVME, TWIN, TWIN_2, MIXED, MIXED_NIC, NO_IOMMU, DEAD, VIRTIO, LOCKED,
	NOBODYS, BARE, STUBBED, "0000:00:1f.0"};
#define NAMES_COUNT (sizeof names / sizeof *names)

/* A sibling that left its driver for a lease is RESTORING until the lease ends. */
static bool is_moving(
	const struct vbroker_device_entry *entries, size_t count, const struct vbroker_device_entry *entry)
{
	bool restoring = entry->state == VBROKER_STATE_RESTORING;

	for (size_t i = 0; i < count && restoring; i++)
		restoring = entries[i].group != entry->group || entries[i].state != VBROKER_STATE_LEASED;
	return restoring || entry->state == VBROKER_STATE_CLAIMING || entry->state == VBROKER_STATE_RELEASING;
}

/* Waits until nothing is on the way from a state to another: OPEN waits for that, CHECK does not. */
static void await_calm(void)
{
	for (int i = 0; i < WAITS; i++) {
		struct vbroker_device_entry *entries;
		bool calm = true;
		size_t count;

		expect_ok(vbroker_list_devices(callers[ROOT], &entries, &count));
		for (size_t k = 0; k < count; k++)
			calm = calm && !is_moving(entries, count, &entries[k]);
		free(entries);
		if (calm)
			return;
		nap(2);
	}
	fail_msg("a device does not come to rest");
}

static void describe(const struct vbroker_obstacle *obstacles, size_t count)
{
	print_error("  CHECK: %zu obstacles\n", count);
	for (size_t i = 0; i < count; i++)
		print_error("    %s: %s\n", vbroker_refusal_name(obstacles[i].refusal), obstacles[i].detail);
}

/* Whether CHECK and OPEN of CALLER say the same of NAME; *RET_RESULT is OPEN's. */
static bool agree(const char *state, enum caller caller, const char *name, int *ret_result)
{
	struct vbroker_obstacle *obstacles;
	struct vbroker_device *device;
	size_t count;
	bool named;
	int claim;

	expect_ok(vbroker_session_check(callers[caller], name, &obstacles, &count, &claim));
	*ret_result = vbroker_device_open(callers[caller], name, &device);
	named = *ret_result == 0 && count == 0;
	for (size_t i = 0; i < count; i++)
		named = named || obstacles[i].refusal == *ret_result;
	if (!named) {
		print_error("%s: %s, asked by %s\n  OPEN: %s: %s\n", state, name, caller_names[caller],
			*ret_result < 0 ? strerror(-*ret_result) : vbroker_refusal_name(*ret_result), vbroker_detail());
		describe(obstacles, count);
	}
	free(obstacles);
	if (*ret_result == 0)
		vbroker_device_close(device);
	await_calm();
	return named;
}

/* ---- states ---- */

/* A state of the host, and an answer that proves that the state is there. */
struct state {
	const char *name;
	void (*begin)(void);
	void (*end)(void);
	const char *device;
	enum caller caller;
	int result;
};

static void compare(const struct state *state)
{
	unsigned int disagreements = 0;
	bool seen = false;

	if (state->begin)
		state->begin();
	await_calm();
	for (size_t i = 0; i < NAMES_COUNT; i++) {
		for (enum caller caller = HOLDER; caller < CALLERS_COUNT; caller++) {
			int result;

			/* Where nothing is leased, the holder is root like any other. */
			if (caller == ROOT && !leased[0])
				continue;
			disagreements += !agree(state->name, caller, names[i], &result);
			if (strcmp(names[i], state->device) != 0 || caller != state->caller)
				continue;
			if (result != state->result)
				fail_msg("%s: OPEN of %s by %s says %s", state->name, names[i], caller_names[caller],
					vbroker_refusal_name(result));
			seen = true;
		}
	}
	assert_true(seen);
	assert_int_equal(disagreements, 0);
	if (state->end)
		state->end();
	await_calm();
}

static void compare_all(const struct state *states, size_t count)
{
	callers_begin();
	for (size_t i = 0; i < count; i++)
		compare(&states[i]);
	callers_end();
	world_settle();
}
#define COMPARE_ALL(states) compare_all(states, sizeof(states) / sizeof *(states))

/* ---- states: somebody has it ---- */

static void lease(enum caller caller)
{
	leased[0] = device_begin(callers[caller], EDU);
	leased[1] = device_begin(callers[caller], NVME);
	leased[2] = device_begin(callers[caller], TWIN);
}

static void lease_by_holder(void)
{
	lease(HOLDER);
}

static void lease_by_user(void)
{
	lease(USER);
}

/* With the sibling that leaves its driver for the lease. */
static void lease_with_sibling(void)
{
	leased[0] = device_begin(callers[HOLDER], MIXED);
}

static void lease_end(void)
{
	for (size_t i = 0; i < 3; i++) {
		vbroker_device_close(leased[i]);
		leased[i] = NULL;
	}
}

static int nodes[3];

/* By programs to which root gave the nodes by hand. */
static void hold_nodes(void)
{
	static const char *const groups[] = {"1", "3", "5"};
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	for (size_t i = 0; i < 3; i++) {
		char path[128];

		snprintf(path, sizeof path, "%s/groups/%s", world()->directory, groups[i]);
		nodes[i] = open(path, O_RDWR | O_CLOEXEC);
		assert_true(nodes[i] >= 0);
		assert_int_equal(fcntl(nodes[i], F_OFD_SETLK, &lock), 0);
	}
}

static void close_nodes(void)
{
	for (size_t i = 0; i < 3; i++)
		close(nodes[i]);
}

/* ---- states: the host ---- */

static void move(const char *from, const char *to)
{
	char from_path[160], to_path[160];

	snprintf(from_path, sizeof from_path, "%s/%s", world()->directory, from);
	snprintf(to_path, sizeof to_path, "%s/%s", world()->directory, to);
	assert_int_equal(rename(from_path, to_path), 0);
}

static void no_vfio_driver(void)
{
	move("drivers/vfio-pci", "drivers/.away");
}

static void vfio_driver_again(void)
{
	move("drivers/.away", "drivers/vfio-pci");
}

static void no_nodes(void)
{
	move("groups/1", "groups/.1");
	move("groups/4", "groups/.4");
}

static void nodes_again(void)
{
	move("groups/.1", "groups/1");
	move("groups/.4", "groups/4");
}

static void use(void)
{
	host_write("devices/" NVME "/use", "mounted on /srv by /dev/nvme0n1");
	host_write("devices/" MIXED_NIC "/use", "eth0 is up");
	host_write("devices/" STUBBED "/use", "unknown");
}

static void no_use(void)
{
	host_write("devices/" NVME "/use", "");
	host_write("devices/" MIXED_NIC "/use", "");
	host_write("devices/" STUBBED "/use", "");
}

static size_t devices_count(void)
{
	struct vbroker_device_entry *entries;
	size_t count;

	expect_ok(vbroker_list_devices(callers[ROOT], &entries, &count));
	free(entries);
	return count;
}

static void await_devices(size_t count)
{
	for (int i = 0; i < WAITS && devices_count() != count; i++)
		nap(2);
	assert_int_equal(devices_count(), count);
}

#define IN_ALL 14

static void unplug(void)
{
	move("devices/" EDU, "unplugged");
	await_devices(IN_ALL - 1);
}

static void plug(void)
{
	move("unplugged", "devices/" EDU);
	await_devices(IN_ALL);
}

/* The broker reads the new link when the device comes. */
static void set_physfn(const char *physfn)
{
	host_write("devices/" STUBBED "/physfn", physfn);
	move("devices/" STUBBED, "unplugged");
	await_devices(IN_ALL - 1);
	move("unplugged", "devices/" STUBBED);
	await_devices(IN_ALL);
}

/* NVME is the physical function of a virtual one, which does not survive a change of driver. */
static void make_virtual(void)
{
	set_physfn(NVME);
}

static void unmake_virtual(void)
{
	set_physfn("");
}

/* The host driver has gone while its device was leased: the device cannot go back. */
static void strand(void)
{
	struct vbroker_device *device = device_begin(callers[HOLDER], NVME);

	move("drivers/nvme", "drivers/.nvme");
	vbroker_device_close(device);
}

static void unstrand(void)
{
	move("drivers/.nvme", "drivers/nvme");
	/* The next try may be a minute away. */
	vbroker_device_close(device_begin(callers[ROOT], NVME));
	await_driver(NVME, "nvme");
}

/* ---- states: quarantine ---- */

static const struct quarantined {
	const char *name;
	unsigned int group;
} quarantined[] = {{EDU, 1}, {EDU_2, 2}, {TWIN, 4}, {BARE, 11}};
#define QUARANTINED_COUNT (sizeof quarantined / sizeof *quarantined)

static void set_resets(bool there)
{
	for (size_t i = 0; i < QUARANTINED_COUNT; i++)
		host_set_reset(quarantined[i].group, quarantined[i].name, there);
}

static void set_failures(int error)
{
	for (size_t i = 0; i < QUARANTINED_COUNT; i++)
		host_group(quarantined[i].group)->failures[FAKE_RESET] = error;
}

/* A user may not take BARE. */
static void use_all(enum caller caller)
{
	for (size_t i = 0; i < QUARANTINED_COUNT; i++)
		device_use(callers[strcmp(quarantined[i].name, BARE) == 0 ? HOLDER : caller], quarantined[i].name);
}

static void lose_resets(void)
{
	set_resets(false);
	use_all(HOLDER);
}

static void lose_resets_of_user(void)
{
	set_resets(false);
	use_all(USER);
}

static void fail_resets(void)
{
	set_failures(ETIMEDOUT);
	use_all(HOLDER);
}

static void kill_keepers(void)
{
	pid_t pids[KEEPERS_MAX];
	size_t count = keepers(pids);

	for (size_t i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
}

/* Nobody has reported the end of the lease, and nobody can reset the device. */
static void lose_keepers(void)
{
	set_resets(false);
	for (size_t i = 0; i < QUARANTINED_COUNT; i++) {
		struct vbroker_device *device = device_begin(callers[HOLDER], quarantined[i].name);
		struct vbroker_domain *domain = domain_begin();

		expect_ok(vbroker_device_bind(device, domain));
		kill_keepers();
		await_calm();
		vbroker_device_close(device);
		vbroker_domain_close(domain);
		world_await_spare(callers[ROOT]);
	}
}

static void fall_silent(void)
{
	for (size_t i = 0; i < QUARANTINED_COUNT; i++) {
		struct vbroker_device *device = device_begin(callers[HOLDER], quarantined[i].name);
		struct vbroker_domain *domain = domain_begin();
		char below[64];

		expect_ok(vbroker_device_bind(device, domain));
		snprintf(below, sizeof below, "devices/%s/answers", quarantined[i].name);
		host_write(below, "no");
		vbroker_device_close(device);
		vbroker_domain_close(domain);
		await_calm();
		host_write(below, "yes");
	}
}

/* Of those that no lease could free: the others are reset by the next lease. */
static void release_all(void)
{
	set_resets(true);
	set_failures(0);
	for (size_t i = 0; i < QUARANTINED_COUNT; i++) {
		struct vbroker_unquarantined released;
		int r = vbroker_session_unquarantine(
			callers[ROOT], quarantined[i].name, VBROKER_UNQUARANTINE_FORCE, &released);

		assert_true(r == 0 || r == VBROKER_NOT_QUARANTINED);
		await_calm();
		device_use(callers[ROOT], quarantined[i].name);
	}
}

static struct vbroker_device *stuck;
static struct vbroker_domain *stuck_domain;

/* A client that keeps the kernel from letting go of its group, whose keeper therefore stays. */
static void stick(void)
{
	struct vbroker_session *session = session_begin();

	stuck = device_begin(session, EDU);
	stuck_domain = domain_begin();
	expect_ok(vbroker_device_bind(stuck, stuck_domain));
	host_group(1)->hang = true;
	vbroker_session_close(session);
	await_device_state(callers[ROOT], EDU, VBROKER_STATE_QUARANTINED);
}

static void unstick(void)
{
	host_group(1)->hang = false;
	vbroker_device_close(stuck);
	vbroker_domain_close(stuck_domain);
	await_device_state(callers[ROOT], EDU, VBROKER_STATE_FREE);
}

/* ---- the tests ---- */

/* Root may take more devices from their drivers than others. */
static const struct world_options rules = {
	.policy = "[deny locked]\naddress = " LOCKED "\nuser = *\n"
		  "[allow root]\naddress = " NVME " " BARE " " MIXED_NIC " " STUBBED "\nuser = 0\nrebind = yes\n"
		  "reset = optional\nsettle = 0ms\n"
		  "[allow lab]\naddress = " NVME "\nuser = *\nrebind = yes\n"
		  "[allow same]\naddress = " EDU_2 "\nuser = *\nreset = same-user\nsettle = 0ms\n"
		  "[allow any]\naddress = " EDU " " TWIN " " TWIN_2 " " MIXED " " BARE " " MIXED_NIC "\n"
		  "address = " NO_IOMMU " " DEAD " " VIRTIO " " STUBBED "\nuser = *\n"};

static void check_is_what_open_does(void **state)
{
	static const struct state states[] = {
		{"all is free", NULL, NULL, EDU, USER, 0},
		{"the same, anew", NULL, NULL, BARE, USER, VBROKER_DENIED},
		{"leased by root", lease_by_holder, lease_end, TWIN_2, HOLDER, 0},
		{"leased by a user", lease_by_user, lease_end, EDU, HOLDER, VBROKER_DEVICE_BUSY},
		{"leased with a sibling", lease_with_sibling, lease_end, MIXED_NIC, HOLDER, 0},
		{"held by a foreigner", hold_nodes, close_nodes, NVME, HOLDER, VBROKER_DEVICE_BUSY},
		{"no vfio-pci", no_vfio_driver, vfio_driver_again, NVME, HOLDER, VBROKER_DEVICE_BAD_STATE},
		{"no nodes", no_nodes, nodes_again, EDU, USER, VBROKER_DEVICE_BAD_STATE},
		{"in use", use, no_use, MIXED, HOLDER, VBROKER_IN_USE},
		{"unplugged", unplug, plug, EDU, HOLDER, VBROKER_NO_SUCH_DEVICE},
		{"with a virtual function", make_virtual, unmake_virtual, NVME, HOLDER, VBROKER_GROUP_NOT_VIABLE},
		{"stranded", strand, unstrand, NVME, HOLDER, 0},
	};

	(void)state;
	COMPARE_ALL(states);
}

static void check_is_what_open_does_in_quarantine(void **state)
{
	static const struct state states[] = {
		{"no reset", lose_resets, release_all, EDU_2, HOLDER, 0},
		{"no reset after a user", lose_resets_of_user, release_all, EDU_2, HOLDER, VBROKER_QUARANTINED},
		{"failed reset", fail_resets, release_all, TWIN_2, USER, VBROKER_QUARANTINED},
		{"no report", lose_keepers, release_all, EDU, HOLDER, VBROKER_QUARANTINED},
		{"no answer", fall_silent, release_all, BARE, HOLDER, VBROKER_QUARANTINED},
		{"a keeper is stuck", stick, unstick, EDU, HOLDER, VBROKER_QUARANTINED},
	};

	(void)state;
	COMPARE_ALL(states);
}

static void hold_two(void)
{
	leased[0] = device_begin(callers[HOLDER], EDU);
	leased[1] = device_begin(callers[USER], EDU_2);
}

static const struct world_options limits = {.policy = "[limits all]\nuser = *\ndevices = 1\n"
						      "[allow lab]\naddress = *\nuser = *\nrebind = yes\n"};

static void check_is_what_open_does_at_a_limit(void **state)
{
	static const struct state states[] = {
		{"a limit is reached", hold_two, lease_end, TWIN, USER, VBROKER_QUOTA},
	};

	(void)state;
	COMPARE_ALL(states);
}

static const struct world_options mistaken = {.policy = "[allow a]\nclass = *\nuser = *\n[allow b]\nusr = x\n"};

static void check_is_what_open_does_without_rules(void **state)
{
	static const struct state states[] = {
		{"no policy", NULL, NULL, EDU, HOLDER, VBROKER_DENIED},
	};

	(void)state;
	COMPARE_ALL(states);
}

static const struct world_options no_keepers = {.no_keepers = true};

static void check_is_what_open_does_without_keepers(void **state)
{
	static const struct state states[] = {
		{"no keeper", NULL, NULL, EDU, HOLDER, VBROKER_NO_KEEPER},
	};

	(void)state;
	COMPARE_ALL(states);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_IN(check_is_what_open_does, &rules),
		CASE_IN(check_is_what_open_does_in_quarantine, &rules),
		CASE_IN(check_is_what_open_does_at_a_limit, &limits),
		CASE_IN(check_is_what_open_does_without_rules, &mistaken),
		CASE_IN(check_is_what_open_does_without_keepers, &no_keepers),
	};

	return HARNESS_RUN(argc, argv, "check", tests);
}
