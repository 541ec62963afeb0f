/* SPDX-License-Identifier: MIT */
#include "kernel_row.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rows of the IOMMU domain: its facts, mapping, unmapping. */

/* ---- the domain's facts ---- */

union info_buffer {
	struct vfio_iommu_type1_info info;
	uint8_t bytes[4096];
};

static long info(struct ground *g)
{
	struct vfio_iommu_type1_info small = {.argsz = sizeof small};
	int r = g->machine->domain->info(g->container, &small);

	return r;
}

static long info_short(struct ground *g)
{
	struct vfio_iommu_type1_info small = {.argsz = 4};

	return g->machine->domain->info(g->container, &small);
}

static long info_pages(struct ground *g)
{
	struct vfio_iommu_type1_info small = {.argsz = sizeof small};
	int r = g->machine->domain->info(g->container, &small);

	return r < 0 ? r : (long)(small.iova_pgsizes & 0xffff);
}

/* Too little room: the flag is set, the offset is not, and argsz says what it takes. */
static long info_grows(struct ground *g)
{
	struct vfio_iommu_type1_info small = {.argsz = sizeof small};
	int r = g->machine->domain->info(g->container, &small);

	return r < 0 ? r : (small.flags & VFIO_IOMMU_INFO_CAPS) && small.argsz > sizeof small && small.cap_offset == 0;
}

/* The capability ID in the chain, or NULL. */
static const void *capability(const struct ground *g, union info_buffer *buffer, uint16_t id)
{
	uint32_t next;

	memset(buffer, 0, sizeof *buffer);
	buffer->info.argsz = sizeof *buffer;
	if (g->machine->domain->info(g->container, &buffer->info) < 0)
		return NULL;
	for (next = buffer->info.cap_offset; next != 0;) {
		const struct vfio_info_cap_header *header = (const void *)(buffer->bytes + next);

		if (header->id == id)
			return header;
		next = header->next;
	}
	return NULL;
}

/* The ranges leave the MSI window out, and nothing else. */
static long info_ranges(struct ground *g)
{
	union info_buffer buffer;
	const struct vfio_iommu_type1_info_cap_iova_range *ranges =
		capability(g, &buffer, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);

	return ranges && ranges->nr_iovas == 2 && ranges->iova_ranges[0].start == 0 &&
		ranges->iova_ranges[0].end == 0xfedfffff && ranges->iova_ranges[1].start == 0xfef00000;
}

static uint64_t iova_last(const struct ground *g)
{
	union info_buffer buffer;
	const struct vfio_iommu_type1_info_cap_iova_range *ranges =
		capability(g, &buffer, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);

	return ranges ? ranges->iova_ranges[ranges->nr_iovas - 1].end : 0;
}

static long info_width(struct ground *g)
{
	return (long)iova_last(g);
}

