/* SPDX-License-Identifier: MIT */
#include "iova.h"

#include "unit.h"

#include <errno.h>
#include <string.h>

#define GRANULE 4096

/* ---- against a model: one owner number per granule of a small space with a hole ---- */

#define PAGES 256
#define STEPS 400

static const struct vbroker_range small[] = {
	{0, 100 * GRANULE - 1},
	{120 * GRANULE, PAGES *GRANULE - 1},
};

struct model {
	int owner[PAGES]; /* 0: free, -1: not usable, else the number of a mapping */
	int next;
	size_t count;
	/* by that number */
	uint32_t pages[STEPS + 1];
	bool ended[STEPS + 1];
};

static struct model model;

/* Mappings with even numbers are one's, those with odd ones the other's. */
static void on_ended(struct iova_owner *owner, uint32_t tag, uint64_t length);
static struct iova_owner owners[2] = {{on_ended}, {on_ended}};

static void on_ended(struct iova_owner *owner, uint32_t tag, uint64_t length)
{
	assert_ptr_equal(owner, &owners[tag % 2]);
	assert_in_range(tag, 1, model.next - 1);
	assert_false(model.ended[tag]);
	assert_int_equal(length, (uint64_t)model.pages[tag] * GRANULE);
	model.ended[tag] = true;
}

static struct iova_use next_use(void)
{
	return (struct iova_use){&owners[model.next % 2], (uint32_t)model.next};
}

static uint32_t seed;

/* xorshift: the same numbers on every machine. */
static uint32_t number_below(uint32_t bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % bound;
}

static void model_init(void)
{
	memset(&model, 0, sizeof model);
	model.next = 1;
	for (int i = 100; i < 120; i++)
		model.owner[i] = -1;
}

static bool model_free_at(uint32_t first, uint32_t pages)
{
	for (uint32_t i = first; i < first + pages; i++) {
		if (i >= PAGES || model.owner[i] != 0)
			return false;
	}
	return true;
}

/* The smallest free run with PAGES pages, page 0 not counting: its size; 0 if there is none. */
static uint32_t model_best_run(uint32_t pages)
{
	uint32_t best = 0;

	for (uint32_t i = 1, run = 0; i <= PAGES; i++) {
		if (i < PAGES && model.owner[i] == 0) {
			run++;
			continue;
		}
		if (run >= pages && (best == 0 || run < best))
			best = run;
		run = 0;
	}
	return best;
}

/* The free run that begins at FIRST; 0 if something free is before it. */
static uint32_t model_run_at(uint32_t first)
{
	uint32_t pages = 0;

	if (first > 1 && model.owner[first - 1] == 0)
		return 0;
	while (first + pages < PAGES && model.owner[first + pages] == 0)
		pages++;
	return pages;
}

static void model_set(uint32_t first, uint32_t pages)
{
	for (uint32_t i = first; i < first + pages; i++)
		model.owner[i] = model.next;
	model.pages[model.next] = pages;
	model.next++;
	model.count++;
}

/* Frees mappings with a page in the range; with WHOLE only those that do not stick out. */
static void model_free(uint32_t first, uint32_t pages, bool whole)
{
	uint32_t end = first + pages < PAGES ? first + pages : PAGES;

	for (uint32_t i = first; i < end; i++) {
		int owner = model.owner[i];
		uint32_t low = i, high = i;

		if (owner <= 0)
			continue;
		while (low > 0 && model.owner[low - 1] == owner)
			low--;
		while (high + 1 < PAGES && model.owner[high + 1] == owner)
			high++;
		if (whole && (low < first || high >= end))
			continue;
		memset(&model.owner[low], 0, (high - low + 1) * sizeof model.owner[0]);
		model.count--;
	}
}

