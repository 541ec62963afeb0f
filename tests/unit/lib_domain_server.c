/* SPDX-License-Identifier: MIT */
#include "domain_bench.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>

/* The serving end of a domain channel, with a driver that sends raw packets. */

static struct bench bench;

static int set_up_unbound(void **state)
{
	bench_start_bare(&bench);
	bench_serve(&bench, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES);
	*state = &bench;
	return 0;
}

static int set_up(void **state)
{
	set_up_unbound(state);
	bench_attach(*state);
	return 0;
}

static int tear_down(void **state)
{
	bench_end(*state);
	return 0;
}

/* With another budget than the usual one. */
static void serve_again(struct bench *b, uint64_t bytes, uint32_t mappings, uint32_t memories)
{
	vbroker_domain_server_close(b->server);
	close(b->driver.fd);
	bench_serve(b, bytes, mappings, memories);
}

/* ---- a second channel of the same domain ---- */

static struct bench others; /* only its server and driver are of its own */

static void start_others(struct bench *b)
{
	others.domain = b->domain;
	others.group = b->group;
	packet_init(&others.driver.packet);
	bench_serve(&others, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES);
}

static void end_others(void)
{
	vbroker_domain_server_close(others.server);
	close(others.driver.fd);
}

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

static char *as_the_device_sees_it(const struct bench *b, uint64_t iova)
{
	const struct fake_mapping *mapping = bench_mapping(b, iova);

	assert_non_null(mapping);
	return (char *)(uintptr_t)mapping->vaddr;
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

static void test_alloc(void **state)
{
	struct bench *b = *state;
	struct map_result result = {0}, again = {0};
	struct stat status;
	int fd;

	assert_int_equal(alloc_one(b, RW, 3 * PAGE, &result, &fd), 0);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_size, 3 * PAGE);
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(pwrite(fd, "hello", 5, 0), 5);
	assert_memory_equal(as_the_device_sees_it(b, result.iova), "hello", 5);
	assert_left(b, BUDGET_BYTES - 3 * PAGE, BUDGET_MAPPINGS - 1, BUDGET_MEMORIES - 1);
	/* It is memory like any other. */
	assert_int_equal(map_one(b, RW, -1, result.handle, PAGE, PAGE, ANY, &again), 0);
	assert_int_equal(unmap_one(b, result.iova, 3 * PAGE), 0);
	assert_int_equal(unmap_one(b, again.iova, PAGE), 0);
	assert_int_equal(forget_one(b, result.handle), 0);
	close(fd);
	assert_untouched(b);
}

/* There may be no huge pages here: then it is ordinary ones. */
static void test_alloc_huge(void **state)
{
	struct bench *b = *state;
	struct map_result result = {0};
	struct stat status;
	int fd;

	serve_again(b, 8 << 20, 8, 8);
	assert_int_equal(alloc_one(b, MAP_DEVICE_READ | MAP_HUGE_PAGES, PAGE, &result, &fd), 0);
	assert_int_equal(fstat(fd, &status), 0);
	assert_true(status.st_size == PAGE || status.st_size == 2 << 20);
	assert_int_equal(bench_mapping(b, result.iova)->size, status.st_size);
	assert_int_equal(bench_mapping(b, result.iova)->flags, VFIO_DMA_MAP_FLAG_READ);
	assert_left(b, (8UL << 20) - (uint64_t)status.st_size, 7, 7);
	close(fd);
}

/* A machine with huge pages enough, of which only their size is of interest here. */
static bool huge_pages;

int __real_memfd_create(const char *name, unsigned int flags);
int __wrap_memfd_create(const char *name, unsigned int flags);
int __wrap_memfd_create(const char *name, unsigned int flags)
{
	return __real_memfd_create(name, huge_pages ? flags & ~(unsigned int)MFD_HUGETLB : flags);
}

