/* SPDX-License-Identifier: MIT */
#include "policy/policy_key.h"

#include "base/limits.h"
#include "device_name.h"
#include "policy/policy.h"
#include "policy/policy_unit.h"
#include "policy/policy_value.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	char name[DEVICE_NAME_SIZE] = "*";

	/* As the kernel writes it, however the rule does. Names like nvme0 change from one start to the next. */
	if (strcmp(word, "*") != 0 && !device_name_parse(word, name))
		return wrong(cause, "not a PCI address like 0000:01:00.0 (slots end with 1f):");
	return words_add(&rule->addresses, name);
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
	/* host_device_is_bridge() */
	if (rule->verdict == POLICY_ALLOW && strlen(word) >= 4 && strncmp(word, "060", 3) == 0 && word[3] < '8')
		return wrong(cause, "bridges are never leased, whatever the rules say:");
	return words_add(&rule->classes, word);
}

/* "*" and numbers need no look-up. Returns false for a name. */
static bool add_plain_id(struct ids *list, const char *word, int *ret_result)
{
	unsigned int id;

	*ret_result = 0;
	list->given = true;
	if (strcmp(word, "*") == 0)
		list->any = true;
	else if (value_number(word, &id))
		*ret_result = ids_add(list, id, NULL);
	else
		return false;
	return true;
}

/*
 * Whether somebody could be called WORD. Lists with commas, quoted words, patterns, ranges of numbers and the "%wheel"
 * of other programs are no names. The name service is not asked: the answer would be that there is no such user.
 */
static bool name_can_be(const char *word)
{
	size_t length = strlen(word);

	if (length > 200 || strchr("-+@%~", *word) || strpbrk(word, ",:;/\"'`*?[]{}()<>|&!#="))
		return false;
	if (word[0] == '0' && (word[1] | 0x20) == 'x' && strspn(word + 2, "0123456789abcdefABCDEF") == length - 2)
		return false;
	return strspn(word, "0123456789.-+") < length;
}

/*
 * A look-up has found nothing and left errno. A name that nobody has is said so (getpwnam(3) lists the values); any
 * other errno is a trouble of the name service. In such a trouble no user is to lose a lease.
 */
static int add_unknown(struct ids *list, const char *word, const char **cause, const char *nobody)
{
	int r;

	if (errno != 0 && errno != ENOENT && errno != ESRCH && errno != EBADF && errno != EPERM)
		return wrong(cause, "the name service fails, and does not say whether there is");
	r = words_add(&list->unknown, word);
	*cause = nobody;
	return r < 0 ? r : -ENOENT;
}

static int add_user(struct policy_rule *rule, const char *word, const char **cause)
{
	const struct passwd *entry;
	int r;

	if (add_plain_id(&rule->users, word, &r))
		return r;
	if (!name_can_be(word))
		return wrong(cause, "not a user's name, nor a number, nor *:");
	errno = 0;
	entry = getpwnam(word);
	if (!entry)
		return add_unknown(&rule->users, word, cause, "there is no user");
	return ids_add(&rule->users, entry->pw_uid, word);
}

static int add_group(struct policy_rule *rule, const char *word, const char **cause)
{
	const struct group *entry;
	int r;

	if (add_plain_id(&rule->groups, word, &r))
		return r;
	if (!name_can_be(word))
		return wrong(cause, "not a group's name, nor a number, nor *:");
	errno = 0;
	entry = getgrnam(word);
	if (!entry)
		return add_unknown(&rule->groups, word, cause, "there is no group");
	return ids_add(&rule->groups, entry->gr_gid, word);
}

static int add_unit(struct policy_rule *rule, const char *word, const char **cause)
{
	const char *mistake = policy_unit_mistake(word);

	return mistake ? wrong(cause, mistake) : words_add(&rule->units, word);
}

static int set_rebind(struct policy_rule *rule, const char *word, const char **cause)
{
	if (strcmp(word, "yes") != 0 && strcmp(word, "no") != 0)
		return wrong(cause, "rebind is yes or no, not");
	rule->rebind = strcmp(word, "yes") == 0;
	return 0;
}

static int set_in_use(struct policy_rule *rule, const char *word, const char **cause)
{
	if (strcmp(word, "take") != 0 && strcmp(word, "refuse") != 0)
		return wrong(cause, "in-use is refuse or take, not");
	rule->take_in_use = strcmp(word, "take") == 0;
	return 0;
}

static const char *const reset_words[] = {
	[RESET_REQUIRED] = "required", [RESET_SAME_USER] = "same-user", [RESET_OPTIONAL] = "optional"};

