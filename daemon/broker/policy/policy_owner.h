/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_OWNER_H
#define BROKER_POLICY_OWNER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Whose uids are. By subuid(5) a user has further uids, in user namespaces of the user's own. Limits are about people:
 * what such uids have, counts as the owner's. The reader of the policy reads the file, and the broker gets numbers.
 */

#define SUBUID_FILE "/etc/subuid"

/* COUNT uids from FIRST on are OWNER's. */
struct owner_range {
	uint32_t first;
	uint32_t count;
	uint32_t owner;
};

/* Written by policy/policy_owner.c. */
struct owners {
	struct owner_range *ranges; /* owned; sorted by first */
	size_t count;
};

void owners_clear(struct owners *owners);

/* Adds RANGE. Ranges of root's are left out: root may have any limit, and its containers' users are not root. Returns 0
 * or -ENOMEM. */
int owners_add(struct owners *owners, const struct owner_range *range);

/* Adds what the file at PATH says, looking names up; without the file there is nothing to add, and lines that make no
 * sense are nobody's. Returns 0 or -ENOMEM. */
int owners_read(struct owners *owners, const char *path);

/* Whose UID is: a user with UID as subordinate uid, or UID. */
uid_t owners_find(const struct owners *owners, uid_t uid);

#endif
