/* SPDX-License-Identifier: MIT */
#include "keeper_bench.h"

#include "bus.h"
#include "module.h"

#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define BAR    VFIO_PCI_BAR0_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX
#define PAGE   UINT64_C(0x1000)
#define TABLE  ((uint64_t)FAKE_MSIX_TABLE)

static const struct window_limits plenty = {.count = 64, .size = UINT64_MAX};

/* ---- a client with windows ---- */

/* COUNT devices with windows by LIMITS (NULL: no module), all bound to one domain. */
static void start(struct bench *b, size_t count, const struct window_limits *limits)
{
	OWNED_FD domain = fake_container_open();

	bench_start_limited(b, count, limits);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(bench_bind(b, i, domain), 0);
}

/* REGION_WINDOW of device I. *RET_FD is the caller's; refusals bring none. */
static int ask(struct bench *b, size_t i, struct window_request request, int *ret_fd)
{
	int r = bench_call(b, b->clients[i], DEVICE_REGION_WINDOW, &request, sizeof request);

	*ret_fd = -1;
	assert_int_equal(b->packet.fds.count, r == 0 ? 1 : 0);
	if (r == 0) {
		assert_int_equal(b->packet.header.length, 0);
		*ret_fd = fdset_take(&b->packet.fds, 0);
	}
	return r;
}

/* The same of device 0, without flags, and without the window. */
static int try(struct bench *b, uint32_t region, uint64_t offset, uint64_t length)
{
	int fd = -1;
	int r = ask(b, 0, (struct window_request){0, region, offset, length}, &fd);

	fd_cleanup(&fd);
	return r;
}

/* A mapping of LENGTH bytes at OFFSET of BAR 0 of device I, which outlives its descriptor. */
static volatile uint8_t *map(struct bench *b, size_t i, uint32_t flags, uint64_t offset, uint64_t length)
{
	int fd, protection = PROT_READ | (flags & WINDOW_WRITE ? PROT_WRITE : 0);
	void *address;

	assert_int_equal(ask(b, i, (struct window_request){flags, BAR, offset, length}, &fd), 0);
	address = mmap(NULL, length, protection, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(address, MAP_FAILED);
	close(fd);
	return address;
}

static void unmap(volatile uint8_t *address, uint64_t length)
{
	assert_int_equal(munmap((void *)(uintptr_t)address, length), 0);
}

static int unbind(struct bench *b, size_t i)
{
	return bench_call(b, b->clients[i], DEVICE_UNBIND, NULL, 0);
}

static void bind_again(struct bench *b, size_t i)
{
	OWNED_FD domain = fake_container_open();

	assert_int_equal(bench_bind(b, i, domain), 0);
}

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

/* ---- the MSI-X table ---- */

#define MSIX 0x40 /* where the fake has that capability */

/* Device 0 of a keeper with its table of ENTRIES at OFFSET of BAR. */
static void start_with_table(struct bench *b, uint32_t bar, uint32_t offset, uint32_t entries)
{
	uint8_t *config;
	uint32_t table = offset | bar;

	bench_start_limited(b, 1, &plenty);
	config = b->group->devices[0].config;
	config[MSIX + PCI_MSIX_FLAGS] = (uint8_t)(entries - 1);
	config[MSIX + PCI_MSIX_FLAGS + 1] = (uint8_t)((entries - 1) >> 8);
	for (int i = 0; i < 4; i++)
		config[MSIX + PCI_MSIX_TABLE + i] = (uint8_t)(table >> 8 * i);
	bind_again(b, 0);
}

static void test_msix_page(void **state)
{
	struct bench b;

	(void)state;
	start(&b, 1, &plenty);
	assert_int_equal(try(&b, BAR, TABLE, PAGE), REFUSAL_UNSUPPORTED);
	assert_detail(&b, "the MSI-X table of 0000:01:00.0 is at 0x8000 of region 0");
	assert_int_equal(try(&b, BAR, TABLE - PAGE, 2 * PAGE), REFUSAL_UNSUPPORTED);
	assert_int_equal(try(&b, BAR, TABLE, 2 * PAGE), REFUSAL_UNSUPPORTED);
	assert_int_equal(try(&b, BAR, 0, FAKE_BAR0_SIZE), REFUSAL_UNSUPPORTED);
	assert_int_equal(try(&b, BAR, 0, TABLE), 0);
	assert_int_equal(try(&b, BAR, TABLE + PAGE, FAKE_BAR0_SIZE - TABLE - PAGE), 0);
	bench_stop(&b);
}

/* The whole of each page that has a byte of it, and no more. */
static void test_msix_tables(void **state)
{
	static const struct {
		uint32_t offset, entries;
		uint64_t first, last; /* pages of it */
	} tables[] = {
		{0, 1, 0, 0},
		{0xff0, 1, 0, 0},
		{0xff8, 1, 0, 1},
		{0x1000, 256, 1, 1},
		{0x1008, 256, 1, 2},
		{0x8000, 2048, 8, 15},
		{0xfff8, 1, 15, 15},
	};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		start_with_table(&b, BAR, tables[i].offset, tables[i].entries);
		for (uint64_t page = 0; page < FAKE_BAR0_SIZE / PAGE; page++) {
			bool inside = page >= tables[i].first && page <= tables[i].last;
			int r = try(&b, BAR, page * PAGE, PAGE);

			if (r != (inside ? REFUSAL_UNSUPPORTED : 0))
				fail_msg("table %zu, page %d: %d", i, (int)page, r);
		}
		bench_stop(&b);
	}
}

