/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_WINDOW_H
#define KEEPER_WINDOW_H

#include "message.h"
#include "refusal.h"

#include <stdint.h>

struct device;

/*
 * Register windows of a device: file descriptors for ranges of its BARs, which the client maps, and which the kernel module
 * vfio_window takes back with one call. The lease brings the control file that they are made with; its end, also by the
 * death of this process, is theirs.
 */

/* Finds the table in the configuration space of a device that was just opened. Returns 0 or a negative errno. */
int window_discover(struct device *device);

/*
 * REGION_WINDOW. *RET_FD is the caller's. Refusals: WINDOW_UNAVAILABLE, MALFORMED (alignment), UNSUPPORTED (what cannot be
 * mapped, and the MSI-X table), DENIED and QUOTA (the policy's limits).
 */
int window_open(struct device *device, const struct window_request *request, int *ret_fd, struct detail *detail);

/* Takes all windows of the device back: nobody reaches its registers through them when this returns. Returns 0 or a
 * negative errno. */
int window_revoke(struct device *device);

#endif
