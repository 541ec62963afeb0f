/* SPDX-License-Identifier: MIT */
#include "facts.h"

#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void facts_add(struct facts *facts, const char *format, ...)
{
	char raw[USE_TEXT_SIZE], fact[USE_TEXT_SIZE];
	size_t used = strlen(facts->text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(raw, sizeof raw, format, arguments);
	va_end(arguments);
	/* Mount points and names of processes are anybody's choice. */
	refusal_quote(fact, sizeof fact, raw, sizeof raw);
	if (used == 0)
		memcpy(facts->text, fact, sizeof facts->text);
	else if (used + strlen("; ") + strlen(fact) < sizeof facts->text)
		strcat(strcat(facts->text, "; "), fact);
}
