/* SPDX-License-Identifier: MIT */
#include "policy_value.h"

#include <ctype.h>
#include <errno.h>
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

bool value_time(const char *word, uint64_t *ret_us)
{
	static const struct {
		const char *suffix;
		uint64_t us;
	} units[] = {{"ms", 1000}, {"s", 1000000}, {"min", 60 * 1000000}};
	size_t digits = strspn(word, "0123456789");

	/* More digits than any time that anybody waits needs: no overflow below. */
	for (size_t i = 0; digits > 0 && digits <= 9 && i < sizeof units / sizeof *units; i++) {
		if (strcmp(word + digits, units[i].suffix) == 0) {
			*ret_us = strtoull(word, NULL, 10) * units[i].us;
			return true;
		}
	}
	return false;
}
