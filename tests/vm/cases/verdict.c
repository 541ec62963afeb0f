/* SPDX-License-Identifier: MIT */
#include "verdict.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int verdict_failures;

bool verdict(bool good, const char *format, ...)
{
	va_list arguments;

	fputs(good ? "ok - " : "not ok - ", stdout);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
	verdict_failures += !good;
	return good;
}

static const char *name_of(long result, char *buffer, size_t size)
{
	const char *name = result < 0 && result > -4096 ? strerrorname_np((int)-result) : NULL;

	if (name)
		snprintf(buffer, size, "-%s", name);
	else
		snprintf(buffer, size, "%ld", result);
	return buffer;
}

bool verdict_is(const char *name, long got, long expected)
{
	char a[32], b[32];

	if (!verdict(got == expected, "%s", name))
		printf("# got %s, expected %s\n", name_of(got, a, sizeof a), name_of(expected, b, sizeof b));
	return got == expected;
}

bool verdict_refused(const char *name, long got)
{
	if (!verdict(got < 0, "%s", name))
		printf("# got %ld, expected an error\n", got);
	return got < 0;
}

void verdict_skip(const char *name, const char *why)
{
	printf("skipped - %s: %s\n", name, why);
	fflush(stdout);
}

void verdict_die(const char *what)
{
	printf("not ok - %s: %s\n", what, strerror(errno));
	fflush(stdout);
	exit(1);
}

long verdict_result(long result)
{
	return result < 0 ? -errno : result;
}
