/* SPDX-License-Identifier: MIT */
#include "policy/policy.h"

#include "base/limits.h"
#include "refusal.h"

#include <errno.h>
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
	words_clear(&policy->warnings);
	owners_clear(&policy->owners);
	free(policy->rules);
	free(policy);
}

int policy_add_rule(
	struct policy *policy, enum policy_verdict verdict, const char *name, const char *file, unsigned int line)
{
	struct policy_rule *grown = reallocarray(policy->rules, policy->count + 1, sizeof *grown), *rule;

	if (!grown)
		return -ENOMEM;
	policy->rules = grown;
	rule = &policy->rules[policy->count++];
	*rule = (struct policy_rule){
		.verdict = verdict,
		.line = line,
		.reset = {.settle_us = SETTLE_UNSET},
		.windows = {.count = WINDOWS_PER_LEASE, .size = UINT64_MAX},
		.devices = POLICY_UNSET,
		.devices_per_unit = POLICY_UNSET,
		.mappings = POLICY_UNSET,
		.sessions = POLICY_UNSET,
		.opens_per_minute = POLICY_UNSET,
		.connections_per_minute = POLICY_UNSET,
	};
	rule->name = strdup(name);
	rule->file = strdup(file);
	return rule->name && rule->file ? 0 : -ENOMEM;
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

static bool address_fits(const struct policy_rule *rule, const struct host_device *device)
{
	for (size_t i = 0; i < rule->addresses.count; i++) {
		if (strcmp(rule->addresses.words[i], "*") == 0 || strcmp(rule->addresses.words[i], device->name) == 0)
			return true;
	}
	return rule->addresses.count == 0;
}

static bool id_fits(const struct policy_rule *rule, const struct host_device *device)
{
	for (size_t i = 0; i < rule->device_ids.count; i++) {
		if (device_id_fits(rule->device_ids.words[i], device))
			return true;
	}
	return rule->device_ids.count == 0;
}

static bool class_fits(const struct policy_rule *rule, const struct host_device *device)
{
	char class[16];

	snprintf(class, sizeof class, "%06x", device->class);
	for (size_t i = 0; i < rule->classes.count; i++) {
		const char *word = rule->classes.words[i];

		if (*word == '*' || strncasecmp(class, word, strlen(word)) == 0)
			return true;
	}
	return rule->classes.count == 0;
}

unsigned int policy_device_keys(const struct policy_rule *rule)
{
	return (rule->addresses.count > 0) + (rule->device_ids.count > 0) + (rule->classes.count > 0);
}

/* As with people, each given key has to fit: a device that has got another's address at a start has another id. A rule
 * without any of the keys is about no device (policy_complete()). */
static bool device_fits(const struct policy_rule *rule, const struct host_device *device)
{
	return policy_device_keys(rule) > 0 && address_fits(rule, device) && id_fits(rule, device) &&
		class_fits(rule, device);
}

static bool group_fits(const struct policy_rule *rule, const struct peer *peer)
{
	for (size_t i = 0; i < peer->groups_count; i++) {
		if (ids_fit(&rule->groups, peer->groups[i]))
			return true;
	}
	return ids_fit(&rule->groups, peer->gid);
}

/*
 * An unknown unit (peer.c) may be any unit: such a unit makes no allowing rule fit, and is no way around a rule that
 * denies. A backslash is a part of the names of units (systemd-escape(1)).
 */
static bool unit_fits(const struct policy_rule *rule, const struct peer *peer)
{
	if (!peer->unit)
		return rule->verdict == POLICY_DENY;
	for (size_t i = 0; i < rule->units.count; i++) {
		if (fnmatch(rule->units.words[i], peer->unit, FNM_NOESCAPE) == 0)
			return true;
	}
	return false;
}

/* A denying rule is about a person: no subordinate uid is a way around the rule. */
static bool user_fits(const struct policy_rule *rule, const struct peer *peer)
{
	return ids_fit(&rule->users, peer->uid) || (rule->verdict == POLICY_DENY && ids_fit(&rule->users, peer->owner));
}

bool policy_concerns(const struct policy_rule *rule, const struct peer *user)
{
	if (rule->users.given && !user_fits(rule, user))
		return false;
	return !rule->groups.given || group_fits(rule, user);
}

static bool peer_fits(const struct policy_rule *rule, const struct peer *peer)
{
	return policy_concerns(rule, peer) && (rule->units.count == 0 || unit_fits(rule, peer));
}

const struct policy_rule *policy_decide(
	const struct policy *policy, const struct host_device *device, const struct peer *peer)
{
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		if (rule->verdict != POLICY_LIMITS && device_fits(rule, device) && peer_fits(rule, peer))
			return rule;
	}
	return NULL;
}

const char *policy_advice(const struct policy_rule *rule, const char *line, char buffer[POLICY_ADVICE_SIZE])
{
	snprintf(buffer, POLICY_ADVICE_SIZE, "add \"%s\" to rule \"%.32s\" (%.64s:%u)", line, rule->name, rule->file,
		rule->line);
	return buffer;
}

const struct policy_rule *policy_limits(const struct policy *policy, uid_t uid)
{
	for (size_t i = 0; i < policy->count; i++) {
		if (policy->rules[i].verdict == POLICY_LIMITS && ids_fit(&policy->rules[i].users, uid))
			return &policy->rules[i];
	}
	return NULL;
}

#define UNKNOWN_SIZE 192

/* The first name of LIST that was unknown when the files were read: the user may have been added since. Returns
 * BUFFER. */
static const char *unknown_text(const struct ids *list, char buffer[UNKNOWN_SIZE])
{
	char quoted[64];

	buffer[0] = '\0';
	if (list->unknown.count > 0)
		snprintf(buffer, UNKNOWN_SIZE, "; \"%s\" was unknown when the files were read (" POLICY_LOOK_AGAIN ")",
			refusal_quote(quoted, sizeof quoted, list->unknown.words[0], strlen(list->unknown.words[0])));
	return buffer;
}

/* Why DEVICE does not fit: which of several keys does not. */
static void device_misfit(const struct policy_rule *rule, const struct host_device *device, char *buffer, size_t size)
{
	const char *key = !address_fits(rule, device) ? "address" : !id_fits(rule, device) ? "id" : "class";
	bool is_alone = policy_device_keys(rule) <= 1;

	snprintf(buffer, size, "%s (%04x:%04x, class %06x) is none of its devices%s%s", device->name, device->vendor,
		device->device, device->class, is_alone ? "" : ": the rule has another ", is_alone ? "" : key);
}

const char *policy_misfit(const struct policy_rule *rule, const struct host_device *device, const struct peer *peer,
	char *buffer, size_t size)
{
	char unit[128], unknown[UNKNOWN_SIZE];

	if (device && !device_fits(rule, device))
		device_misfit(rule, device, buffer, size);
	else if (rule->users.given && !user_fits(rule, peer))
		snprintf(buffer, size, "uid %u is none of its users%s", peer->uid, unknown_text(&rule->users, unknown));
	else if (rule->groups.given && !group_fits(rule, peer))
		snprintf(buffer, size, "uid %u is in none of its groups%s", peer->uid,
			unknown_text(&rule->groups, unknown));
	else if (rule->units.count == 0 || unit_fits(rule, peer))
		return NULL;
	else if (peer->unit)
		snprintf(buffer, size, "%s is none of its units",
			refusal_quote(unit, sizeof unit, peer->unit, strlen(peer->unit)));
	else
		snprintf(buffer, size, "it is for units, and the caller's is not known");
	return buffer;
}
