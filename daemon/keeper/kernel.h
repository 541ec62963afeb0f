/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_KERNEL_H
#define KEEPER_KERNEL_H

#include "sandbox.h"
#include "vfio_window.h"

#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The keeper's requests to the kernel, one function per step, so that tests can use a fake instead. Every function
 * returns 0 (or the result named in its comment) or a negative errno, and is as dumb as the system call behind it: what
 * an errno means is decided in binding.c. Borrowed fds stay the caller's.
 *
 * vfio_type1 (type1.h) is the VFIO container API (Documentation/driver-api/vfio.rst). iommufd would fit the same table:
 * domain_* functions would take an iommufd, group_attach/detach do nothing, and device_get bind and attach the device's
 * cdev.
 */
struct vfio_kernel {
	const char *name;
	/* The system calls of these functions, for the process's filter. */
	const struct sandbox_rule *rules;
	size_t rule_count;

	/* True if FD is a domain of this kind. Makes no call that a file system of the sender could stall (statx with
	 * AT_STATX_DONT_SYNC asks no FUSE server). */
	bool (*domain_check)(int fd);
	/* True if A and B are the same open domain (kcmp, KCMP_FILE). */
	bool (*domain_same)(int a, int b);
	/* True if VFIO_SET_IOMMU was done on DOMAIN (VFIO_IOMMU_GET_INFO answers). */
	bool (*domain_ready)(int domain);
	/* VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU. */
	int (*domain_setup)(int domain);

	/* VFIO_GROUP_GET_STATUS: VFIO_GROUP_FLAGS_* */
	int (*group_status)(int group, uint32_t *ret_flags);
	/* VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER */
	int (*group_attach)(int group, int domain);
	int (*group_detach)(int group);

	/* VFIO_GROUP_GET_DEVICE_FD. Returns a new fd above those of clients (kept_surpass()), owned by the caller,
	 * closed by device_close. */
	int (*device_get)(int group, const char *name);
	/* At the close of the last copy VFIO switches interrupts and bus mastering off, and resets the device if
	 * possible. */
	void (*device_close)(int device);
	/* VFIO_DEVICE_GET_INFO, _GET_REGION_INFO, _GET_IRQ_INFO: argsz and index are set by the caller. */
	int (*device_info)(int device, struct vfio_device_info *info);
	int (*region_info)(int device, struct vfio_region_info *info);
	int (*irq_info)(int device, struct vfio_irq_info *info);
	/* VFIO_DEVICE_SET_IRQS */
	int (*irq_set)(int device, struct vfio_irq_set *set);
	/* VFIO_DEVICE_RESET */
	int (*device_reset)(int device);
	/* One pread or pwrite at POSITION, the offset given by region_info plus the offset in the region. Returns
	 * bytes done or a negative errno. */
	long (*region_read)(int device, uint64_t position, void *data, size_t length);
	long (*region_write)(int device, uint64_t position, const void *data, size_t length);

	/* Register windows (kmod/vfio_window.h), through a control file of the module. */
	int (*window_info)(int control, struct vfio_window_info *info);
	/* Returns a new fd, the caller's. */
	int (*window_create)(int control, const struct vfio_window_create *create);
	/* The bounded half of a revocation, VFIO_WINDOW_REVOKE_NOW. */
	int (*window_refuse)(int control);
	int (*window_revoke)(int control);
};

/* The kernel of this program. main.c is linked with type1.c or, for tests, with a fake; both define the function. */
const struct vfio_kernel *keeper_kernel(void);

#endif
