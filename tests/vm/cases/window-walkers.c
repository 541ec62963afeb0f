/* SPDX-License-Identifier: MIT */
#include "probe.h"
#include "verdict.h"
#include "window-module.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * What walks page tables by anybody's order. A window's mapping is not VM_PFNMAP, by which most of them know that there
 * are no struct pages; one that looks for a struct page makes the kernel complain, or stop. What they return depends on
 * the kernel, and is not looked at: that the kernel goes on is what counts, and that the window does.
 */

#define HUGE ((size_t)2 << 20)

struct span {
	uint8_t *address;
	size_t size;
};

/* Reads @size bytes from @offset, and all of a file that is shorter. */
static void read_file(const char *path, off_t offset, size_t size)
{
	char *buffer = malloc(size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (buffer && fd >= 0 && lseek(fd, offset, SEEK_SET) == offset)
		while (read(fd, buffer, size) > 0 && offset == 0)
			;
	if (fd >= 0)
		close(fd);
	free(buffer);
}

static void advise(struct span span)
{
	/*
	 * among them 21 PAGEOUT, 22 and 23 POPULATE_*, 24 DONTNEED_LOCKED, 25 COLLAPSE; 102 and 103 GUARD_INSTALL
	 * and _REMOVE
	 */
	static const int advice[] = {MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED, MADV_FREE, MADV_SEQUENTIAL, MADV_MERGEABLE,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_HUGEPAGE, 22, 23, 24, 25, 102, 103, MADV_DOFORK, MADV_DODUMP,
		MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_REMOVE, MADV_DONTNEED};

	for (size_t i = 0; i < sizeof advice / sizeof advice[0]; i++) {
		madvise(span.address, span.size, advice[i]);
		*(volatile uint8_t *)span.address;
	}
}

static void advise_as_another(struct span span)
{
	struct iovec part = {span.address, span.size};
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);

	syscall(SYS_process_madvise, self, &part, 1UL, MADV_COLD, 0);
	syscall(SYS_process_madvise, self, &part, 1UL, MADV_PAGEOUT, 0);
	close(self);
}

static void set_policy(struct span span)
{
	unsigned long node = 1;
	int mode;

	syscall(SYS_mbind, span.address, span.size, MPOL_BIND, &node, 2UL, MPOL_MF_STRICT);
	syscall(SYS_mbind, span.address, span.size, MPOL_BIND, &node, 2UL, MPOL_MF_STRICT | MPOL_MF_MOVE);
	syscall(SYS_mbind, span.address, span.size, MPOL_DEFAULT, NULL, 0UL, MPOL_MF_MOVE_ALL);
	syscall(SYS_get_mempolicy, &mode, NULL, 0UL, span.address, MPOL_F_NODE | MPOL_F_ADDR);
	syscall(SYS_migrate_pages, getpid(), 2UL, &node, &node);
}

static void move_pages(struct span span)
{
	void *pages[] = {span.address, span.address + PAGE};
	int nodes[] = {0, 0}, status[2];

	syscall(SYS_move_pages, 0, 2UL, pages, NULL, status, 0);
	syscall(SYS_move_pages, 0, 2UL, pages, nodes, status, MPOL_MF_MOVE_ALL);
}

static void look_in_core(struct span span)
{
	unsigned char core[HUGE / PAGE];

	mincore(span.address, HUGE, core);
}

static void lock(struct span span)
{
	mlock(span.address, span.size);
	munlock(span.address, span.size);
}

static void read_proc(struct span span)
{
	off_t offset = (off_t)((uintptr_t)span.address / PAGE * 8);

	read_file("/proc/self/pagemap", offset, span.size / PAGE * 8);
	read_file("/proc/self/smaps", 0, 65536);
	read_file("/proc/self/smaps_rollup", 0, 65536);
	read_file("/proc/self/numa_maps", 0, 65536);
}

