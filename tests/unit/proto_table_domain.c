/* SPDX-License-Identifier: MIT */
#include "fdset.h"
#include "message.h"
#include "table.h"
#include "table_bench.h"
#include "unit.h"

#include <string.h>

/* The requests of the domain channel. */

/* ---- domain channel ---- */

/* What all four array requests have in common. ELEMENT is one that is valid. */
static void array_counts(uint16_t type, const void *element, size_t size)
{
	uint8_t two[64];

	memcpy(two, element, size);
	memcpy(two + size, element, size);
	array(type, (struct array_header){.count = 1}, two, size, 0, NULL);
	array(type, (struct array_header){.count = 2}, two, 2 * size, 0, NULL);
	malformed(&domain_table, STATE_NEW, "before HELLO");
	array(type, (struct array_header){.count = 1}, two, 2 * size, 0, "does not match the length");
	array(type, (struct array_header){.count = 3}, two, 2 * size, 0, "does not match the length");
	array(type, (struct array_header){.count = 0}, NULL, 0, 0, "count 0");
	array(type, (struct array_header){.count = 0}, two, size, 0, "count 0");
	array(type, (struct array_header){.flags = 1, .count = 1}, two, size, 0, "unknown flags 0x1");
	/* The product is that length again in 32 bits. */
	array(type, (struct array_header){.count = (uint32_t)((1ULL << 32) / size + 1)}, two, size, 0,
		"does not match the length");
}

static void arrays_match_their_counts(void **state)
{
	const struct map_element map = {.flags = MAP_DEVICE_READ, .handle = 1, .length = 4096, .iova = IOVA_ANY};
	const struct unmap_element unmap = {.iova = 4096, .length = 4096};
	const struct forget_element forget = {.handle = 1};
	const struct alloc_element alloc = {.flags = MAP_DEVICE_WRITE, .length = 1};

	(void)state;
	array_counts(DOMAIN_MAP, &map, sizeof map);
	array_counts(DOMAIN_UNMAP, &unmap, sizeof unmap);
	array_counts(DOMAIN_FORGET, &forget, sizeof forget);
	array_counts(DOMAIN_ALLOC, &alloc, sizeof alloc);
}

static void map(struct map_element element, size_t fds, const char *why)
{
	const struct map_element good = {.flags = MAP_DEVICE_READ, .handle = 9, .length = 1, .iova = 0};
	struct map_element elements[2] = {good, element};

	array(DOMAIN_MAP, (struct array_header){.count = 2}, elements, sizeof elements, fds, why);
}

static void map_elements(void **state)
{
	const uint64_t all = UINT64_MAX;
	const uint32_t both = MAP_DEVICE_READ | MAP_DEVICE_WRITE;

	(void)state;
	map((struct map_element){.flags = both, .handle = 1, .length = 4096, .iova = IOVA_ANY}, 0, NULL);
	map((struct map_element){.flags = both | MAP_NEW_MEMORY, .length = 4096, .iova = 0}, 1, NULL);
	map((struct map_element){.flags = both | MAP_HUGE_PAGES, .handle = 1, .length = 1}, 0,
		"element 1: unknown flags 0x8");
	map((struct map_element){.flags = both | 0x80000000, .handle = 1, .length = 1}, 0, "unknown flags 0x80000000");
	map((struct map_element){.flags = both | 64 << 8, .handle = 1, .length = 1}, 0, NULL);
	map((struct map_element){.flags = both | 65 << 8, .handle = 1, .length = 1}, 0, "more than 64 address bits");
	map((struct map_element){.flags = both | 128 << 8, .handle = 1, .length = 1}, 0, "unknown flags 0x8000");
	map((struct map_element){.flags = 0, .handle = 1, .length = 1}, 0, "may neither read nor write");
	map((struct map_element){.flags = MAP_NEW_MEMORY, .length = 1}, 1, "may neither read nor write");
	map((struct map_element){.flags = both | MAP_NEW_MEMORY, .handle = 1, .length = 1}, 1,
		"new memory with a handle");
	map((struct map_element){.flags = both, .handle = 1, .length = 0}, 0, "empty");
	map((struct map_element){.flags = both, .handle = 1, .offset = all, .length = 1}, 0,
		"offset and length overflow");
	map((struct map_element){.flags = both, .handle = 1, .offset = all - 1, .length = 1}, 0, NULL);
	map((struct map_element){.flags = both, .handle = 1, .length = 2, .iova = all - 1}, 0,
		"IOVA and length overflow");
	map((struct map_element){.flags = both, .handle = 1, .length = 1, .iova = all - 1}, 0, NULL);
	map((struct map_element){.flags = both, .handle = 1, .length = all, .iova = IOVA_ANY}, 0, NULL);
	map((struct map_element){.flags = both | MAP_NEW_MEMORY, .length = 1}, 0,
		"1 elements bring memory, 0 fds came");
	map((struct map_element){.flags = both | MAP_NEW_MEMORY, .length = 1}, 2,
		"1 elements bring memory, 2 fds came");
	map((struct map_element){.flags = both, .handle = 1, .length = 1}, 1, "0 elements bring memory, 1 fds came");
}

