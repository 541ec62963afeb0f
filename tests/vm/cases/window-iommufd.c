/* SPDX-License-Identifier: MIT */
#include "verdict.h"
#include "window-module.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * iommufd looks a mapping's pages up when a device is attached to the address space, or is so already. Both must fail
 * for a window. The device is another one than the window's, as an attacker's would be.
 */

#define COUNT 4
#define SIZE  ((uint64_t)COUNT * PAGE)

/* linux/iommufd.h, and this part of linux/vfio.h, are newer than the oldest system that this is built on. */
#define IOMMU_REQUEST(number)	 _IO(';', number)
#define IOMMU_DESTROY_REQUEST	 IOMMU_REQUEST(0x80)
#define IOMMU_IOAS_ALLOC_REQUEST IOMMU_REQUEST(0x81)
#define IOMMU_IOAS_MAP_REQUEST	 IOMMU_REQUEST(0x85)
#define IOMMU_IOAS_UNMAP_REQUEST IOMMU_REQUEST(0x86)
#define IOMMU_MAP_FILE_REQUEST	 IOMMU_REQUEST(0x8f)
#define DEVICE_BIND_REQUEST	 _IO(VFIO_TYPE, VFIO_BASE + 18)
#define DEVICE_ATTACH_REQUEST	 _IO(VFIO_TYPE, VFIO_BASE + 19)
#define DEVICE_DETACH_REQUEST	 _IO(VFIO_TYPE, VFIO_BASE + 20)

#define FIXED	 1
#define WRITABLE 2
#define READABLE 4

struct ioas_alloc {
	uint32_t size, flags, ret_ioas;
};

struct ioas_map {
	uint32_t size, flags, ioas, reserved;
	uint64_t user_va, length, iova;
};

struct ioas_map_file {
	uint32_t size, flags, ioas;
	int32_t fd;
	uint64_t start, length, iova;
};

struct ioas_unmap {
	uint32_t size, ioas;
	uint64_t iova, length;
};

struct device_bind {
	uint32_t argsz, flags;
	int32_t iommufd;
	uint32_t ret_devid;
};

struct device_attach {
	uint32_t argsz, flags, ioas;
};

/* An address space and a device that may be attached to it. */
struct space {
	int iommu;
	uint32_t ioas;
	int device;
};

