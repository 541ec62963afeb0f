/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_ROW_H
#define KERNEL_ROW_H

#include "domain_kernel.h"
#include "fdset.h"
#include "kernel.h"
#include "kernel_rows.h"

#include <linux/vfio.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the kernel does, as a list of rows: each does something to a group, a container and a device, and says
 * what came of it. The same list runs on the fake kernel, as a unit test, and on the real one, in a virtual machine:
 * what the fake gets wrong shows there.
 */

#define SKIPPED (-100000L)

/* How far a row needs things to be when it begins. Each stage includes the ones before. */
enum stage {
	FRESH,	  /* a new container */
	ATTACHED, /* the first group is in it */
	READY,	  /* SET_IOMMU */
	OPENED,	  /* the device is open */
};

struct ground {
	const struct rows_machine *machine;
	int container;
	int group;
	int device;
	uint8_t *page;
};

struct row {
	const char *name;
	enum stage stage;
	long (*observe)(struct ground *ground);
	long expected;
	long other; /* what kernels before or after 6.12 may say instead; 0: the same */
};

#define PAGE 4096
#define IOVA 0x100000
#define MIB  0x100000

/* The rows of one subject, in the order in which they are printed. */
struct row_list {
	const struct row *rows;
	size_t count;
};

extern const struct row_list rows_of_groups, rows_of_devices, rows_of_domains;

/* ---- small helpers ---- */

static inline const struct vfio_kernel *vfio(const struct ground *g)
{
	return g->machine->vfio;
}

static inline long map_at(const struct ground *g, uint64_t iova, uint64_t size, const void *memory)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof map,
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return g->machine->domain->map(g->container, &map);
}

/* What was unmapped, or a negative errno. */
static inline long unmap_at(const struct ground *g, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = iova, .size = size};
	int r = g->machine->domain->unmap(g->container, &unmap);

	return r < 0 ? r : (long)unmap.size;
}

static inline long attach_stranger(const struct ground *g, int fd)
{
	OWNED_FD owned = fd;

	return vfio(g)->group_attach(g->group, owned);
}

#endif
