/* SPDX-License-Identifier: MIT */
#include "kernel_rows.h"
#include "fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * What the kernel does (DESIGN.md), as a list of rows: each does something to a group, a container and a device, and says
 * what came of it. The same list runs on the fake kernel, as a unit test, and on the real one, in a virtual machine:
 * what the fake gets wrong shows there.
 */

#define SKIPPED (-100000L)

/* How far a row needs things to be when it begins. Each stage includes the ones before. */
enum stage {
	FRESH,	  /* a new container */
	ATTACHED, /* the first group is in it */
	READY,	  /* SET_IOMMU */
	OPENED,	  /* the device is open */
};

struct ground {
	const struct rows_machine *machine;
	int container;
	int group;
	int device;
	uint8_t *page;
};

struct row {
	const char *name;
	enum stage stage;
	long (*observe)(struct ground *ground);
	long expected;
	long other; /* what kernels before or after 6.12 may say instead; 0: the same */
};

/* ---- small helpers ---- */

static const struct vfio_kernel *vfio(const struct ground *g)
{
	return g->machine->vfio;
}

static long map_at(const struct ground *g, uint64_t iova, uint64_t size, const void *memory)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof map,
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return g->machine->domain->map(g->container, &map);
}

/* What was unmapped, or a negative errno. */
static long unmap_at(const struct ground *g, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = iova, .size = size};
	int r = g->machine->domain->unmap(g->container, &unmap);

	return r < 0 ? r : (long)unmap.size;
}

static long attach_stranger(const struct ground *g, int fd)
{
	OWNED_FD owned = fd;

	return vfio(g)->group_attach(g->group, owned);
}

#define PAGE 4096
#define IOVA 0x100000
#define MIB  0x100000

/* ---- groups and containers ---- */

static long status_viable(struct ground *g)
{
	uint32_t flags = 0;
	int r = vfio(g)->group_status(g->group, &flags);

	return r < 0 ? r : (long)flags;
}

static long not_viable_status(struct ground *g)
{
	uint32_t flags = 0;
	int r = g->machine->not_viable.fd < 0 ? 0 : vfio(g)->group_status(g->machine->not_viable.fd, &flags);

	return g->machine->not_viable.fd < 0 ? SKIPPED : r < 0 ? r : (long)flags;
}

static long not_viable_attach(struct ground *g)
{
	int group = g->machine->not_viable.fd;

	return group < 0 ? SKIPPED : vfio(g)->group_attach(group, g->container);
}

static long check_container(struct ground *g)
{
	return vfio(g)->domain_check(g->container);
}

static long check_path(struct ground *g)
{
	char name[64];
	OWNED_FD fd = -1;

	snprintf(name, sizeof name, "/proc/self/fd/%d", g->container);
	fd = open(name, O_PATH | O_CLOEXEC);

	return fd < 0 ? fd : vfio(g)->domain_check(fd);
}

static long check_node_free(struct ground *g)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	OWNED_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);
	OWNED_FD file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	OWNED_FD folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWNED_FD socket_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool (*check)(int) = vfio(g)->domain_check;

	return check(event) + check(null) + check(file) + check(folder) + check(socket_fd) + check(g->group) +
		check(-1);
}

static long same_domain(struct ground *g)
{
	OWNED_FD copy = fcntl(g->container, F_DUPFD_CLOEXEC, 3);
	OWNED_FD other = g->machine->domain->open();

	return vfio(g)->domain_same(g->container, copy) + 2 * vfio(g)->domain_same(g->container, other);
}

static long ready(struct ground *g)
{
	return vfio(g)->domain_ready(g->container);
}

static long setup(struct ground *g)
{
	return vfio(g)->domain_setup(g->container);
}

static long attach(struct ground *g)
{
	return vfio(g)->group_attach(g->group, g->container);
}

