/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_BINDING_H
#define KEEPER_BINDING_H

#include "refusal.h"

#include <stddef.h>

struct device;

/*
 * The tie between a device and an IOMMU domain: BIND and UNBIND.
 *
 * The kernel's errnos are ambiguous (EINVAL alone has five meanings), so each step looks at the state before the system
 * call. Each meaning still possible then is a row of the table in binding.c.
 *
 * The owner of the domain can make VFIO_GROUP_UNSET_CONTAINER hang, by mapping memory of a stalled file system of its
 * own (daemon/README.md, hazard 1: stalled exit). Closing the device does not hang. So the device is always closed
 * first: from then on the device can neither reach memory nor interrupt anybody, whatever becomes of this process.
 */

/* For a new device in zeroed memory: not bound. */
void binding_init(struct device *device);

/* Refuses an FD other than a domain. FD stays the caller's. */
int binding_check(const struct device *device, int fd, struct detail *detail);

/* Binds an unbound device. Takes DOMAIN, also on failure (foreign_fd_leave(), so a request must be in work);
 * binding_check() has let DOMAIN pass. On failure everything is undone. Returns 0, a refusal, or a negative errno with
 * a detail. */
int binding_make(struct device *device, int domain, struct detail *detail);

/*
 * Windows taken back, interrupts off, bus mastering off, reset, device closed: each step is done even if an earlier
 * step has failed. Returns 0 or the first negative errno; device->report has the result of every step. An unbound
 * device: nothing to do.
 */
int binding_close_device(struct device *device);

/* Before another device of the group is closed, which may hang: the client loses the windows of DEVICE at once. The
 * rest is for binding_close_device(), which reports. */
void binding_refuse_windows(struct device *device);

/* binding_close_device(); after the last bound device of a group, the group leaves the domain, too. */
int binding_undo(struct device *device);

#endif
