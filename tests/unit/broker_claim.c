/* SPDX-License-Identifier: MIT */
#include "host/claim.h"
#include "host/host.h"
#include "memory_host.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NAME "0000:01:00.0"

/* ---- a directory for records ---- */

static char directory[64];

static int begin(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/broker_claim.XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int end(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

/* The host's only device, in memory that a dying child shares. */
static struct memory_device *machine(void)
{
	return &memory_host->devices[0];
}

static void set_machine(const char *driver, const char *override)
{
	struct host_device device = {.name = NAME, .group = 1};

	snprintf(device.driver, sizeof device.driver, "%s", driver);
	memory_host_reset(&device, 1);
	snprintf(machine()->override, sizeof machine()->override, "%s", override);
}

static void expect_machine(const char *driver, const char *override)
{
	assert_string_equal(machine()->device.driver, driver);
	assert_string_equal(machine()->override, override);
}

static void path_of(char path[256], const char *name)
{
	snprintf(path, 256, "%s/%s", directory, name);
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

	path_of(path, NAME);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, found, sizeof found - 1) >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	close(fd);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_string_equal(found, text);
}

/* ---- recall ---- */

static int found_count;

static int restore_found(void *context, const char *name, struct claim *claim)
{
	(void)context;
	found_count++;
	return claim_restore(&memory_host_functions, directory, name, claim);
}

/* What the next broker does at its start. */
static void recall(int expected)
{
	found_count = 0;
	memory_host->fails_at = memory_host->dies_before = 0;
	assert_int_equal(claim_load(directory, restore_found, NULL), 0);
	assert_int_equal(found_count, expected);
}

/* ---- the way there and back ---- */

static void from_a_driver(void **state)
{
	struct claim *claim;

	(void)state;
	set_machine("nvme", "");
	assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), 0);
	expect_machine("vfio-pci", "vfio-pci");
	expect_record("nvme\n\n");
	assert_string_equal(claim->driver, "nvme");
	assert_string_equal(claim->override, "");
	assert_int_equal(claim_restore(&memory_host_functions, directory, NAME, claim), 0);
	expect_machine("nvme", "");
	assert_false(is_record(NAME));
}

static void from_a_driver_with_override(void **state)
{
	struct claim *claim;

	(void)state;
	set_machine("nvme2", "nvme2");
	assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), 0);
	expect_record("nvme2\nnvme2\n");
	expect_machine("vfio-pci", "vfio-pci");
	assert_int_equal(claim_restore(&memory_host_functions, directory, NAME, claim), 0);
	expect_machine("nvme2", "nvme2");
}

static void from_no_driver(void **state)
{
	struct claim *claim;

	(void)state;
	set_machine("", "");
	assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), 0);
	expect_record("\n\n");
	expect_machine("vfio-pci", "vfio-pci");
	assert_int_equal(claim_restore(&memory_host_functions, directory, NAME, claim), 0);
	expect_machine("", "");
	assert_false(is_record(NAME));
}

/* Somebody gave it to vfio-pci for good: that is not ours to undo. */
static void from_vfio(void **state)
{
	struct claim *claim = (void *)1;

	(void)state;
	set_machine("vfio-pci", "vfio-pci");
	assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), 0);
	assert_null(claim);
	assert_false(is_record(NAME));
	assert_int_equal(memory_host->calls, 1);
}

static void longest_names(void **state)
{
	char name[DRIVER_NAME_SIZE];
	struct claim *claim;

	(void)state;
	memset(name, 'd', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	set_machine(name, name);
	assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), 0);
	free(claim);
	recall(1);
	expect_machine(name, name);
}

/* ---- failures ---- */

/* However claim_make() fails, the device is as it was and nothing is left behind. */
static void any_step_of_making_fails(void **state)
{
	static const char *const drivers[] = {"nvme", ""};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int steps;
		struct claim *claim;

		set_machine(drivers[i], "");
		assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), 0);
		steps = memory_host->calls;
		assert_int_equal(claim_restore(&memory_host_functions, directory, NAME, claim), 0);
		assert_int_equal(steps, *drivers[i] ? 5 : 4);
		for (int k = 1; k <= steps; k++) {
			claim = (void *)1;
			set_machine(drivers[i], "");
			memory_host->fails_at = k;
			memory_host->fails_with = EIO;
			assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), -EIO);
			assert_ptr_equal(claim, (void *)1);
			expect_machine(drivers[i], "");
			assert_false(is_record(NAME));
		}
	}
}

/* No record, no claim: what could not be undone after a crash is not done. */
static void record_cannot_be_written(void **state)
{
	struct claim *claim;

	(void)state;
	set_machine("nvme", "");
	assert_int_equal(claim_make(&memory_host_functions, "/nonexistent", NAME, &claim), -ENOENT);
	expect_machine("nvme", "");
}

/* As long as vfio-pci may still have it, the record stays, and a later start gives the device back. */
static void any_step_of_restoring_fails(void **state)
{
	(void)state;
	for (int k = 1; k <= 4; k++) {
		struct claim *claim;

		set_machine("nvme", "");
		assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), 0);
		memory_host->calls = 0;
		memory_host->fails_at = k;
		memory_host->fails_with = EIO;
		assert_int_equal(claim_restore(&memory_host_functions, directory, NAME, claim), -EIO);
		if (strcmp(machine()->device.driver, "vfio-pci") == 0) {
			assert_true(is_record(NAME));
			recall(1);
			expect_machine("nvme", "");
		}
		assert_false(is_record(NAME));
	}
}

static void device_has_left(void **state)
{
	struct claim *claim;

	(void)state;
	set_machine("nvme", "");
	assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), 0);
	machine()->present = false;
	assert_int_equal(claim_restore(&memory_host_functions, directory, NAME, claim), 0);
	assert_false(is_record(NAME));
	assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), -ENODEV);
}

