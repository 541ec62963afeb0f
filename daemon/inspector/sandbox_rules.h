/* SPDX-License-Identifier: MIT */
#ifndef INSPECTOR_SANDBOX_RULES_H
#define INSPECTOR_SANDBOX_RULES_H

#include "sandbox.h"
#include "view.h"

#define SANDBOX_RULES_MAX 64

/*
 * Fills RULES with the system calls of an inspector with VIEW, from the first question on: files are read, and nothing
 * is written or done to another process, whatever the capabilities would allow. Returns the number of rules, or
 * -ENOSPC.
 */
int sandbox_rules(const struct view *view, struct sandbox_rule rules[SANDBOX_RULES_MAX]);

#endif
