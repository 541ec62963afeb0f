/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "fdset.h"
#include "keeper_bench.h"
#include "kernel.h"
#include "limits.h"
#include "message.h"
#include "packet.h"
#include "refusal.h"
#include "unit.h"
#include "vfio_window.h"
#include "window_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

/* Which register windows a client gets, and which it is refused. */

/* ---- a client with windows ---- */

static void test_shows_registers(void **state)
{
	struct bench b;
	volatile uint8_t *address;
	int fd;

	(void)state;
	start(&b, 1, &plenty);
	memset(b.group->devices[0].bar0 + 2 * PAGE, 0x5a, PAGE);
	b.group->devices[0].bar0[3 * PAGE] = 0xa5;
	address = map(&b, 0, WINDOW_WRITE, 2 * PAGE, 2 * PAGE);
	assert_int_equal(address[0], 0x5a);
	assert_int_equal(address[PAGE - 1], 0x5a);
	assert_int_equal(address[PAGE], 0xa5);
	address[7] = 1;
	assert_int_equal(address[7], 1);
	unmap(address, 2 * PAGE);
	/* one that is not to be written cannot be */
	assert_int_equal(ask(&b, 0, (struct window_request){0, BAR, 2 * PAGE, PAGE}, &fd), 0);
	assert_ptr_equal(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	bench_stop(&b);
}

/* ---- what cannot be had ---- */

/* What came as control file does not answer as one of this version would: the device is leased all the same. */
static void test_control_that_is_none(void **state)
{
	struct bench b;

	(void)state;
	fake_kernel_fail(FAKE_WINDOW_INFO, ENOTTY);
	start(&b, 1, &plenty);
	fake_kernel_fail(FAKE_WINDOW_INFO, 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_WINDOW_UNAVAILABLE);
	assert_int_equal(unbind(&b, 0), 0);
	bench_stop(&b);
}

static int other_version(int control, struct vfio_window_info *info)
{
	int r = fake_vfio.window_info(control, info);

	info->version++;
	return r;
}

static void test_other_version(void **state)
{
	struct vfio_kernel other = fake_vfio;
	struct bench b;

	(void)state;
	other.window_info = other_version;
	bench_start_on(&b, &other, 1, &plenty);
	bind_again(&b, 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_WINDOW_UNAVAILABLE);
	bench_stop(&b);
}

static void test_no_module(void **state)
{
	struct bench b;
	uint32_t value;
	struct region_request read = {0, BAR, 0, 4, 4};

	(void)state;
	start(&b, 1, NULL);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_WINDOW_UNAVAILABLE);
	assert_detail(&b, bench_names[0]);
	assert_detail(&b, "/dev/vfio/window");
	assert_detail(&b, "is the kernel module vfio_window loaded?");
	/* and what its advice says instead works */
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_REGION_READ, &read, sizeof read), 0);
	memcpy(&value, b.packet.payload, sizeof value);
	assert_int_equal(value, 0x010000ed);
	bench_stop(&b);
}

static void test_not_bound(void **state)
{
	struct bench b;

	(void)state;
	bench_start_limited(&b, 1, &plenty);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_NOT_BOUND);
	bind_again(&b, 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), 0);
	assert_int_equal(unbind(&b, 0), 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_NOT_BOUND);
	bench_stop(&b);
}

static void test_wrong_regions(void **state)
{
	/* not there, without size, not for registers, and beyond all of VFIO's */
	static const uint32_t regions[] = {1, 5, VFIO_PCI_ROM_REGION_INDEX, CONFIG, VFIO_PCI_VGA_REGION_INDEX,
		VFIO_PCI_NUM_REGIONS, REGIONS_MAX - 1, REGIONS_MAX, UINT32_MAX};
	struct bench b;
	char words[64];

	(void)state;
	start(&b, 1, &plenty);
	for (size_t i = 0; i < sizeof regions / sizeof *regions; i++) {
		assert_int_equal(try(&b, regions[i], 0, PAGE), REFUSAL_UNSUPPORTED);
		snprintf(words, sizeof words, "region %u of %s cannot be mapped", regions[i], bench_names[0]);
		assert_detail(&b, words);
	}
	bench_stop(&b);
}

