/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_H
#define BROKER_POLICY_H

#include "base/peer.h"
#include "host/host.h"
#include "policy/policy_list.h"
#include "policy/policy_owner.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Who may have which device. vfio-broker.policy(5) describes the files; this folder reads and applies the files:
 *
 *	policy_files	finds the files of several directories, sorts the files, reads all into one policy
 *	policy_canonical	a policy as lines that one process writes and another reads, without looking names up
 *	policy_text	the text of a file: sections, keys, words; names the line and column of a mistake
 *	policy_key	the meaning of each key's words
 *	policy_unit	patterns of units' names, and which can never fit
 *	policy_owner	whose subordinate uids are
 *	policy		the rules, and the choice of the deciding rule
 */

enum policy_verdict {
	POLICY_DENY,
	POLICY_ALLOW,
	POLICY_LIMITS, /* [limits NAME] says how much a user may have of everything; decides about no device */
};

/* Who may have a device next that was not reset after the last lease. In ascending order: each value allows more
 * than the value before. */
enum reset_need {
	RESET_REQUIRED = 0,
	RESET_SAME_USER,
	RESET_OPTIONAL,
};

/* What makes a user or group known that has been added since the files were read. */
#define POLICY_LOOK_AGAIN "'systemctl reload vfio-broker' looks again"

#define SETTLE_UNSET UINT64_MAX

struct reset_policy {
	enum reset_need need;
	uint64_t settle_us; /* or SETTLE_UNSET: policy_settle() */
};
/* Stands for a number that is not given. */
#define POLICY_UNSET UINT32_MAX

/* A section of a file. */
struct policy_rule {
	char *name;
	char *file;
	unsigned int line;
	enum policy_verdict verdict;
	struct words addresses, device_ids, classes;
	struct ids users, groups;
	struct words units;
	bool rebind;
	bool take_in_use; /* in-use */
	bool direct;	  /* access */
	struct reset_policy reset;
	struct window_limits windows;
	uint32_t devices; /* at a time, for one user: by this rule, or of all, where these are limits; POLICY_UNSET */
	uint32_t devices_per_unit; /* by this rule, for one unit; POLICY_UNSET */
	uint64_t lease_time_us;	   /* 0: for ever */
	uint32_t mappings;	   /* by one domain channel; POLICY_UNSET */
	uint32_t sessions;	   /* limits only, like those below; POLICY_UNSET */
	uint32_t opens_per_minute;
	uint32_t connections_per_minute;
};

struct policy {
	struct policy_rule *rules; /* in the order in which they are asked */
	size_t count;
	struct owners owners;
	struct words warnings; /* sentences about what is left out: a file that is none, a name that is unknown */
};

void policy_free(struct policy *policy);

/* Adds a rule that says nothing yet. Returns 0 or -ENOMEM; POLICY is then good for policy_free() alone. */
int policy_add_rule(
	struct policy *policy, enum policy_verdict verdict, const char *name, const char *file, unsigned int line);

/* The cooldown of a device that was not reset, in microseconds: as the rule says, or as is usual for the rule's
 * reset_need. */
uint64_t policy_settle(const struct reset_policy *reset);

/* The rule that decides, or NULL: no rule fits, and the answer is no. Belongs to POLICY. */
const struct policy_rule *policy_decide(
	const struct policy *policy, const struct host_device *device, const struct peer *peer);

/* The limits of UID, who is an owner: the first [limits] that fits, or NULL. Belongs to POLICY. */
const struct policy_rule *policy_limits(const struct policy *policy, uid_t uid);

/*
 * Why RULE says nothing about PEER and DEVICE (NULL: no device is asked about), in words: "uid 1000 is none of its
 * users". Returns BUFFER, or NULL if RULE does fit.
 */
const char *policy_misfit(const struct policy_rule *rule, const struct host_device *device, const struct peer *peer,
	char *buffer, size_t size);

/* How many of the keys that name devices RULE has: address, id, class. */
unsigned int policy_device_keys(const struct policy_rule *rule);

/* What would help a user whom RULE fits: LINE, to be pasted, and the place of RULE. A part of refusals, which only tell
 * of rules that fit the user. Returns BUFFER. */
#define POLICY_ADVICE_SIZE 176
const char *policy_advice(const struct policy_rule *rule, const char *line, char buffer[POLICY_ADVICE_SIZE]);

/* Whether RULE is about the user, in any unit. */
bool policy_concerns(const struct policy_rule *rule, const struct peer *user);

#endif
