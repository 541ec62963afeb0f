/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_SANDBOX_RULES_H
#define KEEPER_SANDBOX_RULES_H

#include "kernel.h"
#include "sandbox.h"

#include <stddef.h>

/* Rules of the keeper itself and of any kernel it may be on; more is a mistake that sandbox_rules() reports. */
#define SANDBOX_RULES_MAX 96

/*
 * Fills RULES with what a keeper on KERNEL may do from its first request on: it gets all files it will ever have over
 * its channels, so it opens, creates, executes and forks nothing. Returns how many rules, or -ENOSPC.
 */
int sandbox_rules(const struct vfio_kernel *kernel, struct sandbox_rule rules[SANDBOX_RULES_MAX]);

#endif