/* A huge page that the budget has no room for is no reason to have none at all. */
static void test_alloc_huge_within_the_budget(void **state)
{
	struct bench *b = *state;
	struct map_result result = {0}, small = {0};
	struct stat status;
	int fd;

	huge_pages = true;
	serve_again(b, 3 << 20, 8, 8);
	assert_int_equal(alloc_one(b, RW | MAP_HUGE_PAGES, PAGE, &result, &fd), 0);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_size, 2 << 20);
	assert_int_equal(bench_mapping(b, result.iova)->size, 2 << 20);
	close(fd);
	assert_int_equal(alloc_one(b, RW | MAP_HUGE_PAGES, PAGE, &small, &fd), 0);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_size, PAGE);
	assert_left(b, (1 << 20) - PAGE, 6, 6);
	close(fd);
	assert_int_equal(alloc_one(b, RW | MAP_HUGE_PAGES, 1 << 20, &small, &fd), REFUSAL_QUOTA);
	/* It all fits once the first one is gone. */
	assert_int_equal(unmap_one(b, result.iova, 2 << 20), 0);
	assert_int_equal(alloc_one(b, RW | MAP_HUGE_PAGES, (2 << 20) - PAGE, &small, &fd), 0);
	assert_int_equal(bench_mapping(b, small.iova)->size, 2 << 20);
	close(fd);
	huge_pages = false;
}

/* ---- NOT_MEMORY ---- */

static void refused_as_memory(struct bench *b, int fd, const char *words)
{
	int before = unit_fds();
	unsigned int kept = stranger_kept();

	assert_true(fd >= 0);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_words(&b->driver, words);
	assert_int_equal(unit_fds() - (int)(stranger_kept() - kept), before);
	close(fd);
	assert_int_equal(bench_mapped(b), 0);
	assert_untouched(b);
}

static int regular_file(void)
{
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	return fd;
}

static int memory_path(void)
{
	int memory = memory_make(PAGE, F_SEAL_SHRINK), fd;
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
	fd = open(path, O_PATH | O_CLOEXEC);
	close(memory);
	return fd;
}

static void test_not_memory(void **state)
{
	struct bench *b = *state;
	unsigned int kept = stranger_kept();
	int pair[2];

	refused_as_memory(b, memory_make(PAGE, F_SEAL_GROW), "not sealed against shrinking");
	refused_as_memory(b, memory_make(0, F_SEAL_SHRINK), "empty");
	refused_as_memory(b, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "a socket");
	refused_as_memory(b, eventfd(0, EFD_CLOEXEC), "an eventfd");
	refused_as_memory(b, memory_path(), "O_PATH");
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	close(pair[1]);
	refused_as_memory(b, pair[0], "a pipe");
	assert_int_equal(stranger_kept(), kept);
	/* The close of these could block (stranger.h). */
	refused_as_memory(b, regular_file(), "a regular file");
	refused_as_memory(b, open("/dev/null", O_RDWR | O_CLOEXEC), "another character device");
	refused_as_memory(b, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "a directory");
	assert_int_equal(stranger_kept(), kept + 3);
}