static void clear_references(struct span span)
{
	(void)span;
	raw_write_file("/proc/self/clear_refs", "1");
	raw_write_file("/proc/self/clear_refs", "3");
	raw_write_file("/proc/self/clear_refs", "4");
}

/* linux/fs.h has it since 6.7. */
struct pm_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof, return_mask;
};

#define PAGEMAP_SCAN_ALL _IOWR('f', 16, struct pm_scan)

static void scan(struct span span)
{
	uint64_t regions[3 * 64];
	struct pm_scan scan_all = {
		.size = sizeof scan_all,
		.start = (uintptr_t)span.address,
		.end = (uintptr_t)span.address + span.size,
		.vec = (uintptr_t)regions,
		.vec_len = 64,
		.anyof = 0xff,
		.return_mask = 0xff,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	ioctl(fd, PAGEMAP_SCAN_ALL, &scan_all);
	close(fd);
}

static void protect(struct span span)
{
	mprotect(span.address, span.size, PROT_NONE);
	mprotect(span.address, span.size, PROT_READ);
	mprotect(span.address + 5 * PAGE, PAGE, PROT_READ | PROT_WRITE);
	mprotect(span.address, span.size, PROT_READ | PROT_WRITE);
}

static void sync_all(struct span span)
{
	msync(span.address, span.size, MS_SYNC);
	msync(span.address, span.size, MS_ASYNC | MS_INVALIDATE);
}

static const struct {
	const char *name;
	void (*walk)(struct span span);
} walkers[] = {
	{"/proc/PID/pagemap, smaps and numa_maps", read_proc},
	{"/proc/PID/clear_refs", clear_references},
	{"PAGEMAP_SCAN", scan},
	{"mincore", look_in_core},
	{"mlock", lock},
	{"mbind and migrate_pages", set_policy},
	{"move_pages", move_pages},
	{"process_madvise", advise_as_another},
	{"msync", sync_all},
	{"mprotect", protect},
	{"madvise", advise},
};

/* In each of three times two MiB, and where the walks were not aligned. Not the pages' marks. */
static bool writes(uint8_t *mapping)
{
	static const size_t at[] = {8, HUGE - PAGE + 8, HUGE + 8, HUGE + 5 * PAGE + 8, 3 * HUGE - PAGE + 8};
	bool good = true;

	for (size_t i = 0; i < sizeof at / sizeof at[0]; i++)
		good &= probe_write(mapping + at[i], 8, UINT64_MAX) == 0;
	return good;
}

/* The two MiB in the middle, and then something that is not aligned. */
static void walk_over(const char *what, uint8_t *mapping, bool (*check)(uint8_t *mapping))
{
	for (size_t i = 0; i < sizeof walkers / sizeof walkers[0]; i++) {
		check(mapping);
		walkers[i].walk((struct span){mapping + HUGE, HUGE});
		check(mapping);
		walkers[i].walk((struct span){mapping + 3 * PAGE, HUGE});
		verdict(check(mapping) && writes(mapping), "walked over by %s, %s is as before", walkers[i].name, what);
	}
}

static bool shows_device(uint8_t *mapping)
{
	return ground_seen(mapping, 0, 3 * HUGE / PAGE);
}

static bool gives_ones(uint8_t *mapping)
{
	return ground_count(mapping, 3 * HUGE / PAGE, 8, 0, UINT64_MAX) == 3 * HUGE / PAGE;
}

void window_walkers(struct ground *ground)
{
	int fd = ground_window(ground, VFIO_WINDOW_FLAG_WRITE | VFIO_WINDOW_FLAG_ONES, 0, 3 * HUGE / PAGE);
	uint8_t *window = raw_map(fd, PROT_READ | PROT_WRITE, 3 * HUGE, 0);

	walk_over("a window", window, shows_device);
	raw_revoke(ground->control);
	walk_over("a revoked window that gives ones", window, gives_ones);
	munmap(window, 3 * HUGE);
	close(fd);
}
