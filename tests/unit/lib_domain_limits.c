/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "domain.h"
#include "domain_bench.h"
#include "domain_kernel.h"
#include "domain_server_bench.h"
#include "fdset.h"
#include "message.h"
#include "packet.h"
#include "refusal.h"
#include "unit.h"
#include "vfio-broker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/resource.h>
#include <time.h>

/* What a driver may cost the owner of a domain: its budget, locked memory, descriptors, processor time. */

/* ---- QUOTA ---- */

static void test_quota_bytes(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(BUDGET_BYTES, F_SEAL_SHRINK), other;
	struct map_result all = {0}, one = {0};

	assert_int_equal(map_one(b, RW, fd, 0, 0, BUDGET_BYTES - PAGE, ANY, &all), 0);
	assert_int_equal(map_one(b, RW, -1, all.handle, 0, 2 * PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_words(&b->driver, "8 KiB wanted, 4 KiB left");
	assert_int_equal(alloc_one(b, RW, 2 * PAGE, &one, &other), REFUSAL_QUOTA);
	assert_words(&b->driver, "8 KiB wanted, 4 KiB left");
	assert_left(b, PAGE, BUDGET_MAPPINGS - 1, BUDGET_MEMORIES - 1);
	assert_int_equal(map_one(b, RW, -1, all.handle, 0, PAGE, ANY, &one), 0);
	assert_left(b, 0, BUDGET_MAPPINGS - 2, BUDGET_MEMORIES - 1);
	assert_int_equal(map_one(b, RW, -1, all.handle, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_int_equal(unmap_one(b, one.iova, PAGE), 0);
	assert_left(b, PAGE, BUDGET_MAPPINGS - 1, BUDGET_MEMORIES - 1);
	assert_int_equal(alloc_one(b, RW, PAGE, &one, &other), 0);
	assert_left(b, 0, BUDGET_MAPPINGS - 2, BUDGET_MEMORIES - 2);
	close(other);
	close(fd);
}

static void test_quota_mappings(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK), other;
	struct map_result first = {0}, result = {0};

	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, &first), 0);
	for (unsigned int i = 1; i < BUDGET_MAPPINGS; i++)
		assert_int_equal(map_one(b, RW, -1, first.handle, 0, PAGE, ANY, &result), 0);
	assert_left(b, BUDGET_BYTES - BUDGET_MAPPINGS * PAGE, 0, BUDGET_MEMORIES - 1);
	assert_int_equal(map_one(b, RW, -1, first.handle, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_words(&b->driver, "mapping");
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_int_equal(alloc_one(b, RW, PAGE, &result, &other), REFUSAL_QUOTA);
	assert_left(b, BUDGET_BYTES - BUDGET_MAPPINGS * PAGE, 0, BUDGET_MEMORIES - 1);
	assert_int_equal(unmap_one(b, first.iova, 3 * PAGE), 0);
	assert_left(b, BUDGET_BYTES - (BUDGET_MAPPINGS - 3) * PAGE, 3, BUDGET_MEMORIES - 1);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(map_one(b, RW, -1, first.handle, 0, PAGE, ANY, NULL), 0);
	assert_int_equal(map_one(b, RW, -1, first.handle, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	close(fd);
}

/*
 * The policy's limit is the lowest of all devices of the domain, also of those that come later, and goes with the
 * last of them.
 */
static void test_quota_of_the_policy(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK), other;
	struct map_result first = {0}, result = {0};

	domain_after_bind(b->domain, 3);
	domain_after_bind(b->domain, MAPPINGS_UNLIMITED);
	assert_left(b, BUDGET_BYTES, 3, BUDGET_MEMORIES);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, 8 * PAGE, &first), 0);
	assert_int_equal(map_one(b, RW, -1, first.handle, 0, PAGE, 16 * PAGE, NULL), 0);
	assert_int_equal(alloc_one(b, RW, PAGE, &result, &other), 0);
	close(other);
	assert_left(b, BUDGET_BYTES - 3 * PAGE, 0, BUDGET_MEMORIES - 2);
	assert_int_equal(map_one(b, RW, -1, first.handle, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_words(&b->driver, "the policy allows 3 mappings by one domain channel");
	assert_int_equal(alloc_one(b, RW, PAGE, &result, &other), REFUSAL_QUOTA);
	/* Two too many: they stay, and none comes. */
	domain_after_bind(b->domain, 1);
	assert_int_equal(unmap_one(b, 8 * PAGE, PAGE), 0);
	assert_left(b, BUDGET_BYTES - 2 * PAGE, 0, BUDGET_MEMORIES - 2);
	assert_int_equal(map_one(b, RW, -1, first.handle, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_words(&b->driver, "the policy allows 1 mappings");
	/* Another life */
	bench_detach(b);
	domain_before_bind(b->domain);
	bench_attach(b);
	domain_after_bind(b->domain, MAPPINGS_UNLIMITED);
	assert_left(b, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES - 2);
	close(fd);
}

static void test_quota_memories(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK), other;
	struct map_result results[BUDGET_MEMORIES], result;

	for (unsigned int i = 0; i < BUDGET_MEMORIES; i++)
		assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, &results[i]), 0);
	assert_left(b, BUDGET_BYTES - BUDGET_MEMORIES * PAGE, BUDGET_MAPPINGS - BUDGET_MEMORIES, 0);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_words(&b->driver, "FORGET");
	assert_int_equal(alloc_one(b, RW, PAGE, &result, &other), REFUSAL_QUOTA);
	/* To end the mapping is not enough, ... */
	assert_int_equal(unmap_one(b, results[0].iova, PAGE), 0);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_int_equal(forget_one(b, results[0].handle), 0);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, &result), 0);
	/* ... nor is it to forget memory that is mapped. */
	assert_int_equal(forget_one(b, results[1].handle), 0);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_int_equal(unmap_one(b, results[1].iova, PAGE), 0);
	assert_int_equal(alloc_one(b, RW, PAGE, &result, &other), 0);
	assert_left(b, BUDGET_BYTES - BUDGET_MEMORIES * PAGE, BUDGET_MAPPINGS - BUDGET_MEMORIES, 0);
	close(other);
	close(fd);
}

static void test_no_budget(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK), other;
	struct map_result result = {0};

	serve_again(b, 0, 0, 0);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_int_equal(alloc_one(b, RW, PAGE, &result, &other), REFUSAL_QUOTA);
	assert_left(b, 0, 0, 0);
	close(fd);
}

