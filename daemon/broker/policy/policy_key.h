/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_KEY_H
#define BROKER_POLICY_KEY_H

#include <stdbool.h>

struct policy_rule;

/* Takes lines of a rule's text, one at a time. */
struct policy_sink {
	void (*line)(struct policy_sink *sink, const char *text);
};

/* A key of a section, like "address": what its words mean. All are in one table. */
struct policy_key {
	const char *name;
	/*
	 * Takes one WORD of the value. Returns 0, -ENOMEM, or -EINVAL with *RET_CAUSE: what is wrong, a constant that the
	 * word, quoted, completes to a sentence.
	 */
	int (*read)(struct policy_rule *rule, const char *word, const char **ret_cause);
	/* Writes the lines that would make RULE what it is; none if it is not given. */
	void (*print)(const struct policy_rule *rule, const char *key, struct policy_sink *sink);
	bool single;		  /* one word, not a list */
	bool in_rules, in_limits; /* the sections that may have it */
};

/* NULL: there is no such key. */
const struct policy_key *policy_key_find(const char *name);

/*
 * Has libc load what it looks names up with (nsswitch.conf), because the sandbox lets nobody load code. What those modules
 * then need, files and AF_UNIX sockets, it allows; a name that one of them cannot find in there does not exist.
 */
void policy_key_prepare(void);

/* All keys of RULE as lines of a policy file. */
void policy_key_print(const struct policy_rule *rule, struct policy_sink *sink);

#endif
