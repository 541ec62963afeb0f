/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_WINDOW_H
#define KEEPER_WINDOW_H

#include "message.h"
#include "refusal.h"

#include <stdint.h>

struct device;

/*
 * Register windows of a device: file descriptors for ranges of its BARs, mapped by the client. The kernel module
 * vfio_window takes all of them back with one call. Windows are made through a control file, and the lease brings the
 * control file. The close of the control file, also by the death of this process, ends all windows.
 */

/* Finds the MSI-X table of a device just opened, by its configuration space. Returns 0 or a negative errno. */
int window_discover(struct device *device);

/*
 * REGION_WINDOW. *RET_FD is the caller's. Refusals: WINDOW_UNAVAILABLE, MALFORMED (alignment), UNSUPPORTED (the range
 * cannot be mapped, or holds the MSI-X table), DENIED and QUOTA (the policy's limits).
 */
int window_open(struct device *device, const struct window_request *request, int *ret_fd, struct detail *detail);

/* Takes all windows of the device back, and does not wait for clients: after 0 nobody reaches registers through a
 * window. -EINPROGRESS: some client still may, and the kernel goes on. Else a negative errno. */
int window_refuse(struct device *device);

/* Waits until page faults of clients do not use the device any more, for as long as clients can delay page faults.
 * Includes window_refuse(). Returns 0 or a negative errno. */
int window_revoke(struct device *device);

#endif
