/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_TEXT_H
#define BROKER_POLICY_TEXT_H

#include "policy/policy.h"

#include <stddef.h>

/* The mistake in a file, and where: "/etc/vfio-broker/policy.d/10-a.conf:12:1: unknown key \"usr\"". */
struct policy_error {
	char text[512];
	unsigned int line, column; /* from 1; 0: the file as a whole */
};

/*
 * Reads the TEXT of one file and adds its rules to POLICY. NAME is for messages. Returns 0, or a negative errno with
 * RET_ERROR filled in; POLICY is then good for policy_free() alone.
 */
int policy_read(struct policy *policy, const char *name, const char *text, struct policy_error *ret_error);

/* "allow storage": returns the name of the rule, a part of SECTION, and the verdict; NULL without a known verdict or a
 * name. */
const char *policy_section_name(const char *section, enum policy_verdict *ret_verdict);

/* Whether the rules of POLICY from FIRST on say all that a rule has to say. Returns 0, or -EINVAL with ERROR filled
 * in. */
int policy_complete(const struct policy *policy, size_t first, struct policy_error *error);

#endif
