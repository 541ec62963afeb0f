/* SPDX-License-Identifier: MIT */
#include "host/claim.h"
#include "host/host.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NAME "0000:01:00.0"

/* ---- a host of one device, with the kernel's rules, in memory that a dying child shares ---- */

static struct machine {
	bool present;
	char driver[DRIVER_NAME_SIZE];
	char override[DRIVER_NAME_SIZE];
	int failing;	 /* the call of this number fails ... */
	int error;	 /* ... with this */
	int dies_before; /* the process ends instead of making the call of this number */
	int calls;
} * machine;

/* Counts the calls; the one that was chosen fails, or never returns. */
static int step(void)
{
	int call = ++machine->calls;

	if (call == machine->dies_before)
		_exit(42);
	return call == machine->failing ? machine->error : 0;
}

static int look(const char *name, struct host_device *ret_device)
{
	int r = step();

	if (r < 0)
		return r;
	if (!machine->present)
		return -ENODEV;
	*ret_device = (struct host_device){.group = 1};
	snprintf(ret_device->name, sizeof ret_device->name, "%s", name);
	memcpy(ret_device->driver, machine->driver, sizeof machine->driver);
	return 0;
}

static int override_get(const char *name, char ret_driver[DRIVER_NAME_SIZE])
{
	int r = step();

	(void)name;
	if (r == 0)
		memcpy(ret_driver, machine->override, DRIVER_NAME_SIZE);
	return r;
}

static int override_set(const char *name, const char *driver)
{
	int r = step();

	(void)name;
	if (r == 0)
		snprintf(machine->override, sizeof machine->override, "%s", driver);
	return r;
}

static int driver_unbind(const char *name, const char *driver)
{
	int r = step();

	(void)name;
	if (r == 0 && strcmp(machine->driver, driver) != 0)
		return -ENODEV;
	if (r == 0)
		machine->driver[0] = '\0';
	return r;
}

static int driver_bind(const char *name, const char *driver)
{
	int r = step();

	(void)name;
	if (r < 0)
		return r;
	if (machine->driver[0])
		return -EBUSY;
	if (machine->override[0] && strcmp(machine->override, driver) != 0)
		return -ENODEV;
	snprintf(machine->driver, sizeof machine->driver, "%s", driver);
	return 0;
}

static const struct host host = {
	.read = look,
	.override_get = override_get,
	.override_set = override_set,
	.driver_unbind = driver_unbind,
	.driver_bind = driver_bind,
};

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

static void set_machine(const char *driver, const char *override)
{
	memset(machine, 0, sizeof *machine);
	machine->present = true;
	snprintf(machine->driver, sizeof machine->driver, "%s", driver);
	snprintf(machine->override, sizeof machine->override, "%s", override);
}

static void expect_machine(const char *driver, const char *override)
{
	assert_string_equal(machine->driver, driver);
	assert_string_equal(machine->override, override);
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
	return claim_restore(&host, directory, name, claim);
}

/* What the next broker does at its start. */
static void recall(int expected)
{
	found_count = 0;
	machine->failing = machine->dies_before = 0;
	assert_int_equal(claim_load(directory, restore_found, NULL), 0);
	assert_int_equal(found_count, expected);
}

/* ---- the way there and back ---- */

static void from_a_driver(void **state)
{
	struct claim *claim;

	(void)state;
	set_machine("nvme", "");
	assert_int_equal(claim_make(&host, directory, NAME, &claim), 0);
	expect_machine("vfio-pci", "vfio-pci");
	expect_record("nvme\n\n");
	assert_string_equal(claim->driver, "nvme");
	assert_string_equal(claim->override, "");
	assert_int_equal(claim_restore(&host, directory, NAME, claim), 0);
	expect_machine("nvme", "");
	assert_false(is_record(NAME));
}

static void from_a_driver_with_override(void **state)
{
	struct claim *claim;

	(void)state;
	set_machine("nvme2", "nvme2");
	assert_int_equal(claim_make(&host, directory, NAME, &claim), 0);
	expect_record("nvme2\nnvme2\n");
	expect_machine("vfio-pci", "vfio-pci");
	assert_int_equal(claim_restore(&host, directory, NAME, claim), 0);
	expect_machine("nvme2", "nvme2");
}

