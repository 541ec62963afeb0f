/* SPDX-License-Identifier: MIT */
#include "region.h"
#include "state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int region_discover(struct device *device, uint32_t count)
{
	device->region_count = count < REGIONS_MAX ? count : REGIONS_MAX;
	for (uint32_t i = 0; i < device->region_count; i++) {
		struct vfio_region_info info = {.argsz = sizeof info, .index = i};
		int r = device->group->kernel->region_info(device->fd, &info);

		/* On most machines vfio-pci has no VGA region and answers EINVAL: no such region, like size 0. */
		if (r < 0 && r != -EINVAL)
			return r;
		device->regions[i] = (struct region){0};
		if (r == 0)
			device->regions[i] = (struct region){info.flags, info.size, info.offset};
	}
	return 0;
}

void region_forget(struct device *device)
{
	device->region_count = 0;
}

int region_check(const struct device *device, uint32_t index, uint64_t offset, uint64_t length, uint32_t access,
	struct detail *detail)
{
	const struct region *region = &device->regions[index < REGIONS_MAX ? index : 0];

	if (index >= device->region_count || region->size == 0)
		return refuse(detail, REFUSAL_UNSUPPORTED, "%s has no region %" PRIu32, device->lease.name, index);
	/* Never offset + length, which may overflow. */
	if (offset > region->size || region->size - offset < length)
		return refuse(detail, REFUSAL_MALFORMED,
			"%" PRIu64 " bytes at %#" PRIx64 " are not within region %" PRIu32
			" of %s, which has %#" PRIx64,
			length, offset, index, device->lease.name, region->size);
	if ((region->flags & access) != access)
		return refuse(detail, REFUSAL_UNSUPPORTED, "region %" PRIu32 " of %s cannot be %s", index,
			device->lease.name, access & ~region->flags & VFIO_REGION_INFO_FLAG_WRITE ? "written" : "read");
	return 0;
}

static int complete(long done, size_t length)
{
	if (done < 0)
		return (int)done;
	/* The kernel stops early where the device stops answering (memory switched off, power state). */
	return (size_t)done == length ? 0 : -EIO;
}

int region_get(const struct device *device, uint32_t index, uint64_t offset, void *data, size_t length)
{
	uint64_t position = device->regions[index].position + offset;

	return complete(device->group->kernel->region_read(device->fd, position, data, length), length);
}

int region_put(const struct device *device, uint32_t index, uint64_t offset, const void *data, size_t length)
{
	uint64_t position = device->regions[index].position + offset;

	return complete(device->group->kernel->region_write(device->fd, position, data, length), length);
}

static int failed(const struct device *device, const struct region_request *request, uint32_t offset, int error,
	const char *access, struct detail *detail)
{
	refuse(detail, REFUSAL_FAILED, "%s of region %" PRIu32 " of %s at %#" PRIx64 ": %s", access, request->region,
		device->lease.name, request->offset + offset, strerror(-error));
	return error;
}

int region_read(const struct device *device, const struct region_request *request, void *data, struct detail *detail)
{
	uint32_t step = request->width ? request->width : request->length;
	int r = region_check(
		device, request->region, request->offset, request->length, VFIO_REGION_INFO_FLAG_READ, detail);

	if (r != 0)
		return r;
	for (uint32_t i = 0; i < request->length; i += step) {
		r = region_get(device, request->region, request->offset + i, (char *)data + i, step);
		if (r < 0)
			return failed(device, request, i, r, "read", detail);
	}
	return 0;
}

int region_write(
	const struct device *device, const struct region_request *request, const void *data, struct detail *detail)
{
	uint32_t step = request->width ? request->width : request->length;
	int r = region_check(
		device, request->region, request->offset, request->length, VFIO_REGION_INFO_FLAG_WRITE, detail);

	if (r != 0)
		return r;
	for (uint32_t i = 0; i < request->length; i += step) {
		r = region_put(device, request->region, request->offset + i, (const char *)data + i, step);
		if (r < 0)
			return failed(device, request, i, r, "write", detail);
	}
	return 0;
}
