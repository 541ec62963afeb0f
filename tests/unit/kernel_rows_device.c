/* SPDX-License-Identifier: MIT */
#include "fdset.h"
#include "kernel_row.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Rows of devices: regions and interrupts. */

/* ---- devices ---- */

static long get_device(struct ground *g)
{
	int device = vfio(g)->device_get(g->group, g->machine->first.device);

	if (device >= 0)
		vfio(g)->device_close(device);
	return device < 0 ? device : 0;
}

static long get_wrong(struct ground *g)
{
	return vfio(g)->device_get(g->group, "ffff:1f:1f.7");
}

static long device_flags(struct ground *g)
{
	struct vfio_device_info info = {.argsz = sizeof info};
	int r = vfio(g)->device_info(g->device, &info);

	return r < 0 ? r : !!(info.flags & VFIO_DEVICE_FLAGS_PCI) && info.num_regions >= 9 && info.num_irqs >= 5;
}

static struct vfio_region_info region(const struct ground *g, uint32_t index, int *ret_result)
{
	struct vfio_region_info info = {.argsz = sizeof info, .index = index};

	*ret_result = vfio(g)->region_info(g->device, &info);
	return info;
}

static long region_vga(struct ground *g)
{
	int r;

	region(g, VFIO_PCI_VGA_REGION_INDEX, &r);
	return r;
}

static long region_absent(struct ground *g)
{
	int r;
	struct vfio_region_info info = region(g, VFIO_PCI_BAR5_REGION_INDEX, &r);

	return r < 0 ? r : (long)info.size;
}

static long read16(const struct ground *g, uint32_t index, uint64_t offset)
{
	int r;
	struct vfio_region_info info = region(g, index, &r);
	uint16_t value = 0;
	long done = r < 0 ? r : vfio(g)->region_read(g->device, info.offset + offset, &value, sizeof value);

	return done < 0 ? done : value;
}

static long read32(const struct ground *g, uint64_t offset)
{
	int r;
	struct vfio_region_info info = region(g, VFIO_PCI_BAR0_REGION_INDEX, &r);
	uint32_t value = 0;
	long done = r < 0 ? r : vfio(g)->region_read(g->device, info.offset + offset, &value, sizeof value);

	return done < 0 ? done : value;
}

static long write16(const struct ground *g, uint32_t index, uint64_t offset, uint16_t value)
{
	int r;
	struct vfio_region_info info = region(g, index, &r);

	return r < 0 ? r : vfio(g)->region_write(g->device, info.offset + offset, &value, sizeof value);
}

static long write32(const struct ground *g, uint64_t offset, uint32_t value)
{
	int r;
	struct vfio_region_info info = region(g, VFIO_PCI_BAR0_REGION_INDEX, &r);

	return r < 0 ? r : vfio(g)->region_write(g->device, info.offset + offset, &value, sizeof value);
}

static long config_size(struct ground *g)
{
	int r;
	struct vfio_region_info info = region(g, VFIO_PCI_CONFIG_REGION_INDEX, &r);

	return r < 0 ? r : info.size >= 256 && (info.flags & 3) == 3;
}

static long vendor(struct ground *g)
{
	return read16(g, VFIO_PCI_CONFIG_REGION_INDEX, PCI_VENDOR_ID);
}

