/* SPDX-License-Identifier: MIT */
#include "parse.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

bool parse_duration(const char *text, uint64_t longest_ms, uint64_t *ret_ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000},
		{"w", 604800000}};
	uint64_t number;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	number = strtoull(text, &end, 10);
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (strcmp(end, units[i].name) != 0 || number > longest_ms / units[i].ms)
			continue;
		*ret_ms = number * units[i].ms;
		return true;
	}
	return false;
}

bool parse_user(const char *text, uint32_t *ret_uid, const struct passwd **ret_entry)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);
	bool is_number = *text >= '0' && *text <= '9' && *end == '\0' && number < UINT32_MAX;

	*ret_entry = is_number ? getpwuid((uid_t)number) : getpwnam(text);
	if (!is_number && !*ret_entry)
		return false;
	*ret_uid = is_number ? (uint32_t)number : (*ret_entry)->pw_uid;
	return true;
}
