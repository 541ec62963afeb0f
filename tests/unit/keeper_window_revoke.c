/* SPDX-License-Identifier: MIT */
#include "bus.h"
#include "container.h"
#include "fdset.h"
#include "keeper_bench.h"
#include "kernel.h"
#include "message.h"
#include "refusal.h"
#include "unit.h"
#include "window_bench.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

/* What becomes of windows when their device is taken back, and in which order. */

/* ---- taking back ---- */

enum end { END_UNBIND, END_RELEASE, END_CHANNEL, END_NONSENSE, END_BROKER, END_BROKER_DEAD, END_UNPLUG, ENDS };

static void end_lease(struct bench *b, enum end how)
{
	switch (how) {
	case END_UNBIND:
		assert_int_equal(unbind(b, 0), 0);
		break;
	case END_RELEASE:
		assert_int_equal(bench_call(b, b->clients[0], DEVICE_RELEASE, NULL, 0), 0);
		break;
	case END_CHANNEL:
		close(fd_take(&b->clients[0]));
		break;
	case END_NONSENSE:
		assert_int_equal(write(b->clients[0], "?", 1), 1);
		break;
	case END_BROKER:
		assert_int_equal(shutdown(b->broker, SHUT_WR), 0);
		break;
	case END_BROKER_DEAD:
		close(fd_take(&b->broker));
		break;
	case END_UNPLUG:
		assert_int_equal(fake_device_request(&b->group->devices[0]), 1);
		break;
	case ENDS:
		fail();
	}
	bench_settle(b);
}

/* However it ends, the mappings of all windows end with it, and so do those that are made of their descriptors then. */
static void test_revoked(void **state)
{
	struct bench b;

	(void)state;
	for (enum end how = 0; how < ENDS; how++) {
		volatile uint8_t *plain, *ones;
		void *late;
		int fd;

		start(&b, 1, &plenty);
		plain = map(&b, 0, WINDOW_WRITE, 0, 2 * PAGE);
		ones = map(&b, 0, WINDOW_WRITE | WINDOW_ONES, PAGE, 2 * PAGE);
		assert_int_equal(ask(&b, 0, (struct window_request){0, BAR, 0, PAGE}, &fd), 0);
		assert_false(bus_error(plain));
		assert_int_equal(ones[0], 0);
		end_lease(&b, how);
		if (!bus_error(plain) || !bus_error(plain + PAGE))
			fail_msg("end %d: still there", how);
		for (uint64_t i = 0; i < 2 * PAGE; i++)
			assert_int_equal(ones[i], 0xff);
		late = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		assert_true(late == MAP_FAILED || bus_error(late));
		if (late != MAP_FAILED)
			munmap(late, PAGE);
		close(fd);
		unmap(plain, 2 * PAGE);
		unmap(ones, 2 * PAGE);
		bench_stop(&b);
	}
}

/* For good: the device's next life does not bring them back. */
static void test_revoked_for_good(void **state)
{
	struct bench b;
	volatile uint8_t *old, *new;

	(void)state;
	start(&b, 1, &plenty);
	old = map(&b, 0, WINDOW_WRITE, 0, PAGE);
	assert_int_equal(unbind(&b, 0), 0);
	bind_again(&b, 0);
	new = map(&b, 0, WINDOW_WRITE, 0, PAGE);
	assert_true(bus_error(old));
	assert_false(bus_error(new));
	unmap(old, PAGE);
	unmap(new, PAGE);
	bench_stop(&b);
}

/* RESET is the client's own wish; it keeps what it has. */
static void test_reset_keeps_windows(void **state)
{
	struct bench b;
	volatile uint8_t *address;

	(void)state;
	start(&b, 1, &plenty);
	address = map(&b, 0, 0, 0, PAGE);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RESET, NULL, 0), 0);
	assert_false(bus_error(address));
	unmap(address, PAGE);
	bench_stop(&b);
}

/* Two devices of a group: what one loses, the other keeps. */
static void test_sibling_keeps_windows(void **state)
{
	static const enum end ways[] = {END_UNBIND, END_RELEASE, END_CHANNEL, END_UNPLUG};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		volatile uint8_t *first, *second, *third;

		start(&b, 2, &plenty);
		first = map(&b, 0, WINDOW_ONES, 0, PAGE);
		second = map(&b, 1, WINDOW_ONES | WINDOW_WRITE, 0, PAGE);
		second[0] = 5;
		end_lease(&b, ways[i]);
		assert_int_equal(first[0], 0xff);
		assert_int_equal(second[0], 5);
		/* and goes on making them */
		third = map(&b, 1, 0, PAGE, PAGE);
		assert_false(bus_error(third));
		unmap(first, PAGE);
		unmap(second, PAGE);
		unmap(third, PAGE);
		bench_stop(&b);
	}
}

/* ---- the order ---- */

/* What the keeper does to the kernel on the way out, a letter each. */
static char steps[32];

static void step(char letter)
{
	size_t length = strlen(steps);

	if (length + 1 < sizeof steps)
		steps[length] = letter;
}

static int traced_window_refuse(int control)
{
	step('w');
	return fake_vfio.window_refuse(control);
}

static int traced_window_revoke(int control)
{
	step('f');
	return fake_vfio.window_revoke(control);
}

static int traced_irq_set(int device, struct vfio_irq_set *set)
{
	step('i');
	return fake_vfio.irq_set(device, set);
}

static long traced_region_write(int device, uint64_t position, const void *data, size_t length)
{
	step('m');
	return fake_vfio.region_write(device, position, data, length);
}

