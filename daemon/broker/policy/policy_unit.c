/* SPDX-License-Identifier: MIT */
#include "policy/policy_unit.h"

#include <fnmatch.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"
#define NAME_MAX_LENGTH 255 /* UNIT_NAME_MAX of systemd, without the NUL */

/* The kinds of units with processes. */
static const char *const kinds[] = {".service", ".scope", ".socket", ".mount", ".swap"};

/* A part of a pattern: a character, "?", "*", or a set in brackets. */
struct part {
	char text[64];
};

struct pattern {
	struct part parts[2 * (NAME_MAX_LENGTH + 1) + 1]; /* never two stars in a row */
	size_t count, stars;
};

static bool is_star(const struct part *part)
{
	return part->text[0] == '*';
}

static bool part_fits(const struct part *part, char c)
{
	return fnmatch(part->text, (char[]){c, '\0'}, FNM_NOESCAPE) == 0;
}

/* The length of the set at the beginning of TEXT, brackets included; 0: the set has no end. A "]" that comes first is a
 * member, and "[:alpha:]" is a class of members. */
static size_t set_length(const char *text)
{
	const char *at = text + 1;

	at += *at == '!';
	at += *at == ']';
	while (*at && *at != ']') {
		const char *class = strncmp(at, "[:", 2) == 0 ? strstr(at, ":]") : NULL;

		if (*at == '[' && !class)
			return 0;
		at = class ? class + 2 : at + 1;
	}
	return *at ? (size_t)(at - text) + 1 : 0;
}

/* Whether some unit has a character that fits. Nothing fits a "[" that opens no set. */
static bool part_can_fit(const struct part *part)
{
	for (const char *c = NAME_CHARACTERS; *c; c++) {
		if (part_fits(part, *c))
			return true;
	}
	return false;
}

static bool pattern_read(struct pattern *pattern, const char *word)
{
	size_t length;

	pattern->count = pattern->stars = 0;
	for (; *word; word += length) {
		struct part *part = &pattern->parts[pattern->count];

		length = *word == '[' ? set_length(word) : 1;
		if (length == 0 || length >= sizeof part->text || pattern->count - pattern->stars > NAME_MAX_LENGTH)
			return false;
		snprintf(part->text, sizeof part->text, "%.*s", (int)length, word);
		if (!part_can_fit(part))
			return false;
		/* Two stars are as good as a single star. */
		if (is_star(part) && pattern->count > 0 && is_star(part - 1))
			continue;
		pattern->stars += is_star(part);
		pattern->count++;
	}
	return pattern->count - pattern->stars <= NAME_MAX_LENGTH;
}

/*
 * Whether the first COUNT parts can fit a name that ends with the first LENGTH characters of KIND, from the end. Each
 * star tries all it may stand for; a kind is short, and so is the search.
 */
static bool ends_as(const struct pattern *pattern, size_t count, const char *kind, size_t length)
{
	const struct part *last;

	/* Something has to be left for the name before the kind. */
	if (count == 0 || length == 0)
		return count > 0;
	last = &pattern->parts[count - 1];
	if (is_star(last))
		return ends_as(pattern, count - 1, kind, length) || ends_as(pattern, count, kind, length - 1);
	return part_fits(last, kind[length - 1]) && ends_as(pattern, count - 1, kind, length - 1);
}

static bool can_end(const struct pattern *pattern)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (ends_as(pattern, pattern->count, kinds[i], strlen(kinds[i])))
			return true;
	}
	return false;
}

/* "spdk@.service", or "spdk@.*": nothing but the kind follows the @. */
static bool is_template(const char *word)
{
	size_t prefix = strcspn(word, "@*?[");

	return strncmp(word + prefix, "@.", 2) == 0 && !strchr(word + prefix + 2, '.') &&
		!strpbrk(word + prefix + 2, "*?[@");
}

const char *policy_unit_mistake(const char *word)
{
	struct pattern pattern;
	size_t others = strspn(word, NAME_CHARACTERS "*?[]!");

	if (word[others] != '\0' || !pattern_read(&pattern, word))
		return "not a unit name or pattern:";
	if (*word == '.' || *word == '@' || !can_end(&pattern))
		return "no unit with processes has such a name, which ends in .service or .scope:";
	if (is_template(word))
		return "a template has no processes, and its instances have names like a@1.service:";
	return NULL;
}