static void test_handles(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK);
	struct map_result result = {0};

	assert_int_equal(map_one(b, RW, -1, 1, 0, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_int_equal(map_one(b, RW, -1, 0, 0, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_int_equal(map_one(b, RW, -1, UINT32_MAX, 0, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_words(&b->driver, "4294967295");
	assert_int_equal(forget_one(b, 1), REFUSAL_NOT_MEMORY);
	assert_int_equal(forget_one(b, 0), REFUSAL_NOT_MEMORY);
	assert_int_equal(forget_one(b, UINT32_MAX), REFUSAL_NOT_MEMORY);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, &result), 0);
	assert_int_equal(unmap_one(b, result.iova, PAGE), 0);
	assert_int_equal(forget_one(b, result.handle), 0);
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_int_equal(forget_one(b, result.handle), REFUSAL_NOT_MEMORY);
	close(fd);
	assert_untouched(b);
}

/* Of one channel: what it shared is nothing to another. */
static void test_handles_of_another_channel(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK);
	struct map_result result = {0};

	start_others(b);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, &result), 0);
	assert_int_equal(map_one(&others, RW, -1, result.handle, 0, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_int_equal(forget_one(&others, result.handle), REFUSAL_NOT_MEMORY);
	end_others();
	close(fd);
}

static void test_beyond_the_memory(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK), odd = memory_make(PAGE + 904, F_SEAL_SHRINK);
	struct map_result result = {0};

	assert_int_equal(map_one(b, RW, fd, 0, 0, 5 * PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_words(&b->driver, "0x5000 bytes at 0 are not within the 0x4000");
	assert_int_equal(map_one(b, RW, fd, 0, PAGE, 4 * PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_int_equal(map_one(b, RW, fd, 0, 5 * PAGE, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_int_equal(map_one(b, RW, fd, 0, UINT64_MAX - 2 * PAGE + 1, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_untouched(b);
	/* A memfd that ends within a page has that page not. */
	assert_int_equal(map_one(b, RW, odd, 0, 0, 2 * PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_int_equal(map_one(b, RW, odd, 0, 0, PAGE, ANY, &result), 0);
	assert_int_equal(map_one(b, RW, -1, result.handle, PAGE, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	/* It may grow, but what it was is what is shared. */
	assert_int_equal(ftruncate(odd, 4 * PAGE), 0);
	assert_int_equal(map_one(b, RW, -1, result.handle, PAGE, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	close(fd);
	close(odd);
}

static void test_sealed_against_writing(void **state)
{
	static const int seals[] = {F_SEAL_WRITE, F_SEAL_FUTURE_WRITE};
	struct bench *b = *state;

	for (size_t i = 0; i < 2; i++) {
		int fd = memory_make(PAGE, F_SEAL_SHRINK | seals[i]);
		struct map_result result = {0};

		assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
		assert_words(&b->driver, "sealed against writing");
		assert_int_equal(map_one(b, MAP_DEVICE_WRITE, fd, 0, 0, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
		assert_untouched(b);
		assert_int_equal(map_one(b, MAP_DEVICE_READ, fd, 0, 0, PAGE, ANY, &result), 0);
		assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
		assert_int_equal(unmap_one(b, result.iova, PAGE), 0);
		assert_int_equal(forget_one(b, result.handle), 0);
		close(fd);
	}
}

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

/* The policy's limit is the lowest of all devices of the domain, also of those that come later, and goes with the last of them. */
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
	assert_int_equal(unit_fds(), before);
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

/* ---- FORGET ---- */

static void test_forget_while_mapped(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	struct map_result first = {0}, second = {0};

	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, 8 * PAGE, &first), 0);
	assert_int_equal(map_one(b, RW, -1, first.handle, 0, PAGE, 16 * PAGE, NULL), 0);
	assert_int_equal(forget_one(b, first.handle), 0);
	assert_int_equal(forget_one(b, first.handle), REFUSAL_NOT_MEMORY);
	assert_int_equal(map_one(b, RW, -1, first.handle, 0, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_int_equal(bench_mapped(b), 2);
	assert_left(b, BUDGET_BYTES - 2 * PAGE, BUDGET_MAPPINGS - 2, BUDGET_MEMORIES - 1);
	/* Its number is taken as long as it is mapped. */
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, 32 * PAGE, &second), 0);
	assert_int_not_equal(second.handle, first.handle);
	assert_int_equal(unmap_one(b, 8 * PAGE, PAGE), 0);
	assert_int_equal(bench_memfds(), b->memfds_before + 2);
	assert_int_equal(unmap_one(b, 16 * PAGE, PAGE), 0);
	assert_int_equal(bench_memfds(), b->memfds_before + 1);
	assert_left(b, BUDGET_BYTES - PAGE, BUDGET_MAPPINGS - 1, BUDGET_MEMORIES - 1);
	/* Forgotten and mapped when the channel ends: bench_end() looks. */
	assert_int_equal(forget_one(b, second.handle), 0);
	close(fd);
}

/* ---- rude drivers ---- */

static void test_strangers(void **state)
{
	struct bench *b = *state;
	int file = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned int kept = stranger_kept();

	serve_again(b, BUDGET_BYTES, BUDGET_MAPPINGS, 100);
	/* In whatever kind of packet they come */
	driver_begin(&b->driver, DOMAIN_MAP);
	for (int i = 0; i < 8; i++)
		driver_add_map(&b->driver, RW, file, 0, 0, PAGE, ANY);
	assert_int_equal(driver_ask(b), 0);
	packet_request(&b->driver.packet, COMMON_PING, ++b->driver.cookie);
	for (int i = 0; i < 8; i++)
		fdset_add(&b->driver.packet.fds, dup(file));
	assert_int_equal(driver_ask(b), REFUSAL_MALFORMED);
	assert_int_equal(stranger_kept(), kept + 16);
	/* What can be closed costs nothing. */
	packet_request(&b->driver.packet, COMMON_PING, ++b->driver.cookie);
	for (int i = 0; i < 100; i++)
		fdset_add(&b->driver.packet.fds, eventfd(0, EFD_CLOEXEC));
	assert_int_equal(driver_ask(b), REFUSAL_MALFORMED);
	packet_request(&b->driver.packet, COMMON_PING, ++b->driver.cookie);
	fdset_add(&b->driver.packet.fds, dup(file));
	driver_send(&b->driver);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), -EPROTO);
	assert_non_null(strstr(vbroker_detail(), "17 files"));
	close(file);
}

static void test_wrong_number_of_fds(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK), before = unit_fds();

	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW, fd, 0, 0, PAGE, ANY);
	fdset_add(&b->driver.packet.fds, dup(fd));
	assert_int_equal(driver_ask(b), REFUSAL_MALFORMED);
	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW | MAP_NEW_MEMORY, -1, 0, 0, PAGE, ANY);
	assert_int_equal(driver_ask(b), REFUSAL_MALFORMED);
	driver_begin(&b->driver, DOMAIN_UNMAP);
	driver_add_unmap(&b->driver, PAGE, PAGE);
	fdset_add(&b->driver.packet.fds, dup(fd));
	assert_int_equal(driver_ask(b), REFUSAL_MALFORMED);
	assert_int_equal(unit_fds(), before);
	close(fd);
	assert_untouched(b);
}

static void broken(struct bench *b, const void *bytes, size_t size)
{
	assert_int_equal(send(b->driver.fd, bytes, size, 0), size);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), -EPROTO);
	assert_int_equal(packet_receive(b->driver.fd, MSG_DONTWAIT, true, &b->driver.packet), PACKET_RECEIVED);
	assert_int_equal(packet_refusal(&b->driver.packet, &b->driver.detail), REFUSAL_MALFORMED);
	serve_again(b, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES);
}

static void test_broken_framing(void **state)
{
	static char long_packet[MESSAGE_SIZE_MAX + 100];
	struct bench *b = *state;
	const struct message_header wrong = {.type = COMMON_PING, .length = 1, .cookie = 1};
	int fd = memory_make(PAGE, F_SEAL_SHRINK);

	/* Also with something mapped */
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), 0);
	broken(b, "x", 1);
	assert_int_equal(bench_mapped(b), 0);
	broken(b, &wrong, sizeof wrong);
	broken(b, long_packet, sizeof long_packet);
	broken(b, "", 0);
	close(fd);
}

static void test_before_hello(void **state)
{
	struct bench *b = *state;
	const struct vbroker_budget budget = {PAGE, 1, 1};

	vbroker_domain_server_close(b->server);
	close(b->driver.fd);
	assert_int_equal(vbroker_domain_serve(b->domain, &budget, &b->server, &b->driver.fd), 0);
	assert_int_equal(unmap_one(b, PAGE, PAGE), REFUSAL_MALFORMED);
	assert_words(&b->driver, "before HELLO");
	packet_request(&b->driver.packet, 99, ++b->driver.cookie);
	assert_int_equal(driver_ask(b), REFUSAL_UNSUPPORTED);
}

static void test_driver_ends(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(PAGE, F_SEAL_SHRINK);

	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), 0);
	/* What it has sent is served before its end is noticed. */
	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW, fd, 0, 0, PAGE, ANY);
	driver_send(&b->driver);
	close(b->driver.fd);
	b->driver.fd = -1;
	assert_true(vbroker_domain_server_dispatch(b->server) <= 0);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), -EPIPE);
	assert_non_null(strstr(vbroker_detail(), "closed"));
	vbroker_domain_server_close(b->server);
	b->server = NULL;
	assert_int_equal(bench_mapped(b), 0);
	close(fd);
}

static void test_nothing_to_do(void **state)
{
	struct bench *b = *state;

	assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	assert_int_equal(vbroker_domain_server_events(b->server), POLLIN);
	assert_true(vbroker_domain_server_fd(b->server) >= 0);
	vbroker_domain_server_close(NULL);
}

static void test_pipelined(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	uint64_t first = b->driver.cookie + 1;

	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW, fd, 0, 0, PAGE, 8 * PAGE);
	driver_send(&b->driver);
	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, RW, -1, 1, 0, PAGE, 16 * PAGE);
	driver_send(&b->driver);
	driver_begin(&b->driver, DOMAIN_UNMAP);
	driver_add_unmap(&b->driver, 8 * PAGE, PAGE);
	driver_add_unmap(&b->driver, 16 * PAGE, PAGE);
	driver_send(&b->driver);
	/* One at a time */
	assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	assert_int_equal(bench_mapped(b), 1);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	assert_int_equal(bench_mapped(b), 2);
	assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	assert_int_equal(bench_mapped(b), 0);
	assert_int_equal(driver_receive(&b->driver, DOMAIN_MAP, first), 0);
	assert_int_equal(driver_receive(&b->driver, DOMAIN_MAP, first + 1), 0);
	assert_int_equal(driver_receive(&b->driver, DOMAIN_UNMAP, first + 2), 0);
	close(fd);
}