static void from_no_driver(void **state)
{
	struct claim *claim;

	(void)state;
	set_machine("", "");
	assert_int_equal(claim_make(&host, directory, NAME, &claim), 0);
	expect_record("\n\n");
	expect_machine("vfio-pci", "vfio-pci");
	assert_int_equal(claim_restore(&host, directory, NAME, claim), 0);
	expect_machine("", "");
	assert_false(is_record(NAME));
}

/* Somebody gave it to vfio-pci for good: that is not ours to undo. */
static void from_vfio(void **state)
{
	struct claim *claim = (void *)1;

	(void)state;
	set_machine("vfio-pci", "vfio-pci");
	assert_int_equal(claim_make(&host, directory, NAME, &claim), 0);
	assert_null(claim);
	assert_false(is_record(NAME));
	assert_int_equal(machine->calls, 1);
}

static void longest_names(void **state)
{
	char name[DRIVER_NAME_SIZE];
	struct claim *claim;

	(void)state;
	memset(name, 'd', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	set_machine(name, name);
	assert_int_equal(claim_make(&host, directory, NAME, &claim), 0);
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
		assert_int_equal(claim_make(&host, directory, NAME, &claim), 0);
		steps = machine->calls;
		assert_int_equal(claim_restore(&host, directory, NAME, claim), 0);
		assert_int_equal(steps, *drivers[i] ? 5 : 4);
		for (int k = 1; k <= steps; k++) {
			claim = (void *)1;
			set_machine(drivers[i], "");
			machine->failing = k;
			machine->error = -EIO;
			assert_int_equal(claim_make(&host, directory, NAME, &claim), -EIO);
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
	assert_int_equal(claim_make(&host, "/nonexistent", NAME, &claim), -ENOENT);
	expect_machine("nvme", "");
}

/* As long as vfio-pci may still have it, the record stays, and a later start gives the device back. */
static void any_step_of_restoring_fails(void **state)
{
	(void)state;
	for (int k = 1; k <= 4; k++) {
		struct claim *claim;

		set_machine("nvme", "");
		assert_int_equal(claim_make(&host, directory, NAME, &claim), 0);
		machine->calls = 0;
		machine->failing = k;
		machine->error = -EIO;
		assert_int_equal(claim_restore(&host, directory, NAME, claim), -EIO);
		if (strcmp(machine->driver, "vfio-pci") == 0) {
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
	assert_int_equal(claim_make(&host, directory, NAME, &claim), 0);
	machine->present = false;
	assert_int_equal(claim_restore(&host, directory, NAME, claim), 0);
	assert_false(is_record(NAME));
	assert_int_equal(claim_make(&host, directory, NAME, &claim), -ENODEV);
}

/* Somebody gave it another driver by hand meanwhile: that stands. */
static void driver_was_changed_by_hand(void **state)
{
	struct claim *claim;

	(void)state;
	set_machine("nvme", "");
	assert_int_equal(claim_make(&host, directory, NAME, &claim), 0);
	strcpy(machine->driver, "uio");
	assert_int_equal(claim_restore(&host, directory, NAME, claim), 0);
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
		machine->dies_before = restoring ? 0 : k;
		if (claim_make(&host, directory, NAME, &claim) != 0)
			_exit(1);
		machine->calls = 0;
		machine->dies_before = k;
		if (restoring && claim_restore(&host, directory, NAME, claim) != 0)
			_exit(2);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 42);
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
			machine->dies_before = 0;
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
		assert_int_equal(claim_make(&host, directory, NAME, &claim), 0);
		free(claim);
		machine->calls = 0;
		machine->dies_before = k;
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			claim_load(directory, restore_found, NULL);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WEXITSTATUS(status), 42);
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
		assert_int_equal(machine->calls, 0);
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
	assert_int_equal(machine->calls, 0);
}

/* The broker was killed while it wrote it, before it changed anything. */
static void partial_records_are_removed(void **state)
{
	(void)state;
	set_machine("nvme", "");
	put_record(NAME ".new", "nv");
	recall(0);
	assert_false(is_record(NAME ".new"));
	assert_int_equal(machine->calls, 0);
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
	assert_int_equal(claim_make(&host, directory, NAME, &claim), -ELOOP);
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

	machine = mmap(NULL, sizeof *machine, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (machine == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
