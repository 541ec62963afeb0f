/* SPDX-License-Identifier: MIT */
#ifndef FAKE_MODULE_H
#define FAKE_MODULE_H

#include "vfio_window.h"

#include <stdint.h>

/*
 * A model of the module vfio_window, as far as a keeper sees it: any regular file is a control file, a window is a
 * memfd with the registers as they were when it was made. Revocation cuts it to nothing (SIGBUS), or fills it with
 * ones. Unlike the module, it counts a window until it is revoked, because it cannot know when the last descriptor of
 * it is closed; mapping a revoked one works (the module: ENODEV); and without VFIO_WINDOW_FLAG_WRITE, mapping it for
 * writing is EPERM (the module: EACCES). A failure of FAKE_WINDOW_REVOKE comes after the work, which in the kernel
 * the end of the control file would do.
 */
int fake_window_info(int control, struct vfio_window_info *info);
/* Both halves of a revocation are the same here. */
int fake_window_revoke(int control);

/* A window on the SIZE bytes of REGISTERS: the caller has checked the device. Returns its fd, the caller's. */
int fake_window_make(int control, const uint8_t *registers, uint64_t size, uint32_t flags);

#endif
