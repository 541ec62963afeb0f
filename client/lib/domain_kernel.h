/* SPDX-License-Identifier: MIT */
#ifndef LIB_DOMAIN_KERNEL_H
#define LIB_DOMAIN_KERNEL_H

#include <linux/vfio.h>
#include <stdint.h>

/*
 * The kernel interface for the owner of an IOMMU domain, one function per step; the twin of the keeper's kernel.h.
 * Every function returns 0 or a negative errno and is as dumb as the system call behind it: what an errno means is
 * decided in domain.c. An implementation for iommufd fits in beside domain_type1.
 */
struct domain_kernel {
	const char *name;
	/* Opens a fresh domain (/dev/vfio/vfio). Returns an fd, close-on-exec, owned by the caller. */
	int (*open)(void);
	/* VFIO_IOMMU_GET_INFO with the capability chain: INFO has info->argsz bytes; the kernel raises argsz to ask
	 * for more. -EINVAL before the first device is bound. */
	int (*info)(int domain, struct vfio_iommu_type1_info *info);
	/* VFIO_IOMMU_MAP_DMA */
	int (*map)(int domain, struct vfio_iommu_type1_dma_map *map);
	/* VFIO_IOMMU_UNMAP_DMA; the kernel sets unmap->size to the number of bytes unmapped. */
	int (*unmap)(int domain, struct vfio_iommu_type1_dma_unmap *unmap);
};

extern const struct domain_kernel domain_type1;

#endif