/* ---- the kernel says no ---- */

static void test_memlock(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(16 * PAGE, F_SEAL_SHRINK), other;
	struct rlimit before, low;
	struct map_result result = {0};
	int r, again;

	getrlimit(RLIMIT_MEMLOCK, &before);
	low = (struct rlimit){8 * PAGE, before.rlim_max};
	fake_kernel_fail(FAKE_MAP, ENOMEM);
	setrlimit(RLIMIT_MEMLOCK, &low);
	r = map_one(b, RW, fd, 0, 0, 16 * PAGE, ANY, &result);
	again = alloc_one(b, RW, 16 * PAGE, &result, &other);
	setrlimit(RLIMIT_MEMLOCK, &before);
	fake_kernel_fail(FAKE_MAP, 0);
	assert_int_equal(r, REFUSAL_MEMLOCK);
	assert_int_equal(again, REFUSAL_MEMLOCK);
	assert_words(&b->driver, "limit of 32 KiB");
	assert_untouched(b);
	close(fd);
}

/* ---- what a driver must not cost ---- */

static uint64_t processor_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void map_20_times_2000(struct driver *driver, uint32_t handle)
{
	for (int packet = 0; packet < 20; packet++) {
		driver_begin(driver, DOMAIN_MAP);
		for (int i = 0; i < 2000; i++)
			driver_add_map(driver, RW, -1, handle, 0, PAGE, ANY);
		assert_int_equal(driver_ask(driver == &bench.driver ? &bench : &others), 0);
	}
}

