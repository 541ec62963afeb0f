/* SPDX-License-Identifier: MIT */
#include "raw-vfio.h"
#include "verdict.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGNED (UINT64_C(2) << 20)
#define IOVA	0x100000

static int open_group(const char *address)
{
	char link[128], target[256], path[32];
	ssize_t length;
	int fd;

	snprintf(link, sizeof link, "/sys/bus/pci/devices/%s/iommu_group", address);
	length = readlink(link, target, sizeof target - 1);
	if (length < 0)
		verdict_die(link);
	target[length] = '\0';
	snprintf(path, sizeof path, "/dev/vfio/%.16s", strrchr(target, '/') + 1);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		verdict_die(path);
	return fd;
}

void raw_vfio_open(struct raw_vfio *ret, const char *address)
{
	ret->group = open_group(address);
	ret->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (ret->container < 0)
		verdict_die("/dev/vfio/vfio");
	if (ioctl(ret->group, VFIO_GROUP_SET_CONTAINER, &ret->container) < 0)
		verdict_die("VFIO_GROUP_SET_CONTAINER");
	if (ioctl(ret->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
		verdict_die("VFIO_SET_IOMMU");
	ret->device = ioctl(ret->group, VFIO_GROUP_GET_DEVICE_FD, address);
	if (ret->device < 0)
		verdict_die(address);
	raw_vfio_command(ret, PCI_COMMAND_MEMORY, PCI_COMMAND_MEMORY);
}

void raw_vfio_close(struct raw_vfio *vfio)
{
	close(vfio->device);
	close(vfio->group);
	close(vfio->container);
}

struct raw_region raw_vfio_region(const struct raw_vfio *vfio, unsigned index)
{
	struct vfio_region_info info = {.argsz = sizeof info, .index = index};

	if (ioctl(vfio->device, VFIO_DEVICE_GET_REGION_INFO, &info) < 0)
		verdict_die("VFIO_DEVICE_GET_REGION_INFO");
	return (struct raw_region){info.offset, info.size};
}

void raw_vfio_command(const struct raw_vfio *vfio, uint16_t mask, uint16_t bits)
{
	off_t offset = (off_t)raw_vfio_region(vfio, VFIO_PCI_CONFIG_REGION_INDEX).offset + PCI_COMMAND;
	uint16_t command;

	if (pread(vfio->device, &command, sizeof command, offset) != sizeof command)
		verdict_die("reading PCI_COMMAND");
	command = (uint16_t)((command & ~mask) | bits);
	if (pwrite(vfio->device, &command, sizeof command, offset) != sizeof command)
		verdict_die("writing PCI_COMMAND");
}

void raw_vfio_sleep(const struct raw_vfio *vfio, bool may_sleep)
{
	struct vfio_device_feature feature = {
		.argsz = sizeof feature,
		.flags = VFIO_DEVICE_FEATURE_SET |
			(may_sleep ? VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY : VFIO_DEVICE_FEATURE_LOW_POWER_EXIT),
	};

	if (ioctl(vfio->device, VFIO_DEVICE_FEATURE, &feature) < 0)
		verdict_die("VFIO_DEVICE_FEATURE_LOW_POWER");
}

void *raw_map(int fd, int protection, uint64_t size, uint64_t offset)
{
	uint8_t *room = mmap(NULL, size + ALIGNED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t before;
	void *mapping;

	if (room == MAP_FAILED)
		verdict_die("address space");
	before = (ALIGNED - (uintptr_t)room % ALIGNED + offset % ALIGNED) % ALIGNED;
	mapping = mmap(room + before, size, protection, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
	if (mapping == MAP_FAILED)
		verdict_die("mapping");
	return mapping;
}

long raw_map_dma(const struct raw_vfio *vfio, const void *memory, uint64_t size, int writable)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof map,
		.flags = VFIO_DMA_MAP_FLAG_READ | (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)memory,
		.iova = IOVA,
		.size = size,
	};

	return verdict_result(ioctl(vfio->container, VFIO_IOMMU_MAP_DMA, &map));
}

void raw_unmap_dma(const struct raw_vfio *vfio, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = IOVA, .size = size};

	if (ioctl(vfio->container, VFIO_IOMMU_UNMAP_DMA, &unmap) < 0)
		verdict_die("VFIO_IOMMU_UNMAP_DMA");
}

void raw_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		verdict_die(path);
	close(fd);
}

void raw_bind(const char *address)
{
	char path[128];

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/driver_override", address);
	raw_write_file(path, "vfio-pci");
	raw_write_file("/sys/bus/pci/drivers_probe", address);
}

void raw_unbind(const char *address)
{
	raw_write_file("/sys/bus/pci/drivers/vfio-pci/unbind", address);
}

int raw_control(void)
{
	int fd = open(VFIO_WINDOW_NODE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		verdict_die(VFIO_WINDOW_NODE);
	return fd;
}

long raw_window(int control, int device, uint32_t flags, uint64_t offset, uint64_t size)
{
	struct vfio_window_create create = {
		.argsz = sizeof create,
		.flags = flags,
		.device_fd = device,
		.offset = offset,
		.size = size,
	};

	return verdict_result(ioctl(control, VFIO_WINDOW_CREATE, &create));
}

long raw_revoke(int control)
{
	struct vfio_window_revoke revoke = {.argsz = sizeof revoke};

	return verdict_result(ioctl(control, VFIO_WINDOW_REVOKE, &revoke));
}

long raw_revoke_now(int control)
{
	struct vfio_window_revoke revoke = {.argsz = sizeof revoke, .flags = VFIO_WINDOW_REVOKE_NOW};

	return verdict_result(ioctl(control, VFIO_WINDOW_REVOKE, &revoke));
}

struct vfio_window_info raw_info(int control)
{
	struct vfio_window_info info = {.argsz = sizeof info};

	if (ioctl(control, VFIO_WINDOW_INFO, &info) < 0)
		verdict_die("VFIO_WINDOW_INFO");
	return info;
}
