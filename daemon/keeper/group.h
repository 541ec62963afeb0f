/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_GROUP_H
#define KEEPER_GROUP_H

#include <stdbool.h>
#include <stdint.h>

struct device;
struct iommu_group;
struct vfio_kernel;

void group_init(struct iommu_group *group, const struct vfio_kernel *kernel);

/* GROUP becomes the IOMMU group NUMBER and takes its FD. Once only. */
void group_set_fd(struct iommu_group *group, int fd, uint32_t number);

/* Adds a leased device; the caller has asked group_full(). */
void group_add(struct iommu_group *group, struct device *device);
void group_remove(struct iommu_group *group, const struct device *device);
bool group_full(const struct iommu_group *group);
struct device *group_find(const struct iommu_group *group, const char *name);

/* A bound device other than EXCEPT, or NULL. */
const struct device *group_bound_device(const struct iommu_group *group, const struct device *except);

/* Records DOMAIN as the group's domain and takes the fd. The group was in no domain before. */
void group_join_domain(struct iommu_group *group, int domain);

/* Leaves the IOMMU domain and closes the domain. No device is open any more. Returns 0 or the kernel's negative
 * errno; the domain is closed in any case. May never return: the domain's owner can stall the kernel (binding.h). */
int group_leave_domain(struct iommu_group *group);

/* Gives the group back to the host. A second call does nothing. */
void group_close(struct iommu_group *group);

#endif
