/* SPDX-License-Identifier: MIT */
#ifndef INSPECTOR_INTERFACE_H
#define INSPECTOR_INTERFACE_H

#include "facts.h"
#include "parts.h"

/* Adds what the host does with the network interfaces among PARTS: up, addresses, a default route, a bridge or bond
 * above, another namespace. Returns 0 or a negative errno. */
int interface_inspect(const struct view *view, const struct parts *parts, struct facts *facts);

#endif
