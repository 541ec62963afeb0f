/* SPDX-License-Identifier: MIT */
#include "container.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The model of drivers/vfio/vfio_iommu_type1.c; the order of the checks is the kernel's. */

/* ---- VFIO_IOMMU_GET_INFO ---- */

struct capabilities {
	struct vfio_iommu_type1_info_cap_iova_range ranges;
	struct vfio_iova_range range[2];
	struct vfio_iommu_type1_info_dma_avail available;
};

static uint64_t iova_last(const struct fake_container *container)
{
	return (UINT64_C(1) << container->width) - 1;
}

static void put_capabilities(const struct fake_container *container, struct vfio_iommu_type1_info *info)
{
	const uint32_t start = sizeof *info;
	struct capabilities capabilities = {
		.ranges = {{VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1,
				   start + (uint32_t)offsetof(struct capabilities, available)},
			2, 0},
		.range = {{0, FAKE_MSI_FIRST - 1}, {FAKE_MSI_LAST + 1, iova_last(container)}},
		.available = {{VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, 0}, FAKE_MAPPINGS_MAX - container->mapping_count},
	};

	info->flags |= VFIO_IOMMU_INFO_CAPS;
	if (info->argsz < start + sizeof capabilities) {
		info->argsz = (uint32_t)(start + sizeof capabilities);
		info->cap_offset = 0;
		return;
	}
	memcpy((char *)info + start, &capabilities, sizeof capabilities);
	info->cap_offset = start;
}

static int fake_info(int fd, struct vfio_iommu_type1_info *info)
{
	struct fake_container *container = fake_container_view(fd);
	int r = container ? fake_failure(FAKE_INFO, container->failures) : -ENOTTY;

	if (r < 0)
		return r;
	if (!container->iommu || info->argsz < offsetof(struct vfio_iommu_type1_info, cap_offset))
		return -EINVAL;
	info->flags = VFIO_IOMMU_INFO_PGSIZES;
	info->iova_pgsizes = container->page_size | 0x40200000;
	if (info->argsz >= sizeof *info)
		put_capabilities(container, info);
	return 0;
}

/* ---- VFIO_IOMMU_MAP_DMA ---- */

