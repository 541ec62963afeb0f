/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_KEY_H
#define BROKER_POLICY_KEY_H

#include "policy/policy.h"

#include <stdbool.h>

/* Takes lines of a rule's text, one at a time. */
struct policy_sink {
	void (*line)(struct policy_sink *sink, const char *text);
};

/* Stands in a printed line behind a name that is unknown, as a comment. */
#define POLICY_KEY_UNKNOWN "unknown"

/* A key of a section, like "address", and the meaning of its words. All keys are in one table. */
struct policy_key {
	const char *name;
	/*
	 * Takes one WORD of the value. Returns 0, -ENOMEM, or -EINVAL with *RET_CAUSE: the mistake, a constant that the
	 * word, quoted, completes to a sentence; or -ENOENT with *RET_CAUSE: the word is taken, as a name that stands
	 * for nobody.
	 */
	int (*read)(struct policy_rule *rule, const char *word, const char **ret_cause);
	/* Writes the lines that would give RULE the present value of KEY; no lines for a key not given. */
	void (*print)(const struct policy_rule *rule, const char *key, struct policy_sink *sink);
	bool single;			   /* one word, not a list */
	bool in_allow, in_deny, in_limits; /* the sections that may have it */
};

/* Whether a section of VERDICT may have KEY. */
bool policy_key_belongs(const struct policy_key *key, enum policy_verdict verdict);

/* Returns the key called NAME. NULL: there is no such key. */
const struct policy_key *policy_key_find(const char *name);

/* All keys of RULE as lines of a policy file. */
void policy_key_print(const struct policy_rule *rule, struct policy_sink *sink);

#endif
