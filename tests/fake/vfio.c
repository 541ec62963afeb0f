/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "fdset.h"
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <seccomp.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The model of VFIO's groups (drivers/vfio/group.c, container.c) and of vfio-pci on an edu-like device. */

/* ---- devices that this process has open ---- */

#define OPEN_MAX    64
#define VECTORS_MAX 8

struct handle {
	int fd; /* the number that the user has; 0: unused */
	struct fake_group *group;
	struct fake_device *device;
	uint32_t irq_on; /* VFIO_PCI_*_IRQ_INDEX, or IRQ_NONE */
	uint32_t irq_vectors;
	int eventfds[VECTORS_MAX]; /* owned; -1: none */
	int request;		   /* owned; -1: none */
	int fault;		   /* owned; -1: none */
};

#define IRQ_NONE UINT32_MAX

static struct handle handles[OPEN_MAX];

static struct handle *handle_find(int fd)
{
	for (size_t i = 0; fd > 0 && i < OPEN_MAX; i++) {
		if (handles[i].fd == fd)
			return &handles[i];
	}
	return NULL;
}

static struct handle *handle_slot(void)
{
	for (size_t i = 0; i < OPEN_MAX; i++) {
		if (handles[i].fd == 0)
			return &handles[i];
	}
	return NULL;
}

/* ---- domains ---- */

static ino_t inode_of(int fd)
{
	struct stat status;

	return fstat(fd, &status) < 0 ? 0 : status.st_ino;
}

static bool fake_domain_same(int a, int b)
{
	return inode_of(a) == inode_of(b);
}

static bool fake_domain_ready(int domain)
{
	struct fake_container *container = fake_container_view(domain);

	return container && container->iommu;
}

/* What SET_IOMMU meets in the groups that are there. */
static int setup_check(const struct fake_container *container)
{
	int r = -EINVAL;

	for (size_t i = 0; i < FAKE_GROUPS_MAX; i++) {
		const struct fake_attachment *attachment = &container->attachments[i];

		if (attachment->used && attachment->no_remapping)
			return -EPERM;
		if (attachment->used)
			r = 0;
	}
	return r;
}

static int fake_domain_setup(int domain)
{
	struct fake_container *container = fake_container_view(domain);
	int r = container ? fake_failure(FAKE_SETUP, container->failures) : -ENOTTY;

	if (r < 0)
		return r;
	r = container->iommu ? -EINVAL : setup_check(container);
	if (r == 0)
		container->iommu = true;
	return r;
}

/* ---- groups ---- */

static int fake_group_status(int fd, uint32_t *ret_flags)
{
	struct fake_group *group = fake_group_view(fd);
	int r = group ? fake_failure(FAKE_STATUS, group->failures) : -ENOTTY;

	if (r < 0)
		return r;
	*ret_flags = (group->viable ? VFIO_GROUP_FLAGS_VIABLE : 0U) |
		(group->container ? VFIO_GROUP_FLAGS_CONTAINER_SET : 0U);
	return 0;
}

/* The robust mutexes in both files are held from here until the group is detached or this process dies. */
static int attach(struct fake_group *group, struct fake_container *container, uint64_t inode)
{
	for (size_t i = 0; i < FAKE_GROUPS_MAX; i++) {
		struct fake_attachment *attachment = &container->attachments[i];

		if (attachment->used)
			continue;
		fake_lock(&attachment->life);
		fake_lock(&group->life);
		attachment->used = true;
		attachment->group = group->number;
		attachment->no_remapping = group->no_remapping;
		group->container = inode;
		return 0;
	}
	return -ENOSPC;
}

static int fake_group_attach(int fd, int domain)
{
	struct fake_group *group = fake_group_view(fd);
	struct fake_container *container;
	int r = group ? fake_failure(FAKE_ATTACH, group->failures) : -ENOTTY;

	if (r < 0)
		return r;
	if (fcntl(domain, F_GETFL) < 0)
		return -EBADF;
	if (group->container)
		return -EINVAL;
	container = fake_container_view(domain);
	if (!container)
		return -EBADFD;
	if (!group->viable || (container->iommu && group->no_remapping))
		return -EPERM;
	return attach(group, container, inode_of(domain));
}

static struct fake_attachment *attachment_of(struct fake_container *container, uint32_t group)
{
	for (size_t i = 0; i < FAKE_GROUPS_MAX; i++) {
		if (container->attachments[i].used && container->attachments[i].group == group)
			return &container->attachments[i];
	}
	return NULL;
}

