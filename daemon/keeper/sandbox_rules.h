/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_SANDBOX_RULES_H
#define KEEPER_SANDBOX_RULES_H

#include "kernel.h"
#include "sandbox.h"

#include <stddef.h>

/* Rules of the keeper itself and of its kernel; sandbox_rules() fails if there are more. */
#define SANDBOX_RULES_MAX 96

/*
 * Fills RULES with the system calls of a keeper on KERNEL from its first request on. A keeper gets all its files over
 * its channels, so it opens, creates, executes and forks nothing. Returns the number of rules, or -ENOSPC.
 */
int sandbox_rules(const struct vfio_kernel *kernel, struct sandbox_rule rules[SANDBOX_RULES_MAX]);

#endif
