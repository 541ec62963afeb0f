/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "fdset.h"
#include "keeper_bench.h"
#include "refusal.h"
#include "unit.h"
#include "window_bench.h"

#include <linux/pci_regs.h>
#include <stdbool.h>

/* The MSI-X table is no part of any window. */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(test_msix_page),
		bench_test(test_msix_tables),
		bench_test(test_msix_elsewhere),
		bench_test(test_msix_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