static void unmap_elements(void **state)
{
	const struct unmap_element bad[] = {{0, 0}, {UINT64_MAX, 1}, {1, UINT64_MAX}};
	const struct unmap_element good[] = {{0, UINT64_MAX}, {UINT64_MAX - 1, 1}, {0, 1}};

	(void)state;
	array(DOMAIN_UNMAP, (struct array_header){.count = 3}, good, sizeof good, 0, NULL);
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct unmap_element elements[2] = {good[0], bad[i]};

		array(DOMAIN_UNMAP, (struct array_header){.count = 2}, elements, sizeof elements, 0,
			"element 1: empty");
	}
}

static void forget_elements(void **state)
{
	/* Handle 0 is as unknown as any other that was not given. */
	const struct forget_element none[2] = {{1, 0}, {0, 0}}, padded[2] = {{1, 0}, {1, 1}};

	(void)state;
	array(DOMAIN_FORGET, (struct array_header){.count = 2}, none, sizeof none, 0, NULL);
	array(DOMAIN_FORGET, (struct array_header){.count = 2}, padded, sizeof padded, 0, "element 1: padding");
}

static void alloc(struct alloc_element element, const char *why)
{
	struct alloc_element elements[2] = {{.flags = MAP_DEVICE_READ, .length = 1}, element};

	array(DOMAIN_ALLOC, (struct array_header){.count = 2}, elements, sizeof elements, 0, why);
}

static void alloc_elements(void **state)
{
	static struct alloc_element many[FDSET_MAX + 1];

	(void)state;
	alloc((struct alloc_element){.flags = MAP_DEVICE_READ | MAP_HUGE_PAGES, .length = UINT64_MAX}, NULL);
	alloc((struct alloc_element){.flags = MAP_DEVICE_READ | MAP_NEW_MEMORY, .length = 1},
		"element 1: unknown flags");
	alloc((struct alloc_element){.flags = MAP_DEVICE_READ | 64 << 8, .length = 1}, NULL);
	alloc((struct alloc_element){.flags = MAP_DEVICE_READ | 65 << 8, .length = 1}, "more than 64 address bits");
	alloc((struct alloc_element){.flags = MAP_DEVICE_READ | 128 << 8, .length = 1}, "unknown flags");
	alloc((struct alloc_element){.flags = MAP_DEVICE_READ, .zero = 1, .length = 1},
		"element 1: unknown flags, padding");
	alloc((struct alloc_element){.flags = MAP_DEVICE_READ, .length = 0}, "no length");
	alloc((struct alloc_element){.flags = MAP_HUGE_PAGES, .length = 1}, "may neither read nor write");
	for (size_t i = 0; i < COUNT(many); i++)
		many[i] = (struct alloc_element){.flags = MAP_DEVICE_READ, .length = 1};
	array(DOMAIN_ALLOC, (struct array_header){.count = FDSET_MAX}, many, FDSET_MAX * sizeof many[0], 0, NULL);
	/* The reply could not carry that many descriptors. */
	array(DOMAIN_ALLOC, (struct array_header){.count = FDSET_MAX + 1}, many, sizeof many, 0,
		"254 elements, at most 253");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrays_match_their_counts),
		cmocka_unit_test(map_elements),
		cmocka_unit_test(unmap_elements),
		cmocka_unit_test(forget_elements),
		cmocka_unit_test(alloc_elements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
