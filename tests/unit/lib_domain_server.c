/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "domain.h"
#include "domain_bench.h"
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
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* What the serving end of a domain channel maps and unmaps for a driver, element by element. */

/* ---- the good case ---- */

static void test_describe(void **state)
{
	struct bench *b = *state;
	struct domain_reply reply = driver_describe(b);
	const struct domain_range *ranges = (const void *)(b->driver.packet.payload + sizeof reply);

	assert_int_equal(reply.page_sizes & -reply.page_sizes, PAGE);
	assert_int_equal(reply.bytes_left, BUDGET_BYTES);
	assert_int_equal(reply.mappings_left, BUDGET_MAPPINGS);
	assert_int_equal(reply.memories_left, BUDGET_MEMORIES);
	assert_int_equal(reply.zero, 0);
	assert_int_equal(reply.count, 2);
	assert_int_equal(b->driver.packet.header.length, sizeof reply + 2 * sizeof *ranges);
	assert_int_equal(ranges[0].first, 0);
	assert_int_equal(ranges[0].last, FAKE_MSI_FIRST - 1);
	assert_int_equal(ranges[1].first, FAKE_MSI_LAST + 1);
	assert_int_equal(ranges[1].last, (UINT64_C(1) << 48) - 1);
}

static void test_map(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(8 * PAGE, F_SEAL_SHRINK);
	struct map_result first = {0}, second = {0}, third = {0};
	char c = 0;

	assert_int_equal(pwrite(fd, "device", 6, 5 * PAGE), 6);
	assert_int_equal(map_one(b, MAP_DEVICE_READ, fd, 0, 4 * PAGE, 2 * PAGE, ANY, &first), 0);
	assert_int_equal(first.iova, PAGE);
	assert_int_not_equal(first.handle, 0);
	assert_int_equal(bench_mapping(b, PAGE)->flags, VFIO_DMA_MAP_FLAG_READ);
	assert_int_equal(bench_mapping(b, PAGE)->size, 2 * PAGE);
	assert_memory_equal(as_the_device_sees_it(b, PAGE) + PAGE, "device", 6);
	assert_left(b, BUDGET_BYTES - 2 * PAGE, BUDGET_MAPPINGS - 1, BUDGET_MEMORIES - 1);

	/* By its handle, at a chosen IOVA, the same pages once more */
	assert_int_equal(map_one(b, RW, -1, first.handle, 0, 8 * PAGE, 64 * PAGE, &second), 0);
	assert_int_equal(second.iova, 64 * PAGE);
	assert_int_equal(second.handle, first.handle);
	as_the_device_sees_it(b, 64 * PAGE)[PAGE] = 'x';
	assert_int_equal(pread(fd, &c, 1, PAGE), 1);
	assert_int_equal(c, 'x');
	assert_left(b, BUDGET_BYTES - 10 * PAGE, BUDGET_MAPPINGS - 2, BUDGET_MEMORIES - 1);
	assert_int_equal(bench_memfds(), b->memfds_before + 1);

	/* The same memfd passed again is memory of its own. */
	assert_int_equal(map_one(b, MAP_DEVICE_WRITE, fd, 0, 0, PAGE, ANY, &third), 0);
	assert_int_not_equal(third.handle, first.handle);
	assert_int_equal(bench_mapping(b, third.iova)->flags, VFIO_DMA_MAP_FLAG_WRITE);
	assert_int_equal(unmap_one(b, PAGE, 2 * PAGE), 0);
	assert_int_equal(unmap_one(b, 64 * PAGE, 8 * PAGE), 0);
	assert_left(b, BUDGET_BYTES - PAGE, BUDGET_MAPPINGS - 1, BUDGET_MEMORIES - 2);
	assert_int_equal(forget_one(b, first.handle), 0);
	assert_left(b, BUDGET_BYTES - PAGE, BUDGET_MAPPINGS - 1, BUDGET_MEMORIES - 1);
	assert_int_equal(bench_memfds(), b->memfds_before + 1);
	close(fd);
}

/* ---- IOVAs ---- */

