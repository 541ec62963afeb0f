/* SPDX-License-Identifier: MIT */
#include "policy/policy_text.h"

#include "base/limits.h"
#include "policy/policy.h"
#include "policy/policy_key.h"
#include "refusal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One struct for each file. */
struct reader {
	struct policy *policy;
	const char *file;
	const char *line_start; /* of the present line */
	unsigned int line;
	bool in_section;
	struct policy_error *error;
};

/* ---- mistakes ---- */

/* AT: the place of the mistake in the text, for the column. Columns count bytes, as compilers do; a tab is one byte. */
static int complain(struct reader *reader, const char *at, const char *what, const char *value)
{
	struct policy_error *error = reader->error;
	char quoted[96];

	error->line = reader->line;
	error->column = (unsigned int)(at - reader->line_start) + 1;
	snprintf(error->text, sizeof error->text, "%s:%u:%u: %s \"%s\"", reader->file, error->line, error->column, what,
		refusal_quote(quoted, sizeof quoted, value, strlen(value)));
	return -EINVAL;
}

/* A name that nobody has is kept by a rule that allows, and fits nobody: a user who is gone takes nothing from the
 * others. A rule that denies, and limits, have to hold, and the name may be misspelt. */
static int complain_of_nobody(struct reader *reader, const char *at, const char *what, const char *value)
{
	struct policy_error *error = reader->error;
	bool allows = reader->policy->rules[reader->policy->count - 1].verdict == POLICY_ALLOW;
	size_t length;
	int r;

	r = complain(reader, at, what, value);
	length = strlen(error->text);
	snprintf(error->text + length, sizeof error->text - length, "%s; if there is now, " POLICY_LOOK_AGAIN,
		allows ? ", so the word fits nobody" : "");
	if (!allows)
		return r;
	r = words_add(&reader->policy->warnings, error->text);
	*error = (struct policy_error){0};
	return r;
}

/* The line's first word: the section or the key. */
static const char *first_word(const struct reader *reader)
{
	return reader->line_start + strspn(reader->line_start, " \t");
}

/* Where the value of a line "key = value" begins. */
static const char *value_start(const struct reader *reader)
{
	const char *value = first_word(reader);

	value += strcspn(value, "=:\n");
	value += *value == '=' || *value == ':';
	return value + strspn(value, " \t");
}

/* ---- sections ---- */

#define SECTIONS "a section is [allow NAME], [deny NAME] or [limits NAME], not"

const char *policy_section_name(const char *section, enum policy_verdict *ret_verdict)
{
	static const struct {
		const char *word;
		enum policy_verdict verdict;
	} words[] = {{"allow ", POLICY_ALLOW}, {"deny ", POLICY_DENY}, {"limits ", POLICY_LIMITS}};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		const char *name = section + strlen(words[i].word);

		if (strncmp(section, words[i].word, strlen(words[i].word)) != 0)
			continue;
		*ret_verdict = words[i].verdict;
		return name[strspn(name, " \t")] != '\0' ? name : NULL;
	}
	return NULL;
}

static int begin_rule(struct reader *reader, const char *section)
{
	enum policy_verdict verdict;
	const char *name = policy_section_name(section, &verdict);

	if (!name)
		return complain(reader, first_word(reader), SECTIONS, section);
	return policy_add_rule(reader->policy, verdict, name, reader->file, reader->line);
}

/* TEXT is a line that begins with "[". Two sections of one name are two rules. */
static int begin_section(struct reader *reader, char *text)
{
	char *end = strchr(text, ']'), *rest;

	text[strcspn(text, "\r")] = '\0';
	if (!end)
		return complain(reader, first_word(reader), "a section without its ]", text);
	rest = end + 1 + strspn(end + 1, " \t");
	if (*rest != '\0' && *rest != ';' && *rest != '#')
		return complain(
			reader, first_word(reader) + (rest - text), "nothing may follow a section, but here is", rest);
	*end = '\0';
	reader->in_section = true;
	return begin_rule(reader, text + 1);
}

/* ---- keys ---- */

static int add_values(struct reader *reader, const struct policy_key *key, const char *value)
{
	struct policy_rule *rule = &reader->policy->rules[reader->policy->count - 1];
	char *copy = strdup(value), *rest = copy;
	const char *cause = "not good:", *start = value_start(reader);
	size_t added = 0;
	int r = copy ? 0 : -ENOMEM;

	if (r == 0 && value[strspn(value, " \t")] == '\0')
		r = complain(reader, start, "no value for", key->name);
	for (char *word; r == 0 && (word = strsep(&rest, " \t"));) {
		if (*word == '\0')
			continue;
		if (key->single && added++ > 0) {
			r = complain(reader, start + (word - copy), "one value is enough, here is another:", word);
			continue;
		}
		r = key->read(rule, word, &cause);
		if (r == -EINVAL)
			r = complain(reader, start + (word - copy), cause, word);
		else if (r == -ENOENT)
			r = complain_of_nobody(reader, start + (word - copy), cause, word);
	}
	free(copy);
	return r;
}

/* Why a section of VERDICT may not have KEY: there the key would do nothing, and its author believes otherwise. */
static const char *stranger_text(const struct policy_key *key, enum policy_verdict verdict)
{
	if (verdict == POLICY_LIMITS)
		return "a key of rules, not of limits:";
	return key->in_allow ? "a key of [allow NAME], and means nothing where a rule denies:"
			     : "a key of [limits NAME], not of rules:";
}

