/* SPDX-License-Identifier: MIT */
#include "broker_bench.h"
#include "host/claim.h"
#include "lease/group.h"
#include "state/inventory.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* A device goes from its host driver to vfio-pci and back, by a whole broker and helpers in this process; and the
 * records that outlive a broker. */

/* ---- the machine ---- */

/* C, the device that is claimed, in memory that a dying child shares. */
static struct memory_device *machine(void)
{
	return &memory_host->devices[2];
}

static void set_machine(const char *driver, const char *override)
{
	memset(machine()->device.driver, 0, sizeof machine()->device.driver);
	strcpy(machine()->device.driver, driver);
	strcpy(machine()->override, override);
	machine()->present = true;
	memory_host->calls = memory_host->fails_at = memory_host->dies_before = 0;
}

static void expect_machine(const char *driver, const char *override)
{
	assert_string_equal(machine()->device.driver, driver);
	assert_string_equal(machine()->override, override);
}

/* ---- records ---- */

static void path_of(char path[256], const char *name)
{
	snprintf(path, 256, "%s/%s", claims, name);
}

static void put_record(const char *name, const char *text)
{
	char path[256];
	int fd;

	path_of(path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static bool is_record(const char *name)
{
	char path[256];

	path_of(path, name);
	return access(path, F_OK) == 0;
}

static void expect_record(const char *text)
{
	char path[256], found[128] = "";
	struct stat status;
	int fd;

	path_of(path, C);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, found, sizeof found - 1) >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	close(fd);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_string_equal(found, text);
}

static int found_count;

static int count_found(void *context, const char *name, struct claim *claim)
{
	(void)context;
	(void)name;
	found_count++;
	free(claim);
	return 0;
}

static void recall(int expected)
{
	found_count = 0;
	assert_int_equal(claim_load(claims, count_found, NULL), 0);
	assert_int_equal(found_count, expected);
}

/* ---- a lease ---- */

static void await_free(uint32_t number)
{
	for (int i = 0; i < 3000 && group(number)->state != GROUP_FREE; i++)
		tick(1000);
	assert_int_equal(group(number)->state, GROUP_FREE);
}

/* The end of a lease: the device is back when the function returns. */
static void give_back(int client, int keeper)
{
	close(client);
	close(keeper);
	turn();
	await_free(2);
}

static void there_and_back(const char *driver, const char *override, const char *record)
{
	int keeper = keeper_start(), client;

	set_machine(driver, override);
	client = client_with(C, keeper);
	expect_machine("vfio-pci", "vfio-pci");
	expect_record(record);
	give_back(client, keeper);
	expect_machine(driver, override);
	assert_false(is_record(C));
}

static void from_a_driver(void **state)
{
	(void)state;
	there_and_back("nvme", "", "nvme\n\n");
}

static void from_a_driver_with_override(void **state)
{
	(void)state;
	there_and_back("nvme2", "nvme2", "nvme2\nnvme2\n");
}

static void from_no_driver(void **state)
{
	(void)state;
	there_and_back("", "", "\n\n");
}

/* ---- siblings ---- */

static void set_driver(size_t i, const char *driver)
{
	struct memory_device *device = &memory_host->devices[i];

	memset(device->device.driver, 0, sizeof device->device.driver);
	strcpy(device->device.driver, driver);
}

static void expect_drivers(const char *a, const char *b)
{
	assert_string_equal(memory_host->devices[0].device.driver, a);
	assert_string_equal(memory_host->devices[1].device.driver, b);
}

/* Two functions with host drivers, in one group. */
static void siblings_go_and_come_together(void **state)
{
	int keeper = keeper_start(), client;

	(void)state;
	set_driver(0, "snd_hda_intel");
	set_driver(1, "nouveau");
	client = client_with(A, keeper);
	expect_drivers("vfio-pci", "vfio-pci");
	assert_true(is_record(A));
	assert_true(is_record(B));
	/* The second of them is there to be had by the same session. */
	client_gets(client, B, keeper, false);
	close(client);
	close(keeper);
	turn();
	await_free(1);
	expect_drivers("snd_hda_intel", "nouveau");
	assert_false(is_record(A));
	assert_false(is_record(B));
}

/* The device that is opened needs no claim, its sibling does. */
static void sibling_alone_is_claimed(void **state)
{
	int keeper = keeper_start(), client;

	(void)state;
	set_driver(1, "nouveau");
	client = client_with(A, keeper);
	expect_drivers("vfio-pci", "vfio-pci");
	assert_false(is_record(A));
	close(client);
	close(keeper);
	turn();
	await_free(1);
	expect_drivers("vfio-pci", "nouveau");
}

/* All or none, whichever step fails. */
static void siblings_stay_if_one_cannot_go(void **state)
{
	int refused = 0, keeper = keeper_start();
	bool reached = true;

	(void)state;
	for (int k = 1; reached; k++) {
		int client = client_new(), r;

		set_driver(0, "snd_hda_intel");
		set_driver(1, "nouveau");
		memory_host->calls = 0;
		memory_host->fails_at = k;
		memory_host->fails_with = EIO;
		client_open(client, A);
		reached = memory_host->calls >= k;
		memory_host->fails_at = 0;
		r = client_answer(client, NULL);
		refused += r != -EAGAIN;
		close(client);
		/* The broker sees its end first: a keeper that ends before a lease would be followed by another. */
		turn();
		if (!broker.spare || group(1)->state != GROUP_FREE) {
			close(keeper);
			turn();
			keeper = keeper_start();
		}
		turn();
		await_free(1);
		expect_drivers("snd_hda_intel", "nouveau");
		assert_false(is_record(A));
		assert_false(is_record(B));
	}
	close(keeper);
	turn();
	/* twice: its override, setting it, unbinding, binding; and the looks, the ids, and the group's node */
	assert_true(refused >= 12);
}

static void sibling_without_a_rule_is_in_the_way(void **state)
{
	struct detail detail;
	int client = client_new();

	(void)state;
	set_driver(0, "snd_hda_intel");
	set_driver(1, "nouveau");
	client_open(client, A);
	assert_int_equal(client_answer(client, &detail), REFUSAL_GROUP_NOT_VIABLE);
	assert_non_null(strstr(detail.text, B));
	assert_non_null(strstr(detail.text, "nouveau"));
	expect_drivers("snd_hda_intel", "nouveau");
	close(client);
	turn();
}

static void longest_names(void **state)
{
	char name[DRIVER_NAME_SIZE], record[2 * DRIVER_NAME_SIZE + 1];

	(void)state;
	memset(name, 'd', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	snprintf(record, sizeof record, "%s\n%s\n", name, name);
	there_and_back(name, name, record);
}

/* Somebody gave it to vfio-pci for good: that is not ours to undo. */
static void from_vfio(void **state)
{
	int keeper = keeper_start(), client;

	(void)state;
	set_machine("vfio-pci", "vfio-pci");
	client = client_with(C, keeper);
	recall(0);
	give_back(client, keeper);
	expect_machine("vfio-pci", "vfio-pci");
}

/* ---- failures ---- */

/* However OPEN fails, the device is as it was and nothing is left behind. */
static void any_step_of_making_fails(void **state)
{
	static const char *const drivers[] = {"nvme", ""};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int refused = 0, keeper = keeper_start();
		bool reached = true;

		for (int k = 1; reached; k++) {
			int client = client_new(), r;

			set_machine(drivers[i], "");
			memory_host->fails_at = k;
			memory_host->fails_with = EIO;
			client_open(client, C);
			reached = memory_host->calls >= k;
			memory_host->fails_at = 0;
			r = client_answer(client, NULL);
			refused += r != -EAGAIN;
			close(client);
			turn();
			/* The keeper is given the group, or was about to be. */
			if (!broker.spare || group(2)->state != GROUP_FREE) {
				close(keeper);
				turn();
				keeper = keeper_start();
			}
			turn();
			await_free(2);
			expect_machine(drivers[i], "");
			assert_false(is_record(C));
		}
		close(keeper);
		turn();
		/* reading it, looking, its override, setting it, (unbinding,) binding, and the group's node */
		assert_true(refused >= (*drivers[i] ? 8 : 7));
	}
}

/* No record, no claim: what could not be undone after a crash is not done. */
static void record_cannot_be_written(void **state)
{
	int keeper = keeper_start(), client = client_new();

	(void)state;
	set_machine("nvme", "");
	assert_int_equal(rmdir(claims), 0);
	client_open(client, C);
	assert_int_equal(client_answer(client, NULL), REFUSAL_DEVICE_BAD_STATE);
	give_back(client, keeper);
	expect_machine("nvme", "");
}

/* What the next broker does at its start. */
static void next_broker(void)
{
	end_broker();
	memory_host->fails_at = memory_host->dies_before = 0;
	start_broker(NULL);
	await_free(2);
}

/* As long as vfio-pci may still have it, the record stays, and a later start gives the device back. */
static void any_step_of_restoring_fails(void **state)
{
	bool reached = true;

	(void)state;
	for (int k = 1; reached; k++) {
		int keeper = keeper_start(), client;

		set_machine("nvme", "");
		client = client_with(C, keeper);
		memory_host->calls = 0;
		memory_host->fails_at = k;
		memory_host->fails_with = EIO;
		give_back(client, keeper);
		reached = memory_host->calls >= k;
		if (strcmp(machine()->device.driver, "vfio-pci") == 0)
			assert_true(is_record(C));
		if (is_record(C))
			next_broker();
		/* It was the reset that failed: an administrator lets the device go back. */
		if (inventory_find(&broker.inventory, C)->quarantine) {
			group_end_quarantine(&broker, inventory_find(&broker.inventory, C));
			await_free(2);
		}
		assert_string_not_equal(machine()->device.driver, "vfio-pci");
		assert_false(is_record(C));
	}
}

static void device_has_left(void **state)
{
	int keeper = keeper_start(), client;

	(void)state;
	set_machine("nvme", "");
	client = client_with(C, keeper);
	memory_host_plug(2, false);
	close(client);
	close(keeper);
	turn();
	recall(0);
}

/* Somebody gave it another driver by hand meanwhile: that stands. */
static void driver_was_changed_by_hand(void **state)
{
	int keeper = keeper_start(), client;

	(void)state;
	set_machine("nvme", "");
	client = client_with(C, keeper);
	strcpy(machine()->device.driver, "uio");
	give_back(client, keeper);
	expect_machine("uio", "");
	assert_false(is_record(C));
}

/* ---- drivers that come and go ---- */

static void await_machine(const char *driver)
{
	for (int i = 0; i < 10000 && strcmp(machine()->device.driver, driver) != 0; i++)
		tick(1000);
	await_free(2);
	expect_machine(driver, "");
}

/* C was taken from nvme, and nvme takes nothing now. */
static void make_stranded(void)
{
	int keeper = keeper_start(), client;

	set_machine("nvme", "");
	client = client_with(C, keeper);
	memory_host->failures[MEMORY_BIND] = ENOENT;
	give_back(client, keeper);
	expect_machine("", "");
	expect_record("nvme\n\n");
	assert_int_equal(inventory_find(&broker.inventory, C)->claim->error, -ENOENT);
}

/* The claim stays, and is tried again: after a while, when a driver appears, and by the next broker. */
static void host_driver_that_is_gone_is_waited_for(void **state)
{
	(void)state;
	make_stranded();
	memory_host->failures[MEMORY_BIND] = 0;
	await_machine("nvme");
	assert_false(is_record(C));
	make_stranded();
	memory_host_tell(HOST_DRIVER, "");
	turn();
	await_free(2);
	expect_machine("", "");
	expect_record("nvme\n\n");
	memory_host->failures[MEMORY_BIND] = 0;
	memory_host_tell(HOST_DRIVER, "");
	turn();
	await_free(2);
	expect_machine("nvme", "");
	assert_false(is_record(C));
	make_stranded();
	memory_host->failures[MEMORY_BIND] = 0;
	next_broker();
	expect_machine("nvme", "");
	assert_false(is_record(C));
}

/* The device is free meanwhile. Without the host driver nobody needs a rule with rebind; with it, everybody does. */
static void stranded_device_can_be_leased(void **state)
{
	int keeper, client;

	(void)state;
	make_stranded();
	memory_host->failures[MEMORY_BIND] = 0;
	keeper = keeper_start();
	client = client_with(C, keeper);
	expect_record("nvme\n\n");
	give_back(client, keeper);
	expect_machine("nvme", "");
	assert_false(is_record(C));
}

/* Root, or the kernel, gives the device to a driver: nothing is left to do. */
static void stranded_device_is_taken(void **state)
{
	(void)state;
	make_stranded();
	strcpy(machine()->device.driver, "nvme");
	memory_host_tell(HOST_BOUND, C);
	turn();
	await_free(2);
	assert_false(is_record(C));
	assert_null(inventory_find(&broker.inventory, C)->claim);
}

/* The kernel would have given the device to the driver, had the device not been leased. */
static void driver_that_appears_gets_the_device(void **state)
{
	int keeper = keeper_start(), client;

	(void)state;
	set_machine("", "");
	strcpy(memory_host->new_driver, "nvme");
	client = client_with(C, keeper);
	give_back(client, keeper);
	/* Was there before: root may have unbound the device from it. */
	expect_machine("", "");
	keeper = keeper_start();
	client = client_with(C, keeper);
	memory_host_tell(HOST_DRIVER, "");
	expect_record("\n\nappeared\n");
	give_back(client, keeper);
	expect_machine("nvme", "");
	assert_false(is_record(C));
}

/* By record, for the next broker. */
static void driver_that_appears_is_on_record(void **state)
{
	(void)state;
	set_machine("vfio-pci", "vfio-pci");
	strcpy(memory_host->new_driver, "nvme");
	put_record(C, "\n\nappeared\n");
	next_broker();
	expect_machine("nvme", "");
	assert_false(is_record(C));
}

/* ---- crashes ---- */

/* In a child that ends before its call number K of making, restoring, or recalling. Returns true if the child did not
 * get that far. */
enum act { MAKING, RESTORING, RECALLING };

static void act(enum act what, int k)
{
	int keeper, client;

	if (what == RECALLING) {
		memory_host->calls = 0;
		memory_host->dies_before = k;
		start_broker(NULL);
		await_free(2);
		return;
	}
	start_broker(NULL);
	keeper = keeper_start();
	memory_host->calls = 0;
	if (what == MAKING)
		memory_host->dies_before = k;
	client = client_with(C, keeper);
	if (what == MAKING)
		return;
	memory_host->calls = 0;
	memory_host->dies_before = k;
	give_back(client, keeper);
}

static bool completes(enum act what, int k)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		act(what, k);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == MEMORY_HOST_DIED);
	memory_host->dies_before = 0;
	return WEXITSTATUS(status) == 0;
}