static void test_msix_elsewhere(void **state)
{
	struct bench b;

	(void)state;
	/* in another BAR, and in none */
	start_with_table(&b, 2, 0, 8);
	assert_int_equal(try(&b, BAR, 0, FAKE_BAR0_SIZE), 0);
	bench_stop(&b);
	start_with_table(&b, 7, 0, 8);
	assert_int_equal(try(&b, BAR, 0, FAKE_BAR0_SIZE), 0);
	bench_stop(&b);
	/* no such capability; and no capabilities */
	bench_start_limited(&b, 1, &plenty);
	b.group->devices[0].config[MSIX] = PCI_CAP_ID_PM;
	bind_again(&b, 0);
	assert_int_equal(try(&b, BAR, 0, FAKE_BAR0_SIZE), 0);
	assert_int_equal(unbind(&b, 0), 0);
	/* the table is looked for at each BIND */
	b.group->devices[0].config[MSIX] = PCI_CAP_ID_MSIX;
	bind_again(&b, 0);
	assert_int_equal(try(&b, BAR, 0, FAKE_BAR0_SIZE), REFUSAL_UNSUPPORTED);
	assert_int_equal(unbind(&b, 0), 0);
	b.group->devices[0].config[PCI_STATUS] = 0;
	bind_again(&b, 0);
	assert_int_equal(try(&b, BAR, 0, FAKE_BAR0_SIZE), 0);
	bench_stop(&b);
}

/* A capability that is cut off by the end of the configuration space: nobody knows where its table is. */
static void test_msix_cut_off(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();
	uint8_t *config;

	(void)state;
	bench_start_limited(&b, 1, &plenty);
	config = b.group->devices[0].config;
	config[PCI_CAPABILITY_LIST] = 0xfc;
	config[0xfc] = PCI_CAP_ID_MSIX;
	assert_int_equal(bench_bind(&b, 0, domain), REFUSAL_DEVICE_BAD_STATE);
	assert_detail(&b, "describing the device");
	assert_int_equal(b.group->devices[0].opened, 0);
	assert_int_equal(b.group->container, 0);
	config[PCI_CAPABILITY_LIST] = MSIX;
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	bench_stop(&b);
}

/* ---- the policy's limits ---- */

static void test_denied(void **state)
{
	struct bench b;

	(void)state;
	start(&b, 1, &(struct window_limits){.count = 0, .size = UINT64_MAX});
	assert_int_equal(try(&b, BAR, 0, PAGE), REFUSAL_DENIED);
	assert_detail(&b, "no windows of 0000:01:00.0 by rule \"lab\" (t.conf:3)");
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
	assert_detail(&b, "2 windows of 0000:01:00.0 are open, rule \"lab\" (t.conf:3) allows 2");
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
	assert_detail(&b, "rule \"lab\" (t.conf:3) allows 0x4000");
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

static int traced_window_revoke(int control)
{
	step('w');
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

/* A device with windows and interrupts, on a kernel that is traced from here on. */
static void start_traced(struct bench *b, size_t count)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	const struct irq_request irq = {0, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1};
	int fd;

	kernel = fake_vfio;
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

/* Windows, interrupts, bus mastering, device, domain: nobody else reaches the device while it is being quieted. */
static void test_order(void **state)
{
	struct bench b;

	(void)state;
	for (enum end how = 0; how < ENDS; how++) {
		start_traced(&b, 1);
		end_lease(&b, how);
		assert_string_equal(steps, "wimcd");
		bench_stop(&b);
	}
	start_traced(&b, 2);
	end_lease(&b, END_BROKER);
	assert_string_equal(steps, "wimcwimcd");
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
	assert_string_equal(steps, "wmcd");
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
	assert_string_equal(steps, "wimcd");
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
	assert_string_equal(steps, "wimc");
	bench_expect_closed(&b, 0, REFUSAL_NONE);
	bench_expect_released(&b, 0, 1, EIO);
	end_lease(&b, END_BROKER);
	assert_string_equal(steps, "wimcwimcd");
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
	assert_string_equal(steps, "wimcd");
	bench_expect_closed(&b, 0, REFUSAL_NONE);
	bench_expect_released(&b, 0, 0, EFAULT);
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
	assert_int_equal(try(&b, BAR, 0, PAGE), 0);
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
		bench_test(test_msix_page),
		bench_test(test_msix_tables),
		bench_test(test_msix_elsewhere),
		bench_test(test_msix_cut_off),
		bench_test(test_denied),
		bench_test(test_ranges),
		bench_test(test_last_range),
		bench_test(test_quota_of_windows),
		bench_test(test_quota_of_bytes),
		bench_test(test_quota_is_of_one_device),
		bench_test(test_revoked),
		bench_test(test_revoked_for_good),
		bench_test(test_reset_keeps_windows),
		bench_test(test_sibling_keeps_windows),
		bench_test(test_order),
		bench_test(test_order_of_a_failing_bind),
		bench_test(test_revoke_fails_at_unbind),
		bench_test(test_revoke_fails_at_release),
		bench_test(test_all_fails),
		bench_test(test_lease_refused),
		bench_test(test_next_lease),
		bench_test(test_uninvited_fd),
		bench_test(test_replies_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
