/* SPDX-License-Identifier: MIT */
#include "binding.h"
#include "clock.h"
#include "config.h"
#include "fdset.h"
#include "foreign_fd.h"
#include "group.h"
#include "interrupt.h"
#include "region.h"
#include "release.h"
#include "state.h"
#include "window.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum step {
	STEP_STATUS,
	STEP_ATTACH,
	STEP_SETUP,
	STEP_OPEN,
	STEP_DISCOVER,
	STEP_ENABLE,
};

static const char *const step_names[] = {
	[STEP_STATUS] = "VFIO_GROUP_GET_STATUS",
	[STEP_ATTACH] = "VFIO_GROUP_SET_CONTAINER",
	[STEP_SETUP] = "VFIO_SET_IOMMU",
	[STEP_OPEN] = "VFIO_GROUP_GET_DEVICE_FD",
	[STEP_DISCOVER] = "describing the device",
	[STEP_ENABLE] = "switching memory access and bus mastering on",
};

/* What an errno of a step means, given what was found to be in order before it. */
struct meaning {
	enum step step;
	int error;
	enum refusal refusal;
	const char *words;
};

static const struct meaning meanings[] = {
	{STEP_STATUS, ENODEV, REFUSAL_GONE, "the group has left the machine"},
	{STEP_ATTACH, EBADF, REFUSAL_NOT_A_DOMAIN, "it is not open"},
	{STEP_ATTACH, EBADFD, REFUSAL_NOT_A_DOMAIN, "it is not a VFIO container"},
	{STEP_ATTACH, ENODEV, REFUSAL_DOMAIN_INCOMPATIBLE, "the domain's IOMMU does not serve this group"},
	{STEP_ATTACH, EINVAL, REFUSAL_DOMAIN_INCOMPATIBLE,
		"its mappings collide with IOVA ranges that the group reserves, or the group is in a domain already"},
	{STEP_ATTACH, EBUSY, REFUSAL_DOMAIN_INCOMPATIBLE, "the group is in another domain"},
	{STEP_ATTACH, ENOMEM, REFUSAL_NO_DOMAINS, "no memory for the IOMMU's tables"},
	{STEP_ATTACH, ENOSPC, REFUSAL_NO_DOMAINS, "the IOMMU has no domain left"},
	{STEP_ATTACH, EPERM, REFUSAL_NO_REMAPPING,
		"no interrupt remapping, without which a device could forge any interrupt"},
	{STEP_SETUP, EPERM, REFUSAL_NO_REMAPPING,
		"no interrupt remapping, without which a device could forge any interrupt"},
	{STEP_SETUP, ENODEV, REFUSAL_DOMAIN_INCOMPATIBLE, "no type 1 IOMMU serves this group"},
	{STEP_SETUP, EINVAL, REFUSAL_DOMAIN_INCOMPATIBLE, "somebody else is setting the domain up"},
	{STEP_SETUP, EBUSY, REFUSAL_DOMAIN_INCOMPATIBLE, "somebody else uses the group's IOMMU"},
	{STEP_SETUP, ENOMEM, REFUSAL_NO_DOMAINS, "no memory for the IOMMU's tables"},
	{STEP_SETUP, ENOSPC, REFUSAL_NO_DOMAINS, "the IOMMU has no domain left"},
	{STEP_OPEN, ENODEV, REFUSAL_GONE, "vfio-pci does not have the device any more"},
	{STEP_OPEN, EINVAL, REFUSAL_DEVICE_BAD_STATE, "it cannot be opened"},
	{STEP_OPEN, EIO, REFUSAL_DEVICE_BAD_STATE, "it does not answer"},
	{STEP_OPEN, EBUSY, REFUSAL_DEVICE_BAD_STATE, "the host still works on it"},
	{STEP_OPEN, ETIMEDOUT, REFUSAL_DEVICE_BAD_STATE, "it does not answer"},
	{STEP_OPEN, EACCES, REFUSAL_UNSUPPORTED, "it is a virtual function that needs its owner's token"},
	{STEP_DISCOVER, EIO, REFUSAL_DEVICE_BAD_STATE, "it does not answer"},
	{STEP_DISCOVER, ENODEV, REFUSAL_GONE, "it has left the machine"},
	{STEP_ENABLE, EIO, REFUSAL_DEVICE_BAD_STATE, "it does not answer"},
	{STEP_ENABLE, EFAULT, REFUSAL_DEVICE_BAD_STATE, "it does not answer"},
	{STEP_ENABLE, ENODEV, REFUSAL_GONE, "it has left the machine"},
};

/* The detail names device, group, step and errno. Returns the refusal for the step's failure, or ERROR itself. */
static int failed(const struct device *device, enum step step, int error, struct detail *detail)
{
	const struct meaning *meaning = NULL;

	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
		if (meanings[i].step == step && meanings[i].error == -error)
			meaning = &meanings[i];
	}
	refuse(detail, REFUSAL_FAILED, "%s, IOMMU group %u: %s: %s%s%s", device->lease.name, device->group->number,
		step_names[step], strerror(-error), meaning ? ": " : "", meaning ? meaning->words : "");
	return meaning ? (int)meaning->refusal : error;
}

