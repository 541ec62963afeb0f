/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_H
#define BROKER_POLICY_H

#include "host.h"
#include "peer.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Who may have what: rules from policy files (*.conf), read once at start.
 *
 *	[allow storage]			a verdict, allow or deny, and a name
 *	address = 0000:01:00.0		which devices: any of address, id (vendor:device) and class fits
 *	id = 1b36:0010 8086:*
 *	class = 0108			as many leading digits of the six as wanted
 *	user = alice 1001		whose: each of user, group and unit that is given must fit
 *	group = storage
 *	unit = spdk@*.service
 *	rebind = yes			the device may be taken from its host driver
 *	windows = 4			register windows at a time
 *	window-size = 64K		bytes of all of them together (suffixes K, M, G)
 *	window-range = 0:0x1000-0x1fff 2	what they may show: a BAR, or a part of one
 *
 * Values are lists, separated by spaces, and several lines of one key are one list. rebind, windows and window-size have one
 * value, and of several lines the last counts. Ranges are made of whole pages; a window must lie within one of them. "*" fits everything. The first rule that fits decides, files being
 * sorted by name; without one the answer is no.
 */

enum policy_verdict {
	POLICY_DENY,
	POLICY_ALLOW,
};

/* A list of owned strings. */
struct words {
	char **words;
	size_t count;
};

/* A list of uids or gids; "any" stands for "*". */
struct ids {
	unsigned int *ids;
	size_t count;
	bool any;
	bool given;
};

struct policy_rule {
	char *name;
	char *file;
	unsigned int line;
	enum policy_verdict verdict;
	struct words addresses, device_ids, classes;
	struct ids users, groups;
	struct words units;
	bool rebind;
	struct window_limits windows;
};

struct policy {
	struct policy_rule *rules;
	size_t count;
};

/* Where a policy is wrong: "/etc/vfio-broker/policy.d/10-a.conf:12: unknown key \"usr\"". */
struct policy_error {
	char text[256];
};

/*
 * Reads all *.conf files of DIRECTORIES (ended by NULL, most important first): a file hides files of the same name in
 * later directories, an empty one or a link to /dev/null switches it off (as systemd's drop-ins do). Directories
 * may be missing. Returns 0 and the policy (policy_free()), or a negative errno with RET_ERROR filled in.
 */
int policy_load(const char *const *directories, struct policy **ret_policy, struct policy_error *ret_error);

/* Reads one file and adds its rules to POLICY. NAME is for messages. Used by policy_load() and by tests. */
int policy_read(struct policy *policy, const char *name, const char *text, struct policy_error *ret_error);

void policy_free(struct policy *policy);

/* The rule that decides, or NULL: none fits, which means no. Belongs to POLICY. */
const struct policy_rule *policy_decide(
	const struct policy *policy, const struct host_device *device, const struct peer *peer);

#endif