static long info_available(struct ground *g)
{
	union info_buffer buffer;
	const struct vfio_iommu_type1_info_dma_avail *available;

	map_at(g, IOVA, PAGE, g->page);
	available = capability(g, &buffer, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	return available ? (long)available->avail : -ENOENT;
}

/* ---- mapping ---- */

static long map(struct ground *g)
{
	return map_at(g, IOVA, PAGE, g->page);
}

static long detach_map(struct ground *g)
{
	int r = vfio(g)->group_detach(g->group);

	return r < 0 ? r : map_at(g, IOVA, PAGE, g->page);
}

static long map_unaligned_iova(struct ground *g)
{
	return map_at(g, IOVA + 512, PAGE, g->page);
}

static long map_unaligned_memory(struct ground *g)
{
	return map_at(g, IOVA, PAGE, g->page + 512);
}

static long map_unaligned_size(struct ground *g)
{
	return map_at(g, IOVA, 512, g->page);
}

static long map_empty(struct ground *g)
{
	return map_at(g, IOVA, 0, g->page);
}

static long map_wrap(struct ground *g)
{
	return map_at(g, UINT64_MAX - PAGE + 1, 2 * PAGE, g->page);
}

static long map_no_access(struct ground *g)
{
	struct vfio_iommu_type1_dma_map empty = {
		.argsz = sizeof empty, .vaddr = (uintptr_t)g->page, .iova = IOVA, .size = PAGE};

	return g->machine->domain->map(g->container, &empty);
}

static long map_msi(struct ground *g)
{
	return map_at(g, 0xfee00000, PAGE, g->page);
}

static long map_into_msi(struct ground *g)
{
	return map_at(g, 0xfedff000, 2 * PAGE, g->page);
}

static long map_before_msi(struct ground *g)
{
	return map_at(g, 0xfedff000, PAGE, g->page);
}

static long map_beyond_width(struct ground *g)
{
	return map_at(g, iova_last(g) + 1, PAGE, g->page);
}

static long map_last_page(struct ground *g)
{
	return map_at(g, iova_last(g) + 1 - PAGE, PAGE, g->page);
}

static long map_bad_address(struct ground *g)
{
	void *hole = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(hole, PAGE);
	return map_at(g, IOVA, PAGE, hole);
}

static long map_twice(struct ground *g)
{
	long r = map(g);

	return r < 0 ? r : map(g);
}

static long map_overlap(struct ground *g)
{
	long r = map_at(g, IOVA, 2 * PAGE, g->page);

	return r < 0 ? r : map_at(g, IOVA + PAGE, 2 * PAGE, g->page);
}

static long map_neighbour(struct ground *g)
{
	long r = map(g);

	return r < 0 ? r : map_at(g, IOVA + PAGE, PAGE, g->page);
}

/* The same memory at two IOVAs is fine. */
static long map_alias(struct ground *g)
{
	long r = map(g);

	return r < 0 ? r : map_at(g, IOVA + MIB, PAGE, g->page);
}

static bool lock_capability(bool wanted)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	if (wanted)
		data[0].effective |= data[0].permitted & (1U << CAP_IPC_LOCK);
	else
		data[0].effective &= ~(1U << CAP_IPC_LOCK);
	return syscall(SYS_capset, &header, data) == 0 && (!wanted || (data[0].effective & (1U << CAP_IPC_LOCK)));
}

static long map_memlock(struct ground *g)
{
	struct rlimit before, small;
	uint8_t *memory = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long r;

	getrlimit(RLIMIT_MEMLOCK, &before);
	small = (struct rlimit){MIB, before.rlim_max};
	setrlimit(RLIMIT_MEMLOCK, &small);
	lock_capability(false);
	r = map_at(g, IOVA, 2 * MIB, memory);
	if (r == -ENOMEM && map_at(g, IOVA, MIB, memory) < 0)
		r = -EPROTO; /* what the limit allows must work */
	lock_capability(true);
	setrlimit(RLIMIT_MEMLOCK, &before);
	munmap(memory, 2 * MIB);
	return r;
}

static long map_entries(struct ground *g)
{
	if (!lock_capability(true))
		return SKIPPED;
	for (uint64_t i = 0; i < 65535; i++) {
		long r = map_at(g, IOVA + i * 2 * PAGE, PAGE, g->page);

		if (r < 0)
			return r;
	}
	return map_at(g, 0, PAGE, g->page);
}

/* ---- unmapping ---- */

static long unmap(struct ground *g)
{
	long r = map(g);

	return r < 0 ? r : unmap_at(g, IOVA, PAGE);
}

static long unmap_nothing(struct ground *g)
{
	return unmap_at(g, IOVA, PAGE);
}

static long unmap_front(struct ground *g)
{
	long r = map_at(g, IOVA, 2 * PAGE, g->page);

	return r < 0 ? r : unmap_at(g, IOVA, PAGE);
}

static long unmap_back(struct ground *g)
{
	long r = map_at(g, IOVA, 2 * PAGE, g->page);

	return r < 0 ? r : unmap_at(g, IOVA + PAGE, PAGE);
}

