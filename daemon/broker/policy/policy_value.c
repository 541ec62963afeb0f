/* SPDX-License-Identifier: MIT */
#include "policy/policy_value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool value_number(const char *word, unsigned int *ret_number)
{
	char *end;
	unsigned long number;

	if (!isdigit((unsigned char)*word))
		return false;
	errno = 0;
	number = strtoul(word, &end, 10);
	if (*end != '\0' || errno != 0 || number >= UINT32_MAX)
		return false;
	*ret_number = (unsigned int)number;
	return true;
}

bool value_bytes(const char *word, const char *suffixes, const char **ret_end, uint64_t *ret_bytes)
{
	unsigned int shift = 0;
	uint64_t value;
	char *end;

	if (!isdigit((unsigned char)*word))
		return false;
	errno = 0;
	/* A leading zero means nothing to people. */
	value = strtoull(word, &end, word[0] == '0' && (word[1] | 0x20) == 'x' ? 16 : 10);
	if (errno != 0)
		return false;
	if (*end != '\0' && strchr(suffixes, *end))
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30, end++;
	if (value > UINT64_MAX >> shift)
		return false;
	*ret_bytes = value << shift;
	*ret_end = end;
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first. */
static const struct unit times[] = {
	{"d", 86400 * UINT64_C(1000000)},
	{"h", 3600 * UINT64_C(1000000)},
	{"min", 60 * UINT64_C(1000000)},
	{"s", 1000000},
	{"ms", 1000},
};
static const struct unit sizes[] = {
	{"G", 1 << 30},
	{"M", 1 << 20},
	{"K", 1 << 10},
};

bool value_time(const char *word, uint64_t *ret_us)
{
	size_t digits = strspn(word, "0123456789");
	uint64_t value;

	/* Nobody waits for a longer time. */
	if (digits == 0 || digits > 9)
		return false;
	value = strtoull(word, NULL, 10);
	for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
		if (strcmp(word + digits, times[i].name) != 0)
			continue;
		if (value > UINT64_MAX / times[i].factor)
			return false;
		*ret_us = value * times[i].factor;
		return true;
	}
	return false;
}

static const char *text(uint64_t value, const struct unit *units, size_t count, char buffer[VALUE_TEXT_SIZE])
{
	for (size_t i = 0; i < count; i++) {
		if (value == 0 || value % units[i].factor != 0)
			continue;
		snprintf(buffer, VALUE_TEXT_SIZE, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
		return buffer;
	}
	snprintf(buffer, VALUE_TEXT_SIZE, "%" PRIu64, value);
	return buffer;
}

const char *value_time_text(uint64_t microseconds, char buffer[VALUE_TEXT_SIZE])
{
	return text(microseconds, times, sizeof times / sizeof *times, buffer);
}

const char *value_bytes_text(uint64_t bytes, char buffer[VALUE_TEXT_SIZE])
{
	return text(bytes, sizes, sizeof sizes / sizeof *sizes, buffer);
}
