/* SPDX-License-Identifier: MIT */
#ifndef FRONT_SANDBOX_RULES_H
#define FRONT_SANDBOX_RULES_H

#include "sandbox.h"

#include <stddef.h>

/*
 * The system calls of a front from the broker's HELLO on. A front gets all its files over its sockets, so a front
 * opens, creates, executes and forks nothing.
 */
extern const struct sandbox_rule sandbox_rules[];
extern const size_t sandbox_rules_count;

#endif
