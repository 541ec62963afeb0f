/* SPDX-License-Identifier: MIT */
#include "window.h"
#include "config.h"
#include "state.h"
#include "vfio_window.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <unistd.h>

/* ---- the MSI-X table ---- */

int window_discover(struct device *device)
{
	uint32_t table;
	uint16_t control;
	int at = config_capability(device, PCI_CAP_ID_MSIX);
	int r;

	device->msix = (struct msix_table){.first = 1};
	if (at <= 0)
		return at;
	r = config_get16(device, (uint64_t)at + PCI_MSIX_FLAGS, &control);
	if (r == 0)
		r = config_get32(device, (uint64_t)at + PCI_MSIX_TABLE, &table);
	if (r < 0)
		return r;
	device->msix.region = table & PCI_MSIX_TABLE_BIR;
	device->msix.first = table & PCI_MSIX_TABLE_OFFSET;
	device->msix.last = device->msix.first + ((control & PCI_MSIX_FLAGS_QSIZE) + 1U) * PCI_MSIX_ENTRY_SIZE - 1;
	return 0;
}

/* ---- what may be mapped ---- */

/* One rule per check. Device, kernel and hardware come first: these limits are the same for everybody. */
static int check_range(const struct device *device, const struct window_request *request, struct detail *detail)
{
	const struct region *region = &device->regions[request->region < REGIONS_MAX ? request->region : 0];
	const struct msix_table *msix = &device->msix;
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t last = request->offset + request->length - 1;

	if (request->region >= device->region_count || request->region > VFIO_PCI_BAR5_REGION_INDEX ||
		!(region->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return refuse(detail, REFUSAL_UNSUPPORTED, "region %" PRIu32 " of %s cannot be mapped", request->region,
			device->lease.name);
	if (request->offset % page != 0 || request->length % page != 0)
		return refuse(detail, REFUSAL_MALFORMED,
			"offset %#" PRIx64 " or length %#" PRIx64 " is not a multiple of the page size %#" PRIx64,
			request->offset, request->length, page);
	/* A BAR smaller than a page has the page for itself, or VFIO would refuse to map the BAR. */
	if (last >= (region->size + page - 1) / page * page)
		return refuse(detail, REFUSAL_MALFORMED,
			"%#" PRIx64 " bytes at %#" PRIx64 " are not within region %" PRIu32
			" of %s, which has %#" PRIx64,
			request->length, request->offset, request->region, device->lease.name, region->size);
	/* Interrupt remapping would contain a client's writes to the table, but the keeper's own settings would be
	 * lost. */
	if (msix->region == request->region && msix->first <= msix->last && request->offset <= msix->last &&
		last >= msix->first / page * page)
		return refuse(detail, REFUSAL_UNSUPPORTED,
			"the MSI-X table of %s is at %#" PRIx64 " of region %" PRIu32
			", and its pages are never mapped",
			device->lease.name, msix->first, msix->region);
	return 0;
}

static int check_policy(const struct device *device, const struct window_request *request, struct detail *detail)
{
	const struct window_limits *limits = &device->lease.windows;
	const uint64_t last = request->offset + request->length - 1;

	if (limits->count == 0)
		return refuse(detail, REFUSAL_DENIED,
			"no windows of %s by rule %s; add \"windows = 1\" there, and open the device again",
			device->lease.name, device->lease.rule);
	for (uint32_t i = 0; i < limits->range_count && i < WINDOW_RANGES_MAX; i++) {
		const struct window_range *range = &limits->ranges[i];

		if (range->region == request->region && range->first <= request->offset && last <= range->last)
			return 0;
	}
	if (limits->range_count == 0)
		return 0;
	return refuse(detail, REFUSAL_DENIED,
		"%#" PRIx64 " bytes at %#" PRIx64 " of region %" PRIu32
		" of %s are not in what rule %s lets windows show; add \"window-range = %" PRIu32 ":%#" PRIx64
		"-%#" PRIx64 "\"",
		request->length, request->offset, request->region, device->lease.name, device->lease.rule,
		request->region, request->offset, last);
}

/* The kernel counts the windows: a client gives a window back by closing and unmapping, and nobody else is told. */
static int check_quota(const struct device *device, const struct window_request *request, struct detail *detail)
{
	const struct window_limits *limits = &device->lease.windows;
	struct vfio_window_info info = {.argsz = sizeof info};
	int r = device->group->kernel->window_info(device->windows, &info);

	if (r < 0) {
		refuse(detail, REFUSAL_FAILED, "VFIO_WINDOW_INFO for %s: %s", device->lease.name, strerror(-r));
		return r;
	}
	if (info.windows >= limits->count)
		return refuse(detail, REFUSAL_QUOTA,
			"%" PRIu32 " windows of %s are open, rule %s allows %" PRIu32 "; add \"windows = %" PRIu32 "\"",
			info.windows, device->lease.name, device->lease.rule, limits->count, info.windows + 1);
	if (info.size > limits->size || limits->size - info.size < request->length)
		return refuse(detail, REFUSAL_QUOTA,
			"%#" PRIx64 " bytes more than the %#llx that windows of %s show; rule %s allows %#" PRIx64
			"; add \"window-size = %#llx\"",
			request->length, (unsigned long long)info.size, device->lease.name, device->lease.rule,
			limits->size, (unsigned long long)info.size + request->length);
	return 0;
}

/* ---- making and taking back ---- */

int window_open(struct device *device, const struct window_request *request, int *ret_fd, struct detail *detail)
{
	struct vfio_window_create create = {.argsz = sizeof create, .device_fd = device->fd, .size = request->length};
	int r;

	if (device->windows < 0)
		return refuse(detail, REFUSAL_WINDOW_UNAVAILABLE,
			"%s: vfio-brokerd could not open %s when it leased the device: is the kernel module "
			"vfio_window loaded?",
			device->lease.name, VFIO_WINDOW_NODE);
	r = check_range(device, request, detail);
	if (r == 0)
		r = check_policy(device, request, detail);
	if (r == 0)
		r = check_quota(device, request, detail);
	if (r != 0)
		return r;
	create.flags = (request->flags & WINDOW_WRITE ? VFIO_WINDOW_FLAG_WRITE : 0U) |
		(request->flags & WINDOW_ONES ? VFIO_WINDOW_FLAG_ONES : 0U);
	create.offset = device->regions[request->region].position + request->offset;
	r = device->group->kernel->window_create(device->windows, &create);
	if (r >= 0) {
		*ret_fd = r;
		return 0;
	}
	if (r == -EOPNOTSUPP)
		return refuse(detail, REFUSAL_WINDOW_UNAVAILABLE,
			"%s: vfio_window cannot show region %" PRIu32 " of it on this kernel", device->lease.name,
			request->region);
	refuse(detail, REFUSAL_FAILED, "VFIO_WINDOW_CREATE for region %" PRIu32 " of %s: %s", request->region,
		device->lease.name, strerror(-r));
	return r;
}

int window_refuse(struct device *device)
{
	return device->windows < 0 ? 0 : device->group->kernel->window_refuse(device->windows);
}

int window_revoke(struct device *device)
{
	return device->windows < 0 ? 0 : device->group->kernel->window_revoke(device->windows);
}
