/* SPDX-License-Identifier: MIT */
#ifndef BROKER_SANDBOX_RULES_H
#define BROKER_SANDBOX_RULES_H

#include "sandbox.h"

/* Every system call that vfio-brokerd makes after the start; loaded before vfio-brokerd reads the first client byte. */
extern const struct sandbox_rule broker_sandbox_rules[];
extern const size_t broker_sandbox_rules_count;

#endif
