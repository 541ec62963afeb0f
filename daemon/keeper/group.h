/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_GROUP_H
#define KEEPER_GROUP_H

#include <stdbool.h>
#include <stdint.h>

struct device;
struct group;
struct vfio_kernel;

void group_init(struct group *group, const struct vfio_kernel *kernel);

/* GROUP becomes the IOMMU group NUMBER and takes its FD. Once only. */
void group_adopt(struct group *group, int fd, uint32_t number);

/* Adds a leased device; the caller has asked group_full(). */
void group_add(struct group *group, struct device *device);
void group_remove(struct group *group, const struct device *device);
bool group_full(const struct group *group);
struct device *group_find(const struct group *group, const char *name);

/* A bound device other than EXCEPT, or NULL. */
const struct device *group_bound(const struct group *group, const struct device *except);

/* Records DOMAIN as the group's domain and takes the fd. The group was in no domain before. */
void group_join(struct group *group, int domain);

/* Leaves the IOMMU domain and closes the domain. No device is open any more. Returns 0 or the kernel's negative
 * errno; the domain is closed in any case. May never return: the domain's owner can stall the kernel (binding.h). */
int group_leave(struct group *group);

/* Gives the group back to the host. A second call does nothing. */
void group_close(struct group *group);

#endif
