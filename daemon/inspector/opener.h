/* SPDX-License-Identifier: MIT */
#ifndef INSPECTOR_OPENER_H
#define INSPECTOR_OPENER_H

#include "facts.h"
#include "parts.h"

/*
 * Adds which processes have nodes among PARTS open: character devices, and block devices for writing. (udev and others
 * read every disk now and then.) Processes that the kernel does not let this one look at are left out.
 */
void opener_inspect(const struct view *view, const struct parts *parts, struct facts *facts);

#endif