/* COUNT times in one packet, the same range */
static const struct element_result *unmap_often(struct bench *b, uint32_t count, uint64_t iova, uint64_t length)
{
	uint64_t start = processor_ms();

	driver_begin(&b->driver, DOMAIN_UNMAP);
	for (uint32_t i = 0; i < count; i++)
		driver_add_unmap(&b->driver, iova, length);
	assert_int_equal(driver_ask(b), 0);
	assert_in_range(processor_ms() - start, 0, 300);
	return element_results(&b->driver, count);
}

/* A range over all of them that cuts the last one, as often as a packet has room for */
static void test_unmap_that_looks_at_many(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(2 * PAGE, F_SEAL_SHRINK);
	struct map_result shared = {0};

	serve_again(b, 65000 * PAGE, 65000, 1);
	assert_int_equal(map_one(b, RW, fd, 0, 0, 2 * PAGE, 100000 * PAGE, &shared), 0);
	map_20_times_2000(&b->driver, shared.handle);
	assert_int_equal(bench_mapped(b), 40001);
	assert_int_equal(unmap_often(b, 4000, 0, 100001 * PAGE)[3999].refusal, REFUSAL_IOVA_INVALID);
	assert_int_equal(bench_mapped(b), 40001);
	bench_detach(b);
	bench_attach(b);
	close(fd);
}

/* Ranges with many mappings of somebody else's */
static void test_unmap_that_looks_at_many_of_others(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(2 * PAGE, F_SEAL_SHRINK);
	struct map_result shared = {0}, own = {0};
	const struct element_result *results;

	others.domain = b->domain;
	others.group = b->group;
	packet_init(&others.driver.packet);
	bench_serve(&others, 65000 * PAGE, 65000, 1);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, PAGE, &own), 0);
	assert_int_equal(map_one(b, RW, -1, own.handle, 0, 2 * PAGE, 100000 * PAGE, NULL), 0);
	assert_int_equal(map_one(&others, RW, fd, 0, 0, PAGE, ANY, &shared), 0);
	map_20_times_2000(&others.driver, shared.handle);
	/* It has none of them, and has one cut. */
	results = unmap_often(b, 4000, 2 * PAGE, 90000 * PAGE);
	assert_int_equal(results[0].refusal, REFUSAL_IOVA_INVALID);
	assert_int_equal(results[3999].refusal, REFUSAL_QUOTA);
	results = unmap_often(b, 4000, PAGE, 100000 * PAGE);
	assert_int_equal(results[3999].refusal, REFUSAL_IOVA_INVALID);
	/* All that a channel may look at is more than there is, and what it may not look at is untouched. */
	driver_begin(&b->driver, DOMAIN_UNMAP);
	for (int i = 0; i < 20; i++)
		driver_add_unmap(&b->driver, 2 * PAGE, 90000 * PAGE);
	driver_add_unmap(&b->driver, 0, UINT64_C(1) << 48);
	assert_int_equal(driver_ask(b), 0);
	assert_int_equal(element_results(&b->driver, 21)[20].refusal, REFUSAL_QUOTA);
	assert_int_equal(bench_mapped(b), 40003);
	assert_int_equal(unmap_one(b, 0, UINT64_C(1) << 48), 0);
	assert_int_equal(bench_mapped(b), 40001);
	end_others();
	assert_int_equal(bench_mapped(b), 0);
	close(fd);
}

/* ---- what a driver must not learn ---- */

/*
 * Descriptors in replies that nobody reads count against the owner's user, who could then pass none to anybody
 * (unix(7), ETOOMANYREFS).
 */
