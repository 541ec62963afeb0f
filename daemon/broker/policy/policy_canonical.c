/* SPDX-License-Identifier: MIT */
#include "policy/policy_canonical.h"

#include "policy/policy_value.h"
#include "refusal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MARK " ; " /* between a number and its name */

/* ---- writing ---- */

/* Lines have the length of a path or a name, and no limit of their own. */
static void write_line(struct policy_sink *sink, const char *word, const char *text)
{
	char *line = NULL;

	if (asprintf(&line, "%s %s", word, text) < 0)
		line = NULL;
	/* Without memory the reader of the lines finds a line that means nothing. */
	sink->line(sink, line ? line : "out of memory");
	free(line);
}

void policy_canonical_write(const struct policy *policy, struct policy_sink *sink)
{
	static const char *const sections[] = {
		[POLICY_DENY] = "deny", [POLICY_ALLOW] = "allow", [POLICY_LIMITS] = "limits"};
	char number[48];

	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		write_line(sink, sections[rule->verdict], rule->name);
		snprintf(number, sizeof number, "line %u", rule->line);
		sink->line(sink, number);
		write_line(sink, "file", rule->file);
		policy_key_print(rule, sink);
	}
	for (size_t i = 0; i < policy->owners.count; i++) {
		const struct owner_range *range = &policy->owners.ranges[i];

		snprintf(number, sizeof number, "owner %u %u %u", range->first, range->count, range->owner);
		sink->line(sink, number);
	}
	for (size_t i = 0; i < policy->warnings.count; i++)
		write_line(sink, "warning", policy->warnings.words[i]);
}

/* ---- reading ---- */

/* The text behind WORD at the beginning of LINE, or NULL. */
static char *behind(char *line, const char *word)
{
	return strncmp(line, word, strlen(word)) == 0 ? line + strlen(word) : NULL;
}

static struct ids *ids_of(struct policy_rule *rule, const char *key)
{
	if (strcmp(key, "user") == 0)
		return &rule->users;
	return strcmp(key, "group") == 0 ? &rule->groups : NULL;
}

/* WORD, which is no number, with the comment MARK. Only a rule that allows goes on with names that are unknown. */
static int read_unknown(const struct policy_rule *rule, struct ids *ids, const char *word, const char *mark)
{
	if (rule->verdict != POLICY_ALLOW || strcmp(mark, POLICY_KEY_UNKNOWN) != 0 || strcmp(word, "*") == 0)
		return -EPROTO;
	ids->given = true;
	return words_add(&ids->unknown, word);
}

/* "KEY = WORD", "KEY = NUMBER ; NAME", or "KEY = NAME ; unknown". */
static int read_key(struct policy_rule *rule, char *line)
{
	char *equals = strstr(line, " = "), *word = equals ? equals + 3 : NULL, *name = NULL;
	const struct policy_key *key;
	struct ids *ids;
	const char *cause;
	unsigned int number;
	int r;

	if (!equals)
		return -EPROTO;
	*equals = '\0';
	key = policy_key_find(line);
	ids = ids_of(rule, line);
	if (!key || !policy_key_belongs(key, rule->verdict))
		return -EPROTO;
	if (ids) {
		name = strstr(word, NAME_MARK);
		if (name) {
			*name = '\0';
			name += strlen(NAME_MARK);
		}
		/* Anything else would be looked up. */
		if (!value_number(word, &number) && (name || strcmp(word, "*") != 0))
			return name ? read_unknown(rule, ids, word, name) : -EPROTO;
	}
	r = key->read(rule, word, &cause);
	if (r == 0 && name) {
		ids->ids[ids->count - 1].name = strdup(name);
		r = ids->ids[ids->count - 1].name ? 0 : -ENOMEM;
	}
	return r == -EINVAL ? -EPROTO : r;
}

static int set_file(struct policy_rule *rule, const char *file)
{
	char *copy = strdup(file);

	if (!copy)
		return -ENOMEM;
	free(rule->file);
	rule->file = copy;
	return 0;
}

/* "FIRST COUNT OWNER" */
static int read_owner(struct policy *policy, char *text)
{
	char *first = strsep(&text, " "), *count = strsep(&text, " ");
	struct owner_range range;

	if (!count || !text || !value_number(first, &range.first) || !value_number(count, &range.count) ||
		!value_number(text, &range.owner))
		return -EPROTO;
	return owners_add(&policy->owners, &range);
}

static int read_line(struct policy *policy, char *line)
{
	struct policy_rule *rule = policy->count > 0 ? &policy->rules[policy->count - 1] : NULL;
	enum policy_verdict verdict;
	const char *name = policy_section_name(line, &verdict), *text;
	char *owner;

	if (name)
		return policy_add_rule(policy, verdict, name, "", 0);
	text = behind(line, "warning ");
	if (text)
		return words_add(&policy->warnings, text);
	owner = behind(line, "owner ");
	if (owner)
		return read_owner(policy, owner);
	if (!rule)
		return -EPROTO;
	text = behind(line, "line ");
	if (text)
		return value_number(text, &rule->line) ? 0 : -EPROTO;
	text = behind(line, "file ");
	return text ? set_file(rule, text) : read_key(rule, line);
}

int policy_canonical_read(struct policy *policy, const char *lines, size_t size, struct policy_error *ret_error)
{
	char *copy, *line, quoted[160];
	int r = 0;

	/* The lines are cut into words. */
	copy = malloc(size + 1);
	if (!copy)
		r = -ENOMEM;
	else if (size > 0 && lines[size - 1] != '\0')
		r = -EPROTO;
	for (size_t done = 0; r == 0 && done < size; done += strlen(lines + done) + 1) {
		line = strcpy(copy, lines + done);
		r = read_line(policy, line);
		if (r == -EPROTO)
			snprintf(ret_error->text, sizeof ret_error->text,
				"this broker does not understand the reader of its policy, perhaps of another release: "
				"\"%s\"",
				refusal_quote(quoted, sizeof quoted, lines + done, strlen(lines + done)));
	}
	free(copy);
	if (r == -ENOMEM)
		snprintf(ret_error->text, sizeof ret_error->text, "out of memory for the policy");
	else if (r < 0 && !ret_error->text[0])
		snprintf(ret_error->text, sizeof ret_error->text, "the reader of the policy sent half a line");
	return r;
}
