/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include "bus.h"

#include <linux/vfio.h>
#include <sys/mman.h>
#include <sys/stat.h>

/*
 * Register windows from policy file to mapping. The fake module's windows are copies of registers, and a keeper that is
 * killed cannot take them back: what of them is the kernel's doing, tests/vm has.
 */

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX
#define PAGE   UINT64_C(0x1000)

/* Lines are numbered in refusals: the rules begin at 1, 4, 10 and 14. */
static const char window_policy[] = "[allow free]\naddress = " EDU " " TWIN " " TWIN_2 "\nuser = *\n"
				    "[allow doorbells]\naddress = " EDU_2 "\nuser = *\n"
				    "windows = 2\nwindow-size = 12K\nwindow-range = 0:0x1000-0x3fff 2\n"
				    "[allow none]\naddress = " NVME "\nuser = *\nrebind = yes\nwindows = 0\n";

static const struct world_options with_policy = {.policy = window_policy};

/* ---- a client ---- */

static struct client {
	struct vbroker_session *session;
	struct vbroker_domain *domain;
	struct vbroker_device *device;
} client;

static void load_module(void)
{
	host_write("window", "");
}

static void begin(const char *name)
{
	client.session = session_begin();
	client.domain = domain_begin();
	client.device = device_begin(client.session, name);
	expect_ok(vbroker_device_bind(client.device, client.domain));
}

static void finish(void)
{
	vbroker_device_close(client.device);
	vbroker_domain_close(client.domain);
	vbroker_session_close(client.session);
	world_settle();
}

static struct vbroker_window *window_begin(uint64_t offset, uint64_t length, unsigned int flags)
{
	struct vbroker_window *window = NULL;

	expect_ok(vbroker_window_open(client.device, BAR0, offset, length, flags, &window));
	return window;
}

static volatile uint8_t *window_mapped(struct vbroker_window *window)
{
	volatile void *address = NULL;

	expect_ok(vbroker_window_map(window, &address));
	return address;
}

static void refused(uint32_t region, uint64_t offset, uint64_t length, int refusal, const char *words)
{
	struct vbroker_window *window = NULL;

	expect_refused(vbroker_window_open(client.device, region, offset, length, 0, &window), refusal, words);
	assert_null(window);
}

/* ---- using them ---- */

static void loads_and_stores(void **state)
{
	struct vbroker_window *window;
	volatile uint8_t *registers;
	uint64_t value;

	(void)state;
	load_module();
	begin(EDU);
	expect_ok(vbroker_region_write(client.device, BAR0, 0x1008, 8, 0x1122334455667788));
	window = window_begin(PAGE, 2 * PAGE, VBROKER_WINDOW_WRITE);
	registers = window_mapped(window);
	assert_int_equal(vbroker_load32(registers + 8), 0x55667788);
	assert_int_equal(vbroker_load16(registers + 14), 0x1122);
	assert_int_equal(vbroker_load8(registers + 8), 0x88);
	assert_true(vbroker_load64(registers + 8) == 0x1122334455667788);
	vbroker_store32(registers + PAGE, 5);
	assert_int_equal(vbroker_load32(registers + PAGE), 5);
	/* commands go on beside it */
	expect_ok(vbroker_region_read(client.device, BAR0, FAKE_REG_ID, 4, &value));
	assert_int_equal(value, 0x010000ed);
	vbroker_window_close(window);
	refused(CONFIG, 0, PAGE, VBROKER_UNSUPPORTED, "region 7 of " EDU " cannot be mapped");
	refused(BAR0, FAKE_MSIX_TABLE, PAGE, VBROKER_UNSUPPORTED, "the MSI-X table of " EDU);
	refused(BAR0, 0, 100, VBROKER_MALFORMED, "0x64");
	refused(BAR0, 0, 0, VBROKER_MALFORMED, "empty");
	refused(BAR0, FAKE_BAR0_SIZE, PAGE, VBROKER_MALFORMED, "0x10000");
	expect_ok(vbroker_device_unbind(client.device));
	refused(BAR0, 0, PAGE, VBROKER_NOT_BOUND, NULL);
	finish();
}