static void wait_while_hung(const volatile struct fake_group *group)
{
	while (group->hang)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static int fake_group_detach(int fd)
{
	struct fake_group *group = fake_group_view(fd);
	struct fake_container *container;
	struct fake_attachment *attachment;
	uint64_t inode = group ? group->container : 0;
	int r = group ? fake_failure(FAKE_DETACH, group->failures) : -ENOTTY;

	if (r < 0)
		return r;
	if (!inode)
		return -EINVAL;
	for (size_t i = 0; i < FAKE_DEVICES_MAX; i++) {
		if (group->devices[i].opened)
			return -EBUSY;
	}
	wait_while_hung(group);
	container = fake_container_at(inode);
	attachment = container ? attachment_of(container, group->number) : NULL;
	if (attachment)
		fake_unlock(&attachment->life);
	group->container = 0;
	fake_unlock(&group->life);
	/* the last one takes IOMMU and mappings along */
	fake_container_at(inode);
	return 0;
}

/* ---- device: opening and closing ---- */

/* pci_enable_device() and what vfio-pci does before: memory on, bus mastering off. */
static void device_wake(struct fake_device *device)
{
	device->config[PCI_COMMAND] = PCI_COMMAND_MEMORY;
	device->config[PCI_COMMAND + 1] = 0;
}

static int fake_device_get(int fd, const char *name)
{
	struct fake_group *group = fake_group_view(fd);
	struct fake_container *container;
	struct handle *handle = handle_slot();
	int r = group ? fake_failure(FAKE_DEVICE_GET, group->failures) : -ENOTTY;

	if (r < 0)
		return r;
	if (!fake_group_device(group, name))
		return -ENODEV;
	container = group->container ? fake_container_at(group->container) : NULL;
	if (!container || !container->iommu)
		return -EINVAL;
	if (!handle)
		return -EMFILE;
	r = memfd_create("fake-device", MFD_CLOEXEC);
	if (r < 0)
		return -errno;
	*handle =
		(struct handle){.fd = r, .group = group, .device = fake_group_device(group, name), .irq_on = IRQ_NONE};
	memset(handle->eventfds, 0xff, sizeof handle->eventfds);
	handle->request = -1;
	handle->fault = -1;
	if (handle->device->opened++ == 0)
		device_wake(handle->device);
	return r;
}

static void irq_disable(struct handle *handle)
{
	for (size_t i = 0; i < VECTORS_MAX; i++) {
		if (handle->eventfds[i] >= 0)
			close(handle->eventfds[i]);
		handle->eventfds[i] = -1;
	}
	handle->irq_on = IRQ_NONE;
}

static void device_reset(struct fake_device *device)
{
	memset(device->bar0, 0, sizeof device->bar0);
	device->ready_ns = 0;
	device->resets++;
}

static void fake_device_close(int fd)
{
	struct handle *handle = handle_find(fd);

	if (handle) {
		irq_disable(handle);
		fd_cleanup(&handle->request);
		fd_cleanup(&handle->fault);
		if (--handle->device->opened == 0) {
			device_wake(handle->device);
			if (handle->device->resettable)
				device_reset(handle->device);
		}
		handle->fd = 0;
	}
	close(fd);
}

/* ---- device: what it is ---- */

static int handle_check(const struct handle *handle, enum fake_step step)
{
	return handle ? fake_failure(step, handle->group->failures) : -ENOTTY;
}

static int fake_device_info(int fd, struct vfio_device_info *info)
{
	struct handle *handle = handle_find(fd);
	int r = handle_check(handle, FAKE_DEVICE_INFO);

	if (r < 0)
		return r;
	if (info->argsz < offsetof(struct vfio_device_info, cap_offset))
		return -EINVAL;
	info->flags = VFIO_DEVICE_FLAGS_PCI | (handle->device->resettable ? VFIO_DEVICE_FLAGS_RESET : 0U);
	info->num_regions = VFIO_PCI_NUM_REGIONS;
	info->num_irqs = VFIO_PCI_NUM_IRQS;
	return 0;
}

static uint64_t region_size(uint32_t index)
{
	switch (index) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		return FAKE_BAR0_SIZE;
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return FAKE_CONFIG_SIZE;
	default:
		return 0;
	}
}