static void test_iova_in_use(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	struct map_result result = {0};
	char *own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_int_equal(vbroker_domain_map(b->domain, own, PAGE, RW, 16 * PAGE, NULL), 0);
	assert_int_equal(map_one(b, RW, fd, 0, 0, 2 * PAGE, 8 * PAGE, &result), 0);
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, 2 * PAGE, 9 * PAGE, NULL), REFUSAL_IOVA_IN_USE);
	assert_words(&b->driver, "0x8000-0x9fff is mapped");
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, 4 * PAGE, 13 * PAGE, NULL), REFUSAL_IOVA_IN_USE);
	assert_left(b, BUDGET_BYTES - 2 * PAGE, BUDGET_MAPPINGS - 1, BUDGET_MEMORIES - 1);
	assert_int_equal(vbroker_domain_unmap(b->domain, 16 * PAGE, PAGE), 0);
	munmap(own, PAGE);
	close(fd);
}

static void test_map_invalid(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);

	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, FAKE_MSI_FIRST, NULL), REFUSAL_IOVA_INVALID);
	assert_words(&b->driver, "usable ranges");
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, UINT64_C(1) << 48, NULL), REFUSAL_IOVA_INVALID);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, PAGE + 1, NULL), REFUSAL_IOVA_INVALID);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE + 1, ANY, NULL), REFUSAL_IOVA_INVALID);
	assert_int_equal(map_one(b, RW, fd, 0, 7, PAGE, ANY, NULL), REFUSAL_IOVA_INVALID);
	assert_int_equal(bench_mapped(b), 0);
	assert_untouched(b);
	close(fd);
}

static void test_unmap_invalid(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	struct map_result result = {0};

	assert_int_equal(unmap_one(b, 8 * PAGE, PAGE), REFUSAL_IOVA_INVALID);
	assert_words(&b->driver, "nothing mapped");
	assert_int_equal(map_one(b, RW, fd, 0, 0, 4 * PAGE, 8 * PAGE, &result), 0);
	assert_int_equal(unmap_one(b, 8 * PAGE, PAGE), REFUSAL_IOVA_INVALID);
	assert_words(&b->driver, "would cut the mapping 0x8000-0xbfff");
	assert_int_equal(unmap_one(b, 11 * PAGE, 2 * PAGE), REFUSAL_IOVA_INVALID);
	assert_words(&b->driver, "would cut");
	assert_int_equal(unmap_one(b, 9 * PAGE, PAGE), REFUSAL_IOVA_INVALID);
	assert_int_equal(unmap_one(b, 8 * PAGE, 4 * PAGE - 1), REFUSAL_IOVA_INVALID);
	assert_int_equal(unmap_one(b, 7 * PAGE, PAGE), REFUSAL_IOVA_INVALID);
	assert_int_equal(unmap_one(b, 12 * PAGE, PAGE), REFUSAL_IOVA_INVALID);
	assert_int_equal(bench_mapped(b), 1);
	assert_left(b, BUDGET_BYTES - 4 * PAGE, BUDGET_MAPPINGS - 1, BUDGET_MEMORIES - 1);
	/* More than the mapping is fine. */
	assert_int_equal(unmap_one(b, 0, UINT64_C(1) << 40), 0);
	assert_int_equal(bench_mapped(b), 0);
	close(fd);
}

/* Two good mappings and, between or behind them, one that would be cut: nothing is unmapped. */
static void test_unmap_all_or_nothing(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	struct map_result result = {0};

	assert_int_equal(map_one(b, RW, fd, 0, 0, 2 * PAGE, 8 * PAGE, &result), 0);
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, 2 * PAGE, 10 * PAGE, NULL), 0);
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, 2 * PAGE, 12 * PAGE, NULL), 0);
	assert_int_equal(unmap_one(b, 8 * PAGE, 5 * PAGE), REFUSAL_IOVA_INVALID);
	assert_words(&b->driver, "0xc000-0xdfff");
	assert_int_equal(unmap_one(b, 9 * PAGE, 5 * PAGE), REFUSAL_IOVA_INVALID);
	assert_words(&b->driver, "0x8000-0x9fff");
	assert_int_equal(bench_mapped(b), 3);
	assert_int_equal(unmap_one(b, 8 * PAGE, 4 * PAGE), 0);
	assert_int_equal(bench_mapped(b), 1);
	assert_non_null(bench_mapping(b, 12 * PAGE));
	close(fd);
}

/* ---- what is not this channel's ---- */