static void test_alignment(void **state)
{
	static const uint64_t wrong[][2] = {
		{1, PAGE}, {PAGE / 2, PAGE}, {0, 1}, {0, PAGE - 1}, {PAGE, PAGE + 8}, {UINT64_MAX - PAGE, PAGE}};
	struct bench b;

	(void)state;
	start(&b, 1, &plenty);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_equal(try(&b, BAR, wrong[i][0], wrong[i][1]), REFUSAL_MALFORMED);
		assert_detail(&b, "not a multiple of the page size 0x1000");
	}
	/* a range that ends where numbers do is the table's business (proto_table.c) */
	assert_int_equal(try(&b, BAR, 0, 0), REFUSAL_MALFORMED);
	bench_stop(&b);
}

static void test_beyond_the_bar(void **state)
{
	static const uint64_t wrong[][2] = {{FAKE_BAR0_SIZE, PAGE}, {FAKE_BAR0_SIZE - PAGE, 2 * PAGE},
		{0, FAKE_BAR0_SIZE + PAGE}, {0, UINT64_MAX & ~(PAGE - 1)}, {UINT64_MAX - 2 * PAGE + 1, PAGE}};
	struct bench b;

	(void)state;
	start(&b, 1, &plenty);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_equal(try(&b, BAR, wrong[i][0], wrong[i][1]), REFUSAL_MALFORMED);
		assert_detail(&b, "not within region 0 of 0000:01:00.0, which has 0x10000");
	}
	assert_int_equal(try(&b, BAR, FAKE_BAR0_SIZE - PAGE, PAGE), 0);
	bench_stop(&b);
}

/* ---- kernels that differ ---- */

static struct vfio_kernel kernel; /* fake_vfio, but for what a test changes */
static uint64_t bar_size;
static uint32_t bar_flags;
static uint64_t bar_position;
static struct vfio_window_create created; /* last */

static int changed_region_info(int device, struct vfio_region_info *info)
{
	int r = fake_vfio.region_info(device, info);

	if (r == 0 && info->index == BAR) {
		info->size = bar_size;
		info->flags = bar_flags;
		info->offset = bar_position;
	}
	return r;
}

static int changed_window_create(int control, const struct vfio_window_create *create)
{
	created = *create;
	return fake_vfio.window_create(control,
		&(struct vfio_window_create){.argsz = sizeof *create,
			.flags = create->flags,
			.device_fd = create->device_fd,
			.offset = create->offset - bar_position,
			.size = create->size});
}

#define BAR_ACCESS (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

/* Device 0, with windows and another BAR 0. */
static void start_with_bar(struct bench *b, uint64_t size, uint32_t flags)
{
	bar_size = size;
	bar_flags = flags;
	kernel = fake_vfio;
	kernel.region_info = changed_region_info;
	kernel.window_create = changed_window_create;
	bench_start_limited(b, 1, &plenty);
	b->keeper->group.kernel = &kernel;
	bind_again(b, 0);
}

/* What the module is told: where the range is in the device's file, as VFIO had said. */
static void test_create(void **state)
{
	static const uint32_t wanted[][2] = {{0, 0}, {WINDOW_WRITE, VFIO_WINDOW_FLAG_WRITE},
		{WINDOW_ONES, VFIO_WINDOW_FLAG_ONES},
		{WINDOW_WRITE | WINDOW_ONES, VFIO_WINDOW_FLAG_WRITE | VFIO_WINDOW_FLAG_ONES}};
	struct bench b;
	int fd;

	(void)state;
	bar_position = UINT64_C(3) << 40;
	start_with_bar(&b, FAKE_BAR0_SIZE, BAR_ACCESS | VFIO_REGION_INFO_FLAG_MMAP);
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		assert_int_equal(ask(&b, 0, (struct window_request){wanted[i][0], BAR, PAGE, 2 * PAGE}, &fd), 0);
		close(fd);
		assert_int_equal(created.argsz, sizeof created);
		assert_int_equal(created.flags, wanted[i][1]);
		assert_int_equal(created.device_fd, b.keeper->group.devices[0]->fd);
		assert_int_equal(created.reserved, 0);
		assert_true(created.offset == bar_position + PAGE);
		assert_int_equal(created.size, 2 * PAGE);
	}
	bar_position = 0;
	bench_stop(&b);
}

