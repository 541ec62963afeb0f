/* SPDX-License-Identifier: MIT */
#include "type1.h"
#include "foreign_fd.h"
#include "kept.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <linux/major.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/linux/miscdevice.h; part of the ABI, but in no user header */
#define VFIO_MINOR 196

static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}

static bool type1_domain_check(int fd)
{
	return foreign_fd_is_device(fd, MISC_MAJOR, VFIO_MINOR);
}

static bool type1_domain_same(int a, int b)
{
	pid_t self = getpid();

	return syscall(SYS_kcmp, self, self, KCMP_FILE, (unsigned long)a, (unsigned long)b) == 0;
}

static bool type1_domain_ready(int domain)
{
	struct vfio_iommu_type1_info info = {.argsz = sizeof info};

	return ioctl(domain, VFIO_IOMMU_GET_INFO, &info) == 0;
}

static int type1_domain_setup(int domain)
{
	return result(ioctl(domain, VFIO_SET_IOMMU, (unsigned long)VFIO_TYPE1v2_IOMMU));
}

static int type1_group_status(int group, uint32_t *ret_flags)
{
	struct vfio_group_status status = {.argsz = sizeof status};
	int r = result(ioctl(group, VFIO_GROUP_GET_STATUS, &status));

	if (r == 0)
		*ret_flags = status.flags;
	return r;
}

static int type1_group_attach(int group, int domain)
{
	return result(ioctl(group, VFIO_GROUP_SET_CONTAINER, &domain));
}

static int type1_group_detach(int group)
{
	return result(ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
}

static int type1_device_get(int group, const char *name)
{
	int fd = result(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name));

	return fd < 0 ? fd : kept_surpass(fd);
}

static void type1_device_close(int device)
{
	close(device);
}

static int type1_device_info(int device, struct vfio_device_info *info)
{
	return result(ioctl(device, VFIO_DEVICE_GET_INFO, info));
}

static int type1_region_info(int device, struct vfio_region_info *info)
{
	return result(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, info));
}

static int type1_irq_info(int device, struct vfio_irq_info *info)
{
	return result(ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, info));
}

static int type1_irq_set(int device, struct vfio_irq_set *set)
{
	return result(ioctl(device, VFIO_DEVICE_SET_IRQS, set));
}

static int type1_device_reset(int device)
{
	return result(ioctl(device, VFIO_DEVICE_RESET));
}

static long type1_region_read(int device, uint64_t position, void *data, size_t length)
{
	ssize_t done = pread(device, data, length, (off_t)position);

	return done < 0 ? -errno : done;
}

static long type1_region_write(int device, uint64_t position, const void *data, size_t length)
{
	ssize_t done = pwrite(device, data, length, (off_t)position);

	return done < 0 ? -errno : done;
}

static int type1_window_info(int control, struct vfio_window_info *info)
{
	return result(ioctl(control, VFIO_WINDOW_INFO, info));
}

static int type1_window_create(int control, const struct vfio_window_create *create)
{
	return result(ioctl(control, VFIO_WINDOW_CREATE, create));
}

static int type1_window_refuse(int control)
{
	struct vfio_window_revoke revoke = {.argsz = sizeof revoke, .flags = VFIO_WINDOW_REVOKE_NOW};

	return result(ioctl(control, VFIO_WINDOW_REVOKE, &revoke));
}

static int type1_window_revoke(int control)
{
	struct vfio_window_revoke revoke = {.argsz = sizeof revoke};

	return result(ioctl(control, VFIO_WINDOW_REVOKE, &revoke));
}

static const struct sandbox_rule rules[] = {
	{SANDBOX_IOCTL, VFIO_IOMMU_GET_INFO},
	{SANDBOX_IOCTL, VFIO_SET_IOMMU},
	{SANDBOX_IOCTL, VFIO_GROUP_GET_STATUS},
	{SANDBOX_IOCTL, VFIO_GROUP_SET_CONTAINER},
	{SANDBOX_IOCTL, VFIO_GROUP_UNSET_CONTAINER},
	{SANDBOX_IOCTL, VFIO_GROUP_GET_DEVICE_FD},
	{SANDBOX_IOCTL, VFIO_DEVICE_GET_INFO},
	{SANDBOX_IOCTL, VFIO_DEVICE_GET_REGION_INFO},
	{SANDBOX_IOCTL, VFIO_DEVICE_GET_IRQ_INFO},
	{SANDBOX_IOCTL, VFIO_DEVICE_SET_IRQS},
	{SANDBOX_IOCTL, VFIO_DEVICE_RESET},
	{SANDBOX_IOCTL, VFIO_WINDOW_INFO},
	{SANDBOX_IOCTL, VFIO_WINDOW_CREATE},
	{SANDBOX_IOCTL, VFIO_WINDOW_REVOKE},
	{SCMP_SYS(kcmp), 2, UINT32_MAX, KCMP_FILE},
	{SCMP_SYS(pread64), 0, 0, 0},
	{SCMP_SYS(pwrite64), 0, 0, 0},
};

const struct vfio_kernel vfio_type1 = {
	.name = "vfio type1",
	.rules = rules,
	.rule_count = sizeof rules / sizeof rules[0],
	.domain_check = type1_domain_check,
	.domain_same = type1_domain_same,
	.domain_ready = type1_domain_ready,
	.domain_setup = type1_domain_setup,
	.group_status = type1_group_status,
	.group_attach = type1_group_attach,
	.group_detach = type1_group_detach,
	.device_get = type1_device_get,
	.device_close = type1_device_close,
	.device_info = type1_device_info,
	.region_info = type1_region_info,
	.irq_info = type1_irq_info,
	.irq_set = type1_irq_set,
	.device_reset = type1_device_reset,
	.region_read = type1_region_read,
	.region_write = type1_region_write,
	.window_info = type1_window_info,
	.window_create = type1_window_create,
	.window_refuse = type1_window_refuse,
	.window_revoke = type1_window_revoke,
};

const struct vfio_kernel *keeper_kernel(void)
{
	return &vfio_type1;
}
