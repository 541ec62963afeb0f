/* SPDX-License-Identifier: MIT */
#include "probe.h"
#include "verdict.h"
#include "window-module.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * Where VFIO maps a GiB by one entry, mremap() loses the entry: the kernel takes the entry for a broken one, and does
 * not flush the TLB (kmod/KERNEL.md). A window must have no such entries.
 */

#define GIB   ((uint64_t)1 << 30)
#define HUGE  ((uint64_t)2 << 20)
#define READS 100000

/* At a multiple of a GiB: address space for two. */
static uint8_t *room(void)
{
	uint8_t *at = mmap(NULL, 3 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		verdict_die("address space");
	return at + (GIB - (uintptr_t)at % GIB) % GIB;
}

static unsigned long reads_that_succeed(const uint8_t *address, unsigned long tries)
{
	unsigned long good = 0;
	uint64_t value;

	for (unsigned long i = 0; i < tries; i++)
		good += probe_read(address, 8, &value) == 0;
	return good;
}

/* Reads one page in each of @count spans of two MiB. */
static long faults(const uint8_t *mapping, unsigned count)
{
	struct rusage before, after;
	uint64_t value;

	getrusage(RUSAGE_SELF, &before);
	for (unsigned i = 0; i < count; i++)
		probe_read(mapping + i * HUGE, 8, &value);
	getrusage(RUSAGE_SELF, &after);
	return after.ru_minflt - before.ru_minflt;
}

void window_pud(void)
{
	int control = raw_control();
	struct raw_vfio vfio;
	struct raw_region bar;
	uint8_t *from, *to;
	long fd, count;

	raw_vfio_open(&vfio, window_large);
	bar = raw_vfio_region(&vfio, MEMORY_BAR);
	fd = raw_window(control, vfio.device, VFIO_WINDOW_FLAG_WRITE, bar.offset, GIB);
	if (fd < 0)
		verdict_die("a window of a GiB");
	from = room();
	to = from + GIB;
	if (mmap(from, GIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (int)fd, 0) != from)
		verdict_die("mmap");
	count = faults(from, 8);
	verdict(count >= 8, "a GiB is not mapped by one entry (%ld page faults)", count);
	probe_read(from, 8, &(uint64_t){0});
	if (mremap(from, GIB, GIB, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		verdict_die("mremap");
	verdict(reads_that_succeed(from, 16) == 0, "once moved, nothing is where it was");
	verdict(reads_that_succeed(to, 16) == 16, "once moved, it is where it was moved to");
	verdict_is("it is revoked", raw_revoke(control), 0);
	verdict(reads_that_succeed(from, READS / 100) + reads_that_succeed(to, READS / 100) == 0,
		"neither place reaches the device then");
	munmap(to, GIB);
	close((int)fd);
	close(control);
	raw_vfio_close(&vfio);
}