static void test_others_are_not_touched(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	char *own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	start_others(b);
	assert_int_equal(vbroker_domain_map(b->domain, own, PAGE, RW, 16 * PAGE, NULL), 0);
	assert_int_equal(map_one(&others, RW, fd, 0, 0, PAGE, 32 * PAGE, NULL), 0);
	assert_int_equal(unmap_one(b, 16 * PAGE, PAGE), REFUSAL_IOVA_INVALID);
	assert_int_equal(unmap_one(b, 32 * PAGE, PAGE), REFUSAL_IOVA_INVALID);
	assert_int_equal(unmap_one(b, 0, UINT64_C(1) << 48), REFUSAL_IOVA_INVALID);
	/* A range with all of them in it ends only what is the channel's. */
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, 8 * PAGE, NULL), 0);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, 64 * PAGE, NULL), 0);
	assert_int_equal(unmap_one(b, 0, UINT64_C(1) << 48), 0);
	assert_int_equal(bench_mapped(b), 2);
	/* So does its end. */
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, 8 * PAGE, NULL), 0);
	vbroker_domain_server_close(b->server);
	b->server = NULL;
	assert_int_equal(bench_mapped(b), 2);
	assert_non_null(bench_mapping(b, 16 * PAGE));
	assert_non_null(bench_mapping(b, 32 * PAGE));
	end_others();
	assert_int_equal(bench_mapped(b), 1);
	assert_int_equal(vbroker_domain_unmap(b->domain, 16 * PAGE, PAGE), 0);
	munmap(own, PAGE);
	close(fd);
}

/* ---- the kernel says no ---- */

static void test_not_bound(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK), other;
	struct map_result result = {0};

	packet_request(&b->driver.packet, DOMAIN_DESCRIBE, ++b->driver.cookie);
	assert_int_equal(driver_ask(b), REFUSAL_NOT_BOUND);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), REFUSAL_NOT_BOUND);
	assert_int_equal(alloc_one(b, RW, PAGE, &result, &other), REFUSAL_NOT_BOUND);
	assert_int_equal(unmap_one(b, PAGE, PAGE), REFUSAL_IOVA_INVALID);
	bench_attach(b);
	assert_untouched(b);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), 0);
	close(fd);
}

/* Something that nobody foresaw goes out as FAILED, with its errno where there is room. */
static void test_kernel_fails(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK);

	fake_kernel_fail(FAKE_MAP, EIO);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), -EIO);
	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW, fd, 0, 0, PAGE, ANY);
	driver_add_map(&b->driver, RW, fd, 0, 0, PAGE, ANY);
	assert_int_equal(driver_ask(b), 0);
	assert_int_equal(map_results(&b->driver, 2)[0].refusal, REFUSAL_FAILED);
	assert_int_equal(map_results(&b->driver, 2)[1].refusal, REFUSAL_FAILED);
	fake_kernel_fail(FAKE_MAP, 0);
	assert_untouched(b);
	close(fd);
}

/* ---- arrays ---- */

static void test_map_mixed(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK), bad = memory_make(PAGE, 0);
	const struct map_result *results;
	struct map_result shared = {0};
	int before;

	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, 8 * PAGE, &shared), 0);
	before = unit_fds();
	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW, bad, 0, 0, PAGE, ANY);
	driver_add_map(&b->driver, RW, -1, shared.handle, 0, PAGE, 16 * PAGE);
	driver_add_map(&b->driver, RW, fd, 0, 0, 5 * PAGE, ANY);
	driver_add_map(&b->driver, RW, fd, 0, 0, PAGE, 8 * PAGE);
	driver_add_map(&b->driver, RW, -1, 77, 0, PAGE, ANY);
	driver_add_map(&b->driver, RW, fd, 0, 0, 2 * PAGE, 32 * PAGE);
	driver_add_map(&b->driver, RW, fd, 0, 0, PAGE, FAKE_MSI_FIRST);
	driver_add_map(&b->driver, RW, -1, shared.handle, 0, 4 * PAGE, 64 * PAGE);
	assert_int_equal(driver_ask(b), 0);
	results = map_results(&b->driver, 8);
	assert_int_equal(b->driver.packet.fds.count, 0);
	assert_int_equal(results[0].refusal, REFUSAL_NOT_MEMORY);
	assert_int_equal(results[1].refusal, 0);
	assert_int_equal(results[1].iova, 16 * PAGE);
	assert_int_equal(results[1].handle, shared.handle);
	assert_int_equal(results[2].refusal, REFUSAL_NOT_MEMORY);
	assert_int_equal(results[3].refusal, REFUSAL_IOVA_IN_USE);
	assert_int_equal(results[4].refusal, REFUSAL_NOT_MEMORY);
	assert_int_equal(results[5].refusal, 0);
	assert_int_equal(results[5].iova, 32 * PAGE);
	assert_int_not_equal(results[5].handle, shared.handle);
	assert_int_equal(results[6].refusal, REFUSAL_IOVA_INVALID);
	assert_int_equal(results[7].refusal, 0);
	for (int i = 0; i < 8; i++) {
		if (results[i].refusal != 0)
			assert_true(results[i].iova == 0 && results[i].handle == 0);
	}
	/* The memfd without a seal is kept (foreign_fd.h). */
	assert_int_equal(unit_fds(), before + 1);
	assert_int_equal(bench_memfds(), b->memfds_before + 2);
	assert_left(b, BUDGET_BYTES - 8 * PAGE, BUDGET_MAPPINGS - 4, BUDGET_MEMORIES - 2);
	close(bad);
	close(fd);
}