static void traced_device_close(int device)
{
	step('c');
	fake_vfio.device_close(device);
}

static int traced_group_detach(int group)
{
	step('d');
	return fake_vfio.group_detach(group);
}

static struct vfio_kernel kernel; /* fake_vfio, but for what is traced */

/* A device with windows and interrupts, on a kernel that is traced from here on. */
static void start_traced(struct bench *b, size_t count)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	const struct irq_request irq = {0, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1};
	int fd;

	kernel = fake_vfio;
	kernel.window_refuse = traced_window_refuse;
	kernel.window_revoke = traced_window_revoke;
	kernel.irq_set = traced_irq_set;
	kernel.region_write = traced_region_write;
	kernel.device_close = traced_device_close;
	kernel.group_detach = traced_group_detach;
	start(b, count, &plenty);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(bench_call_fds(b, b->clients[i], DEVICE_IRQ_SET, &irq, sizeof irq, &event, 1), 0);
		assert_int_equal(ask(b, i, (struct window_request){0, BAR, 0, PAGE}, &fd), 0);
		close(fd);
	}
	b->keeper->group.kernel = &kernel;
	memset(steps, 0, sizeof steps);
}

/* Windows, interrupts, bus mastering, faults under way, device, domain: nobody else reaches a device that is being
 * quieted. */
static void test_order(void **state)
{
	struct bench b;

	(void)state;
	for (enum end how = 0; how < ENDS; how++) {
		start_traced(&b, 1);
		end_lease(&b, how);
		assert_string_equal(steps, "wimfcd");
		bench_stop(&b);
	}
	start_traced(&b, 2);
	end_lease(&b, END_BROKER);
	assert_string_equal(steps, "wwimfcwimfcd");
	bench_stop(&b);
}

/* The end of a device may hang: the windows of others that are due are refused before, and no others. */
static void test_windows_of_all_first(void **state)
{
	struct bench b;

	(void)state;
	start_traced(&b, 3);
	b.keeper->group.devices[0]->revocation.deadline_us = 0;
	b.keeper->group.devices[2]->revocation.deadline_us = 0;
	bench_settle(&b);
	assert_string_equal(steps, "wwimfcwimfc");
	bench_stop(&b);
}

/* A BIND that fails leaves nothing, and had nothing to take back. */
static void test_order_of_a_failing_bind(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();

	(void)state;
	start_traced(&b, 1);
	assert_int_equal(unbind(&b, 0), 0);
	b.group->devices[0].vanished = true;
	memset(steps, 0, sizeof steps);
	assert_int_equal(bench_bind(&b, 0, domain), REFUSAL_DEVICE_BAD_STATE);
	assert_string_equal(steps, "wmfcd");
	b.group->devices[0].vanished = false;
	bench_stop(&b);
}

/* ---- taking back fails ---- */

static void test_revoke_fails_at_unbind(void **state)
{
	struct bench b;
	volatile uint8_t *address;

	(void)state;
	start_traced(&b, 1);
	address = map(&b, 0, 0, 0, PAGE);
	fake_kernel_fail(FAKE_WINDOW_REVOKE, ENOTTY);
	assert_int_equal(unbind(&b, 0), -ENOTTY);
	assert_detail(&b, "0000:01:00.0 is closed, but not cleanly: Inappropriate ioctl");
	assert_string_equal(steps, "wimfcd");
	assert_int_equal(b.group->devices[0].opened, 0);
	assert_int_equal(bench_command(&b, 0) & PCI_COMMAND_MASTER, 0);
	assert_int_equal(b.group->container, 0);
	fake_kernel_fail(FAKE_WINDOW_REVOKE, 0);
	/* and the lease goes on */
	bind_again(&b, 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), 0);
	unmap(address, PAGE);
	bench_stop(&b);
}

static void test_revoke_fails_at_release(void **state)
{
	struct bench b;

	(void)state;
	start_traced(&b, 2);
	fake_kernel_fail(FAKE_WINDOW_REVOKE, EIO);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_RELEASE, NULL, 0), 0);
	assert_string_equal(steps, "wimfc");
	bench_expect_closed(&b, 0, REFUSAL_NONE);
	bench_expect_released(&b, 0, 1, EIO);
	end_lease(&b, END_BROKER);
	assert_string_equal(steps, "wimfcwimfcd");
	bench_expect_released(&b, 1, 0, EIO);
	assert_int_equal(b.group->container, 0);
	bench_stop(&b);
}

/* Everything fails: everything is tried, and the first failure is what is reported. */
static void test_all_fails(void **state)
{
	struct bench b;

	(void)state;
	start_traced(&b, 1);
	fake_kernel_fail(FAKE_WINDOW_REVOKE, EFAULT);
	fake_kernel_fail(FAKE_IRQ_SET, EIO);
	fake_kernel_fail(FAKE_WRITE, ENXIO);
	end_lease(&b, END_RELEASE);
	assert_string_equal(steps, "wimfcd");
	bench_expect_closed(&b, 0, REFUSAL_NONE);
	bench_expect_released(&b, 0, 0, EFAULT);
	bench_stop(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(test_revoked),
		bench_test(test_revoked_for_good),
		bench_test(test_reset_keeps_windows),
		bench_test(test_sibling_keeps_windows),
		bench_test(test_order),
		bench_test(test_windows_of_all_first),
		bench_test(test_order_of_a_failing_bind),
		bench_test(test_revoke_fails_at_unbind),
		bench_test(test_revoke_fails_at_release),
		bench_test(test_all_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