/* The index is in the upper bits of a position, as in vfio_pci_core.h. */
#define POSITION_SHIFT 40

static int fake_region_info(int fd, struct vfio_region_info *info)
{
	struct handle *handle = handle_find(fd);
	int r = handle_check(handle, FAKE_REGION_INFO);

	if (r < 0)
		return r;
	if (info->argsz < sizeof *info || info->index >= VFIO_PCI_VGA_REGION_INDEX)
		return -EINVAL;
	info->size = region_size(info->index);
	info->flags = info->size ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0U;
	if (info->size && info->index == VFIO_PCI_BAR0_REGION_INDEX)
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	info->offset = (uint64_t)info->index << POSITION_SHIFT;
	return 0;
}

static uint32_t irq_count(uint32_t index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
	case VFIO_PCI_ERR_IRQ_INDEX:
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 1;
	case VFIO_PCI_MSI_IRQ_INDEX:
		return FAKE_MSI_COUNT;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return FAKE_MSIX_COUNT;
	default:
		return 0;
	}
}

static int fake_irq_info(int fd, struct vfio_irq_info *info)
{
	struct handle *handle = handle_find(fd);
	int r = handle_check(handle, FAKE_IRQ_INFO);

	if (r < 0)
		return r;
	if (info->argsz < sizeof *info || info->index >= VFIO_PCI_NUM_IRQS ||
		(info->index == VFIO_PCI_ERR_IRQ_INDEX && !handle->device->express))
		return -EINVAL;
	info->count = irq_count(info->index);
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	if (info->index == VFIO_PCI_INTX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else
		info->flags |= VFIO_IRQ_INFO_NORESIZE;
	return 0;
}

/* ---- device: interrupts ---- */

/* vfio_set_irqs_validate_and_prepare() */
static int irq_set_check(const struct vfio_irq_set *set)
{
	const uint32_t data = set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK,
		       action = set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	uint32_t count = set->index < VFIO_PCI_NUM_IRQS ? irq_count(set->index) : 0;

	if (set->argsz < sizeof *set || set->start >= count || set->count > count - set->start ||
		(set->flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK)))
		return -EINVAL;
	if ((data != VFIO_IRQ_SET_DATA_NONE && data != VFIO_IRQ_SET_DATA_EVENTFD) || (action & (action - 1)) || !action)
		return -EINVAL;
	if (data == VFIO_IRQ_SET_DATA_EVENTFD && set->argsz - sizeof *set < set->count * sizeof(int32_t))
		return -EINVAL;
	return 0;
}

/* An anonymous inode; the kernel looks closer, and so do its rows in kernel_rows.c. */
static int eventfd_check(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -EBADF;
	return (status.st_mode & S_IFMT) == 0 ? 0 : -EINVAL;
}

static int32_t irq_fd(const struct vfio_irq_set *set, uint32_t i)
{
	int32_t fd;

	memcpy(&fd, set->data + i * sizeof fd, sizeof fd);
	return fd;
}

static int irq_connect(struct handle *handle, const struct vfio_irq_set *set)
{
	for (uint32_t i = 0; i < set->count; i++) {
		int *slot = &handle->eventfds[set->start + i];

		if (*slot >= 0)
			close(*slot);
		*slot = irq_fd(set, i) < 0 ? -1 : fcntl(irq_fd(set, i), F_DUPFD_CLOEXEC, 3);
	}
	return 0;
}

static int irq_trigger(struct handle *handle, const struct vfio_irq_set *set)
{
	bool on = handle->irq_on == set->index;

	if ((set->flags & VFIO_IRQ_SET_DATA_NONE) && set->count == 0 && on) {
		irq_disable(handle);
		return 0;
	}
	if (!(set->flags & VFIO_IRQ_SET_DATA_EVENTFD) || (!on && handle->irq_on != IRQ_NONE) || set->count == 0)
		return -EINVAL;
	if (on && set->start + set->count > handle->irq_vectors)
		return -EINVAL;
	for (uint32_t i = 0; i < set->count; i++) {
		int r = irq_fd(set, i) < 0 ? 0 : eventfd_check(irq_fd(set, i));

		if (r < 0)
			return r;
	}
	if (!on)
		handle->irq_vectors = set->start + set->count;
	handle->irq_on = set->index;
	return irq_connect(handle, set);
}

