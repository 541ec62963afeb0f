/* SPDX-License-Identifier: MIT */
#include "policy_key.h"

#include "policy.h"
#include "policy_value.h"
#include "table.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#define UNIT_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"

static int wrong(const char **ret_cause, const char *cause)
{
	*ret_cause = cause;
	return -EINVAL;
}

static bool digits_and_stars(const char *text, size_t length)
{
	if (length == 1 && *text == '*')
		return true;
	for (size_t i = 0; i < length; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return false;
	}
	return length > 0;
}

static int add_address(struct policy_rule *rule, const char *word, const char **cause)
{
	char name[DEVICE_NAME_SIZE] = "";

	snprintf(name, sizeof name, "%s", word);
	if (strcmp(word, "*") != 0 && !device_name_valid(name))
		return wrong(cause, "not a PCI address like 0000:01:00.0:");
	return words_add(&rule->addresses, word);
}

static int add_device_id(struct policy_rule *rule, const char *word, const char **cause)
{
	const char *colon = strchr(word, ':');

	if (!colon || colon - word > 4 || strlen(colon + 1) > 4 || !digits_and_stars(word, (size_t)(colon - word)) ||
		!digits_and_stars(colon + 1, strlen(colon + 1)))
		return wrong(cause, "not a vendor:device like 1b36:0010 or 8086:*:");
	return words_add(&rule->device_ids, word);
}

static int add_class(struct policy_rule *rule, const char *word, const char **cause)
{
	if (strlen(word) > 6 || !digits_and_stars(word, strlen(word)))
		return wrong(cause, "not leading digits of a PCI class like 0108:");
	return words_add(&rule->classes, word);
}

static int add_user(struct policy_rule *rule, const char *word, const char **cause)
{
	const struct passwd *entry;
	unsigned int id;

	rule->users.given = true;
	if (strcmp(word, "*") == 0) {
		rule->users.any = true;
		return 0;
	}
	if (value_number(word, &id))
		return ids_add(&rule->users, id, NULL);
	entry = getpwnam(word);
	return entry ? ids_add(&rule->users, entry->pw_uid, word) : wrong(cause, "there is no user");
}

static int add_group(struct policy_rule *rule, const char *word, const char **cause)
{
	const struct group *entry;
	unsigned int id;

	rule->groups.given = true;
	if (strcmp(word, "*") == 0) {
		rule->groups.any = true;
		return 0;
	}
	if (value_number(word, &id))
		return ids_add(&rule->groups, id, NULL);
	entry = getgrnam(word);
	return entry ? ids_add(&rule->groups, entry->gr_gid, word) : wrong(cause, "there is no group");
}

static int add_unit(struct policy_rule *rule, const char *word, const char **cause)
{
	/* The characters of unit names (systemd.unit(5)) and of fnmatch(); an open bracket would match nothing, silently. */
	const char *open = strrchr(word, '[');

	if (word[strspn(word, UNIT_CHARACTERS "*?[]!")] != '\0' || (open && !strchr(open, ']')))
		return wrong(cause, "not a unit name or pattern:");
	return words_add(&rule->units, word);
}

static int set_rebind(struct policy_rule *rule, const char *word, const char **cause)
{
	if (strcmp(word, "yes") != 0 && strcmp(word, "no") != 0)
		return wrong(cause, "rebind is yes or no, not");
	rule->rebind = strcmp(word, "yes") == 0;
	return 0;
}

static int set_reset(struct policy_rule *rule, const char *word, const char **cause)
{
	static const char *const words[] = {
		[RESET_REQUIRED] = "required", [RESET_SAME_USER] = "same-user", [RESET_OPTIONAL] = "optional"};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcmp(word, words[i]) == 0) {
			rule->reset.need = (enum reset_need)i;
			return 0;
		}
	}
	return wrong(cause, "reset is required, same-user or optional, not");
}

static int set_settle(struct policy_rule *rule, const char *word, const char **cause)
{
	return value_time(word, &rule->reset.settle_us) ? 0
							: wrong(cause, "settle is a time like 500ms, 2s or 5min, not");
}

static int set_windows(struct policy_rule *rule, const char *word, const char **cause)
{
	unsigned int count;

	if (!value_number(word, &count))
		return wrong(cause, "windows is a number, 0 for none, not");
	rule->windows.count = count;
	return 0;
}

static int set_window_size(struct policy_rule *rule, const char *word, const char **cause)
{
	const char *end;
	uint64_t size;

	if (!value_bytes(word, "KMG", &end, &size) || *end != '\0')
		return wrong(cause, "window-size is a number of bytes like 64K, not");
	rule->windows.size = size;
	return 0;
}

/* "2": all of BAR 2; "0:0x1000-0x1fff": first and last byte of a part of BAR 0. */
static int add_window_range(struct policy_rule *rule, const char *word, const char **cause)
{
	struct window_limits *limits = &rule->windows;
	struct window_range range = {.last = UINT64_MAX};
	const char *rest = word + 1;

	if (*word < '0' || *word > '5')
		return wrong(cause, "window-range begins with a BAR, 0 to 5, unlike");
	range.region = (uint32_t)(*word - '0');
	if (*rest != '\0' &&
		(*rest != ':' || !value_bytes(rest + 1, "", &rest, &range.first) || *rest != '-' ||
			!value_bytes(rest + 1, "", &rest, &range.last) || *rest != '\0' || range.first > range.last))
		return wrong(cause, "not a window-range like 0:0x1000-0x1fff or 2:");
	/* A window is made of pages; the smallest there are have this size. */
	if (range.first % 4096 != 0 || (range.last + 1) % 4096 != 0)
		return wrong(cause, "a window-range begins and ends with a page (0x1000 bytes), unlike");
	if (limits->range_count == WINDOW_RANGES_MAX)
		return wrong(cause, "eight window-ranges at most, too many with");
	limits->ranges[limits->range_count++] = range;
	return 0;
}

static const struct policy_key keys[] = {
	{"address", add_address, false},
	{"id", add_device_id, false},
	{"class", add_class, false},
	{"user", add_user, false},
	{"group", add_group, false},
	{"unit", add_unit, false},
	{"rebind", set_rebind, true},
	{"reset", set_reset, true},
	{"settle", set_settle, true},
	{"windows", set_windows, true},
	{"window-size", set_window_size, true},
	{"window-range", add_window_range, false},
};

const struct policy_key *policy_key_find(const char *name)
{
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		if (strcmp(name, keys[i].name) == 0)
			return &keys[i];
	}
	return NULL;
}
