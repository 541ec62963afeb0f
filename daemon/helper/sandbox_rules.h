/* SPDX-License-Identifier: MIT */
#ifndef HELPER_SANDBOX_RULES_H
#define HELPER_SANDBOX_RULES_H

#include "hardware.h"
#include "sandbox.h"

/* Rules of the helper itself and of the hardware; sandbox_rules() fails if there are more. */
#define SANDBOX_RULES_MAX 64

/*
 * Fills RULES with the system calls of a helper on HARDWARE from its first order on. A filter cannot look at the path
 * of a file: the unit decides which files there are to be opened, by a root of the helper's own. Returns the number of
 * rules, or -ENOSPC.
 */
int sandbox_rules(const struct hardware *hardware, struct sandbox_rule rules[SANDBOX_RULES_MAX]);

#endif