static int not_viable(const struct device *device, struct detail *detail)
{
	return refuse(detail, REFUSAL_GROUP_NOT_VIABLE,
		"%s: another device of IOMMU group %u is bound to a host driver ('vfio-brokerctl list' shows which)",
		device->lease.name, device->group->number);
}

/* ---- the group joins the domain ---- */

static int check_viable(const struct device *device, struct detail *detail)
{
	uint32_t flags;
	int r = device->group->kernel->group_status(device->group->fd, &flags);

	if (r < 0)
		return failed(device, STEP_STATUS, r, detail);
	return flags & VFIO_GROUP_FLAGS_VIABLE ? 0 : not_viable(device, detail);
}

static int attach(struct iommu_group *group, const struct device *device, int domain, struct detail *detail)
{
	int r = group->kernel->group_attach(group->fd, domain);

	/* The group was viable a moment ago: either a host driver came just now, or EPERM is about the IOMMU. */
	if (r == -EPERM) {
		int changed = check_viable(device, detail);

		if (changed == REFUSAL_GROUP_NOT_VIABLE)
			return changed;
	}
	return r < 0 ? failed(device, STEP_ATTACH, r, detail) : 0;
}

static int setup(const struct iommu_group *group, const struct device *device, int domain, struct detail *detail)
{
	int r;

	if (group->kernel->domain_ready(domain))
		return 0;
	r = group->kernel->domain_setup(domain);
	/* Another keeper with a group for the same domain, or the domain's owner, may have been faster. */
	if (r == -EINVAL && group->kernel->domain_ready(domain))
		return 0;
	return r < 0 ? failed(device, STEP_SETUP, r, detail) : 0;
}

/* Takes DOMAIN. On success the group is in DOMAIN. With a sibling at work, no other domain is closed (kept.h). */
static int join(struct iommu_group *group, const struct device *device, int domain, struct detail *detail)
{
	const struct device *sibling = group_bound_device(group, device);
	int r;

	if (sibling) {
		if (group->kernel->domain_same(domain, group->domain)) {
			close(domain);
			return 0;
		}
		foreign_fd_leave(domain);
		return refuse(detail, REFUSAL_DOMAIN_INCOMPATIBLE,
			"%s shares IOMMU group %u with %s, which is bound to another domain; bind both to the same",
			device->lease.name, group->number, sibling->lease.name);
	}
	r = attach(group, device, domain, detail);
	if (r != 0) {
		foreign_fd_leave(domain);
		return r;
	}
	group_join_domain(group, domain);
	r = setup(group, device, group->domain, detail);
	if (r != 0)
		group_leave_domain(group);
	return r;
}

/* ---- the device ---- */

static int discover(struct device *device)
{
	struct vfio_device_info info = {.argsz = sizeof info};
	int r = device->group->kernel->device_info(device->fd, &info);

	if (r < 0)
		return r;
	device->resettable = info.flags & VFIO_DEVICE_FLAGS_RESET;
	r = region_discover(device, info.num_regions);
	if (r == 0)
		r = interrupt_discover(device, info.num_irqs);
	/* A device without a configuration space is no PCI device, and nothing below would hold. */
	if (r == 0 &&
		(device->region_count <= VFIO_PCI_CONFIG_REGION_INDEX ||
			device->regions[VFIO_PCI_CONFIG_REGION_INDEX].size < PCI_STD_HEADER_SIZEOF))
		return -EIO;
	return r == 0 ? window_discover(device) : r;
}

static int check_answers(const struct device *device, struct detail *detail)
{
	uint16_t vendor;
	int r = config_get16(device, PCI_VENDOR_ID, &vendor);

	if (r < 0)
		return failed(device, STEP_DISCOVER, r, detail);
	/* The bus reads all ones when nobody answers. */
	if (vendor == 0xffff)
		return refuse(detail, REFUSAL_DEVICE_BAD_STATE,
			"%s, IOMMU group %u: its configuration space reads ffff: it does not answer",
			device->lease.name, device->group->number);
	return 0;
}

/*
 * Opens the device with bus mastering off, and switches bus mastering on only when nothing can fail any more: a device
 * left in the middle of a transfer must not reach the new domain's memory through a BIND that is then refused.
 */