/* BARs of less than a page, on which VFIO has found that nothing else shares it. */
static void test_small_bar(void **state)
{
	static const uint32_t all = BAR_ACCESS | VFIO_REGION_INFO_FLAG_MMAP;
	static const uint64_t sizes[] = {16, 256, PAGE - 1};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		start_with_bar(&b, sizes[i], all);
		assert_int_equal(try(&b, BAR, 0, PAGE), 0);
		assert_int_equal(try(&b, BAR, 0, 2 * PAGE), REFUSAL_MALFORMED);
		assert_int_equal(try(&b, BAR, PAGE, PAGE), REFUSAL_MALFORMED);
		bench_stop(&b);
	}
	start_with_bar(&b, PAGE + 16, all);
	assert_int_equal(try(&b, BAR, PAGE, PAGE), 0);
	assert_int_equal(try(&b, BAR, PAGE, 2 * PAGE), REFUSAL_MALFORMED);
	bench_stop(&b);
}

/* VFIO says of some BARs that they cannot be mapped: the page is shared, or the BAR is of I/O ports. */
static void test_bar_that_cannot_be_mapped(void **state)
{
	struct bench b;

	(void)state;
	start_with_bar(&b, FAKE_BAR0_SIZE, BAR_ACCESS);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_UNSUPPORTED);
	assert_detail(&b, "cannot be mapped");
	bench_stop(&b);
	start_with_bar(&b, 0, 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_UNSUPPORTED);
	bench_stop(&b);
}

static int mappable_region_info(int device, struct vfio_region_info *info)
{
	int r = fake_vfio.region_info(device, info);

	if (r == 0 && info->size == 0)
		info->size = FAKE_BAR0_SIZE;
	if (r == 0)
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	return r;
}

/* VFIO can map more than BARs (drivers have regions of their own), and the module cannot. */
static void test_region_that_is_no_bar(void **state)
{
	struct bench b;

	(void)state;
	kernel = fake_vfio;
	kernel.region_info = mappable_region_info;
	bench_start_limited(&b, 1, &plenty);
	b.keeper->group.kernel = &kernel;
	bind_again(&b, 0);
	fake_kernel_fail(FAKE_WINDOW_CREATE, ENOMEM);
	for (uint32_t region = 0; region < VFIO_PCI_NUM_REGIONS; region++)
		assert_int_equal(
			try(&b, region, 0, PAGE), region <= VFIO_PCI_BAR5_REGION_INDEX ? -ENOMEM : REFUSAL_UNSUPPORTED);
	bench_stop(&b);
}

/* What VFIO_WINDOW_CREATE says that was not foreseen. */
static void test_kernel_refuses(void **state)
{
	static const int errors[] = {ENOMEM, EINVAL, EBADFD, ENOSPC, EMFILE};
	struct bench b;

	(void)state;
	start(&b, 1, &plenty);
	fake_kernel_fail(FAKE_WINDOW_CREATE, EOPNOTSUPP);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_WINDOW_UNAVAILABLE);
	assert_detail(&b, "0000:01:00.0: vfio_window cannot show region 0");
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
		fake_kernel_fail(FAKE_WINDOW_CREATE, errors[i]);
		assert_int_equal(try(&b, BAR, 0, PAGE), -errors[i]);
		assert_detail(&b, "VFIO_WINDOW_CREATE for region 0 of 0000:01:00.0: ");
		assert_detail(&b, strerror(errors[i]));
	}
	fake_kernel_fail(FAKE_WINDOW_CREATE, 0);
	/* without a count there is no limit, so there is no window */
	fake_kernel_fail(FAKE_WINDOW_INFO, EIO);
	assert_int_equal(try(&b, BAR, 0, PAGE), -EIO);
	assert_detail(&b, "VFIO_WINDOW_INFO for 0000:01:00.0: ");
	fake_kernel_fail(FAKE_WINDOW_INFO, 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), 0);
	bench_stop(&b);
}

/* ---- the policy's limits ---- */

static void test_denied(void **state)
{
	struct bench b;

	(void)state;
	start(&b, 1, &(struct window_limits){.count = 0, .size = UINT64_MAX});
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_DENIED);
	assert_detail(&b, "no windows of 0000:01:00.0 by rule \"lab\" (t.conf:3); add \"windows = 1\" there");
	/* what nobody could have is said first */
	assert_int_equal(try(&b, CONFIG, 0, PAGE), REFUSAL_UNSUPPORTED);
	bench_stop(&b);
}

