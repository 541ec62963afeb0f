/* SPDX-License-Identifier: MIT */
#ifndef TRAP_DESCRIPTOR_H
#define TRAP_DESCRIPTOR_H

#include <stddef.h>

/* Descriptors whose last reference waits for this program. They are the caller's. */

/* A TCP connection whose peer does not read, with SO_LINGER of a minute. */
int trap_descriptor_lingering(void);

/* COUNT userfaultfds of a child that has the lock of its address space, because it reads a page that does not come.
 * After trap_file_mount(). */
void trap_descriptor_userfaultfds(int *ret_fds, size_t count);

#endif
