/* SPDX-License-Identifier: MIT */
#include "group.h"
#include "fdset.h"
#include "kept.h"
#include "state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

void group_init(struct iommu_group *group, const struct vfio_kernel *kernel)
{
	*group = (struct iommu_group){.kernel = kernel, .fd = -1, .domain = -1};
	kept_init(&group->kept);
}

void group_set_fd(struct iommu_group *group, int fd, uint32_t number)
{
	assert(group->fd < 0);
	/* Below its devices: a process that ends leaves the group after it has closed the devices. */
	group->fd = kept_surpass(fd);
	group->number = number;
}

bool group_full(const struct iommu_group *group)
{
	return group->device_count == DEVICES_MAX;
}

void group_add(struct iommu_group *group, struct device *device)
{
	assert(!group_full(group));
	group->devices[group->device_count++] = device;
}

void group_remove(struct iommu_group *group, const struct device *device)
{
	size_t i = 0;

	while (group->devices[i] != device)
		i++;
	group->device_count--;
	memmove(&group->devices[i], &group->devices[i + 1], (group->device_count - i) * sizeof group->devices[0]);
}

struct device *group_find(const struct iommu_group *group, const char *name)
{
	for (size_t i = 0; i < group->device_count; i++) {
		if (strcmp(group->devices[i]->lease.name, name) == 0)
			return group->devices[i];
	}
	return NULL;
}

const struct device *group_bound_device(const struct iommu_group *group, const struct device *except)
{
	for (size_t i = 0; i < group->device_count; i++) {
		if (group->devices[i] != except && group->devices[i]->fd >= 0)
			return group->devices[i];
	}
	return NULL;
}

void group_join_domain(struct iommu_group *group, int domain)
{
	assert(group->domain < 0);
	group->domain = domain;
}

int group_leave_domain(struct iommu_group *group)
{
	int r;

	if (group->domain < 0)
		return 0;
	assert(!group_bound_device(group, NULL));
	r = group->kernel->group_detach(group->fd);
	close(fd_take(&group->domain));
	/* EINVAL: the group has left already. The kernel makes a group leave with its last device
	 * (vfio_device_remove_group() in drivers/vfio/group.c). */
	return r == -EINVAL ? 0 : r;
}

void group_close(struct iommu_group *group)
{
	assert(group->domain < 0);
	if (group->fd >= 0)
		close(fd_take(&group->fd));
}