static void test_ranges(void **state)
{
	static const struct window_limits limits = {
		.count = 64,
		.size = UINT64_MAX,
		.range_count = 3,
		.ranges = {{0, 0, 2 * PAGE, 5 * PAGE - 1}, {2, 0, 0, UINT64_MAX}, {0, 0, 10 * PAGE, 11 * PAGE - 2}},
	};
	static const struct {
		uint64_t page, pages;
		bool inside;
	} cases[] = {
		{2, 1, true},
		{3, 1, true},
		{4, 1, true},
		{2, 3, true},
		{1, 1, false},
		{5, 1, false},
		{1, 2, false},
		{4, 2, false},
		{1, 5, false},
		{0, 1, false},
		/* a range that ends within the page does not have the page */
		{10, 1, false},
		/* a range of another BAR is of another BAR */
		{12, 1, false},
	};
	struct bench b;

	(void)state;
	start(&b, 1, &limits);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int r = try(&b, BAR, cases[i].page * PAGE, cases[i].pages * PAGE);

		if (r != (cases[i].inside ? 0 : REFUSAL_DENIED))
			fail_msg("case %zu: %d", i, r);
	}
	assert_detail(&b, "0x1000 bytes at 0xc000 of region 0 of 0000:01:00.0 are not in what rule \"lab\" (t.conf:3)");
	assert_detail(&b, "; add \"window-range = 0:0xc000-0xcfff\"");
	bench_stop(&b);
}

/* All eight count, also the last. */
static void test_last_range(void **state)
{
	struct window_limits limits = {.count = 64, .size = UINT64_MAX, .range_count = WINDOW_RANGES_MAX};
	struct bench b;

	(void)state;
	for (uint32_t i = 0; i < WINDOW_RANGES_MAX; i++)
		limits.ranges[i] = (struct window_range){i < 7, 0, 0, UINT64_MAX};
	start(&b, 1, &limits);
	assert_int_equal(try(&b, BAR, PAGE, PAGE), 0);
	bench_stop(&b);
}

static void test_quota_of_windows(void **state)
{
	struct bench b;

	(void)state;
	start(&b, 1, &(struct window_limits){.count = 2, .size = UINT64_MAX});
	assert_int_equal(try(&b, BAR, 0, PAGE), 0);
	/* one that was refused does not count */
	assert_int_equal(try(&b, BAR, 1, PAGE), REFUSAL_MALFORMED);
	fake_kernel_fail(FAKE_WINDOW_CREATE, ENOMEM);
	assert_int_equal(try(&b, BAR, 0, PAGE), -ENOMEM);
	fake_kernel_fail(FAKE_WINDOW_CREATE, 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_QUOTA);
	assert_detail(&b, "2 windows of 0000:01:00.0 are open, rule \"lab\" (t.conf:3) allows 2; add \"windows = 3\"");
	/* free again when they are taken back */
	assert_int_equal(unbind(&b, 0), 0);
	bind_again(&b, 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_QUOTA);
	bench_stop(&b);
}

static void test_quota_of_bytes(void **state)
{
	struct bench b;

	(void)state;
	start(&b, 1, &(struct window_limits){.count = 64, .size = 4 * PAGE});
	assert_int_equal(try(&b, BAR, 0, 5 * PAGE), REFUSAL_QUOTA);
	assert_int_equal(try(&b, BAR, 0, 3 * PAGE), 0);
	/* the same registers count again */
	assert_int_equal(try(&b, BAR, 0, 2 * PAGE), REFUSAL_QUOTA);
	assert_detail(&b, "0x2000 bytes more than the 0x3000 that windows of 0000:01:00.0 show");
	assert_detail(&b, "rule \"lab\" (t.conf:3) allows 0x4000; add \"window-size = 0x5000\"");
	assert_int_equal(try(&b, BAR, 0, PAGE), 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_QUOTA);
	assert_int_equal(unbind(&b, 0), 0);
	bind_again(&b, 0);
	assert_int_equal(try(&b, BAR, 0, 4 * PAGE), 0);
	bench_stop(&b);
	start(&b, 1, &(struct window_limits){.count = 64});
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_QUOTA);
	bench_stop(&b);
}