/* Somebody gave it another driver by hand meanwhile: that stands. */
static void driver_was_changed_by_hand(void **state)
{
	struct claim *claim;

	(void)state;
	set_machine("nvme", "");
	assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), 0);
	strcpy(machine()->device.driver, "uio");
	assert_int_equal(claim_restore(&memory_host_functions, directory, NAME, claim), 0);
	expect_machine("uio", "");
	assert_false(is_record(NAME));
}

/* ---- crashes ---- */

/* In a child that ends before its call number K of making or restoring. Returns true if it did not get that far. */
static bool completes(int k, bool restoring)
{
	struct claim *claim;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		memory_host->dies_before = restoring ? 0 : k;
		if (claim_make(&memory_host_functions, directory, NAME, &claim) != 0)
			_exit(1);
		memory_host->calls = 0;
		memory_host->dies_before = k;
		if (restoring && claim_restore(&memory_host_functions, directory, NAME, claim) != 0)
			_exit(2);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == MEMORY_HOST_DIED);
	return WEXITSTATUS(status) == 0;
}

static const struct before {
	const char *driver;
	const char *override;
} befores[] = {{"nvme", ""}, {"nvme", "nvme"}, {"", ""}, {"", "pci-stub"}};

static void crash(bool restoring)
{
	for (size_t i = 0; i < sizeof befores / sizeof *befores; i++) {
		bool done = false;
		int k;

		for (k = 1; !done; k++) {
			set_machine(befores[i].driver, befores[i].override);
			done = completes(k, restoring);
			found_count = 0;
			memory_host->dies_before = 0;
			assert_int_equal(claim_load(directory, restore_found, NULL), 0);
			expect_machine(befores[i].driver, befores[i].override);
			assert_false(is_record(NAME));
			recall(0);
		}
		/* look, override_get, override_set, (unbind,) bind; look, override_set, unbind(, bind) */
		assert_int_equal(k - 2, restoring ? (*befores[i].driver ? 4 : 3) : (*befores[i].driver ? 5 : 4));
	}
}

static void crash_while_making(void **state)
{
	(void)state;
	crash(false);
}

static void crash_while_restoring(void **state)
{
	(void)state;
	crash(true);
}

/* The next broker may be killed in the middle of undoing as well. */
static void crash_while_recalling(void **state)
{
	(void)state;
	for (int k = 1; k <= 4; k++) {
		struct claim *claim;
		int status;
		pid_t pid;

		set_machine("nvme", "");
		assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), 0);
		free(claim);
		memory_host->calls = 0;
		memory_host->dies_before = k;
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			claim_load(directory, restore_found, NULL);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WEXITSTATUS(status), MEMORY_HOST_DIED);
		recall(1);
		expect_machine("nvme", "");
		assert_false(is_record(NAME));
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
		set_machine("vfio-pci", "vfio-pci");
		put_record(NAME, texts[i]);
		recall(0);
		assert_false(is_record(NAME));
		assert_int_equal(memory_host->calls, 0);
	}
}

static void other_files_are_not_touched(void **state)
{
	static const char *const names[] = {"README", "0000:01:00.0.new.old", "x.new", ".new", "0000:01:00.8",
		"0000:01:00.0 ", "a-name-that-is-longer-than-any-device-has"};

	(void)state;
	set_machine("vfio-pci", "vfio-pci");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		put_record(names[i], "nvme\n\n");
	recall(0);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_true(is_record(names[i]));
	assert_int_equal(memory_host->calls, 0);
}

/* The broker was killed while it wrote it, before it changed anything. */
static void partial_records_are_removed(void **state)
{
	(void)state;
	set_machine("nvme", "");
	put_record(NAME ".new", "nv");
	recall(0);
	assert_false(is_record(NAME ".new"));
	assert_int_equal(memory_host->calls, 0);
}

static void links_are_not_followed(void **state)
{
	char path[256], target[256];
	struct claim *claim;

	(void)state;
	set_machine("nvme", "");
	path_of(path, NAME ".new");
	path_of(target, "target");
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(claim_make(&memory_host_functions, directory, NAME, &claim), -ELOOP);
	expect_machine("nvme", "");
	assert_int_equal(access(target, F_OK), -1);
	put_record("target", "nvme\n\n");
	path_of(path, NAME);
	assert_int_equal(symlink(target, path), 0);
	recall(0);
	assert_false(is_record(NAME));
	assert_true(is_record("target"));
}

static void no_directory(void **state)
{
	(void)state;
	assert_int_equal(claim_load("/nonexistent", restore_found, NULL), 0);
	assert_int_equal(claim_load("/dev/null", restore_found, NULL), -ENOTDIR);
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
	put_record(NAME, "nvme\n\n");
	assert_int_equal(claim_load(directory, stop_at_first, NULL), -ENOMEM);
	assert_true(is_record(NAME));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
		CASE(from_a_driver),
		CASE(from_a_driver_with_override),
		CASE(from_no_driver),
		CASE(from_vfio),
		CASE(longest_names),
		CASE(any_step_of_making_fails),
		CASE(record_cannot_be_written),
		CASE(any_step_of_restoring_fails),
		CASE(device_has_left),
		CASE(driver_was_changed_by_hand),
		CASE(crash_while_making),
		CASE(crash_while_restoring),
		CASE(crash_while_recalling),
		CASE(senseless_records_are_removed),
		CASE(other_files_are_not_touched),
		CASE(partial_records_are_removed),
		CASE(links_are_not_followed),
		CASE(no_directory),
		CASE(recall_hands_errors_on),
	};

	if (memory_host_share() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
