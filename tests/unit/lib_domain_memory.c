/* SPDX-License-Identifier: MIT */
#include "domain_bench.h"
#include "domain_server_bench.h"
#include "foreign_fd.h"
#include "message.h"
#include "refusal.h"
#include "unit.h"
#include "vfio-broker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Which memory a driver may have mapped: its own memfds, if they are sealed, and what the server allocates. */

/* ---- the good case ---- */

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
	unsigned int kept = foreign_fd_kept();

	assert_true(fd >= 0);
	assert_int_equal(map_one(b, RW, fd, 0, 0, PAGE, ANY, NULL), REFUSAL_NOT_MEMORY);
	assert_words(&b->driver, words);
	assert_int_equal(unit_fds() - (int)(foreign_fd_kept() - kept), before);
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
	unsigned int kept = foreign_fd_kept();
	int pair[2];

	/* a memfd, as it could not come from elsewhere */
	refused_as_memory(b, memory_make(0, F_SEAL_SHRINK), "empty");
	assert_int_equal(foreign_fd_kept(), kept);
	/* A last close of anything else could wait (foreign_fd.h). */
	refused_as_memory(b, memory_make(PAGE, F_SEAL_GROW), "not sealed against shrinking");
	refused_as_memory(b, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "a socket");
	refused_as_memory(b, eventfd(0, EFD_CLOEXEC), "an eventfd");
	refused_as_memory(b, memory_path(), "O_PATH");
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	close(pair[1]);
	refused_as_memory(b, pair[0], "a pipe");
	refused_as_memory(b, regular_file(), "a regular file");
	refused_as_memory(b, open("/dev/null", O_RDWR | O_CLOEXEC), "another character device");
	refused_as_memory(b, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "a directory");
	assert_int_equal(foreign_fd_kept(), kept + 8);
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

/* ---- what a driver must not learn ---- */

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

/*
 * Otherwise a driver that keeps the descriptors keeps the pages too: the owner's, and more than the budget in the
 * end.
 */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_alloc, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_alloc_huge, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_alloc_huge_within_the_budget, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_handles, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_handles_of_another_channel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_beyond_the_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sealed_against_writing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_forget_while_mapped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memory_larger_than_the_budget, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_forgotten_memory_is_empty, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sealed_on_old_kernels, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