static int open_cdev(const char *address)
{
	char path[300];
	struct dirent *entry;
	DIR *folder;
	int fd = -1;

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/vfio-dev", address);
	folder = opendir(path);
	while (folder && fd < 0 && (entry = readdir(folder))) {
		snprintf(path, sizeof path, "/dev/vfio/devices/%s", entry->d_name);
		if (entry->d_name[0] != '.')
			fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (folder)
		closedir(folder);
	if (fd < 0)
		verdict_die("a device's own node");
	return fd;
}

static void space_open(struct space *ret)
{
	struct ioas_alloc ioas = {.size = sizeof ioas};
	struct device_bind bind = {.argsz = sizeof bind};

	ret->iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (ret->iommu < 0 || ioctl(ret->iommu, IOMMU_IOAS_ALLOC_REQUEST, &ioas) < 0)
		verdict_die("/dev/iommu");
	ret->ioas = ioas.ret_ioas;
	ret->device = open_cdev(window_resetable);
	bind.iommufd = ret->iommu;
	if (ioctl(ret->device, DEVICE_BIND_REQUEST, &bind) < 0)
		verdict_die("VFIO_DEVICE_BIND_IOMMUFD");
}

static void space_close(struct space *space)
{
	close(space->device);
	close(space->iommu);
}

static long attach(const struct space *space)
{
	struct device_attach request = {.argsz = sizeof request, .ioas = space->ioas};

	return verdict_result(ioctl(space->device, DEVICE_ATTACH_REQUEST, &request));
}

static void detach(const struct space *space)
{
	uint32_t request[2] = {sizeof request, 0};

	if (ioctl(space->device, DEVICE_DETACH_REQUEST, request) < 0)
		verdict_die("VFIO_DEVICE_DETACH_IOMMUFD_PT");
}

static long map(const struct space *space, const void *mapping, uint32_t flags)
{
	struct ioas_map request = {
		.size = sizeof request,
		.flags = FIXED | READABLE | flags,
		.ioas = space->ioas,
		.user_va = (uintptr_t)mapping,
		.length = SIZE,
		.iova = 0x100000,
	};

	return verdict_result(ioctl(space->iommu, IOMMU_IOAS_MAP_REQUEST, &request));
}

static long map_file(const struct space *space, int fd)
{
	struct ioas_map_file request = {
		.size = sizeof request,
		.flags = FIXED | READABLE,
		.ioas = space->ioas,
		.fd = fd,
		.length = SIZE,
		.iova = 0x100000,
	};

	return verdict_result(ioctl(space->iommu, IOMMU_MAP_FILE_REQUEST, &request));
}

static void unmap(const struct space *space)
{
	struct ioas_unmap request = {.size = sizeof request, .ioas = space->ioas, .iova = 0x100000, .length = SIZE};

	if (ioctl(space->iommu, IOMMU_IOAS_UNMAP_REQUEST, &request) < 0)
		verdict_die("IOMMU_IOAS_UNMAP");
}

/* Both orders: the result is the one of what comes last. */
static void check_map(const struct space *space, const char *what, const void *mapping, long expected)
{
	char name[128];

	for (uint32_t flags = 0; flags <= WRITABLE; flags += WRITABLE) {
		const char *access = flags ? "writable" : "read-only";
		long result;

		if (attach(space) != 0)
			verdict_die("VFIO_DEVICE_ATTACH_IOMMUFD_PT");
		result = map(space, mapping, flags);
		if (result == 0)
			unmap(space);
		detach(space);
		snprintf(name, sizeof name, "iommufd %s %s for DMA, %s", expected ? "does not map" : "maps", what,
			access);
		verdict_is(name, result, expected);

		if (map(space, mapping, flags) != 0)
			continue;
		result = attach(space);
		if (result == 0)
			detach(space);
		unmap(space);
		snprintf(name, sizeof name, "iommufd %s a device to where %s is to be mapped, %s",
			expected ? "does not attach" : "attaches", what, access);
		verdict_is(name, result, expected);
	}
}

static void check_files(const struct space *space, int window)
{
	int memory = memfd_create("memory", MFD_CLOEXEC);
	long result;

	if (ftruncate(memory, (off_t)SIZE) < 0 || attach(space) != 0)
		verdict_die("a file");
	result = map_file(space, memory);
	if (result == -ENOTTY) {
		verdict_skip("iommufd does not map a window as a file", "this kernel does not map files");
	} else {
		verdict_is("iommufd maps a memfd as a file", result, 0);
		unmap(space);
		verdict_refused("iommufd does not map a window as a file", map_file(space, window));
	}
	detach(space);
	close(memory);
}

void window_iommufd(struct ground *ground)
{
	uint8_t *window, *ones, *memory;
	struct space space;
	int fd, ones_fd;

	if (access("/dev/iommu", F_OK) < 0) {
		verdict_skip("iommufd does not map a window for DMA", "this kernel has no /dev/iommu");
		return;
	}
	fd = ground_window(ground, VFIO_WINDOW_FLAG_WRITE, 0, COUNT);
	ones_fd = ground_window(ground, VFIO_WINDOW_FLAG_WRITE | VFIO_WINDOW_FLAG_ONES, 0, COUNT);
	window = raw_map(fd, PROT_READ | PROT_WRITE, SIZE, 0);
	ones = raw_map(ones_fd, PROT_READ | PROT_WRITE, SIZE, 0);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	space_open(&space);
	check_map(&space, "memory", memory, 0);
	verdict(ground_seen(window, 0, COUNT) && ground_seen(ones, 0, COUNT), "the windows are touched");
	check_map(&space, "a window", window, -EFAULT);
	check_map(&space, "a window that is to give ones", ones, -EFAULT);
	check_files(&space, fd);
	raw_revoke(ground->control);
	check_map(&space, "a revoked window", window, -EFAULT);
	check_map(&space, "a revoked window that gives ones, before it is touched", ones, -EFAULT);
	/* Once touched they are pages of the process's own, which iommufd may map or not: they are nobody else's. */
	space_close(&space);
	munmap(window, SIZE);
	munmap(ones, SIZE);
	munmap(memory, SIZE);
	close(fd);
	close(ones_fd);
}
