/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_REGION_H
#define KEEPER_REGION_H

#include "message.h"
#include "refusal.h"

#include <stddef.h>
#include <stdint.h>

struct device;

/* Asks the kernel for all regions of a device just opened. Returns 0 or a negative errno. */
int region_discover(struct device *device, uint32_t count);

/* For a device just closed: forgets its regions. */
void region_forget(struct device *device);

/* May the client touch LENGTH bytes at OFFSET? ACCESS: VFIO_REGION_INFO_FLAG_READ, _WRITE or both. Returns 0 or
 * refuses. */
int region_check(const struct device *device, uint32_t index, uint64_t offset, uint64_t length, uint32_t access,
	struct detail *detail);

/* One access to a range allowed by region_check(). Returns 0 or a negative errno; -EIO after a short read or write. */
int region_get(const struct device *device, uint32_t index, uint64_t offset, void *data, size_t length);
int region_put(const struct device *device, uint32_t index, uint64_t offset, const void *data, size_t length);

/* The requests of the same name. DATA has request->length bytes. */
int region_read(const struct device *device, const struct region_request *request, void *data, struct detail *detail);
int region_write(
	const struct device *device, const struct region_request *request, const void *data, struct detail *detail);

#endif