/* One eventfd that says that the host wants the device, or that it reported an error. */
static int event_set(int *event, const struct vfio_irq_set *set)
{
	int r;

	if (!(set->flags & VFIO_IRQ_SET_DATA_EVENTFD) || !(set->flags & VFIO_IRQ_SET_ACTION_TRIGGER) || set->count != 1)
		return -EINVAL;
	fd_cleanup(event);
	if (irq_fd(set, 0) < 0)
		return 0;
	r = eventfd_check(irq_fd(set, 0));
	if (r == 0)
		*event = fcntl(irq_fd(set, 0), F_DUPFD_CLOEXEC, 3);
	return r;
}

int fake_device_request(const struct fake_device *device)
{
	int count = 0;

	for (size_t i = 0; i < OPEN_MAX; i++) {
		if (handles[i].fd > 0 && handles[i].device == device && handles[i].request >= 0)
			count += eventfd_write(handles[i].request, 1) == 0;
	}
	return count;
}

int fake_device_fault(const struct fake_device *device)
{
	int count = 0;

	for (size_t i = 0; i < OPEN_MAX; i++) {
		if (handles[i].fd > 0 && handles[i].device == device && handles[i].fault >= 0)
			count += eventfd_write(handles[i].fault, 1) == 0;
	}
	return count;
}

static int fake_irq_set(int fd, struct vfio_irq_set *set)
{
	struct handle *handle = handle_find(fd);
	int r = handle_check(handle, FAKE_IRQ_SET);

	if (r == 0)
		r = irq_set_check(set);
	if (r < 0)
		return r;
	if (set->index == VFIO_PCI_REQ_IRQ_INDEX)
		return event_set(&handle->request, set);
	if (set->index == VFIO_PCI_ERR_IRQ_INDEX)
		return handle->device->express ? event_set(&handle->fault, set) : -EINVAL;
	if (set->flags & VFIO_IRQ_SET_ACTION_TRIGGER)
		return irq_trigger(handle, set);
	/* Masking is for INTx alone; and here without effect, nothing being pending between two calls. */
	if (set->index != VFIO_PCI_INTX_IRQ_INDEX)
		return -ENOTTY;
	return handle->irq_on == set->index ? 0 : -EINVAL;
}

static int fake_device_reset(int fd)
{
	struct handle *handle = handle_find(fd);
	int r = handle_check(handle, FAKE_RESET);

	if (r < 0)
		return r;
	if (!handle->device->resettable)
		return -EINVAL;
	device_reset(handle->device);
	return 0;
}

/* ---- device: registers ---- */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint32_t register_get(struct fake_device *device, uint64_t offset)
{
	uint32_t value;

	memcpy(&value, &device->bar0[offset], sizeof value);
	switch (offset) {
	case FAKE_REG_ID:
		return 0x010000ed;
	case FAKE_REG_LIVENESS:
		return ~value;
	case FAKE_REG_DONE:
		return device->ready_ns && now_ns() >= device->ready_ns;
	default:
		return value;
	}
}

static void raise_vector(const struct handle *handle, uint32_t vector)
{
	if (vector < VECTORS_MAX && handle->eventfds[vector] >= 0)
		eventfd_write(handle->eventfds[vector], 1);
}

static void register_put(struct handle *handle, uint64_t offset, uint32_t value)
{
	memcpy(&handle->device->bar0[offset], &value, sizeof value);
	if (offset == FAKE_REG_DELAY)
		handle->device->ready_ns = now_ns() + value * UINT64_C(1000);
	else if (offset == FAKE_REG_RAISE)
		raise_vector(handle, value);
}

/* Says where an access goes and cuts it to what is there: 0 or a negative errno, as vfio_pci_bar_rw(). */
static int locate(
	const struct handle *handle, uint64_t position, size_t *length, uint32_t *ret_index, uint64_t *ret_offset)
{
	uint32_t index = (uint32_t)(position >> POSITION_SHIFT);
	uint64_t offset = position & ((UINT64_C(1) << POSITION_SHIFT) - 1), size = region_size(index);

	if (offset >= size)
		return -EINVAL;
	if (*length > size - offset)
		*length = size - offset;
	if (index == VFIO_PCI_BAR0_REGION_INDEX && !(handle->device->config[PCI_COMMAND] & PCI_COMMAND_MEMORY))
		return -EIO;
	*ret_index = index;
	*ret_offset = offset;
	return 0;
}