static void test_unmap_and_forget_mixed(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	const struct element_result *results;
	struct map_result first = {0}, second = {0};

	assert_int_equal(map_one(b, RW, fd, 0, 0, 2 * PAGE, 8 * PAGE, &first), 0);
	assert_int_equal(map_one(b, RW, fd, 0, 0, 2 * PAGE, 16 * PAGE, &second), 0);
	driver_begin(&b->driver, DOMAIN_UNMAP);
	driver_add_unmap(&b->driver, 8 * PAGE, PAGE);
	driver_add_unmap(&b->driver, 8 * PAGE, 2 * PAGE);
	driver_add_unmap(&b->driver, 8 * PAGE, 2 * PAGE);
	driver_add_unmap(&b->driver, 16 * PAGE, 2 * PAGE);
	assert_int_equal(driver_ask(b), 0);
	results = element_results(&b->driver, 4);
	assert_int_equal(results[0].refusal, REFUSAL_IOVA_INVALID);
	assert_int_equal(results[1].refusal, 0);
	assert_int_equal(results[2].refusal, REFUSAL_IOVA_INVALID);
	assert_int_equal(results[3].refusal, 0);
	driver_begin(&b->driver, DOMAIN_FORGET);
	driver_add_forget(&b->driver, first.handle);
	driver_add_forget(&b->driver, first.handle);
	driver_add_forget(&b->driver, second.handle);
	assert_int_equal(driver_ask(b), 0);
	results = element_results(&b->driver, 3);
	assert_int_equal(results[0].refusal, 0);
	assert_int_equal(results[1].refusal, REFUSAL_NOT_MEMORY);
	assert_int_equal(results[2].refusal, 0);
	close(fd);
	assert_untouched(b);
}

static void test_alloc_mixed(void **state)
{
	struct bench *b = *state;
	const struct map_result *results;
	struct stat status;

	driver_begin(&b->driver, DOMAIN_ALLOC);
	driver_add_alloc(&b->driver, RW, BUDGET_BYTES - 4 * PAGE);
	driver_add_alloc(&b->driver, RW, 8 * PAGE);
	driver_add_alloc(&b->driver, RW, 100);
	driver_add_alloc(&b->driver, MAP_DEVICE_READ, 4 * PAGE);
	driver_add_alloc(&b->driver, RW, UINT64_MAX);
	assert_int_equal(driver_ask(b), 0);
	results = map_results(&b->driver, 5);
	assert_int_equal(results[0].refusal, 0);
	assert_int_equal(results[1].refusal, REFUSAL_QUOTA);
	assert_int_equal(results[2].refusal, REFUSAL_IOVA_INVALID);
	assert_int_equal(results[3].refusal, 0);
	assert_int_equal(results[4].refusal, REFUSAL_QUOTA);
	/* A descriptor for each that was done, in their order */
	assert_int_equal(b->driver.packet.fds.count, 2);
	assert_int_equal(fstat(b->driver.packet.fds.fds[0], &status), 0);
	assert_int_equal(status.st_size, BUDGET_BYTES - 4 * PAGE);
	assert_int_equal(fstat(b->driver.packet.fds.fds[1], &status), 0);
	assert_int_equal(status.st_size, 4 * PAGE);
	assert_left(b, 0, BUDGET_MAPPINGS - 2, BUDGET_MEMORIES - 2);
}

