/* SPDX-License-Identifier: MIT */
#include "verdict.h"
#include "window-module.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * What walks page tables and expects pages behind them, by order of anybody. A window's are not marked VM_PFNMAP, for which such
 * walkers look, and there is no struct page: one that looks for it makes the kernel complain, or stops it.
 */

#define HUGE (UINT64_C(2) << 20)

static long read_proc(const char *path, off_t offset, size_t size)
{
	char *buffer = malloc(size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got, all = 0;

	if (!buffer || fd < 0)
		verdict_die(path);
	if (offset > 0)
		all = pread(fd, buffer, size, offset);
	else
		while ((got = read(fd, buffer, size)) > 0)
			all += got;
	close(fd);
	free(buffer);
	return all;
}

static void walk(uint8_t *address, uint64_t size)
{
	unsigned long node = 1;

	verdict(madvise(address, size, MADV_COLD) == 0, "walkers: MADV_COLD passes over a window");
	madvise(address, size, MADV_PAGEOUT);
	syscall(SYS_mbind, address, size, MPOL_BIND, &node, 2UL, MPOL_MF_STRICT);
	read_proc("/proc/self/pagemap", (off_t)((uintptr_t)address / PAGE * 8), size / PAGE * 8);
	read_proc("/proc/self/smaps", 0, 65536);
	raw_write_file("/proc/self/clear_refs", "1");
}

void window_walkers(struct ground *ground)
{
	int fd = ground_window(ground, VFIO_WINDOW_FLAG_WRITE, 0, 2 * HUGE / PAGE);
	uint8_t *window = raw_map(fd, PROT_READ | PROT_WRITE, 2 * HUGE, 0);

	ground_seen(window, 0, 2 * HUGE / PAGE);
	walk(window, HUGE);
}