/* It is not read from either, until it reads; then all its replies are there, in order. */
static void test_driver_does_not_read(void **state)
{
	struct bench *b = *state;
	uint64_t first = b->driver.cookie + 1, served = 0;

	serve_again(b, 100 * PAGE, 100, 100);
	first = b->driver.cookie + 1;
	while (vbroker_domain_server_events(b->server) == POLLIN) {
		driver_begin(&b->driver, DOMAIN_ALLOC);
		driver_add_alloc(&b->driver, RW, PAGE);
		for (int i = 0; i < 200; i++)
			driver_add_alloc(&b->driver, RW, UINT64_MAX);
		driver_send(&b->driver);
		assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
		served++;
		assert_true(served < 10000);
	}
	assert_int_equal(vbroker_domain_server_events(b->server), POLLOUT);
	driver_begin(&b->driver, DOMAIN_UNMAP);
	driver_add_unmap(&b->driver, 0, UINT64_C(1) << 40);
	driver_send(&b->driver);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	assert_int_equal(vbroker_domain_server_events(b->server), POLLOUT);
	assert_int_equal(bench_mapped(b), served < 100 ? served : 100);
	for (uint64_t i = 0; i < served; i++) {
		assert_int_equal(driver_receive(&b->driver, DOMAIN_ALLOC, first + i), 0);
		assert_int_equal(b->driver.packet.fds.count, i < 100);
		assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	}
	assert_int_equal(driver_receive(&b->driver, DOMAIN_UNMAP, first + served), 0);
	assert_int_equal(bench_mapped(b), 0);
	/* One that never reads costs the reply that waits. */
	while (vbroker_domain_server_events(b->server) == POLLIN) {
		packet_request(&b->driver.packet, DOMAIN_DESCRIBE, ++b->driver.cookie);
		driver_send(&b->driver);
		assert_int_equal(vbroker_domain_server_dispatch(b->server), 0);
	}
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

/* ---- what a driver must not learn ---- */

/* Where things are in the owner's memory */
static void test_no_addresses_in_details(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK);
	struct map_result result = {0};
	char address[32];

	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, &result), 0);
	/* All but its last digits */
	snprintf(address, sizeof address, "%#llx", (unsigned long long)bench_mapping(b, result.iova)->vaddr);
	address[strlen(address) - 4] = '\0';
	assert_int_equal(map_one(b, RW, -1, result.handle, 7, PAGE, ANY, NULL), REFUSAL_IOVA_INVALID);
	assert_null(strstr(b->driver.detail.text, address));
	assert_words(&b->driver, "offset 0x7");
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE + 1, ANY, NULL), REFUSAL_IOVA_INVALID);
	assert_null(strstr(b->driver.detail.text, address));
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE, PAGE + 1, NULL), REFUSAL_IOVA_INVALID);
	assert_null(strstr(b->driver.detail.text, address));
	fake_kernel_fail(FAKE_MAP, EFAULT);
	assert_int_equal(map_one(b, RW, -1, result.handle, 0, PAGE, ANY, NULL), -EFAULT);
	fake_kernel_fail(FAKE_MAP, 0);
	assert_null(strstr(b->driver.detail.text, address));
	close(fd);
}

