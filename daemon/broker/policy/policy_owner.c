/* SPDX-License-Identifier: MIT */
#include "policy/policy_owner.h"

#include "policy/policy_value.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void owners_clear(struct owners *owners)
{
	free(owners->ranges);
	*owners = (struct owners){0};
}

/* How many ranges begin at UID or before. */
static size_t begun(const struct owners *owners, uint32_t uid)
{
	size_t low = 0, high = owners->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (owners->ranges[middle].first <= uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int owners_add(struct owners *owners, const struct owner_range *range)
{
	struct owner_range *grown;
	size_t place;

	if (range->owner == 0 || range->count == 0)
		return 0;
	grown = reallocarray(owners->ranges, owners->count + 1, sizeof *grown);
	if (!grown)
		return -ENOMEM;
	owners->ranges = grown;
	place = begun(owners, range->first);
	memmove(grown + place + 1, grown + place, (owners->count - place) * sizeof *grown);
	grown[place] = *range;
	owners->count++;
	return 0;
}

/* "alice:100000:65536", or a number for the name. */
static bool parse(char *line, struct owner_range *ret_range)
{
	char *name = strsep(&line, ":"), *first = strsep(&line, ":"), *count = strsep(&line, "\n");
	const struct passwd *entry;

	if (!first || !count || !value_number(first, &ret_range->first) || !value_number(count, &ret_range->count))
		return false;
	if (value_number(name, &ret_range->owner))
		return true;
	entry = getpwnam(name);
	ret_range->owner = entry ? entry->pw_uid : 0;
	return entry != NULL;
}

int owners_read(struct owners *owners, const char *path)
{
	FILE *stream = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	int r = 0;

	while (stream && r == 0 && getline(&line, &size, stream) >= 0) {
		struct owner_range range;

		if (parse(line, &range))
			r = owners_add(owners, &range);
	}
	free(line);
	if (stream)
		fclose(stream);
	return r;
}

uid_t owners_find(const struct owners *owners, uid_t uid)
{
	/* Ranges may lie in each other: the innermost counts. */
	for (size_t i = uid != 0 ? begun(owners, uid) : 0; i > 0; i--) {
		const struct owner_range *range = &owners->ranges[i - 1];

		if (uid - range->first < range->count)
			return range->owner;
	}
	return uid;
}