static const struct before {
	const char *driver;
	const char *override;
} befores[] = {{"nvme", ""}, {"nvme", "nvme"}, {"", ""}, {"", "pci-stub"}};

static int crash_begin(void **state)
{
	(void)state;
	make_machine();
	make_directory();
	return 0;
}

static int crash_end(void **state)
{
	(void)state;
	remove_directory();
	return 0;
}

/* The devices go back although the broker, and the helper with it, may end at any time. */
static void crash(enum act what)
{
	for (size_t i = 0; i < sizeof befores / sizeof *befores; i++) {
		bool done = false;
		int k;

		for (k = 1; !done; k++) {
			set_machine(befores[i].driver, befores[i].override);
			done = completes(what, k);
			start_broker(NULL);
			await_free(2);
			expect_machine(befores[i].driver, befores[i].override);
			assert_false(is_record(C));
			end_broker();
		}
		/* each order, and what the broker reads before */
		assert_true(k > (*befores[i].driver ? 8 : 7));
	}
}

static void crash_while_making(void **state)
{
	(void)state;
	crash(MAKING);
}

static void crash_while_restoring(void **state)
{
	(void)state;
	crash(RESTORING);
}

/* The next broker may be killed in the middle of undoing as well. */
static void crash_while_recalling(void **state)
{
	bool done = false;

	(void)state;
	for (int k = 1; !done; k++) {
		set_machine("vfio-pci", "vfio-pci");
		put_record(C, "nvme\n\n");
		done = completes(RECALLING, k);
		start_broker(NULL);
		await_free(2);
		expect_machine("nvme", "");
		assert_false(is_record(C));
		end_broker();
	}
}