/* A sparse memfd costs a driver nothing, but the owner's address space has an end. */
static void test_memory_larger_than_the_budget(void **state)
{
	struct bench *b = *state;
	int fits = memory_make(BUDGET_BYTES, F_SEAL_SHRINK), larger = memory_make(BUDGET_BYTES + 1, F_SEAL_SHRINK);
	int huge = memory_make(UINT64_C(1) << 45, F_SEAL_SHRINK);

	assert_int_equal(map_one(b, RW, huge, 0, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_words(&b->driver, "budget of 256 KiB");
	assert_int_equal(map_one(b, RW, larger, 0, 0, PAGE, ANY, NULL), REFUSAL_QUOTA);
	assert_untouched(b);
	assert_int_equal(map_one(b, RW, fits, 0, 0, PAGE, ANY, NULL), 0);
	close(fits);
	close(larger);
	close(huge);
}

static blkcnt_t blocks(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return status.st_blocks;
}

/* Otherwise a driver that keeps the descriptors keeps the pages too: the owner's, and more than the budget in the end. */
static void test_forgotten_memory_is_empty(void **state)
{
	struct bench *b = *state;
	int own = memory_make(PAGE, F_SEAL_SHRINK), made, left;
	struct map_result result = {0}, other = {0};

	assert_int_equal(pwrite(own, "mine", 4, 0), 4);
	assert_int_equal(alloc_one(b, RW, 4 * PAGE, &result, &made), 0);
	assert_int_equal(alloc_one(b, RW, PAGE, &other, &left), 0);
	assert_int_equal(pwrite(made, "ours", 4, PAGE), 4);
	assert_int_equal(pwrite(left, "ours", 4, 0), 4);
	assert_int_equal(forget_one(b, result.handle), 0);
	/* Not as long as the device has it */
	assert_int_not_equal(blocks(made), 0);
	assert_int_equal(unmap_one(b, result.iova, 4 * PAGE), 0);
	assert_int_equal(blocks(made), 0);
	/* What is the driver's own is left alone. */
	assert_int_equal(map_one(b, RW, own, 0, 0, PAGE, 16 * PAGE, &result), 0);
	assert_int_equal(unmap_one(b, 16 * PAGE, PAGE), 0);
	assert_int_equal(forget_one(b, result.handle), 0);
	assert_int_not_equal(blocks(own), 0);
	/* The end of the channel is the end of its memory. */
	vbroker_domain_server_close(b->server);
	b->server = NULL;
	assert_int_equal(blocks(left), 0);
	close(own);
	close(made);
	close(left);
}

/*
 * Descriptors in replies that nobody reads count against the owner's user, who could then pass none to anybody (unix(7),
 * ETOOMANYREFS).
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

/* Before Linux 6.7, memory sealed against writing cannot be mapped MAP_SHARED, not even for reading. */
static bool old_kernel;

void *__real_mmap64(void *address, size_t size, int access, int flags, int fd, off64_t offset);
void *__wrap_mmap64(void *address, size_t size, int access, int flags, int fd, off64_t offset);
void *__wrap_mmap64(void *address, size_t size, int access, int flags, int fd, off64_t offset)
{
	if (old_kernel && fd >= 0 && (flags & MAP_TYPE) == MAP_SHARED && (fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE)) {
		errno = EPERM;
		return MAP_FAILED;
	}
	return __real_mmap64(address, size, access, flags, fd, offset);
}

static void test_sealed_on_old_kernels(void **state)
{
	old_kernel = true;
	test_sealed_against_writing(state);
	old_kernel = false;
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
		cmocka_unit_test_setup_teardown(test_describe, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_map, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_alloc, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_alloc_huge, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_alloc_huge_within_the_budget, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_handles, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_handles_of_another_channel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_beyond_the_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sealed_against_writing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_quota_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_quota_mappings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_quota_of_the_policy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_quota_memories, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_budget, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_iova_in_use, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_map_invalid, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_invalid, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_all_or_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_are_not_touched, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_bound, set_up_unbound, tear_down),
		cmocka_unit_test_setup_teardown(test_memlock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_kernel_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_map_mixed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_and_forget_mixed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_alloc_mixed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_256_in_one_packet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_253_memories, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_or_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_forget_while_mapped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_strangers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_number_of_fds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_framing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_before_hello, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_driver_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_to_do, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pipelined, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_driver_does_not_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_that_looks_at_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_that_looks_at_many_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_next_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_next_life_unnoticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_owner_unmaps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_after_last_device, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_addresses_in_details, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memory_larger_than_the_budget, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_forgotten_memory_is_empty, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_descriptors_that_nobody_reads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sealed_on_old_kernels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memlock_is_tried_once, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
