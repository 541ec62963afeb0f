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
