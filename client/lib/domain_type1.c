/* SPDX-License-Identifier: MIT */
#include "domain_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

static int type1_open(void)
{
	int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int type1_info(int domain, struct vfio_iommu_type1_info *info)
{
	return ioctl(domain, VFIO_IOMMU_GET_INFO, info) < 0 ? -errno : 0;
}

static int type1_map(int domain, struct vfio_iommu_type1_dma_map *map)
{
	return ioctl(domain, VFIO_IOMMU_MAP_DMA, map) < 0 ? -errno : 0;
}

static int type1_unmap(int domain, struct vfio_iommu_type1_dma_unmap *unmap)
{
	return ioctl(domain, VFIO_IOMMU_UNMAP_DMA, unmap) < 0 ? -errno : 0;
}

const struct domain_kernel domain_type1 = {
	.name = "type1",
	.open = type1_open,
	.info = type1_info,
	.map = type1_map,
	.unmap = type1_unmap,
};