/* ---- records that make no sense ---- */

static void senseless_records_are_removed(void **state)
{
	static const char *const texts[] = {"", "nvme", "nvme\n", "nvme\nnvme", "a-driver-with-far-too-long-a-name\n\n",
		"x\na-driver-with-far-too-long-a-name\n",
		"a-driver-with-far-too-long-a-name-that-does-not-even-fit-the-buffer-it-is-read-into-of-66-bytes\n\n"};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		put_record(C, texts[i]);
		recall(0);
		assert_false(is_record(C));
	}
}

static void other_files_are_not_touched(void **state)
{
	static const char *const names[] = {"README", "0000:02:00.0.new.old", "x.new", ".new", "0000:01:00.8",
		"0000:02:00.0 ", "a-name-that-is-longer-than-any-device-has"};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		put_record(names[i], "nvme\n\n");
	recall(0);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_true(is_record(names[i]));
}

/* The broker was killed while it wrote it, before it changed anything. */
static void partial_records_are_removed(void **state)
{
	(void)state;
	put_record(C ".new", "nv");
	recall(0);
	assert_false(is_record(C ".new"));
}

static void links_are_not_followed(void **state)
{
	char path[256], target[256];
	const struct claim claim = {.driver = "nvme"};

	(void)state;
	path_of(path, C ".new");
	path_of(target, "target");
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(claim_write(claims, C, &claim), -ELOOP);
	assert_int_equal(access(target, F_OK), -1);
	put_record("target", "nvme\n\n");
	path_of(path, C);
	assert_int_equal(symlink(target, path), 0);
	recall(0);
	assert_false(is_record(C));
	assert_true(is_record("target"));
}