/* The lowest mapping of OWNER's with a page in the range. */
static void compare_owned(const struct iova_space *space, unsigned int owner, uint32_t first, uint32_t pages)
{
	uint64_t steps = UINT64_MAX, few = 1 + number_below(20);
	const uint64_t few_before = few;
	struct vbroker_range range = {1, 1}, again = {1, 1};
	uint32_t i = first, end = first + pages < PAGES ? first + pages : PAGES;
	int r = iova_space_owned(space, &owners[owner], first * GRANULE, (uint64_t)end * GRANULE - 1, &steps, &range);

	while (i < end && (model.owner[i] <= 0 || (unsigned int)model.owner[i] % 2 != owner))
		i++;
	assert_int_equal(r, i == end ? -ENOENT : 0);
	if (r == 0) {
		assert_true(range.first <= i * GRANULE && range.last > i * GRANULE);
		assert_int_equal(model.owner[range.first / GRANULE], model.owner[i]);
		assert_int_equal(range.last - range.first + 1, model.pages[model.owner[i]] * GRANULE);
	}
	/* Not in fewer steps than it takes */
	r = iova_space_owned(space, &owners[owner], first * GRANULE, (uint64_t)end * GRANULE - 1, &few, &again);
	steps = UINT64_MAX - steps;
	assert_int_equal(r, steps > few_before ? -E2BIG : i == end ? -ENOENT : 0);
	assert_int_equal(few, steps > few_before ? 0 : few_before - steps);
	assert_int_equal(again.first, r == 0 ? range.first : 1);
}

/* Owners know what has ended, and nothing else. */
static void compare_ended(void)
{
	bool there[STEPS + 1] = {false};

	for (uint32_t i = 0; i < PAGES; i++) {
		if (model.owner[i] > 0)
			there[model.owner[i]] = true;
	}
	for (int tag = 1; tag < model.next; tag++)
		assert_int_equal(model.ended[tag], !there[tag]);
}

static void compare(const struct iova_space *space)
{
	uint64_t bytes, expected_bytes = 0;
	size_t count;

	for (uint32_t i = 0; i < PAGES; i++) {
		struct vbroker_range range;
		bool used = iova_space_used(space, i * GRANULE, i * GRANULE, &range);

		assert_int_equal(used, model.owner[i] > 0);
		expected_bytes += used ? GRANULE : 0;
		if (used) {
			assert_true(range.first <= i * GRANULE && range.last > i * GRANULE);
			assert_int_equal(model.owner[range.first / GRANULE], model.owner[i]);
			assert_int_equal(model.owner[range.last / GRANULE], model.owner[i]);
		}
	}
	iova_space_sum(space, &count, &bytes);
	assert_int_equal(count, model.count);
	assert_int_equal(bytes, expected_bytes);
}

static void step_take(struct iova_space *space)
{
	uint32_t pages = 1 + number_below(number_below(8) == 0 ? 60 : 5);
	uint32_t best = model_best_run(pages);
	uint64_t first = 1;
	int r = iova_space_take(space, (uint64_t)pages * GRANULE, next_use(), &first);

	assert_int_equal(r, best == 0 ? -ENOSPC : 0);
	if (r != 0) {
		assert_int_equal(first, 1);
		return;
	}
	assert_int_not_equal(first, 0);
	assert_true(model_free_at((uint32_t)(first / GRANULE), pages));
	/* A run of the best size, at its low end. */
	assert_int_equal(model_run_at((uint32_t)(first / GRANULE)), best);
	if (number_below(6) == 0) {
		iova_space_put_back(space, first);
		return;
	}
	model_set((uint32_t)(first / GRANULE), pages);
}