static long command(struct ground *g)
{
	long value = read16(g, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND);

	return value < 0 ? value : value & (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static long command_master(struct ground *g)
{
	long r = write16(g, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);

	return r < 0 ? r : command(g);
}

/* Closing the last copy switches bus mastering off. */
static long command_closed(struct ground *g)
{
	long r = command_master(g);

	if (r < 0)
		return r;
	vfio(g)->device_close(fd_take(&g->device));
	g->device = vfio(g)->device_get(g->group, g->machine->first.device);
	return command(g);
}

static long memory_off(struct ground *g)
{
	long r = write16(g, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, 0);

	return r < 0 ? r : read32(g, 0);
}

static long bar_id(struct ground *g)
{
	return read32(g, 0);
}

static long bar_liveness(struct ground *g)
{
	long r = write32(g, 4, 0x12345678);

	return r < 0 ? r : read32(g, 4);
}

static long reset(struct ground *g)
{
	struct vfio_device_info info = {.argsz = sizeof info};
	int expected;

	vfio(g)->device_info(g->device, &info);
	expected = info.flags & VFIO_DEVICE_FLAGS_RESET ? 0 : -EINVAL;
	return vfio(g)->device_reset(g->device) == expected;
}

/* ---- interrupts ---- */

static long irq_flags(const struct ground *g, uint32_t index)
{
	struct vfio_irq_info info = {.argsz = sizeof info, .index = index};
	int r = vfio(g)->irq_info(g->device, &info);

	return r < 0 ? r : info.count == 0 ? SKIPPED : (long)info.flags;
}

static long irq_msi(struct ground *g)
{
	return irq_flags(g, VFIO_PCI_MSI_IRQ_INDEX);
}

static long irq_intx(struct ground *g)
{
	return irq_flags(g, VFIO_PCI_INTX_IRQ_INDEX);
}

static long irq_error(struct ground *g)
{
	return irq_flags(g, VFIO_PCI_ERR_IRQ_INDEX);
}

static long irq_connect(const struct ground *g, uint32_t index, uint32_t start, int fd)
{
	union {
		struct vfio_irq_set set;
		char bytes[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	} irq = {.set = {.argsz = sizeof irq.bytes,
			 .index = index,
			 .start = start,
			 .count = 1,
			 .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER}};

	memcpy(irq.set.data, &fd, sizeof fd);
	return vfio(g)->irq_set(g->device, &irq.set);
}

static long irq_switch(const struct ground *g, uint32_t index, uint32_t count, uint32_t action)
{
	struct vfio_irq_set set = {
		.argsz = sizeof set, .index = index, .count = count, .flags = VFIO_IRQ_SET_DATA_NONE | action};

	return vfio(g)->irq_set(g->device, &set);
}

static long msi_set(struct ground *g)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);

	return irq_connect(g, VFIO_PCI_MSI_IRQ_INDEX, 0, event);
}

static long msi_stranger(struct ground *g)
{
	OWNED_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);

	return irq_connect(g, VFIO_PCI_MSI_IRQ_INDEX, 0, null);
}

static long msi_closed(struct ground *g)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	close(fd);
	return irq_connect(g, VFIO_PCI_MSI_IRQ_INDEX, 0, fd);
}

static long msi_beyond(struct ground *g)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);

	return irq_connect(g, VFIO_PCI_MSI_IRQ_INDEX, 32, event);
}

static long msi_again(struct ground *g)
{
	long r = msi_set(g);

	return r < 0 ? r : msi_set(g);
}

static long msi_then_intx(struct ground *g)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	long r = msi_set(g);

	return r < 0 ? r : irq_connect(g, VFIO_PCI_INTX_IRQ_INDEX, 0, event);
}

static long msi_disconnect(struct ground *g)
{
	long r = msi_set(g);

	return r < 0 ? r : irq_connect(g, VFIO_PCI_MSI_IRQ_INDEX, 0, -1);
}

static long msi_off(struct ground *g)
{
	long r = msi_set(g);

	return r < 0 ? r : irq_switch(g, VFIO_PCI_MSI_IRQ_INDEX, 0, VFIO_IRQ_SET_ACTION_TRIGGER);
}

static long msi_off_intx(struct ground *g)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	long r = msi_off(g);

	return r < 0 ? r : irq_connect(g, VFIO_PCI_INTX_IRQ_INDEX, 0, event);
}

static long msi_off_nothing(struct ground *g)
{
	return irq_switch(g, VFIO_PCI_MSI_IRQ_INDEX, 0, VFIO_IRQ_SET_ACTION_TRIGGER);
}

static long intx_unmask(struct ground *g)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	long r = irq_connect(g, VFIO_PCI_INTX_IRQ_INDEX, 0, event);

	return r < 0 ? r : irq_switch(g, VFIO_PCI_INTX_IRQ_INDEX, 1, VFIO_IRQ_SET_ACTION_UNMASK);
}