static void test_256_in_one_packet(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(256 * PAGE, F_SEAL_SHRINK);
	const struct map_result *results;
	struct map_result shared = {0};

	serve_again(b, 300 * PAGE, 300, 1);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, &shared), 0);
	driver_begin(&b->driver, DOMAIN_MAP);
	for (uint64_t i = 0; i < 256; i++)
		driver_add_map(&b->driver, RW, -1, shared.handle, i * PAGE, PAGE, (1000 + 2 * i) * PAGE);
	assert_int_equal(driver_ask(b), 0);
	results = map_results(&b->driver, 256);
	for (uint64_t i = 0; i < 256; i++) {
		assert_int_equal(results[i].refusal, 0);
		assert_int_equal(results[i].iova, (1000 + 2 * i) * PAGE);
	}
	assert_int_equal(bench_mapped(b), 257);
	assert_left(b, 43 * PAGE, 43, 0);
	driver_begin(&b->driver, DOMAIN_UNMAP);
	for (uint64_t i = 0; i < 128; i++)
		driver_add_unmap(&b->driver, (1000 + 2 * i) * PAGE, PAGE);
	assert_int_equal(driver_ask(b), 0);
	for (uint64_t i = 0; i < 128; i++)
		assert_int_equal(element_results(&b->driver, 128)[i].refusal, 0);
	assert_int_equal(bench_mapped(b), 129);
	assert_int_equal(unmap_one(b, 1000 * PAGE, 600 * PAGE), 0);
	assert_int_equal(bench_mapped(b), 1);
	assert_left(b, 299 * PAGE, 299, 0);
	close(fd);
}

/* As many descriptors as a packet carries, both ways */
static void test_253_memories(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK);
	uint32_t handles[FDSET_MAX];

	serve_again(b, 1000 * PAGE, 1000, FDSET_MAX);
	driver_begin(&b->driver, DOMAIN_ALLOC);
	for (int i = 0; i < FDSET_MAX; i++)
		driver_add_alloc(&b->driver, RW, PAGE);
	assert_int_equal(driver_ask(b), 0);
	assert_int_equal(b->driver.packet.fds.count, FDSET_MAX);
	for (int i = 0; i < FDSET_MAX; i++) {
		assert_int_equal(map_results(&b->driver, FDSET_MAX)[i].refusal, 0);
		handles[i] = map_results(&b->driver, FDSET_MAX)[i].handle;
	}
	assert_left(b, (1000 - FDSET_MAX) * PAGE, 1000 - FDSET_MAX, 0);
	assert_int_equal(unmap_one(b, 0, UINT64_C(1) << 30), 0);
	driver_begin(&b->driver, DOMAIN_FORGET);
	for (int i = 0; i < FDSET_MAX; i++)
		driver_add_forget(&b->driver, handles[i]);
	assert_int_equal(driver_ask(b), 0);
	assert_left(b, 1000 * PAGE, 1000, FDSET_MAX);
	driver_begin(&b->driver, DOMAIN_MAP);
	for (int i = 0; i < FDSET_MAX; i++)
		driver_add_map(&b->driver, RW, fd, 0, 0, PAGE, ANY);
	assert_int_equal(driver_ask(b), 0);
	for (int i = 0; i < FDSET_MAX; i++)
		assert_int_equal(map_results(&b->driver, FDSET_MAX)[i].refusal, 0);
	assert_left(b, (1000 - FDSET_MAX) * PAGE, 1000 - FDSET_MAX, 0);
	close(fd);
}

/* The request as a whole, with words, if it has one element; the element alone if it has more. */
static void test_one_or_many(void **state)
{
	struct bench *b = *state;

	assert_int_equal(unmap_one(b, PAGE, PAGE), REFUSAL_IOVA_INVALID);
	assert_int_equal(b->driver.packet.header.flags, MESSAGE_REPLY | MESSAGE_REFUSED);
	assert_true(strlen(b->driver.detail.text) > 10);
	driver_begin(&b->driver, DOMAIN_UNMAP);
	driver_add_unmap(&b->driver, PAGE, PAGE);
	driver_add_unmap(&b->driver, PAGE, PAGE);
	assert_int_equal(driver_ask(b), 0);
	assert_int_equal(b->driver.packet.header.flags, MESSAGE_REPLY);
	assert_int_equal(element_results(&b->driver, 2)[1].refusal, REFUSAL_IOVA_INVALID);
}

/* ---- mappings that ended by other means ---- */

static char *own_page(void)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(page, MAP_FAILED);
	return page;
}

/* The channel ends, and the owner's mapping at IOVA stays. */
static void ends_without(struct bench *b, uint64_t iova, char *page)
{
	vbroker_domain_server_close(b->server);
	b->server = NULL;
	assert_int_equal(bench_mapped(b), 1);
	assert_non_null(bench_mapping(b, iova));
	assert_int_equal(vbroker_domain_unmap(b->domain, iova, PAGE), 0);
	munmap(page, PAGE);
}