static long attach_file(struct ground *g)
{
	return attach_stranger(g, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
}

static long attach_null(struct ground *g)
{
	return attach_stranger(g, open("/dev/null", O_RDWR | O_CLOEXEC));
}

static long attach_folder(struct ground *g)
{
	return attach_stranger(g, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static long attach_eventfd(struct ground *g)
{
	return attach_stranger(g, eventfd(0, EFD_CLOEXEC));
}

static long attach_group(struct ground *g)
{
	return attach_stranger(g, fcntl(g->group, F_DUPFD_CLOEXEC, 3));
}

static long attach_closed(struct ground *g)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	close(fd);
	return vfio(g)->group_attach(g->group, fd);
}

static long attach_nothing(struct ground *g)
{
	return vfio(g)->group_attach(g->group, -1);
}

static long detach(struct ground *g)
{
	return vfio(g)->group_detach(g->group);
}

static long detach_attach(struct ground *g)
{
	int r = vfio(g)->group_detach(g->group);

	return r < 0 ? r : attach(g);
}

static long detach_closed(struct ground *g)
{
	vfio(g)->device_close(fd_take(&g->device));
	return detach(g);
}

static long detach_ready(struct ground *g)
{
	int r = vfio(g)->group_detach(g->group);

	return r < 0 ? r : ready(g);
}

static long detach_map(struct ground *g)
{
	int r = vfio(g)->group_detach(g->group);

	return r < 0 ? r : map_at(g, IOVA, PAGE, g->page);
}

/* ---- two groups in one container ---- */

static long second_attach(struct ground *g)
{
	return g->machine->second.fd < 0 ? SKIPPED : vfio(g)->group_attach(g->machine->second.fd, g->container);
}

static long second_setup(struct ground *g)
{
	long r = second_attach(g);

	return r < 0 ? r : setup(g);
}

static long second_opens(struct ground *g)
{
	long r = second_attach(g);
	int device;

	if (r < 0)
		return r;
	device = vfio(g)->device_get(g->machine->second.fd, g->machine->second.device);
	if (device >= 0)
		vfio(g)->device_close(device);
	return device < 0 ? device : 0;
}

/* The container lives on with the second group. */
static long second_stays(struct ground *g)
{
	long r = second_attach(g);

	if (r == 0)
		r = map_at(g, IOVA, PAGE, g->page);
	if (r == 0)
		r = detach(g);
	return r < 0 ? r : unmap_at(g, IOVA, PAGE);
}

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

/* ---- the domain's facts ---- */

union info_buffer {
	struct vfio_iommu_type1_info info;
	uint8_t bytes[4096];
};

static long info(struct ground *g)
{
	struct vfio_iommu_type1_info small = {.argsz = sizeof small};
	int r = g->machine->domain->info(g->container, &small);

	return r;
}

static long info_short(struct ground *g)
{
	struct vfio_iommu_type1_info small = {.argsz = 4};

	return g->machine->domain->info(g->container, &small);
}

static long info_pages(struct ground *g)
{
	struct vfio_iommu_type1_info small = {.argsz = sizeof small};
	int r = g->machine->domain->info(g->container, &small);

	return r < 0 ? r : (long)(small.iova_pgsizes & 0xffff);
}

/* Too little room: the flag is set, the offset is not, and argsz says what it takes. */
static long info_grows(struct ground *g)
{
	struct vfio_iommu_type1_info small = {.argsz = sizeof small};
	int r = g->machine->domain->info(g->container, &small);

	return r < 0 ? r : (small.flags & VFIO_IOMMU_INFO_CAPS) && small.argsz > sizeof small && small.cap_offset == 0;
}

/* The capability ID in the chain, or NULL. */
static const void *capability(const struct ground *g, union info_buffer *buffer, uint16_t id)
{
	uint32_t next;

	memset(buffer, 0, sizeof *buffer);
	buffer->info.argsz = sizeof *buffer;
	if (g->machine->domain->info(g->container, &buffer->info) < 0)
		return NULL;
	for (next = buffer->info.cap_offset; next != 0;) {
		const struct vfio_info_cap_header *header = (const void *)(buffer->bytes + next);

		if (header->id == id)
			return header;
		next = header->next;
	}
	return NULL;
}

/* The ranges leave the MSI window out, and nothing else. */
static long info_ranges(struct ground *g)
{
	union info_buffer buffer;
	const struct vfio_iommu_type1_info_cap_iova_range *ranges =
		capability(g, &buffer, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);

	return ranges && ranges->nr_iovas == 2 && ranges->iova_ranges[0].start == 0 &&
		ranges->iova_ranges[0].end == 0xfedfffff && ranges->iova_ranges[1].start == 0xfef00000;
}

static uint64_t iova_last(const struct ground *g)
{
	union info_buffer buffer;
	const struct vfio_iommu_type1_info_cap_iova_range *ranges =
		capability(g, &buffer, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);

	return ranges ? ranges->iova_ranges[ranges->nr_iovas - 1].end : 0;
}

static long info_width(struct ground *g)
{
	return (long)iova_last(g);
}

static long info_available(struct ground *g)
{
	union info_buffer buffer;
	const struct vfio_iommu_type1_info_dma_avail *available;

	map_at(g, IOVA, PAGE, g->page);
	available = capability(g, &buffer, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	return available ? (long)available->avail : -ENOENT;
}

/* ---- mapping ---- */

static long map(struct ground *g)
{
	return map_at(g, IOVA, PAGE, g->page);
}

static long map_unaligned_iova(struct ground *g)
{
	return map_at(g, IOVA + 512, PAGE, g->page);
}

static long map_unaligned_memory(struct ground *g)
{
	return map_at(g, IOVA, PAGE, g->page + 512);
}

static long map_unaligned_size(struct ground *g)
{
	return map_at(g, IOVA, 512, g->page);
}

static long map_empty(struct ground *g)
{
	return map_at(g, IOVA, 0, g->page);
}

static long map_wrap(struct ground *g)
{
	return map_at(g, UINT64_MAX - PAGE + 1, 2 * PAGE, g->page);
}

static long map_no_access(struct ground *g)
{
	struct vfio_iommu_type1_dma_map empty = {
		.argsz = sizeof empty, .vaddr = (uintptr_t)g->page, .iova = IOVA, .size = PAGE};

	return g->machine->domain->map(g->container, &empty);
}

static long map_msi(struct ground *g)
{
	return map_at(g, 0xfee00000, PAGE, g->page);
}

static long map_into_msi(struct ground *g)
{
	return map_at(g, 0xfedff000, 2 * PAGE, g->page);
}

static long map_before_msi(struct ground *g)
{
	return map_at(g, 0xfedff000, PAGE, g->page);
}

static long map_beyond_width(struct ground *g)
{
	return map_at(g, iova_last(g) + 1, PAGE, g->page);
}

static long map_last_page(struct ground *g)
{
	return map_at(g, iova_last(g) + 1 - PAGE, PAGE, g->page);
}

static long map_bad_address(struct ground *g)
{
	void *hole = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(hole, PAGE);
	return map_at(g, IOVA, PAGE, hole);
}

static long map_twice(struct ground *g)
{
	long r = map(g);

	return r < 0 ? r : map(g);
}

static long map_overlap(struct ground *g)
{
	long r = map_at(g, IOVA, 2 * PAGE, g->page);

	return r < 0 ? r : map_at(g, IOVA + PAGE, 2 * PAGE, g->page);
}

static long map_neighbour(struct ground *g)
{
	long r = map(g);

	return r < 0 ? r : map_at(g, IOVA + PAGE, PAGE, g->page);
}

/* The same memory at two IOVAs is fine. */
static long map_alias(struct ground *g)
{
	long r = map(g);

	return r < 0 ? r : map_at(g, IOVA + MIB, PAGE, g->page);
}

static bool lock_capability(bool wanted)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	if (wanted)
		data[0].effective |= data[0].permitted & (1U << CAP_IPC_LOCK);
	else
		data[0].effective &= ~(1U << CAP_IPC_LOCK);
	return syscall(SYS_capset, &header, data) == 0 && (!wanted || (data[0].effective & (1U << CAP_IPC_LOCK)));
}

static long map_memlock(struct ground *g)
{
	struct rlimit before, small;
	uint8_t *memory = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long r;

	getrlimit(RLIMIT_MEMLOCK, &before);
	small = (struct rlimit){MIB, before.rlim_max};
	setrlimit(RLIMIT_MEMLOCK, &small);
	lock_capability(false);
	r = map_at(g, IOVA, 2 * MIB, memory);
	if (r == -ENOMEM && map_at(g, IOVA, MIB, memory) < 0)
		r = -EPROTO; /* what the limit allows must work */
	lock_capability(true);
	setrlimit(RLIMIT_MEMLOCK, &before);
	munmap(memory, 2 * MIB);
	return r;
}

static long map_entries(struct ground *g)
{
	if (!lock_capability(true))
		return SKIPPED;
	for (uint64_t i = 0; i < 65535; i++) {
		long r = map_at(g, IOVA + i * 2 * PAGE, PAGE, g->page);

		if (r < 0)
			return r;
	}
	return map_at(g, 0, PAGE, g->page);
}

/* ---- unmapping ---- */

static long unmap(struct ground *g)
{
	long r = map(g);

	return r < 0 ? r : unmap_at(g, IOVA, PAGE);
}

static long unmap_nothing(struct ground *g)
{
	return unmap_at(g, IOVA, PAGE);
}

static long unmap_front(struct ground *g)
{
	long r = map_at(g, IOVA, 2 * PAGE, g->page);

	return r < 0 ? r : unmap_at(g, IOVA, PAGE);
}

static long unmap_back(struct ground *g)
{
	long r = map_at(g, IOVA, 2 * PAGE, g->page);

	return r < 0 ? r : unmap_at(g, IOVA + PAGE, PAGE);
}

static long unmap_two(struct ground *g)
{
	long r = map_neighbour(g);

	return r < 0 ? r : unmap_at(g, IOVA - PAGE, 4 * PAGE);
}

static long unmap_unaligned(struct ground *g)
{
	return unmap_at(g, IOVA, 512);
}

static long unmap_empty(struct ground *g)
{
	return unmap_at(g, IOVA, 0);
}

static long unmap_all(struct ground *g)
{
	struct vfio_iommu_type1_dma_unmap all = {.argsz = sizeof all, .flags = VFIO_DMA_UNMAP_FLAG_ALL};
	long r = map_neighbour(g);

	if (r == 0)
		r = g->machine->domain->unmap(g->container, &all);
	return r < 0 ? r : (long)all.size;
}

/* ---- the list ---- */

static const struct row rows[] = {
	{"status of a viable group", FRESH, status_viable, VFIO_GROUP_FLAGS_VIABLE, 0},
	{"status of a group in a container", ATTACHED, status_viable,
		VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET, 0},
	{"status of a group with a host driver in it", FRESH, not_viable_status, 0, 0},
	{"SET_CONTAINER of a group that is not viable", FRESH, not_viable_attach, -EPERM, 0},
	{"a container is told", FRESH, check_container, true, 0},
	{"an O_PATH descriptor of one is not", FRESH, check_path, false, 0},
	{"nor is anything else", FRESH, check_node_free, 0, 0},
	{"same domain: a copy is, another is not", FRESH, same_domain, 1, 0},
	{"SET_CONTAINER", FRESH, attach, 0, 0},
	{"SET_CONTAINER again", ATTACHED, attach, -EINVAL, 0},
	{"SET_CONTAINER with a file", FRESH, attach_file, -EBADFD, -EINVAL},
	{"SET_CONTAINER with /dev/null", FRESH, attach_null, -EBADFD, -EINVAL},
	{"SET_CONTAINER with a directory", FRESH, attach_folder, -EBADFD, -EINVAL},
	{"SET_CONTAINER with an eventfd", FRESH, attach_eventfd, -EBADFD, -EINVAL},
	{"SET_CONTAINER with the group itself", FRESH, attach_group, -EBADFD, -EINVAL},
	{"SET_CONTAINER with a closed descriptor", FRESH, attach_closed, -EBADF, 0},
	{"SET_CONTAINER with -1", FRESH, attach_nothing, -EBADF, 0},
	{"UNSET_CONTAINER", ATTACHED, detach, 0, 0},
	{"UNSET_CONTAINER without one", FRESH, detach, -EINVAL, 0},
	{"UNSET_CONTAINER with a device open", OPENED, detach, -EBUSY, 0},
	{"UNSET_CONTAINER after it was closed", OPENED, detach_closed, 0, 0},
	{"a group can be used again at once", READY, detach_attach, 0, 0},
	{"SET_IOMMU before a group", FRESH, setup, -EINVAL, 0},
	{"SET_IOMMU", ATTACHED, setup, 0, 0},
	{"SET_IOMMU again", READY, setup, -EINVAL, 0},
	{"domain without SET_IOMMU is not ready", ATTACHED, ready, false, 0},
	{"domain with it is", READY, ready, true, 0},
	{"domain whose group has left is not", READY, detach_ready, false, 0},
	{"second group in the domain", READY, second_attach, 0, 0},
	{"second group needs no SET_IOMMU", READY, second_setup, -EINVAL, 0},
	{"second group's device opens", READY, second_opens, 0, 0},
	{"domain outlives its first group", READY, second_stays, PAGE, 0},
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
	{"INFO before SET_IOMMU", ATTACHED, info, -EINVAL, 0},
	{"INFO", READY, info, 0, 0},
	{"INFO with a short argsz", READY, info_short, -EINVAL, 0},
	{"INFO: 4 KiB is the smallest page", READY, info_pages, PAGE, 0},
	{"INFO: argsz grows to what the capabilities take", READY, info_grows, true, 0},
	{"INFO: the ranges leave out the MSI window", READY, info_ranges, true, 0},
	{"INFO: width", READY, info_width, 0xffffffffffff, 0},
	{"INFO: entries left", READY, info_available, 65534, 0},
	{"MAP before SET_IOMMU", ATTACHED, map, -EINVAL, 0},
	{"MAP", READY, map, 0, 0},
	{"MAP after the group has left", READY, detach_map, -EINVAL, 0},
	{"MAP: unaligned IOVA", READY, map_unaligned_iova, -EINVAL, 0},
	{"MAP: unaligned memory", READY, map_unaligned_memory, -EINVAL, 0},
	{"MAP: unaligned size", READY, map_unaligned_size, -EINVAL, 0},
	{"MAP: empty", READY, map_empty, -EINVAL, 0},
	{"MAP: around the end of addresses", READY, map_wrap, -EINVAL, -EOVERFLOW},
	{"MAP: neither read nor write", READY, map_no_access, -EINVAL, 0},
	{"MAP: the MSI window", READY, map_msi, -EINVAL, 0},
	{"MAP: into the MSI window", READY, map_into_msi, -EINVAL, 0},
	{"MAP: up to the MSI window", READY, map_before_msi, 0, 0},
	{"MAP: beyond the width", READY, map_beyond_width, -EINVAL, 0},
	{"MAP: the last page", READY, map_last_page, 0, 0},
	{"MAP: an address without memory", READY, map_bad_address, -EFAULT, 0},
	{"MAP: twice", READY, map_twice, -EEXIST, 0},
	{"MAP: overlapping", READY, map_overlap, -EEXIST, 0},
	{"MAP: side by side", READY, map_neighbour, 0, 0},
	{"MAP: the same memory at two IOVAs", READY, map_alias, 0, 0},
	{"MAP: over RLIMIT_MEMLOCK", READY, map_memlock, -ENOMEM, 0},
	{"MAP: 65,536th entry", READY, map_entries, -ENOSPC, 0},
	{"UNMAP", READY, unmap, PAGE, 0},
	{"UNMAP: nothing there", READY, unmap_nothing, 0, 0},
	{"UNMAP: the front of a mapping", READY, unmap_front, -EINVAL, 0},
	{"UNMAP: the back of a mapping", READY, unmap_back, -EINVAL, 0},
	{"UNMAP: a range with two in it", READY, unmap_two, 2 * PAGE, 0},
	{"UNMAP: unaligned", READY, unmap_unaligned, -EINVAL, 0},
	{"UNMAP: empty", READY, unmap_empty, -EINVAL, 0},
	{"UNMAP: all", READY, unmap_all, 2 * PAGE, 0},
};

/* ---- running it ---- */

static int ground_make(struct ground *g, enum stage stage)
{
	int r;

	g->container = g->machine->domain->open();
	r = g->container < 0 ? g->container : 0;
	if (r == 0 && stage >= ATTACHED)
		r = vfio(g)->group_attach(g->group, g->container);
	if (r == 0 && stage >= READY)
		r = vfio(g)->domain_setup(g->container);
	if (r == 0 && stage >= OPENED) {
		g->device = vfio(g)->device_get(g->group, g->machine->first.device);
		r = g->device < 0 ? g->device : 0;
	}
	return r;
}

/* Whatever a row has done, the next one starts from nothing. */
static void ground_clear(struct ground *g)
{
	if (g->device >= 0)
		vfio(g)->device_close(fd_take(&g->device));
	vfio(g)->group_detach(g->group);
	if (g->machine->second.fd >= 0)
		vfio(g)->group_detach(g->machine->second.fd);
	close(g->container);
}

/* Returns true if the row failed. */
static bool run(const struct rows_machine *machine, size_t i, uint8_t *page)
{
	const struct row *row = &rows[i];
	struct ground g = {machine, -1, machine->first.fd, -1, page};
	long observed = ground_make(&g, row->stage);
	bool staged = observed == 0, good;

	if (staged)
		observed = row->observe(&g);
	ground_clear(&g);
	good = staged && (observed == row->expected || (row->other && observed == row->other));
	if (observed == SKIPPED)
		printf("ok %zu - %s # SKIP this machine has not what it needs\n", i + 1, row->name);
	else
		printf("%s %zu - %s\n", good ? "ok" : "not ok", i + 1, row->name);
	if (!good && observed != SKIPPED)
		printf("# %s%ld (%s), expected %ld (%s)\n", staged ? "" : "not even its beginning: ", observed,
			observed < 0 ? strerror((int)-observed) : "value", row->expected,
			row->expected < 0 ? strerror((int)-row->expected) : "value");
	fflush(stdout);
	return !good && observed != SKIPPED;
}

int main(int argc, char **argv)
{
	const size_t count = sizeof rows / sizeof rows[0];
	struct rows_machine machine;
	size_t failed = 0;
	uint8_t *memory;

	if (rows_machine_init(&machine, argc, argv) < 0)
		return 2;
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("1..%zu\n", count);
	for (size_t i = 0; i < count; i++)
		failed += run(&machine, i, memory);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