static int read_key(struct reader *reader, const char *name, const char *value)
{
	const struct policy_key *key = policy_key_find(name);
	const struct policy_rule *rule = reader->in_section ? &reader->policy->rules[reader->policy->count - 1] : NULL;

	if (!rule)
		return complain(reader, first_word(reader), "a key outside of any section:", name);
	if (!key)
		return complain(reader, first_word(reader), "unknown key", name);
	if (!policy_key_belongs(key, rule->verdict))
		return complain(reader, first_word(reader), stranger_text(key, rule->verdict), name);
	return add_values(reader, key, value);
}

/* ---- lines ---- */

/* Cuts the comment that begins with a ";" after a space, and the spaces at the end. */
static void cut_end(char *text)
{
	for (char *at = text; (at = strchr(at, ';')); at++) {
		if (at > text && (at[-1] == ' ' || at[-1] == '\t')) {
			*at = '\0';
			break;
		}
	}
	for (size_t length = strlen(text); length > 0 && strchr(" \t\r", text[length - 1]); length--)
		text[length - 1] = '\0';
}

/* "KEY = VALUE", or "KEY: VALUE". TEXT begins with the key, and is cut into pieces. */
static int read_assignment(struct reader *reader, char *text)
{
	char *separator = strpbrk(text, "=:"), *value;

	if (separator) {
		*separator = '\0';
		cut_end(separator + 1);
		value = separator + 1 + strspn(separator + 1, " \t");
		cut_end(text);
		return read_key(reader, text, value);
	}
	reader->error->line = reader->line;
	reader->error->column = 1;
	snprintf(reader->error->text, sizeof reader->error->text, "%s:%u:1: neither [section] nor key = value",
		reader->file, reader->line);
	return -EINVAL;
}

/* LINE: LENGTH bytes, without the end of the line. */
static int read_line(struct reader *reader, const char *line, size_t length)
{
	size_t indent = strspn(line, " \t");
	char copy[POLICY_LINE_MAX + 1];

	reader->line++;
	reader->line_start = line;
	/* Comments have any length. */
	if (indent >= length || strchr("\r;#", line[indent]))
		return 0;
	snprintf(copy, sizeof copy, "%.*s", (int)(length - indent < sizeof copy ? length - indent : sizeof copy - 1),
		line + indent);
	if (length - indent > POLICY_LINE_MAX)
		return complain(
			reader, line + indent, "line too long, 4096 characters are the most, it begins with", copy);
	return *copy == '[' ? begin_section(reader, copy) : read_assignment(reader, copy);
}

/* ---- files ---- */

/* The mistake of the rule as a whole, or NULL. */
static const char *rule_mistake(const struct policy_rule *rule)
{
	/* A rule that says nothing about devices or about people is a mistake, not a rule for all. Limits are about
	 * people. */
	if (rule->verdict == POLICY_LIMITS)
		return rule->users.given ? NULL : "lacks user";
	if (policy_device_keys(rule) == 0)
		return "lacks address, id or class";
	/* Each would have to fit, and the author may have meant any. In a rule that allows, the mistake allows less. */
	if (policy_device_keys(rule) > 1 && rule->verdict == POLICY_DENY)
		return "denies by two of address, id and class, and would deny only what fits both: write two rules";
	if (!rule->users.given && !rule->groups.given && rule->units.count == 0)
		return "lacks user, group or unit";
	/* The rule's author believes that the device may be had again after the time in "settle". */
	if (rule->reset.need == RESET_REQUIRED && rule->reset.settle_us != SETTLE_UNSET)
		return "has settle, which means nothing without reset = same-user or optional";
	if (rule->take_in_use && !rule->rebind)
		return "has in-use = take, which means nothing without rebind = yes";
	return NULL;
}

int policy_complete(const struct policy *policy, size_t first, struct policy_error *error)
{
	for (size_t i = first; i < policy->count; i++) {
		const struct policy_rule *rule = &policy->rules[i];
		const char *mistake = rule_mistake(rule);

		if (!mistake)
			continue;
		error->line = rule->line;
		error->column = 1;
		snprintf(error->text, sizeof error->text, "%s:%u:1: %s \"%.60s\" %s", rule->file, rule->line,
			rule->verdict == POLICY_LIMITS ? "limits" : "rule", rule->name, mistake);
		return -EINVAL;
	}
	return 0;
}

int policy_read(struct policy *policy, const char *name, const char *text, struct policy_error *ret_error)
{
	struct reader reader = {.policy = policy, .file = name, .error = ret_error};
	static const char mark[] = "\xef\xbb\xbf"; /* UTF-8 by editors of other systems */
	size_t first = policy->count, length;
	int r = 0;

	*ret_error = (struct policy_error){0};
	if (strncmp(text, mark, strlen(mark)) == 0)
		text += strlen(mark);
	for (; r == 0 && *text; text += length + (text[length] == '\n')) {
		length = strcspn(text, "\n");
		r = read_line(&reader, text, length);
	}
	if (r == -ENOMEM)
		snprintf(ret_error->text, sizeof ret_error->text, "%s: out of memory", name);
	return r < 0 ? r : policy_complete(policy, first, ret_error);
}
