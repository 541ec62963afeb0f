/* SPDX-License-Identifier: MIT */
#ifndef INSPECTOR_CONSOLE_H
#define INSPECTOR_CONSOLE_H

#include "facts.h"
#include "parts.h"

/* Adds that a console of the host is shown by the graphics card with PARTS. NAME: the device. */
void console_inspect(const struct view *view, const char *name, const struct parts *parts, struct facts *facts);

#endif