/* The first mapping that ends behind IOVA, or mapping_count. */
static uint32_t mapping_find(const struct fake_container *container, uint64_t iova)
{
	uint32_t low = 0, high = container->mapping_count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		const struct fake_mapping *mapping = &container->mappings[middle];

		if (mapping->iova + (mapping->size - 1) < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_overlap(const struct fake_container *container, uint64_t iova, uint64_t size)
{
	uint32_t i = mapping_find(container, iova);

	return i < container->mapping_count && container->mappings[i].iova <= iova + (size - 1);
}

static bool is_usable(const struct fake_container *container, uint64_t iova, uint64_t size)
{
	uint64_t last = iova + (size - 1);

	return last <= iova_last(container) && (last < FAKE_MSI_FIRST || iova > FAKE_MSI_LAST);
}

static bool is_memory(uint64_t vaddr, uint64_t size)
{
	/* ENOMEM: some of it is not mapped */
	return msync((void *)(uintptr_t)vaddr, size, MS_ASYNC) == 0;
}

/* CAP_IPC_LOCK lifts the limit. */
static bool is_privileged(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & (1U << CAP_IPC_LOCK));
}

/* The kernel adds up all containers of the process; here it is the mappings of this one. */
static bool is_within_limit(const struct fake_container *container, uint64_t size)
{
	struct rlimit limit = {0};
	uint64_t locked = 0;

	if (is_privileged())
		return true;
	for (uint32_t i = 0; i < container->mapping_count; i++) {
		if (container->mappings[i].pid == getpid())
			locked += container->mappings[i].size;
	}
	getrlimit(RLIMIT_MEMLOCK, &limit);
	return limit.rlim_cur >= locked && limit.rlim_cur - locked >= size;
}

static int map_check(const struct fake_container *container, const struct vfio_iommu_type1_dma_map *map)
{
	const uint32_t known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;

	if (!container->iommu || map->argsz < sizeof *map || (map->flags & ~known) || !(map->flags & known))
		return -EINVAL;
	if (map->size == 0 || ((map->size | map->iova | map->vaddr) & (container->page_size - 1)))
		return -EINVAL;
	if (map->iova + (map->size - 1) < map->iova || map->vaddr + (map->size - 1) < map->vaddr)
		return -EINVAL;
	if (is_overlap(container, map->iova, map->size))
		return -EEXIST;
	if (container->mapping_count == FAKE_MAPPINGS_MAX)
		return -ENOSPC;
	if (!is_usable(container, map->iova, map->size))
		return -EINVAL;
	if (!is_memory(map->vaddr, map->size))
		return -EFAULT;
	return is_within_limit(container, map->size) ? 0 : -ENOMEM;
}

static void mapping_insert(struct fake_container *container, const struct vfio_iommu_type1_dma_map *map)
{
	uint32_t i = mapping_find(container, map->iova);
	struct fake_mapping *mapping = &container->mappings[i];

	memmove(mapping + 1, mapping, (container->mapping_count - i) * sizeof *mapping);
	*mapping = (struct fake_mapping){map->iova, map->size, map->vaddr, getpid(), map->flags};
	container->mapping_count++;
}

static int fake_map(int fd, struct vfio_iommu_type1_dma_map *map)
{
	struct fake_container *container = fake_container_view(fd);
	int r = container ? fake_failure(FAKE_MAP, container->failures) : -ENOTTY;

	if (r < 0)
		return r;
	fake_lock(&container->lock);
	r = map_check(container, map);
	if (r == 0)
		mapping_insert(container, map);
	fake_unlock(&container->lock);
	return r;
}

/* ---- VFIO_IOMMU_UNMAP_DMA ---- */

static int unmap_all(struct fake_container *container, struct vfio_iommu_type1_dma_unmap *unmap)
{
	if (unmap->iova || unmap->size)
		return -EINVAL;
	for (uint32_t i = 0; i < container->mapping_count; i++)
		unmap->size += container->mappings[i].size;
	container->mapping_count = 0;
	return 0;
}

/* A mapping that begins before or ends behind the range would be split. */
static bool is_split(const struct fake_container *container, uint64_t iova, uint64_t last)
{
	uint32_t first = mapping_find(container, iova), end = mapping_find(container, last);
	const struct fake_mapping *mappings = container->mappings;

	return (first < container->mapping_count && mappings[first].iova < iova) ||
		(end < container->mapping_count && mappings[end].iova <= last &&
			mappings[end].iova + (mappings[end].size - 1) != last);
}

static int unmap_range(struct fake_container *container, struct vfio_iommu_type1_dma_unmap *unmap)
{
	uint64_t last = unmap->iova + (unmap->size - 1);
	uint32_t first = mapping_find(container, unmap->iova), end = first;
	struct fake_mapping *mappings = container->mappings;

	if (unmap->size == 0 || ((unmap->iova | unmap->size) & (container->page_size - 1)) || last < unmap->iova ||
		is_split(container, unmap->iova, last))
		return -EINVAL;
	for (unmap->size = 0; end < container->mapping_count && mappings[end].iova <= last; end++)
		unmap->size += mappings[end].size;
	memmove(&mappings[first], &mappings[end], (container->mapping_count - end) * sizeof *mappings);
	container->mapping_count -= end - first;
	return 0;
}

static int fake_unmap(int fd, struct vfio_iommu_type1_dma_unmap *unmap)
{
	struct fake_container *container = fake_container_view(fd);
	int r = container ? fake_failure(FAKE_UNMAP, container->failures) : -ENOTTY;

	if (r < 0)
		return r;
	if (!container->iommu || unmap->argsz < sizeof *unmap || (unmap->flags & ~VFIO_DMA_UNMAP_FLAG_ALL))
		return -EINVAL;
	fake_lock(&container->lock);
	r = unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL ? unmap_all(container, unmap) : unmap_range(container, unmap);
	fake_unlock(&container->lock);
	return r;
}

const struct domain_kernel fake_domain = {
	.name = "fake",
	.open = fake_container_open,
	.info = fake_info,
	.map = fake_map,
	.unmap = fake_unmap,
};
