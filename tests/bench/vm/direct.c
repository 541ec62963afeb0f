/* SPDX-License-Identifier: MIT */
/*
 * As much of libvfio-broker's interface as the NVMe driver of client/examples needs, made of VFIO itself: what a
 * program does that is root and has the device to itself. Linked with that driver in the library's place, it is the
 * floor for everything that the library costs. A "window" is a mapping of the device's own file.
 */
#include "raw-vfio.h"

#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vfio-broker.h>

struct vbroker_domain {
	int fd;	       /* the container */
	uint64_t next; /* IOVA */
};

struct vbroker_device {
	struct raw_vfio vfio;
	struct vbroker_domain domain;
	int never; /* an eventfd that nobody signals, where the channel would be */
	uint64_t bars[VFIO_PCI_BAR5_REGION_INDEX + 1];
};

struct vbroker_window {
	struct vbroker_device *device;
	uint64_t offset, length;
	void *address;
};

int vbroker_open(const char *name, struct vbroker_device **ret_device)
{
	struct vbroker_device *device = calloc(1, sizeof *device);

	if (!device)
		return -ENOMEM;
	raw_vfio_open(&device->vfio, name);
	raw_vfio_command(
		&device->vfio, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	device->domain = (struct vbroker_domain){device->vfio.container, 1 << 20};
	device->never = eventfd(0, EFD_CLOEXEC);
	for (uint32_t i = 0; i <= VFIO_PCI_BAR5_REGION_INDEX; i++)
		device->bars[i] = raw_vfio_region(&device->vfio, i).offset;
	*ret_device = device;
	return 0;
}

void vbroker_device_close(struct vbroker_device *device)
{
	raw_vfio_close(&device->vfio);
	close(device->never);
	free(device);
}

struct vbroker_domain *vbroker_device_domain(const struct vbroker_device *device)
{
	return (struct vbroker_domain *)&device->domain;
}

int vbroker_device_fd(const struct vbroker_device *device)
{
	return device->never;
}

int vbroker_device_ping(struct vbroker_device *device)
{
	(void)device;
	return 0;
}

int vbroker_device_describe(struct vbroker_device *device, struct vbroker_device_info *ret_info)
{
	memset(ret_info, 0, sizeof *ret_info);
	for (uint32_t i = 0; i <= VFIO_PCI_MSIX_IRQ_INDEX; i++) {
		struct vfio_irq_info info = {.argsz = sizeof info, .index = i};

		if (ioctl(device->vfio.device, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0)
			return -errno;
		ret_info->irqs[ret_info->irqs_count++] = (struct vbroker_irq){i, info.flags, info.count};
	}
	return 0;
}

int vbroker_domain_map(struct vbroker_domain *domain, void *address, size_t length, unsigned int access, uint64_t iova,
	uint64_t *ret_iova)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof map,
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)address,
		.iova = domain->next,
		.size = length,
	};

	(void)access;
	(void)iova;
	if (ioctl(domain->fd, VFIO_IOMMU_MAP_DMA, &map) < 0)
		return -errno;
	domain->next += length;
	*ret_iova = map.iova;
	return 0;
}

int vbroker_domain_unmap(struct vbroker_domain *domain, uint64_t iova, size_t length)
{
	struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = iova, .size = length};

	return ioctl(domain->fd, VFIO_IOMMU_UNMAP_DMA, &unmap) < 0 ? -errno : 0;
}

struct vbroker_memory {
	struct vbroker_domain *domain;
	void *address;
	uint64_t length, iova;
};

int vbroker_memory_alloc(struct vbroker_domain *domain, uint64_t length, unsigned int access, unsigned int flags,
	struct vbroker_memory **ret_memory)
{
	struct vbroker_memory *memory = calloc(1, sizeof *memory);

	(void)flags;
	length = (length + 4095) & ~UINT64_C(4095);
	if (!memory)
		return -ENOMEM;
	memory->domain = domain;
	memory->length = length;
	memory->address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*ret_memory = memory;
	return memory->address == MAP_FAILED
		? -errno
		: vbroker_domain_map(domain, memory->address, length, access, 0, &memory->iova);
}

void vbroker_memory_free(struct vbroker_memory *memory)
{
	if (!memory)
		return;
	vbroker_domain_unmap(memory->domain, memory->iova, memory->length);
	munmap(memory->address, memory->length);
	free(memory);
}

void *vbroker_memory_address(const struct vbroker_memory *memory)
{
	return memory->address;
}

uint64_t vbroker_memory_iova(const struct vbroker_memory *memory)
{
	return memory->iova;
}

uint64_t vbroker_memory_length(const struct vbroker_memory *memory)
{
	return memory->length;
}

int vbroker_irq_set(struct vbroker_device *device, uint32_t index, uint32_t start, const int *eventfds, uint32_t count)
{
	union {
		struct vfio_irq_set set;
		char bytes[sizeof(struct vfio_irq_set) + sizeof(int)];
	} request = {.set = {.argsz = sizeof request,
			     .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			     .index = index,
			     .start = start,
			     .count = count}};

	memcpy(request.set.data, eventfds, sizeof *eventfds);
	return ioctl(device->vfio.device, VFIO_DEVICE_SET_IRQS, &request) < 0 ? -errno : 0;
}

int vbroker_region_read(
	struct vbroker_device *device, uint32_t region, uint64_t offset, unsigned int width, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (pread(device->vfio.device, &value, width, (off_t)(device->bars[region] + offset)) < 0)
		return -errno;
	*ret_value = le64toh(value);
	return 0;
}

static int run_op(struct vbroker_device *device, struct vbroker_op *op)
{
	uint64_t value = htole64(op->value);
	int r = 0;

	if (op->kind == VBROKER_OP_WRITE)
		return pwrite(device->vfio.device, &value, op->width, (off_t)(device->bars[op->region] + op->offset)) <
				0
			? -errno
			: 0;
	do
		r = vbroker_region_read(device, op->region, op->offset, op->width, &op->result);
	while (r == 0 && op->kind == VBROKER_OP_POLL && (op->result & op->mask) != op->value);
	return r;
}

int vbroker_region_program(struct vbroker_device *device, struct vbroker_op *ops, size_t count, size_t *ret_done)
{
	int r = 0;

	for (*ret_done = 0; r == 0 && *ret_done < count; ++*ret_done)
		r = run_op(device, &ops[*ret_done]);
	return r;
}

int vbroker_window_open(struct vbroker_device *device, uint32_t region, uint64_t offset, uint64_t length,
	unsigned int flags, struct vbroker_window **ret_window)
{
	struct vbroker_window *window = calloc(1, sizeof *window);

	(void)flags;
	if (!window)
		return -ENOMEM;
	*window = (struct vbroker_window){device, device->bars[region] + offset, length, NULL};
	*ret_window = window;
	return 0;
}

int vbroker_window_map(struct vbroker_window *window, volatile void **ret_address)
{
	window->address = mmap(NULL, window->length, PROT_READ | PROT_WRITE, MAP_SHARED, window->device->vfio.device,
		(off_t)window->offset);
	*ret_address = window->address;
	return window->address == MAP_FAILED ? -errno : 0;
}

void vbroker_window_close(struct vbroker_window *window)
{
	if (!window)
		return;
	munmap(window->address, window->length);
	free(window);
}

const char *vbroker_describe_result(int result, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s", strerror(-result));
	return buffer;
}
