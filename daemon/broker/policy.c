/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include "limits.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	for (size_t i = 0; i < policy->count; i++) {
		struct policy_rule *rule = &policy->rules[i];

		free(rule->name);
		free(rule->file);
		words_clear(&rule->addresses);
		words_clear(&rule->device_ids);
		words_clear(&rule->classes);
		words_clear(&rule->units);
		ids_clear(&rule->users);
		ids_clear(&rule->groups);
	}
	free(policy->rules);
	free(policy);
}

uint64_t policy_settle(const struct reset_policy *reset)
{
	if (reset->settle_us != SETTLE_UNSET)
		return reset->settle_us;
	return reset->need == RESET_OPTIONAL ? SETTLE_US : 0;
}

static bool device_id_fits(const char *pattern, const struct host_device *device)
{
	const char *colon = strchr(pattern, ':');

	return (*pattern == '*' || strtoul(pattern, NULL, 16) == device->vendor) &&
		(colon[1] == '*' || strtoul(colon + 1, NULL, 16) == device->device);
}

static bool device_fits(const struct policy_rule *rule, const struct host_device *device)
{
	char class[16];

	for (size_t i = 0; i < rule->addresses.count; i++) {
		if (strcmp(rule->addresses.words[i], "*") == 0 || strcmp(rule->addresses.words[i], device->name) == 0)
			return true;
	}
	for (size_t i = 0; i < rule->device_ids.count; i++) {
		if (device_id_fits(rule->device_ids.words[i], device))
			return true;
	}
	snprintf(class, sizeof class, "%06x", device->class);
	for (size_t i = 0; i < rule->classes.count; i++) {
		const char *word = rule->classes.words[i];

		if (*word == '*' || strncasecmp(class, word, strlen(word)) == 0)
			return true;
	}
	return false;
}

static bool group_fits(const struct policy_rule *rule, const struct peer *peer)
{
	for (size_t i = 0; i < peer->groups_count; i++) {
		if (ids_fit(&rule->groups, peer->groups[i]))
			return true;
	}
	return ids_fit(&rule->groups, peer->gid);
}

/* An unknown unit (peer.c) may be any: it cannot be what allows something, nor a way around what denies it. */
static bool unit_fits(const struct policy_rule *rule, const struct peer *peer)
{
	if (!peer->unit)
		return rule->verdict == POLICY_DENY;
	for (size_t i = 0; i < rule->units.count; i++) {
		if (fnmatch(rule->units.words[i], peer->unit, 0) == 0)
			return true;
	}
	return false;
}

static bool peer_fits(const struct policy_rule *rule, const struct peer *peer)
{
	if (rule->users.given && !ids_fit(&rule->users, peer->uid))
		return false;
	if (rule->groups.given && !group_fits(rule, peer))
		return false;
	return rule->units.count == 0 || unit_fits(rule, peer);
}

const struct policy_rule *policy_decide(
	const struct policy *policy, const struct host_device *device, const struct peer *peer)
{
	for (size_t i = 0; i < policy->count; i++) {
		if (device_fits(&policy->rules[i], device) && peer_fits(&policy->rules[i], peer))
			return &policy->rules[i];
	}
	return NULL;
}