static long intx_unmask_nothing(struct ground *g)
{
	return irq_switch(g, VFIO_PCI_INTX_IRQ_INDEX, 1, VFIO_IRQ_SET_ACTION_UNMASK);
}

static long msi_unmask(struct ground *g)
{
	long r = msi_set(g);

	return r < 0 ? r : irq_switch(g, VFIO_PCI_MSI_IRQ_INDEX, 1, VFIO_IRQ_SET_ACTION_UNMASK);
}

static long irq_request(struct ground *g)
{
	return irq_flags(g, VFIO_PCI_REQ_IRQ_INDEX);
}

static long request_set(struct ground *g)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);

	return irq_connect(g, VFIO_PCI_REQ_IRQ_INDEX, 0, event);
}

static long request_stranger(struct ground *g)
{
	OWNED_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);

	return irq_connect(g, VFIO_PCI_REQ_IRQ_INDEX, 0, null);
}

/* ---- the list ---- */

static const struct row rows[] = {
	{"GET_DEVICE_FD before SET_CONTAINER", FRESH, get_device, -EINVAL, 0},
	{"GET_DEVICE_FD before SET_IOMMU", ATTACHED, get_device, -EINVAL, 0},
	{"GET_DEVICE_FD", READY, get_device, 0, 0},
	{"GET_DEVICE_FD twice", OPENED, get_device, 0, 0},
	{"GET_DEVICE_FD with a wrong name", READY, get_wrong, -ENODEV, 0},
	{"a PCI device of 9 regions and 5 interrupts", OPENED, device_flags, true, 0},
	{"VGA region", OPENED, region_vga, -EINVAL, 0},
	{"a BAR that is not there", OPENED, region_absent, 0, 0},
	{"configuration space", OPENED, config_size, true, 0},
	{"vendor id", OPENED, vendor, 0x1234, 0},
	{"command register after opening: memory on, bus master off", OPENED, command, PCI_COMMAND_MEMORY, 0},
	{"bus master can be switched on", OPENED, command_master, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0},
	{"closing switches bus master off", OPENED, command_closed, PCI_COMMAND_MEMORY, 0},
	{"a BAR while memory is off", OPENED, memory_off, -EIO, 0},
	{"edu's id register", OPENED, bar_id, 0x010000ed, 0},
	{"edu's liveness register", OPENED, bar_liveness, 0xedcba987, 0},
	{"RESET does what the device's flags say", OPENED, reset, true, 0},
	{"MSI: flags", OPENED, irq_msi, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, 0},
	{"INTx: flags", OPENED, irq_intx, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, 0},
	{"error interrupt of a device without PCI Express", OPENED, irq_error, -EINVAL,
		VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE},
	{"MSI: set", OPENED, msi_set, 0, 0},
	{"MSI: set again", OPENED, msi_again, 0, 0},
	{"MSI: not an eventfd", OPENED, msi_stranger, -EINVAL, 0},
	{"MSI: a closed descriptor", OPENED, msi_closed, -EBADF, 0},
	{"MSI: a vector that is not there", OPENED, msi_beyond, -EINVAL, 0},
	{"MSI on, INTx set", OPENED, msi_then_intx, -EINVAL, 0},
	{"MSI: -1 takes a vector away", OPENED, msi_disconnect, 0, 0},
	{"MSI: off", OPENED, msi_off, 0, 0},
	{"MSI off, INTx set", OPENED, msi_off_intx, 0, 0},
	{"MSI: off while off", OPENED, msi_off_nothing, -EINVAL, 0},
	{"MSI: unmask", OPENED, msi_unmask, -ENOTTY, 0},
	{"INTx: unmask", OPENED, intx_unmask, 0, 0},
	{"INTx: unmask while off", OPENED, intx_unmask_nothing, -EINVAL, 0},
	{"device request interrupt: flags", OPENED, irq_request, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, 0},
	{"device request interrupt: set", OPENED, request_set, 0, 0},
	{"device request interrupt: not an eventfd", OPENED, request_stranger, -EINVAL, 0},
};

const struct row_list rows_of_devices = {rows, sizeof rows / sizeof rows[0]};