static int set_reset(struct policy_rule *rule, const char *word, const char **cause)
{
	for (size_t i = 0; i < sizeof reset_words / sizeof *reset_words; i++) {
		if (strcmp(word, reset_words[i]) == 0) {
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
	/* A window is made of pages; the smallest pages have 4096 bytes. */
	if (range.first % 4096 != 0 || (range.last + 1) % 4096 != 0)
		return wrong(cause, "a window-range begins and ends with a page (0x1000 bytes), unlike");
	if (limits->range_count == WINDOW_RANGES_MAX)
		return wrong(cause, "eight window-ranges at most, too many with");
	limits->ranges[limits->range_count++] = range;
	return 0;
}

static int set_lease_time(struct policy_rule *rule, const char *word, const char **cause)
{
	uint64_t time;

	if (!value_time(word, &time) || time < LEASE_TIME_SHORTEST_US)
		return wrong(cause, "lease-time is one second or more, like 90s, 30min, 8h or 7d, not");
	rule->lease_time_us = time;
	return 0;
}

static int set_access(struct policy_rule *rule, const char *word, const char **cause)
{
	rule->direct = strcmp(word, "direct") == 0;
	return rule->direct || strcmp(word, "split") == 0 ? 0 : wrong(cause, "access is split or direct, not");
}

static int set_number(uint32_t *ret_number, const char *word, const char **cause, const char *what)
{
	unsigned int number;

	if (!value_number(word, &number))
		return wrong(cause, what);
	*ret_number = number;
	return 0;
}

static int set_devices(struct policy_rule *rule, const char *word, const char **cause)
{
	return set_number(&rule->devices, word, cause, "devices is a number, not");
}

static int set_devices_per_unit(struct policy_rule *rule, const char *word, const char **cause)
{
	return set_number(&rule->devices_per_unit, word, cause, "devices-per-unit is a number, not");
}

static int set_mappings(struct policy_rule *rule, const char *word, const char **cause)
{
	return set_number(&rule->mappings, word, cause, "mappings is a number, not");
}

static int set_sessions(struct policy_rule *rule, const char *word, const char **cause)
{
	return set_number(&rule->sessions, word, cause, "sessions is a number, not");
}

/* A rate of 0 would be a riddle for the user; "deny" and "sessions = 0" say the same better. */
static int set_rate(uint32_t *ret_rate, const char *word, const char **cause, const char *what)
{
	uint32_t rate = 0;
	int r = set_number(&rate, word, cause, what);

	if (r == 0 && (rate == 0 || rate > RATE_HIGHEST))
		return wrong(cause, what);
	if (r == 0)
		*ret_rate = rate;
	return r;
}

static int set_opens(struct policy_rule *rule, const char *word, const char **cause)
{
	return set_rate(&rule->opens_per_minute, word, cause, "opens-per-minute is a number, 1 to 1000000, not");
}

static int set_connections(struct policy_rule *rule, const char *word, const char **cause)
{
	return set_rate(
		&rule->connections_per_minute, word, cause, "connections-per-minute is a number, 1 to 1000000, not");
}

/* ---- the other way round ---- */

static void emit(struct policy_sink *sink, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void emit(struct policy_sink *sink, const char *format, ...)
{
	char line[256], *longer = NULL;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	/* POLICY_LINE_MAX */
	if (length >= (int)sizeof line) {
		va_start(arguments, format);
		if (vasprintf(&longer, format, arguments) < 0)
			longer = NULL;
		va_end(arguments);
	}
	sink->line(sink, longer ? longer : line);
	free(longer);
}

/* A line for each word: so no list is too long. */
static void print_words(const struct words *list, const char *key, struct policy_sink *sink)
{
	for (size_t i = 0; i < list->count; i++)
		emit(sink, "%s = %s", key, list->words[i]);
}

static void print_ids(const struct ids *list, const char *key, struct policy_sink *sink)
{
	if (list->any)
		emit(sink, "%s = *", key);
	for (size_t i = 0; i < list->count; i++) {
		/* The number is in force; the name may be another user's or group's by now. */
		if (list->ids[i].name)
			emit(sink, "%s = %u ; %s", key, list->ids[i].id, list->ids[i].name);
		else
			emit(sink, "%s = %u", key, list->ids[i].id);
	}
	for (size_t i = 0; i < list->unknown.count; i++)
		emit(sink, "%s = %s ; " POLICY_KEY_UNKNOWN, key, list->unknown.words[i]);
}

static void print_number(uint32_t number, const char *key, struct policy_sink *sink)
{
	if (number != POLICY_UNSET)
		emit(sink, "%s = %u", key, number);
}

static void print_addresses(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_words(&rule->addresses, key, sink);
}

static void print_device_ids(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_words(&rule->device_ids, key, sink);
}

static void print_classes(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_words(&rule->classes, key, sink);
}

static void print_users(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_ids(&rule->users, key, sink);
}

static void print_groups(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_ids(&rule->groups, key, sink);
}

static void print_units(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_words(&rule->units, key, sink);
}

static void print_rebind(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	if (rule->rebind)
		emit(sink, "%s = yes", key);
}

static void print_in_use(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	if (rule->take_in_use)
		emit(sink, "%s = take", key);
}

static void print_reset(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	if (rule->reset.need != RESET_REQUIRED)
		emit(sink, "%s = %s", key, reset_words[rule->reset.need]);
}

static void print_settle(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	char time[VALUE_TEXT_SIZE];

	/* A time needs a unit, even 0. */
	if (rule->reset.settle_us == 0)
		emit(sink, "%s = 0s", key);
	else if (rule->reset.settle_us != SETTLE_UNSET)
		emit(sink, "%s = %s", key, value_time_text(rule->reset.settle_us, time));
}

static void print_windows(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	if (rule->windows.count != WINDOWS_PER_LEASE)
		emit(sink, "%s = %u", key, rule->windows.count);
}

static void print_window_size(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	char size[VALUE_TEXT_SIZE];

	if (rule->windows.size != UINT64_MAX)
		emit(sink, "%s = %s", key, value_bytes_text(rule->windows.size, size));
}

static void print_window_ranges(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	for (uint32_t i = 0; i < rule->windows.range_count; i++) {
		const struct window_range *range = &rule->windows.ranges[i];

		if (range->first == 0 && range->last == UINT64_MAX)
			emit(sink, "%s = %u", key, range->region);
		else
			emit(sink, "%s = %u:%#llx-%#llx", key, range->region, (unsigned long long)range->first,
				(unsigned long long)range->last);
	}
}

static void print_lease_time(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	char time[VALUE_TEXT_SIZE];

	if (rule->lease_time_us != 0)
		emit(sink, "%s = %s", key, value_time_text(rule->lease_time_us, time));
}

static void print_access(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	if (rule->direct)
		emit(sink, "%s = direct", key);
}

static void print_devices(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_number(rule->devices, key, sink);
}

static void print_devices_per_unit(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_number(rule->devices_per_unit, key, sink);
}

static void print_mappings(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_number(rule->mappings, key, sink);
}

static void print_sessions(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_number(rule->sessions, key, sink);
}

static void print_opens(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_number(rule->opens_per_minute, key, sink);
}

static void print_connections(const struct policy_rule *rule, const char *key, struct policy_sink *sink)
{
	print_number(rule->connections_per_minute, key, sink);
}

/* ---- the table ---- */

static const struct policy_key keys[] = {
	{"address", add_address, print_addresses, .in_allow = true, .in_deny = true},
	{"id", add_device_id, print_device_ids, .in_allow = true, .in_deny = true},
	{"class", add_class, print_classes, .in_allow = true, .in_deny = true},
	{"user", add_user, print_users, .in_allow = true, .in_deny = true, .in_limits = true},
	{"group", add_group, print_groups, .in_allow = true, .in_deny = true},
	{"unit", add_unit, print_units, .in_allow = true, .in_deny = true},
	{"rebind", set_rebind, print_rebind, .single = true, .in_allow = true},
	{"in-use", set_in_use, print_in_use, .single = true, .in_allow = true},
	{"access", set_access, print_access, .single = true, .in_allow = true},
	{"devices", set_devices, print_devices, .single = true, .in_allow = true, .in_limits = true},
	{"devices-per-unit", set_devices_per_unit, print_devices_per_unit, .single = true, .in_allow = true},
	{"lease-time", set_lease_time, print_lease_time, .single = true, .in_allow = true},
	{"reset", set_reset, print_reset, .single = true, .in_allow = true},
	{"settle", set_settle, print_settle, .single = true, .in_allow = true},
	{"windows", set_windows, print_windows, .single = true, .in_allow = true},
	{"window-size", set_window_size, print_window_size, .single = true, .in_allow = true},
	{"window-range", add_window_range, print_window_ranges, .in_allow = true},
	{"mappings", set_mappings, print_mappings, .single = true, .in_allow = true},
	{"sessions", set_sessions, print_sessions, .single = true, .in_limits = true},
	{"opens-per-minute", set_opens, print_opens, .single = true, .in_limits = true},
	{"connections-per-minute", set_connections, print_connections, .single = true, .in_limits = true},
};

bool policy_key_belongs(const struct policy_key *key, enum policy_verdict verdict)
{
	switch (verdict) {
	case POLICY_ALLOW:
		return key->in_allow;
	case POLICY_DENY:
		return key->in_deny;
	case POLICY_LIMITS:
		return key->in_limits;
	}
	return false;
}

const struct policy_key *policy_key_find(const char *name)
{
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		if (strcmp(name, keys[i].name) == 0)
			return &keys[i];
	}
	return NULL;
}

void policy_key_print(const struct policy_rule *rule, struct policy_sink *sink)
{
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		keys[i].print(rule, keys[i].name, sink);
}