static long fake_region_read(int fd, uint64_t position, void *data, size_t length)
{
	struct handle *handle = handle_find(fd);
	uint32_t index;
	uint64_t offset;
	int r = handle_check(handle, FAKE_READ);

	if (r == 0)
		r = locate(handle, position, &length, &index, &offset);
	if (r != 0)
		return r;
	if (handle->device->vanished)
		memset(data, 0xff, length);
	else if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		memcpy(data, &handle->device->config[offset], length);
	else if (length == 4 && offset % 4 == 0)
		memcpy(data, &(uint32_t){register_get(handle->device, offset)}, 4);
	else
		memcpy(data, &handle->device->bar0[offset], length);
	return (long)length;
}

/* Only the command register can be written, as far as anybody here needs it. */
static void config_write(struct fake_device *device, uint64_t offset, const uint8_t *data, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (offset + i == PCI_COMMAND || offset + i == PCI_COMMAND + 1)
			device->config[offset + i] = data[i];
	}
}

static long fake_region_write(int fd, uint64_t position, const void *data, size_t length)
{
	struct handle *handle = handle_find(fd);
	uint32_t index, value;
	uint64_t offset;
	int r = handle_check(handle, FAKE_WRITE);

	if (r == 0)
		r = locate(handle, position, &length, &index, &offset);
	if (r != 0)
		return r;
	memcpy(&value, data, length < sizeof value ? length : sizeof value);
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		config_write(handle->device, offset, data, length);
	else if (length == 4 && offset % 4 == 0)
		register_put(handle, offset, value);
	else
		memcpy(&handle->device->bar0[offset], data, length);
	return (long)length;
}

/* ---- register windows ---- */

static int fake_window_create(int control, const struct vfio_window_create *create)
{
	struct handle *handle = handle_find(create->device_fd);
	uint64_t offset = create->offset & ((UINT64_C(1) << POSITION_SHIFT) - 1);
	int r = handle_check(handle, FAKE_WINDOW_CREATE);

	if (r < 0)
		return r;
	if (create->argsz < sizeof *create || (create->flags & ~(VFIO_WINDOW_FLAG_WRITE | VFIO_WINDOW_FLAG_ONES)) ||
		create->reserved || create->size == 0 || (create->size | offset) % FAKE_PAGE_SIZE)
		return -EINVAL;
	if (create->offset >> POSITION_SHIFT != VFIO_PCI_BAR0_REGION_INDEX || offset > FAKE_BAR0_SIZE ||
		FAKE_BAR0_SIZE - offset < create->size)
		return -EINVAL;
	return fake_window_make(control, handle->device->bar0 + offset, create->size, create->flags);
}

/* ---- the kernel ---- */

/* What all of the above does, for a keeper with a filter. */
static const struct sandbox_rule rules[] = {
	{SCMP_SYS(mmap), 0, 0, 0},
	{SCMP_SYS(newfstatat), 0, 0, 0},
	{SCMP_SYS(fstat), 0, 0, 0},
	{SCMP_SYS(pread64), 0, 0, 0},
	{SCMP_SYS(memfd_create), 0, 0, 0},
	{SCMP_SYS(fcntl), 0, 0, 0},
	{SCMP_SYS(write), 0, 0, 0},
	{SCMP_SYS(futex), 0, 0, 0},
	{SCMP_SYS(gettid), 0, 0, 0},
	{SCMP_SYS(nanosleep), 0, 0, 0},
	{SCMP_SYS(ftruncate), 0, 0, 0},
};

const struct vfio_kernel fake_vfio = {
	.name = "fake",
	.rules = rules,
	.rule_count = sizeof rules / sizeof rules[0],
	.domain_check = fake_container_check,
	.domain_same = fake_domain_same,
	.domain_ready = fake_domain_ready,
	.domain_setup = fake_domain_setup,
	.group_status = fake_group_status,
	.group_attach = fake_group_attach,
	.group_detach = fake_group_detach,
	.device_get = fake_device_get,
	.device_close = fake_device_close,
	.device_info = fake_device_info,
	.region_info = fake_region_info,
	.irq_info = fake_irq_info,
	.irq_set = fake_irq_set,
	.device_reset = fake_device_reset,
	.region_read = fake_region_read,
	.region_write = fake_region_write,
	.window_info = fake_window_info,
	.window_create = fake_window_create,
	.window_refuse = fake_window_revoke,
	.window_revoke = fake_window_revoke,
};