/* A window's descriptor works in whatever process it gets to, and ends there, too. */
static void in_another_process(void **state)
{
	struct vbroker_window *window;
	int pair[2], status;
	char byte;
	pid_t pid;

	(void)state;
	load_module();
	begin(EDU);
	window = window_begin(0, PAGE, VBROKER_WINDOW_WRITE);
	unit_pair(pair);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		volatile uint8_t *registers =
			mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vbroker_window_fd(window), 0);

		if (registers == MAP_FAILED)
			_exit(1);
		vbroker_store32(registers + 0x100, 77);
		if (send(pair[1], "", 1, 0) != 1 || recv(pair[1], &byte, 1, 0) != 1)
			_exit(2);
		_exit(bus_error(registers) ? 0 : 3);
	}
	assert_int_equal(recv(pair[0], &byte, 1, 0), 1);
	assert_int_equal(vbroker_load32(window_mapped(window) + 0x100), 77);
	vbroker_device_close(client.device);
	client.device = NULL;
	assert_int_equal(send(pair[0], "", 1, 0), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	vbroker_window_close(window);
	close(pair[0]);
	close(pair[1]);
	finish();
}

/* ---- without the module ---- */

static void no_module(void **state)
{
	(void)state;
	begin(EDU);
	refused(BAR0, 0, PAGE, VBROKER_WINDOW_UNAVAILABLE, EDU);
	refused(BAR0, 0, PAGE, VBROKER_WINDOW_UNAVAILABLE, "/dev/vfio/window");
	expect_ok(vbroker_device_reset(client.device));
	/* that is no fault, and not logged as one */
	assert_null(strstr(host_read("log"), "no register windows"));
	finish();
	/* a lease after it was loaded has them */
	load_module();
	begin(EDU);
	vbroker_window_close(window_begin(0, PAGE, 0));
	finish();
}

/* A node that cannot be opened: a warning, and the device all the same. */
static void module_out_of_reach(void **state)
{
	static const char warning[] = EDU ": no register windows: /dev/vfio/window: Is a directory";
	char path[128];
	const char *found;

	(void)state;
	snprintf(path, sizeof path, "%s/window", world()->directory);
	assert_int_equal(mkdir(path, 0700), 0);
	begin(EDU);
	refused(BAR0, 0, PAGE, VBROKER_WINDOW_UNAVAILABLE, NULL);
	found = strstr(host_read("log"), warning);
	assert_non_null(found);
	assert_null(strstr(found + strlen(warning), "no register windows"));
	finish();
}

/* ---- what the policy says ---- */

static void policy_ranges(void **state)
{
	static const char rule[] = "\"doorbells\" (", line[] = "/policy/10-test.conf:4)";

	(void)state;
	load_module();
	begin(EDU_2);
	refused(BAR0, 0, PAGE, VBROKER_DENIED, rule);
	refused(BAR0, 0, PAGE, VBROKER_DENIED, line);
	refused(BAR0, 0, 2 * PAGE, VBROKER_DENIED, rule);
	refused(BAR0, 3 * PAGE, 2 * PAGE, VBROKER_DENIED, rule);
	/* the hardware's no is everybody's, and comes first */
	refused(2, 0, PAGE, VBROKER_UNSUPPORTED, "region 2");
	vbroker_window_close(window_begin(PAGE, 3 * PAGE, 0));
	finish();
}

static void policy_quota(void **state)
{
	struct vbroker_window *first, *second;

	(void)state;
	load_module();
	begin(EDU_2);
	first = window_begin(PAGE, PAGE, 0);
	refused(BAR0, PAGE, 3 * PAGE, VBROKER_QUOTA, "rule \"doorbells\" (");
	refused(BAR0, PAGE, 3 * PAGE, VBROKER_QUOTA, "10-test.conf:4) allows 0x3000");
	second = window_begin(PAGE, PAGE, 0);
	refused(BAR0, PAGE, PAGE, VBROKER_QUOTA, "2 windows of " EDU_2 " are open");
	refused(BAR0, PAGE, PAGE, VBROKER_QUOTA, "10-test.conf:4) allows 2");
	vbroker_window_close(first);
	vbroker_window_close(second);
	/* the next binding begins at none */
	expect_ok(vbroker_device_unbind(client.device));
	expect_ok(vbroker_device_bind(client.device, client.domain));
	vbroker_window_close(window_begin(PAGE, 3 * PAGE, 0));
	finish();
}