static void test_descriptors_that_nobody_reads(void **state)
{
	struct bench *b = *state;
	uint64_t first;
	size_t received = 0;

	serve_again(b, 2000 * PAGE, 2000, 2000);
	first = b->driver.cookie + 1;
	for (int i = 0; i < 5; i++) {
		driver_begin(&b->driver, DOMAIN_ALLOC);
		for (int j = 0; j < 100; j++)
			driver_add_alloc(&b->driver, RW, PAGE);
		driver_send(&b->driver);
		assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	}
	driver_begin(&b->driver, DOMAIN_ALLOC);
	driver_add_alloc(&b->driver, RW, PAGE);
	driver_send(&b->driver);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(driver_receive(&b->driver, DOMAIN_ALLOC, first + i), 0);
		received += b->driver.packet.fds.count;
		assert_int_equal(map_results(&b->driver, 100)[99].refusal, i < 2 ? 0 : REFUSAL_QUOTA);
	}
	assert_int_equal(received, FDSET_MAX);
	assert_int_equal(driver_receive(&b->driver, DOMAIN_ALLOC, first + 5), REFUSAL_QUOTA);
	assert_words(&b->driver, "replies");
	assert_left(b, (2000 - FDSET_MAX) * PAGE, 2000 - FDSET_MAX, 2000 - FDSET_MAX);
	/* Now that they are read, there can be more. */
	driver_begin(&b->driver, DOMAIN_ALLOC);
	driver_add_alloc(&b->driver, RW, PAGE);
	assert_int_equal(driver_ask(b), 0);
}

static unsigned int maps_tried;

static int counted_map(int fd, struct vfio_iommu_type1_dma_map *map)
{
	maps_tried++;
	return map->size > 2 * PAGE ? -ENOMEM : fake_domain.map(fd, map);
}

/* The kernel pins memory up to the limit, and lets go of it again, before it says no: once in a packet is enough. */
static void test_memlock_is_tried_once(void **state)
{
	struct bench *b = *state;
	static struct domain_kernel kernel;
	int fd = memory_make(16 * PAGE, F_SEAL_SHRINK);
	struct rlimit before, low;
	const struct map_result *results;

	vbroker_domain_server_close(b->server);
	close(b->driver.fd);
	bench_detach(b);
	vbroker_domain_close(b->domain);
	kernel = fake_domain;
	kernel.map = counted_map;
	assert_int_equal(domain_open_on(&kernel, &b->domain), 0);
	bench_attach(b);
	bench_serve(b, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES);
	maps_tried = 0;
	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW, fd, 0, 0, 4 * PAGE, ANY);
	for (int i = 0; i < 100; i++)
		driver_add_map(&b->driver, RW, fd, 0, 0, 3 * PAGE + PAGE * (unsigned int)(i % 3), ANY);
	driver_add_map(&b->driver, RW, fd, 0, 0, 2 * PAGE, ANY);
	getrlimit(RLIMIT_MEMLOCK, &before);
	low = (struct rlimit){2 * PAGE, before.rlim_max};
	setrlimit(RLIMIT_MEMLOCK, &low);
	driver_send(&b->driver);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	setrlimit(RLIMIT_MEMLOCK, &before);
	assert_int_equal(driver_receive(&b->driver, DOMAIN_MAP, b->driver.cookie), 0);
	results = map_results(&b->driver, 102);
	for (int i = 0; i < 101; i++)
		assert_int_equal(results[i].refusal, REFUSAL_MEMLOCK);
	assert_int_equal(results[101].refusal, 0);
	/* Four pages, three pages, two pages */
	assert_int_equal(maps_tried, 3);
	/* The next packet is another chance. */
	assert_int_equal(map_one(b, RW, fd, 0, 0, 4 * PAGE, ANY, NULL), -ENOMEM);
	assert_int_equal(maps_tried, 4);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_quota_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_quota_mappings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_quota_of_the_policy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_quota_memories, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_budget, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memlock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_that_looks_at_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_that_looks_at_many_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_descriptors_that_nobody_reads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memlock_is_tried_once, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