static void no_directory(void **state)
{
	(void)state;
	assert_int_equal(claim_load("/nonexistent", count_found, NULL), 0);
	assert_int_equal(claim_load("/dev/null", count_found, NULL), -ENOTDIR);
}

static int stop_at_first(void *context, const char *name, struct claim *claim)
{
	(void)context;
	(void)name;
	free(claim);
	return -ENOMEM;
}

static void recall_hands_errors_on(void **state)
{
	(void)state;
	put_record(C, "nvme\n\n");
	assert_int_equal(claim_load(claims, stop_at_first, NULL), -ENOMEM);
	assert_true(is_record(C));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name)  cmocka_unit_test_setup_teardown(name, begin, end)
#define CRASH(name) cmocka_unit_test_setup_teardown(name, crash_begin, crash_end)
		CASE(from_a_driver),
		CASE(from_a_driver_with_override),
		CASE(from_no_driver),
		CASE(from_vfio),
		CASE(longest_names),
		CASE(siblings_go_and_come_together),
		CASE(sibling_alone_is_claimed),
		CASE(siblings_stay_if_one_cannot_go),
		cmocka_unit_test_prestate_setup_teardown(sibling_without_a_rule_is_in_the_way, begin, end,
			(void *)"[allow one]\naddress = " A "\nuser = *\nrebind = yes\n"),
		CASE(any_step_of_making_fails),
		CASE(record_cannot_be_written),
		CASE(any_step_of_restoring_fails),
		CASE(device_has_left),
		CASE(driver_was_changed_by_hand),
		CASE(host_driver_that_is_gone_is_waited_for),
		CASE(stranded_device_can_be_leased),
		CASE(stranded_device_is_taken),
		CASE(driver_that_appears_gets_the_device),
		CASE(driver_that_appears_is_on_record),
		CRASH(crash_while_making),
		CRASH(crash_while_restoring),
		CRASH(crash_while_recalling),
		CRASH(senseless_records_are_removed),
		CRASH(other_files_are_not_touched),
		CRASH(partial_records_are_removed),
		CRASH(links_are_not_followed),
		CRASH(no_directory),
		CRASH(recall_hands_errors_on),
	};

	if (memory_host_share() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