/* The lowest place, and none beyond the limit. */
static void step_take_below(struct iova_space *space)
{
	uint32_t pages = 1 + number_below(5), limit = 1 + number_below(PAGES + 20), lowest = 1;
	uint64_t highest = limit * GRANULE - 1 + (number_below(2) ? GRANULE - 1 : 0);
	uint64_t steps = UINT64_MAX, first = 1;
	int r = iova_space_take_below(space, (uint64_t)pages * GRANULE, highest, next_use(), &steps, &first);

	while (lowest + pages <= limit && lowest + pages <= PAGES && !model_free_at(lowest, pages))
		lowest++;
	if (lowest + pages > limit || lowest + pages > PAGES) {
		assert_int_equal(r, -ENOSPC);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(first, lowest * GRANULE);
	model_set(lowest, pages);
}

static void step_take_at(struct iova_space *space)
{
	uint32_t first = number_below(PAGES), pages = 1 + number_below(10);
	bool usable = first + pages <= 100 || (first >= 120 && first + pages <= PAGES);
	int expected = !usable ? -EINVAL : model_free_at(first, pages) ? 0 : -EEXIST;
	int r = iova_space_take_at(space, first * GRANULE, (uint64_t)(first + pages) * GRANULE - 1, next_use());

	assert_int_equal(r, expected);
	if (r == 0)
		model_set(first, pages);
}

static void step_release(struct iova_space *space, bool whole)
{
	uint32_t first = number_below(PAGES), pages = 1 + number_below(12);

	if (whole)
		iova_space_release(space, first * GRANULE, (uint64_t)(first + pages) * GRANULE - 1);
	else
		iova_space_evict(space, first * GRANULE, (uint64_t)(first + pages) * GRANULE - 1);
	model_free(first, pages, whole);
}

static void test_random_operations(void **state)
{
	(void)state;
	for (uint32_t round = 1; round <= 50; round++) {
		struct iova_space *space;

		seed = round * 2654435761U;
		model_init();
		assert_int_equal(iova_space_new(small, 2, GRANULE, NULL, &space), 0);
		for (int i = 0; i < STEPS; i++) {
			switch (number_below(6)) {
			case 0:
			case 1:
				step_take(space);
				break;
			case 2:
				step_take_at(space);
				break;
			case 3:
				step_release(space, true);
				break;
			case 4:
				step_take_below(space);
				break;
			default:
				step_release(space, false);
			}
			compare(space);
			compare_ended();
			compare_owned(space, number_below(2), number_below(PAGES), 1 + number_below(PAGES));
		}
		iova_space_free(space);
	}
}

/* ---- single properties ---- */

static const struct iova_use nobody;

static void test_never_zero(void **state)
{
	const struct vbroker_range two_pages = {0, 2 * GRANULE - 1};
	struct iova_space *space;
	uint64_t iova;

	(void)state;
	assert_int_equal(iova_space_new(&two_pages, 1, GRANULE, NULL, &space), 0);
	assert_int_equal(iova_space_take(space, 2 * GRANULE, nobody, &iova), -ENOSPC);
	assert_int_equal(iova_space_take(space, GRANULE, nobody, &iova), 0);
	assert_int_equal(iova, GRANULE);
	assert_int_equal(iova_space_take(space, GRANULE, nobody, &iova), -ENOSPC);
	/* Whoever asks for it by name gets it. */
	assert_int_equal(iova_space_take_at(space, 0, GRANULE - 1, nobody), 0);
	iova_space_free(space);
}

static void test_low_addresses_first(void **state)
{
	const struct vbroker_range machine[] = {{0, 0xfedfffff}, {0xfef00000, 0xffffffffffff}};
	struct iova_space *space;
	uint64_t iova;

	(void)state;
	assert_int_equal(iova_space_new(machine, 2, GRANULE, NULL, &space), 0);
	for (uint64_t i = 1; i <= 1000; i++) {
		assert_int_equal(iova_space_take(space, GRANULE, nobody, &iova), 0);
		assert_int_equal(iova, i * GRANULE);
	}
	/* What does not fit below goes above. */
	assert_int_equal(iova_space_take(space, UINT64_C(1) << 32, nobody, &iova), 0);
	assert_int_equal(iova, 0xfef00000);
	iova_space_free(space);
}

static void test_whole_64_bits(void **state)
{
	const struct vbroker_range all = {0, UINT64_MAX};
	struct iova_space *space;
	struct vbroker_range range;
	uint64_t iova;

	(void)state;
	assert_int_equal(iova_space_new(&all, 1, GRANULE, NULL, &space), 0);
	assert_int_equal(iova_space_take_at(space, UINT64_MAX - GRANULE + 1, UINT64_MAX, nobody), 0);
	assert_true(iova_space_used(space, UINT64_MAX, UINT64_MAX, &range));
	assert_int_equal(iova_space_take(space, UINT64_C(1) << 63, nobody, &iova), 0);
	iova_space_release(space, 0, UINT64_MAX);
	assert_false(iova_space_used(space, 0, UINT64_MAX, &range));
	assert_int_equal(iova_space_take(space, UINT64_MAX - 2 * GRANULE + 1, nobody, &iova), 0);
	iova_space_free(space);
}

/* A device of 28 address bits, on a machine with VT-d: the MSI window is not usable. */
static void test_limits(void **state)
{
	const struct vbroker_range machine[] = {{0, 0xfedfffff}, {0xfef00000, UINT64_MAX}};
	const uint64_t mebi = 1 << 20, below_28 = 0x0fffffff;
	struct iova_space *space;
	uint64_t iova, steps = UINT64_MAX;

	(void)state;
	assert_int_equal(iova_space_new(machine, 2, GRANULE, NULL, &space), 0);
	assert_true(iova_space_has_room(space, 255 * mebi, below_28));
	assert_false(iova_space_has_room(space, 256 * mebi, below_28)); /* 0 is not handed out */
	assert_false(iova_space_has_room(space, GRANULE, GRANULE - 1));
	assert_int_equal(iova_space_take_below(space, 256 * mebi, below_28, nobody, &steps, &iova), -ENOSPC);
	assert_int_equal(iova_space_take_below(space, 255 * mebi, below_28, nobody, &steps, &iova), 0);
	assert_int_equal(iova, GRANULE);
	assert_int_equal(iova_space_take_below(space, mebi, below_28, nobody, &steps, &iova), -ENOSPC);
	/* The last IOVA of 28 bits, and the first beyond. */
	assert_int_equal(iova_space_take_below(space, mebi - GRANULE, below_28, nobody, &steps, &iova), 0);
	assert_int_equal(iova, 256 * mebi - mebi + GRANULE);
	assert_int_equal(iova_space_take_below(space, GRANULE, below_28, nobody, &steps, &iova), -ENOSPC);
	assert_int_equal(iova_space_take_below(space, GRANULE, UINT32_MAX, nobody, &steps, &iova), 0);
	assert_int_equal(iova, 256 * mebi);
	/* Room that ends at the MSI window, and room above. */
	assert_int_equal(iova_space_take_below(space, 0xeee00000, UINT32_MAX, nobody, &steps, &iova), -ENOSPC);
	assert_int_equal(iova_space_take_below(space, 0xeee00000, UINT64_MAX - 1, nobody, &steps, &iova), 0);
	assert_int_equal(iova, 0xfef00000);
	/* No sum overflows. */
	assert_int_equal(iova_space_take_below(space, -GRANULE, UINT64_MAX, nobody, &steps, &iova), -ENOSPC);
	/* Three ranges are in use up to the first free one. */
	iova_space_release(space, 256 * mebi, 256 * mebi + GRANULE - 1);
	steps = 0;
	assert_int_equal(iova_space_take_below(space, GRANULE, UINT32_MAX, nobody, &steps, &iova), -E2BIG);
	steps = 100;
	assert_int_equal(iova_space_take_below(space, GRANULE, UINT32_MAX, nobody, &steps, &iova), 0);
	assert_int_equal(iova, 256 * mebi);
	assert_in_range(steps, 90, 99);
	iova_space_free(space);
}

static uint32_t told[2]; /* the last tag, how often */

static void tell(struct iova_owner *owner, uint32_t tag, uint64_t length)
{
	(void)owner;
	assert_int_equal(length, GRANULE);
	told[0] = tag;
	told[1]++;
}

static void test_narrower(void **state)
{
	struct iova_owner owner = {tell};
	const struct vbroker_range wide = {0, 100 * GRANULE - 1};
	const struct vbroker_range narrow = {0, 50 * GRANULE - 1};
	struct iova_space *former, *space;
	struct vbroker_range range;
	size_t count;
	uint64_t bytes;

	(void)state;
	assert_int_equal(iova_space_new(&wide, 1, GRANULE, NULL, &former), 0);
	assert_int_equal(iova_space_take_at(former, 10 * GRANULE, 12 * GRANULE - 1, (struct iova_use){&owner, 1}), 0);
	assert_int_equal(iova_space_take_at(former, 49 * GRANULE, 51 * GRANULE - 1, nobody), 0);
	assert_int_equal(iova_space_take_at(former, 90 * GRANULE, 91 * GRANULE - 1, (struct iova_use){&owner, 2}), 0);
	assert_int_equal(iova_space_new(&narrow, 1, GRANULE, former, &space), 0);
	iova_space_free(former);
	/* Of what is not usable any more, and of nothing else */
	assert_int_equal(told[0], 2);
	assert_int_equal(told[1], 1);
	iova_space_sum(space, &count, &bytes);
	assert_int_equal(count, 1);
	assert_int_equal(bytes, 2 * GRANULE);
	assert_true(iova_space_used(space, 0, UINT64_MAX, &range));
	assert_int_equal(range.first, 10 * GRANULE);
	assert_false(iova_space_usable(space, 49 * GRANULE, 51 * GRANULE - 1));
	iova_space_free(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_operations),
		cmocka_unit_test(test_never_zero),
		cmocka_unit_test(test_low_addresses_first),
		cmocka_unit_test(test_whole_64_bits),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_narrower),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