static int open_device(struct device *device, struct detail *detail)
{
	int r = device->group->kernel->device_get(device->group->fd, device->lease.name);

	if (r < 0)
		return failed(device, STEP_OPEN, r, detail);
	device->fd = r;
	r = discover(device);
	if (r < 0)
		return failed(device, STEP_DISCOVER, r, detail);
	r = check_answers(device, detail);
	if (r != 0)
		return r;
	r = config_command(device, PCI_COMMAND_MASTER, 0);
	if (r < 0)
		return failed(device, STEP_ENABLE, r, detail);
	interrupt_arm_host_events(device);
	r = config_command(device, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	return r < 0 ? failed(device, STEP_ENABLE, r, detail) : 0;
}

void binding_init(struct device *device)
{
	device->fd = -1;
}

int binding_check(const struct device *device, int fd, struct detail *detail)
{
	/* SET_CONTAINER with another file would be harmless today, and fail with an unclear EBADFD. */
	if (!device->group->kernel->domain_check(fd))
		return refuse(detail, REFUSAL_NOT_A_DOMAIN,
			"BIND of %s needs an open IOMMU domain, but the descriptor passed is %s", device->lease.name,
			foreign_fd_name(fd));
	return 0;
}

int binding_make(struct device *device, int domain, struct detail *detail)
{
	const struct release_report before = device->report;
	struct iommu_group *group = device->group;
	int r;

	r = check_viable(device, detail);
	if (r != 0) {
		foreign_fd_leave(domain);
		return r;
	}
	r = join(group, device, domain, detail);
	if (r != 0)
		return r;
	r = open_device(device, detail);
	if (r == 0)
		return 0;
	binding_close_device(device);
	/* The client has not reached the device in this BIND: the report stays with an earlier BIND of the lease, if
	 * any. */
	release_restore(&device->report, &before);
	if (!group_bound_device(group, NULL))
		group_leave_domain(group);
	return r;
}

/* The host locks the device for moments, when somebody reads or writes the device's files in sysfs. */
static int reset_patiently(const struct device *device)
{
	int retries = device->report.reason == ENDED_ERROR ? RESET_RETRIES_ERROR : RESET_RETRIES;
	int r = device->group->kernel->device_reset(device->fd);

	for (int i = 0; r == -EAGAIN && i < retries; i++) {
		nanosleep(&(struct timespec){.tv_nsec = RESET_PAUSE_NS}, NULL);
		r = device->group->kernel->device_reset(device->fd);
	}
	return r;
}

/* VFIO resets at the last close, too, and tells nobody the result. Bus mastering is off, and stays off over a reset. */
static void reset(struct device *device)
{
	struct release_report *report = &device->report;
	uint64_t start = clock_us();
	int r;

	release_set_reset(report, RESET_NONE);
	if (!device->resettable)
		return;
	/* At an unplug the host waits for the close of the device, and holds the lock of the reset until then. */
	r = report->reason == ENDED_UNPLUG ? -EAGAIN : reset_patiently(device);
	release_note(report, RELEASE_RESET, start, r);
	release_set_reset(report, r < 0 ? RESET_FAILED : RESET_DONE);
}

/* With access = direct the holder could undo these steps through its own copy of the device. They are done anyway:
 * most holders have closed the copy by then. The result is UNSURE, except at an unplug, where the kernel waits for
 * the last close. */
static void finish(struct device *device)
{
	reset(device);
	if (device->handed_out && device->report.reason != ENDED_UNPLUG)
		release_set_reset(&device->report, RESET_UNSURE);
}

/* Page faults of clients are waited for when the device is quiet. REFUSED: the result of the first half, of which only
 * an unfinished one is made up for. */
static void drain_windows(struct device *device, int refused)
{
	uint64_t start = clock_us();
	int r = device->windows < 0 ? 0 : window_revoke(device);

	if (refused == -EINPROGRESS || (refused == 0 && r < 0))
		release_note(&device->report, RELEASE_WINDOWS, start, r);
}

int binding_close_device(struct device *device)
{
	struct release_report *report = &device->report;
	uint64_t start = clock_us();
	int refused = 0;

	if (device->fd < 0)
		return 0;
	release_begin(report);
	/* First: from here on only this process reaches the device. */
	if (device->windows >= 0) {
		refused = window_refuse(device);
		release_note(report, RELEASE_WINDOWS, start, refused);
	}
	start = clock_us();
	if (device->irq_on != INTERRUPT_NONE)
		release_note(report, RELEASE_INTERRUPTS, start, interrupt_off(device));
	start = clock_us();
	/* VFIO does the same at the last close, but the last copy of the device may be elsewhere. */
	if (device->region_count > VFIO_PCI_CONFIG_REGION_INDEX)
		release_note(report, RELEASE_MASTER, start, config_command(device, PCI_COMMAND_MASTER, 0));
	finish(device);
	drain_windows(device, refused);
	start = clock_us();
	device->group->kernel->device_close(fd_take(&device->fd));
	release_note(report, RELEASE_CLOSE, start, 0);
	interrupt_forget(device);
	region_forget(device);
	return release_result(report);
}

void binding_refuse_windows(struct device *device)
{
	if (device->fd >= 0)
		window_refuse(device);
}

int binding_undo(struct device *device)
{
	bool bound = device->fd >= 0;
	uint64_t start;

	binding_close_device(device);
	start = clock_us();
	if (bound && !group_bound_device(device->group, NULL))
		release_note(&device->report, RELEASE_LEAVE, start, group_leave_domain(device->group));
	return release_result(&device->report);
}
