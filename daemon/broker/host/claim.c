/* SPDX-License-Identifier: MIT */
#include "host/claim.h"

#include "base/record.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the record: two lines, host driver and driver_override; either may be empty. A third line: `appeared` ---- */

#define APPEARED "appeared\n"

int claim_write(const char *directory, const char *name, const struct claim *claim)
{
	char text[2 * DRIVER_NAME_SIZE + 2 + sizeof APPEARED];

	snprintf(text, sizeof text, "%s\n%s\n%s", claim->driver, claim->override, claim->appeared ? APPEARED : "");
	return record_write(directory, name, text);
}

void claim_remove(const char *directory, const char *name)
{
	record_remove(directory, name);
}

static bool driver_name_copy(char to[DRIVER_NAME_SIZE], const char *from, size_t length)
{
	if (length >= DRIVER_NAME_SIZE)
		return false;
	memcpy(to, from, length);
	to[length] = '\0';
	return true;
}

static int claim_parse(const char *text, struct claim *claim)
{
	size_t first = strcspn(text, "\n"), second;

	if (text[first] != '\n')
		return -EINVAL;
	second = strcspn(text + first + 1, "\n");
	if (text[first + 1 + second] != '\n')
		return -EINVAL;
	if (!driver_name_copy(claim->driver, text, first) ||
		!driver_name_copy(claim->override, text + first + 1, second))
		return -EINVAL;
	claim->appeared = strcmp(text + first + 1 + second + 1, APPEARED) == 0;
	return 0;
}

struct loading {
	claim_found found;
	void *context;
};

static int on_record(void *context, const char *name, const char *text)
{
	const struct loading *loading = context;
	struct claim *claim = calloc(1, sizeof *claim);
	int r;

	if (!claim)
		return -ENOMEM;
	r = claim_parse(text, claim);
	if (r < 0) {
		free(claim);
		return r;
	}
	return loading->found(loading->context, name, claim);
}

int claim_load(const char *directory, claim_found found, void *context)
{
	struct loading loading = {found, context};

	return record_each(directory, on_record, &loading);
}
