/* SPDX-License-Identifier: MIT */
#ifndef INSPECTOR_DISK_H
#define INSPECTOR_DISK_H

#include "facts.h"
#include "parts.h"

/* Adds what the host does with the disks and partitions among PARTS: mounted file systems, swap, md, dm, LVM, pools.
 * Returns 0 or a negative errno. */
int disk_inspect(const struct view *view, const struct parts *parts, struct facts *facts);

#endif
