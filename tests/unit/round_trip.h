/* SPDX-License-Identifier: MIT */
#ifndef ROUND_TRIP_H
#define ROUND_TRIP_H

#include "policy/policy_canonical.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether a policy is the same after it has travelled as lines (policy_canonical.h), by all its fields. */

struct round_trip_text {
	struct policy_sink sink; /* first */
	char *bytes;
	size_t size;
};

static inline void round_trip_add(struct policy_sink *sink, const char *line)
{
	struct round_trip_text *text = (struct round_trip_text *)sink;
	size_t size = strlen(line) + 1;

	text->bytes = realloc(text->bytes, text->size + size);
	if (!text->bytes)
		abort();
	memcpy(text->bytes + text->size, line, size);
	text->size += size;
}

static inline bool round_trip_words(const struct words *a, const struct words *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; same && i < a->count; i++)
		same = strcmp(a->words[i], b->words[i]) == 0;
	return same;
}

static inline bool round_trip_ids(const struct ids *a, const struct ids *b)
{
	bool same = a->count == b->count && a->any == b->any && a->given == b->given &&
		round_trip_words(&a->unknown, &b->unknown);

	for (size_t i = 0; same && i < a->count; i++)
		same = a->ids[i].id == b->ids[i].id && !a->ids[i].name == !b->ids[i].name &&
			(!a->ids[i].name || strcmp(a->ids[i].name, b->ids[i].name) == 0);
	return same;
}

static inline bool round_trip_windows(const struct window_limits *a, const struct window_limits *b)
{
	bool same = a->count == b->count && a->size == b->size && a->range_count == b->range_count;

	for (uint32_t i = 0; same && i < a->range_count; i++)
		same = a->ranges[i].region == b->ranges[i].region && a->ranges[i].first == b->ranges[i].first &&
			a->ranges[i].last == b->ranges[i].last;
	return same;
}

static inline bool round_trip_rule(const struct policy_rule *a, const struct policy_rule *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->file, b->file) == 0 && a->line == b->line &&
		a->verdict == b->verdict && round_trip_words(&a->addresses, &b->addresses) &&
		round_trip_words(&a->device_ids, &b->device_ids) && round_trip_words(&a->classes, &b->classes) &&
		round_trip_ids(&a->users, &b->users) && round_trip_ids(&a->groups, &b->groups) &&
		round_trip_words(&a->units, &b->units) && a->rebind == b->rebind && a->take_in_use == b->take_in_use &&
		a->direct == b->direct && a->reset.need == b->reset.need && a->reset.settle_us == b->reset.settle_us &&
		round_trip_windows(&a->windows, &b->windows) && a->devices == b->devices &&
		a->devices_per_unit == b->devices_per_unit && a->lease_time_us == b->lease_time_us &&
		a->mappings == b->mappings && a->sessions == b->sessions &&
		a->opens_per_minute == b->opens_per_minute && a->connections_per_minute == b->connections_per_minute;
}

static inline struct round_trip_text round_trip_write(const struct policy *policy)
{
	struct round_trip_text text = {.sink = {round_trip_add}};

	policy_canonical_write(policy, &text.sink);
	return text;
}

/* Returns NULL, or what is wrong. */
static inline const char *round_trip_mistake(const struct policy *policy)
{
	struct round_trip_text text = round_trip_write(policy), again = {0};
	struct policy *copy = calloc(1, sizeof *copy);
	static struct policy_error error;
	const char *mistake = NULL;

	error = (struct policy_error){0};
	if (policy_canonical_read(copy, text.bytes, text.size, &error) < 0 || policy_complete(copy, 0, &error) < 0)
		mistake = error.text;
	else if (copy->count != policy->count || !round_trip_words(&copy->warnings, &policy->warnings))
		mistake = "the number of rules or warnings is another";
	for (size_t i = 0; !mistake && i < policy->count; i++) {
		if (!round_trip_rule(&policy->rules[i], &copy->rules[i]))
			mistake = policy->rules[i].name;
	}
	/* What people see is the same, too. */
	if (!mistake) {
		again = round_trip_write(copy);
		if (again.size != text.size ||
			memcmp(again.bytes ? again.bytes : "", text.bytes ? text.bytes : "", text.size) != 0)
			mistake = "the lines are others";
	}
	policy_free(copy);
	free(text.bytes);
	free(again.bytes);
	return mistake;
}

#endif