/* The last device leaves, which ends all mappings; where the driver's was, the next life has the owner's. */
static void test_next_life(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	char *page = own_page();
	struct map_result result = {0};

	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, 8 * PAGE, &result), 0);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, 16 * PAGE, NULL), 0);
	bench_detach(b);
	domain_before_bind(b->domain);
	bench_attach(b);
	domain_after_bind(b->domain, MAPPINGS_UNLIMITED);
	assert_left(b, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES - 2);
	assert_int_equal(vbroker_domain_map(b->domain, page, PAGE, RW, 8 * PAGE, NULL), 0);
	assert_int_equal(unmap_one(b, 8 * PAGE, PAGE), REFUSAL_IOVA_INVALID);
	assert_int_equal(bench_mapped(b), 1);
	/* Memory is memory still. */
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE, 16 * PAGE, NULL), 0);
	assert_left(b, BUDGET_BYTES - PAGE, BUDGET_MAPPINGS - 1, BUDGET_MEMORIES - 2);
	close(fd);
	ends_without(b, 8 * PAGE, page);
}

/* The same without a word to this library */
static void test_next_life_unnoticed(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	char *page = own_page();
	struct map_result result = {0};

	assert_int_equal(map_one(b, RW, fd, 0, 0, 2 * PAGE, 8 * PAGE, &result), 0);
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, 2 * PAGE, 16 * PAGE, NULL), 0);
	bench_detach(b);
	bench_attach(b);
	/* The same IOVAs by the driver ... */
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, 2 * PAGE, 8 * PAGE, NULL), 0);
	assert_left(b, BUDGET_BYTES - 4 * PAGE, BUDGET_MAPPINGS - 2, BUDGET_MEMORIES - 1);
	assert_int_equal(unmap_one(b, 8 * PAGE, 2 * PAGE), 0);
	assert_int_equal(bench_mapped(b), 0);
	/* ... and by the owner */
	assert_int_equal(vbroker_domain_map(b->domain, page, PAGE, RW, 17 * PAGE, NULL), 0);
	assert_int_equal(unmap_one(b, 16 * PAGE, 2 * PAGE), REFUSAL_IOVA_INVALID);
	assert_left(b, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES - 1);
	close(fd);
	ends_without(b, 17 * PAGE, page);
}

/* The owner takes IOVAs back. */
static void test_owner_unmaps(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	char *page = own_page();
	struct map_result result = {0};

	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, 8 * PAGE, &result), 0);
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE, 9 * PAGE, NULL), 0);
	assert_int_equal(forget_one(b, result.handle), 0);
	assert_int_equal(vbroker_domain_unmap(b->domain, 8 * PAGE, PAGE), 0);
	assert_left(b, BUDGET_BYTES - PAGE, BUDGET_MAPPINGS - 1, BUDGET_MEMORIES - 1);
	assert_int_equal(vbroker_domain_unmap(b->domain, 9 * PAGE, PAGE), 0);
	assert_untouched(b);
	assert_int_equal(vbroker_domain_map(b->domain, page, PAGE, RW, 8 * PAGE, NULL), 0);
	assert_int_equal(unmap_one(b, 8 * PAGE, PAGE), REFUSAL_IOVA_INVALID);
	close(fd);
	ends_without(b, 8 * PAGE, page);
}

/* The kernel has lost them by the time that the driver wants several of them unmapped. */
static void test_unmap_after_last_device(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	struct map_result result = {0};

	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, 8 * PAGE, &result), 0);
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE, 9 * PAGE, NULL), 0);
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE, 10 * PAGE, NULL), 0);
	assert_int_equal(forget_one(b, result.handle), 0);
	bench_detach(b);
	assert_int_equal(unmap_one(b, 0, 64 * PAGE), 0);
	bench_attach(b);
	close(fd);
	assert_untouched(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_describe, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_map, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_iova_in_use, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_map_invalid, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_invalid, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_all_or_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_are_not_touched, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_bound, set_up_unbound, tear_down),
		cmocka_unit_test_setup_teardown(test_kernel_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_map_mixed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_and_forget_mixed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_alloc_mixed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_256_in_one_packet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_253_memories, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_or_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_next_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_next_life_unnoticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_owner_unmaps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_after_last_device, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
