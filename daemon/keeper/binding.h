/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_BINDING_H
#define KEEPER_BINDING_H

#include "refusal.h"

#include <stddef.h>

struct device;

/*
 * The tie between a device and an IOMMU domain: BIND and UNBIND.
 *
 * The kernel's errnos are ambiguous (EINVAL alone has five meanings), so each step looks at the state before its
 * system call, and what an errno can still mean then is a row of the table in binding.c.
 *
 * Hazard 1: whoever owns the domain can make VFIO_GROUP_UNSET_CONTAINER hang, by mapping memory of a file system that
 * it serves itself and stalls. Closing the device does not hang. So the device is closed first, always: from then on it can
 * neither reach memory nor interrupt anybody, whatever becomes of this process.
 */

/* Of a device whose memory is zeroed: it is not bound. */
void binding_init(struct device *device);

/* Refuses if FD is not a domain at all; it stays the caller's. */
int binding_check(const struct device *device, int fd, struct detail *detail);

/* Binds a device that is not bound. Takes DOMAIN, which binding_check() let pass, also on failure. Undoes everything if
 * it fails. Returns 0, a refusal, or a negative errno with a detail. */
int binding_make(struct device *device, int domain, struct detail *detail);

/*
 * Windows taken back, interrupts off, bus mastering off, reset, device closed: goes to the end whatever fails. Returns 0 or the
 * first negative errno; device->report has all of it. Nothing to do if it is not bound.
 */
int binding_close_device(struct device *device);

/* binding_close_device(), then the group leaves the domain if this was its last bound device. */
int binding_undo(struct device *device);

#endif
