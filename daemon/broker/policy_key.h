/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_KEY_H
#define BROKER_POLICY_KEY_H

#include <stdbool.h>

struct policy_rule;

/* A key of a section, like "address": what its words mean. All are in one table. */
struct policy_key {
	const char *name;
	/*
	 * Takes one WORD of the value. Returns 0, -ENOMEM, or -EINVAL with *RET_CAUSE: what is wrong, a constant that the
	 * word, quoted, completes to a sentence.
	 */
	int (*read)(struct policy_rule *rule, const char *word, const char **ret_cause);
	bool single; /* one word, not a list */
};

/* NULL: there is no such key. */
const struct policy_key *policy_key_find(const char *name);

#endif