/* Each device of a group has what its own lease says. */
static void test_quota_is_of_one_device(void **state)
{
	struct bench b;
	int fd;

	(void)state;
	start(&b, 2, &(struct window_limits){.count = 1, .size = UINT64_MAX});
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(ask(&b, i, (struct window_request){0, BAR, 0, PAGE}, &fd), 0);
		close(fd);
		assert_int_equal(ask(&b, i, (struct window_request){0, BAR, 0, PAGE}, &fd), REFUSAL_QUOTA);
		assert_detail(&b, bench_names[i]);
	}
	bench_stop(&b);
}

/* ---- leases ---- */

/* A lease that is refused keeps nothing of what came with it (the fixture counts). */
static void test_lease_refused(void **state)
{
	struct bench b;
	struct lease_request lease = bench_lease_request(0, LEASE_WINDOWS);
	int client;

	(void)state;
	bench_start_limited(&b, 1, &plenty);
	assert_int_equal(bench_lease_as(&b, &lease, &client), REFUSAL_DEVICE_BUSY);
	lease.flags |= LEASE_GROUP;
	assert_int_equal(bench_lease_as(&b, &lease, &client), REFUSAL_MALFORMED);
	bench_stop(&b);
}

/* A device that is released and leased again has the new lease's control file and limits. */
static void test_next_lease(void **state)
{
	struct bench b;
	struct lease_request lease = bench_lease_request(0, 0);

	(void)state;
	start(&b, 2, &plenty);
	close(fd_take(&b.clients[0]));
	bench_expect_released(&b, 0, 1, 0);
	assert_int_equal(bench_lease_as(&b, &lease, &b.clients[0]), 0);
	bench_hello(&b, b.clients[0]);
	assert_int_equal(unbind(&b, 1), 0);
	bind_again(&b, 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_WINDOW_UNAVAILABLE);
	close(fd_take(&b.clients[0]));
	bench_expect_released(&b, 0, 1, 0);
	lease.flags = LEASE_WINDOWS;
	lease.windows = (struct window_limits){.count = 1, .size = PAGE};
	assert_int_equal(bench_lease_as(&b, &lease, &b.clients[0]), 0);
	bench_hello(&b, b.clients[0]);
	bind_again(&b, 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), 0);
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_QUOTA);
	bench_stop(&b);
}

/* fds that come with the request are nobody's wish. */
static void test_uninvited_fd(void **state)
{
	struct bench b;
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	const struct window_request request = {0, BAR, 0, PAGE};

	(void)state;
	start(&b, 1, &plenty);
	assert_int_equal(bench_call_fds(&b, b.clients[0], DEVICE_REGION_WINDOW, &request, sizeof request, &event, 1),
		REFUSAL_MALFORMED);
	bench_settle(&b);
	assert_false(b.running);
	bench_stop(&b);
}

/* Windows whose reply nobody reads go with the channel. */
static void test_replies_not_read(void **state)
{
	struct bench b;
	const struct window_request request = {0, BAR, 0, PAGE};

	(void)state;
	start(&b, 1, &plenty);
	for (int i = 0; i < 50; i++) {
		packet_request(&b.packet, DEVICE_REGION_WINDOW, 1);
		memcpy(packet_append(&b.packet, sizeof request), &request, sizeof request);
		packet_send(b.clients[0], MSG_DONTWAIT, &b.packet);
		bench_settle(&b);
	}
	close(fd_take(&b.clients[0]));
	bench_expect_released(&b, 0, 0, 0);
	bench_stop(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(test_shows_registers),
		bench_test(test_no_module),
		bench_test(test_control_that_is_none),
		bench_test(test_other_version),
		bench_test(test_not_bound),
		bench_test(test_wrong_regions),
		bench_test(test_alignment),
		bench_test(test_beyond_the_bar),
		bench_test(test_create),
		bench_test(test_small_bar),
		bench_test(test_bar_that_cannot_be_mapped),
		bench_test(test_region_that_is_no_bar),
		bench_test(test_kernel_refuses),
		bench_test(test_denied),
		bench_test(test_ranges),
		bench_test(test_last_range),
		bench_test(test_quota_of_windows),
		bench_test(test_quota_of_bytes),
		bench_test(test_quota_is_of_one_device),
		bench_test(test_lease_refused),
		bench_test(test_next_lease),
		bench_test(test_uninvited_fd),
		bench_test(test_replies_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