static long unmap_two(struct ground *g)
{
	long r = map_neighbour(g);

	return r < 0 ? r : unmap_at(g, IOVA - PAGE, 4 * PAGE);
}

static long unmap_unaligned(struct ground *g)
{
	return unmap_at(g, IOVA, 512);
}

static long unmap_empty(struct ground *g)
{
	return unmap_at(g, IOVA, 0);
}

static long unmap_all(struct ground *g)
{
	struct vfio_iommu_type1_dma_unmap all = {.argsz = sizeof all, .flags = VFIO_DMA_UNMAP_FLAG_ALL};
	long r = map_neighbour(g);

	if (r == 0)
		r = g->machine->domain->unmap(g->container, &all);
	return r < 0 ? r : (long)all.size;
}

/* ---- the list ---- */

static const struct row rows[] = {
	{"INFO before SET_IOMMU", ATTACHED, info, -EINVAL, 0},
	{"INFO", READY, info, 0, 0},
	{"INFO with a short argsz", READY, info_short, -EINVAL, 0},
	{"INFO: 4 KiB is the smallest page", READY, info_pages, PAGE, 0},
	{"INFO: argsz grows to what the capabilities take", READY, info_grows, true, 0},
	{"INFO: the ranges leave out the MSI window", READY, info_ranges, true, 0},
	{"INFO: width", READY, info_width, 0xffffffffffff, 0},
	{"INFO: entries left", READY, info_available, 65534, 0},
	{"MAP before SET_IOMMU", ATTACHED, map, -EINVAL, 0},
	{"MAP", READY, map, 0, 0},
	{"MAP after the group has left", READY, detach_map, -EINVAL, 0},
	{"MAP: unaligned IOVA", READY, map_unaligned_iova, -EINVAL, 0},
	{"MAP: unaligned memory", READY, map_unaligned_memory, -EINVAL, 0},
	{"MAP: unaligned size", READY, map_unaligned_size, -EINVAL, 0},
	{"MAP: empty", READY, map_empty, -EINVAL, 0},
	{"MAP: around the end of addresses", READY, map_wrap, -EINVAL, -EOVERFLOW},
	{"MAP: neither read nor write", READY, map_no_access, -EINVAL, 0},
	{"MAP: the MSI window", READY, map_msi, -EINVAL, 0},
	{"MAP: into the MSI window", READY, map_into_msi, -EINVAL, 0},
	{"MAP: up to the MSI window", READY, map_before_msi, 0, 0},
	{"MAP: beyond the width", READY, map_beyond_width, -EINVAL, 0},
	{"MAP: the last page", READY, map_last_page, 0, 0},
	{"MAP: an address without memory", READY, map_bad_address, -EFAULT, 0},
	{"MAP: twice", READY, map_twice, -EEXIST, 0},
	{"MAP: overlapping", READY, map_overlap, -EEXIST, 0},
	{"MAP: side by side", READY, map_neighbour, 0, 0},
	{"MAP: the same memory at two IOVAs", READY, map_alias, 0, 0},
	{"MAP: over RLIMIT_MEMLOCK", READY, map_memlock, -ENOMEM, 0},
	{"MAP: 65,536th entry", READY, map_entries, -ENOSPC, 0},
	{"UNMAP", READY, unmap, PAGE, 0},
	{"UNMAP: nothing there", READY, unmap_nothing, 0, 0},
	{"UNMAP: the front of a mapping", READY, unmap_front, -EINVAL, 0},
	{"UNMAP: the back of a mapping", READY, unmap_back, -EINVAL, 0},
	{"UNMAP: a range with two in it", READY, unmap_two, 2 * PAGE, 0},
	{"UNMAP: unaligned", READY, unmap_unaligned, -EINVAL, 0},
	{"UNMAP: empty", READY, unmap_empty, -EINVAL, 0},
	{"UNMAP: all", READY, unmap_all, 2 * PAGE, 0},
};

const struct row_list rows_of_domains = {rows, sizeof rows / sizeof rows[0]};
