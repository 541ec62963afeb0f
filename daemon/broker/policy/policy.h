/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_H
#define BROKER_POLICY_H

#include "base/peer.h"
#include "host/host.h"
#include "policy/policy_list.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Who may have what. vfio-broker.policy(5) says what the files look like; here is what becomes of them:
 *
 *	policy_files	finds the files of several directories, sorts them, reads each into one policy
 *	policy_text	the text of a file: sections, keys, words; says at which line and column it is wrong
 *	policy_key	what each key's words mean
 *	policy		the rules, and which of them decides
 */

enum policy_verdict {
	POLICY_DENY,
	POLICY_ALLOW,
	POLICY_LIMITS, /* [limits NAME] says what a user may have of everything; it decides about no device */
};

/* Who may have a device next that was not reset after its last lease. In this order: each allows more than the one before. */
enum reset_need {
	RESET_REQUIRED = 0,
	RESET_SAME_USER,
	RESET_OPTIONAL,
};

#define SETTLE_UNSET UINT64_MAX

struct reset_policy {
	enum reset_need need;
	uint64_t settle_us; /* or SETTLE_UNSET: policy_settle() */
};
/* A number that is not given. */
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
	bool direct; /* access */
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
};

void policy_free(struct policy *policy);

/* How long a device that was not reset rests: what the rule says, or what is usual for its reset_need. */
uint64_t policy_settle(const struct reset_policy *reset);

/* The rule that decides, or NULL: none fits, which means no. Belongs to POLICY. */
const struct policy_rule *policy_decide(
	const struct policy *policy, const struct host_device *device, const struct peer *peer);

/* What UID's limits are: the first [limits] that fits, or NULL. Belongs to POLICY. */
const struct policy_rule *policy_limits(const struct policy *policy, uid_t uid);

/*
 * Why RULE says nothing about this peer and this device (NULL: about which is not asked), in words: "uid 1000 is none of
 * its users". Returns BUFFER, or NULL if it does fit.
 */
const char *policy_misfit(const struct policy_rule *rule, const struct host_device *device, const struct peer *peer,
	char *buffer, size_t size);

/* Whether RULE is about the user, in whatever unit. */
bool policy_concerns(const struct policy_rule *rule, const struct peer *user);

#endif