/* The rule that decides about the device decides about its windows: this one is taken from nvme, and allows none. */
static void policy_none(void **state)
{
	(void)state;
	load_module();
	begin(NVME);
	refused(BAR0, 0, PAGE, VBROKER_DENIED, "no windows of " NVME " by rule \"none\" (");
	refused(BAR0, 0, PAGE, VBROKER_DENIED, "10-test.conf:10)");
	refused(CONFIG, 0, PAGE, VBROKER_UNSUPPORTED, NULL);
	finish();
}

/* Two devices of a group, in one keeper: each has its own count, and loses its own windows. */
static void two_of_a_group(void **state)
{
	struct vbroker_device *twin;
	struct vbroker_window *windows[2];
	volatile uint8_t *registers[2];

	(void)state;
	load_module();
	begin(TWIN);
	windows[0] = window_begin(0, PAGE, VBROKER_WINDOW_ONES);
	registers[0] = window_mapped(windows[0]);
	twin = client.device;
	client.device = device_begin(client.session, TWIN_2);
	expect_ok(vbroker_device_bind(client.device, client.domain));
	windows[1] = window_begin(0, PAGE, VBROKER_WINDOW_ONES);
	registers[1] = window_mapped(windows[1]);
	vbroker_device_close(twin);
	assert_int_equal(vbroker_load32(registers[0]), UINT32_MAX);
	assert_int_equal(vbroker_load32(registers[1]), 0);
	vbroker_device_close(client.device);
	client.device = NULL;
	assert_int_equal(vbroker_load32(registers[1]), UINT32_MAX);
	vbroker_window_close(windows[0]);
	vbroker_window_close(windows[1]);
	finish();
}

/* ---- taking back ---- */

/* When these return, it is over. */
static void release_revokes(void **state)
{
	(void)state;
	load_module();
	for (int unbind = 0; unbind < 2; unbind++) {
		struct vbroker_window *plain, *ones;
		volatile uint8_t *bus, *all_ones;

		begin(EDU);
		plain = window_begin(0, 2 * PAGE, VBROKER_WINDOW_WRITE);
		ones = window_begin(PAGE, PAGE, VBROKER_WINDOW_ONES);
		bus = window_mapped(plain);
		all_ones = window_mapped(ones);
		assert_false(bus_error(bus));
		assert_int_equal(vbroker_load32(all_ones), 0);
		if (unbind) {
			expect_ok(vbroker_device_unbind(client.device));
		} else {
			vbroker_device_close(client.device);
			client.device = NULL;
		}
		assert_true(bus_error(bus));
		assert_true(bus_error(bus + PAGE));
		assert_int_equal(vbroker_load32(all_ones), UINT32_MAX);
		vbroker_window_close(plain);
		vbroker_window_close(ones);
		finish();
	}
}

static void expect_revoked(const volatile uint8_t *registers)
{
	for (int i = 0; i < 1000 && !bus_error(registers); i++)
		nap(5);
	assert_true(bus_error(registers));
}

/* The end of the session takes the device, and the windows with it, whoever still has the channel. */
static void end_of_session_revokes(void **state)
{
	struct vbroker_window *window;

	(void)state;
	load_module();
	begin(EDU);
	window = window_begin(0, PAGE, 0);
	assert_false(bus_error(window_mapped(window)));
	vbroker_session_close(client.session);
	expect_revoked(window_mapped(window));
	vbroker_window_close(window);
	vbroker_device_close(client.device);
	vbroker_domain_close(client.domain);
	world_settle();
}

/* So does the end of the broker. */
static void end_of_broker_revokes(void **state)
{
	struct vbroker_window *window;

	(void)state;
	load_module();
	begin(EDU);
	window = window_begin(0, PAGE, 0);
	world_stop_broker();
	expect_revoked(window_mapped(window));
	vbroker_window_close(window);
	vbroker_device_close(client.device);
	vbroker_domain_close(client.domain);
	vbroker_session_close(client.session);
	world_start_broker();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(loads_and_stores),
		CASE(in_another_process),
		CASE(no_module),
		CASE(module_out_of_reach),
		CASE_IN(policy_ranges, &with_policy),
		CASE_IN(policy_quota, &with_policy),
		CASE_IN(policy_none, &with_policy),
		CASE_IN(two_of_a_group, &with_policy),
		CASE(release_revokes),
		CASE(end_of_session_revokes),
		CASE(end_of_broker_revokes),
	};

	return HARNESS_RUN(argc, argv, "session_windows", tests);
}
