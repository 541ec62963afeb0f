/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include "limits.h"
#include "refusal.h"
#include "table.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <grp.h>
#include <ini.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- lists ---- */

static int words_add(struct words *list, const char *word)
{
	char **grown = reallocarray(list->words, list->count + 1, sizeof *grown);

	if (!grown)
		return -ENOMEM;
	list->words = grown;
	list->words[list->count] = strdup(word);
	return list->words[list->count] ? (list->count++, 0) : -ENOMEM;
}

static void words_clear(struct words *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->words[i]);
	free(list->words);
	*list = (struct words){0};
}

static int ids_add(struct ids *list, unsigned int id)
{
	unsigned int *grown = reallocarray(list->ids, list->count + 1, sizeof *grown);

	if (!grown)
		return -ENOMEM;
	list->ids = grown;
	list->ids[list->count++] = id;
	return 0;
}

static bool ids_fit(const struct ids *list, unsigned int id)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->ids[i] == id)
			return true;
	}
	return list->any;
}

/* ---- reading ---- */

#define UNIT_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"

/* What the handler of inih works with; one for each file. */
struct reader {
	struct policy *policy;
	const char *file;
	const char *text; /* what is still to be read */
	unsigned int line;
	bool in_section;
	struct policy_error *error;
	int result;
};

static int complain(struct reader *reader, const char *what, const char *value)
{
	char quoted[96];

	snprintf(reader->error->text, sizeof reader->error->text, "%s:%u: %s \"%s\"", reader->file, reader->line, what,
		refusal_quote(quoted, sizeof quoted, value, strlen(value)));
	return -EINVAL;
}

static bool digits_and_stars(const char *text, size_t length)
{
	if (length == 1 && *text == '*')
		return true;
	for (size_t i = 0; i < length; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return false;
	}
	return length > 0;
}

static int add_address(struct reader *reader, struct policy_rule *rule, const char *word)
{
	char name[DEVICE_NAME_SIZE] = "";

	snprintf(name, sizeof name, "%s", word);
	if (strcmp(word, "*") != 0 && !device_name_valid(name))
		return complain(reader, "not a PCI address like 0000:01:00.0:", word);
	return words_add(&rule->addresses, word);
}

static int add_device_id(struct reader *reader, struct policy_rule *rule, const char *word)
{
	const char *colon = strchr(word, ':');

	if (!colon || colon - word > 4 || strlen(colon + 1) > 4 || !digits_and_stars(word, (size_t)(colon - word)) ||
		!digits_and_stars(colon + 1, strlen(colon + 1)))
		return complain(reader, "not a vendor:device like 1b36:0010 or 8086:*:", word);
	return words_add(&rule->device_ids, word);
}

static int add_class(struct reader *reader, struct policy_rule *rule, const char *word)
{
	if (strlen(word) > 6 || !digits_and_stars(word, strlen(word)))
		return complain(reader, "not leading digits of a PCI class like 0108:", word);
	return words_add(&rule->classes, word);
}

static bool parse_number(const char *word, unsigned int *ret_number)
{
	char *end;
	unsigned long number;

	if (!isdigit((unsigned char)*word))
		return false;
	errno = 0;
	number = strtoul(word, &end, 10);
	/* (uid_t)-1 means "nobody in particular" to the kernel. */
	if (*end != '\0' || errno != 0 || number >= UINT32_MAX)
		return false;
	*ret_number = (unsigned int)number;
	return true;
}

static int add_user(struct reader *reader, struct policy_rule *rule, const char *word)
{
	const struct passwd *entry;
	unsigned int id;

	rule->users.given = true;
	if (strcmp(word, "*") == 0) {
		rule->users.any = true;
		return 0;
	}
	if (parse_number(word, &id))
		return ids_add(&rule->users, id);
	entry = getpwnam(word);
	return entry ? ids_add(&rule->users, entry->pw_uid) : complain(reader, "there is no user", word);
}

static int add_group(struct reader *reader, struct policy_rule *rule, const char *word)
{
	const struct group *entry;
	unsigned int id;

	rule->groups.given = true;
	if (strcmp(word, "*") == 0) {
		rule->groups.any = true;
		return 0;
	}
	if (parse_number(word, &id))
		return ids_add(&rule->groups, id);
	entry = getgrnam(word);
	return entry ? ids_add(&rule->groups, entry->gr_gid) : complain(reader, "there is no group", word);
}

static int add_unit(struct reader *reader, struct policy_rule *rule, const char *word)
{
	/* The characters of unit names (systemd.unit(5)) and of fnmatch(); an open bracket would match nothing, silently. */
	const char *open = strrchr(word, '[');

	if (word[strspn(word, UNIT_CHARACTERS "*?[]!")] != '\0' || (open && !strchr(open, ']')))
		return complain(reader, "not a unit name or pattern:", word);
	return words_add(&rule->units, word);
}

static int set_rebind(struct reader *reader, struct policy_rule *rule, const char *word)
{
	if (strcmp(word, "yes") != 0 && strcmp(word, "no") != 0)
		return complain(reader, "rebind is yes or no, not", word);
	rule->rebind = strcmp(word, "yes") == 0;
	return 0;
}

static int set_windows(struct reader *reader, struct policy_rule *rule, const char *word)
{
	unsigned int count;

	if (!parse_number(word, &count))
		return complain(reader, "windows is a number, 0 for none, not", word);
	rule->windows.count = count;
	return 0;
}

/* Decimal, or hexadecimal after 0x; SUFFIXES: which of K, M and G may follow. */
static bool parse_bytes(const char *word, const char *suffixes, const char **ret_end, uint64_t *ret_bytes)
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

static int set_window_size(struct reader *reader, struct policy_rule *rule, const char *word)
{
	const char *end;
	uint64_t size;

	if (!parse_bytes(word, "KMG", &end, &size) || *end != '\0')
		return complain(reader, "window-size is a number of bytes like 64K, not", word);
	rule->windows.size = size;
	return 0;
}

/* "2": all of BAR 2; "0:0x1000-0x1fff": first and last byte of a part of BAR 0. */
static int add_window_range(struct reader *reader, struct policy_rule *rule, const char *word)
{
	struct window_limits *limits = &rule->windows;
	struct window_range range = {.last = UINT64_MAX};
	const char *rest = word + 1;

	if (*word < '0' || *word > '5')
		return complain(reader, "window-range begins with a BAR, 0 to 5, unlike", word);
	range.region = (uint32_t)(*word - '0');
	if (*rest != '\0' &&
		(*rest != ':' || !parse_bytes(rest + 1, "", &rest, &range.first) || *rest != '-' ||
			!parse_bytes(rest + 1, "", &rest, &range.last) || *rest != '\0' || range.first > range.last))
		return complain(reader, "not a window-range like 0:0x1000-0x1fff or 2:", word);
	/* A window is made of pages; the smallest there are have this size. */
	if (range.first % 4096 != 0 || (range.last + 1) % 4096 != 0)
		return complain(reader, "a window-range begins and ends with a page (0x1000 bytes), unlike", word);
	if (limits->range_count == WINDOW_RANGES_MAX)
		return complain(reader, "eight window-ranges at most, too many with", word);
	limits->ranges[limits->range_count++] = range;
	return 0;
}

static const struct key {
	const char *name;
	int (*add)(struct reader *reader, struct policy_rule *rule, const char *word);
	bool single; /* one word, not a list */
} keys[] = {
	{"address", add_address, false},
	{"id", add_device_id, false},
	{"class", add_class, false},
	{"user", add_user, false},
	{"group", add_group, false},
	{"unit", add_unit, false},
	{"rebind", set_rebind, true},
	{"windows", set_windows, true},
	{"window-size", set_window_size, true},
	{"window-range", add_window_range, false},
};

/* "allow storage" or "deny lab": begins a rule. */
static int begin_rule(struct reader *reader, const char *section)
{
	struct policy *policy = reader->policy;
	struct policy_rule *rule, *grown;
	enum policy_verdict verdict;
	const char *name;

	if (strncmp(section, "allow ", 6) == 0)
		verdict = POLICY_ALLOW;
	else if (strncmp(section, "deny ", 5) == 0)
		verdict = POLICY_DENY;
	else
		return complain(reader, "a section is [allow NAME] or [deny NAME], not", section);
	name = section + (verdict == POLICY_ALLOW ? 6 : 5);
	if (name[strspn(name, " \t")] == '\0')
		return complain(reader, "a section is [allow NAME] or [deny NAME], not", section);
	grown = reallocarray(policy->rules, policy->count + 1, sizeof *grown);
	if (!grown)
		return -ENOMEM;
	policy->rules = grown;
	rule = &policy->rules[policy->count++];
	*rule = (struct policy_rule){.verdict = verdict, .line = reader->line};
	rule->windows.count = WINDOWS_PER_LEASE;
	rule->windows.size = UINT64_MAX;
	rule->name = strdup(name);
	rule->file = strdup(reader->file);
	return rule->name && rule->file ? 0 : -ENOMEM;
}

/* TEXT is a line that begins with "[". inih says nothing of sections without keys, and does not tell two of one name apart. */
static int begin_section(struct reader *reader, char *text)
{
	char *end = strchr(text, ']'), *rest;

	text[strcspn(text, "\r\n")] = '\0';
	if (!end)
		return complain(reader, "a section without its ]", text);
	rest = end + 1 + strspn(end + 1, " \t");
	if (*rest != '\0' && *rest != ';' && *rest != '#')
		return complain(reader, "nothing may follow a section, but here is", rest);
	*end = '\0';
	reader->in_section = true;
	return begin_rule(reader, text + 1);
}

/*
 * Gives inih the next line and counts it: its handler is not told the number. Without its indentation, which would make
 * it part of the line before.
 */
static char *read_line(char *buffer, int size, void *stream)
{
	struct reader *reader = stream;
	size_t length;

	if (*reader->text == '\0' || reader->result != 0)
		return NULL;
	reader->line++;
	reader->text += strspn(reader->text, " \t");
	length = strcspn(reader->text, "\n");
	length += reader->text[length] == '\n';
	snprintf(buffer, (size_t)size, "%.*s", (int)length, reader->text);
	if (length > (size_t)size - 1) {
		reader->result = complain(reader, "line too long, it begins with", buffer);
		return NULL;
	}
	reader->text += length;
	if (*buffer == '[') {
		reader->result = begin_section(reader, buffer);
		/* Nothing of it is left for inih, whose sections are not used. */
		strcpy(buffer, "\n");
	}
	return buffer;
}

static int add_values(struct reader *reader, const struct key *key, const char *value)
{
	struct policy_rule *rule = &reader->policy->rules[reader->policy->count - 1];
	char *copy = strdup(value), *rest = copy;
	size_t added = 0;
	int r = copy ? 0 : -ENOMEM;

	if (r == 0 && value[strspn(value, " \t")] == '\0')
		r = complain(reader, "no value for", key->name);
	for (char *word; r == 0 && (word = strsep(&rest, " \t"));) {
		if (*word == '\0')
			continue;
		if (key->single && added++ > 0)
			r = complain(reader, "one value is enough, here is another:", word);
		else
			r = key->add(reader, rule, word);
	}
	free(copy);
	return r;
}

/* inih calls this for each "name = value". Returns 1, or 0 to report an error. */
static int on_key(void *userdata, const char *section, const char *name, const char *value)
{
	struct reader *reader = userdata;

	(void)section;
	if (reader->result != 0)
		return 0;
	if (!reader->in_section) {
		reader->result = complain(reader, "a key outside of any section:", name);
		return 0;
	}
	for (size_t i = 0; i < sizeof keys / sizeof *keys && reader->result == 0; i++) {
		if (strcmp(name, keys[i].name) == 0) {
			reader->result = add_values(reader, &keys[i], value);
			return reader->result == 0;
		}
	}
	if (reader->result == 0)
		reader->result = complain(reader, "unknown key", name);
	return 0;
}

/* A rule that says nothing about devices or about people is a mistake, not a rule for all. */
static int rules_complete(const struct policy *policy, size_t first, struct policy_error *error)
{
	for (size_t i = first; i < policy->count; i++) {
		const struct policy_rule *rule = &policy->rules[i];
		bool devices = rule->addresses.count + rule->device_ids.count + rule->classes.count > 0;
		bool people = rule->users.given || rule->groups.given || rule->units.count > 0;

		if (devices && people)
			continue;
		snprintf(error->text, sizeof error->text, "%s:%u: rule \"%.60s\" lacks %s", rule->file, rule->line,
			rule->name, devices ? "user, group or unit" : "address, id or class");
		return -EINVAL;
	}
	return 0;
}

int policy_read(struct policy *policy, const char *name, const char *text, struct policy_error *ret_error)
{
	struct reader reader = {.policy = policy, .file = name, .text = text, .error = ret_error};
	size_t first = policy->count;
	int line = ini_parse_stream(read_line, &reader, on_key, &reader);

	if (reader.result == -ENOMEM || line == -2) {
		snprintf(ret_error->text, sizeof ret_error->text, "%s: out of memory", name);
		return -ENOMEM;
	}
	if (reader.result != 0)
		return reader.result;
	if (line != 0) {
		snprintf(ret_error->text, sizeof ret_error->text, "%s:%d: neither [section] nor key = value", name,
			line);
		return -EINVAL;
	}
	return rules_complete(policy, first, ret_error);
}

/* ---- files ---- */

/* The whole of a file as a string, for the caller to free. NULL and errno if that fails. */
static char *file_text(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;
	ssize_t length;

	if (!file)
		return NULL;
	length = getdelim(&text, &size, '\0', file);
	if (length < 0 && !ferror(file)) {
		free(text);
		text = strdup("");
	} else if (length < 0 || strlen(text) != (size_t)length) {
		/* What follows a NUL could be the rule that denies. */
		int error = length < 0 ? errno : EINVAL;

		free(text);
		text = NULL;
		errno = error;
	}
	fclose(file);
	return text;
}

/* One policy file: its name, and the directory that it is taken from. */
struct found_file {
	char *name;
	const char *directory;
};

struct found_files {
	struct found_file *files;
	size_t count;
};

static bool found_already(const struct found_files *found, const char *name)
{
	for (size_t i = 0; i < found->count; i++) {
		if (strcmp(found->files[i].name, name) == 0)
			return true;
	}
	return false;
}

static int found_add(struct found_files *found, const char *directory, const char *name)
{
	struct found_file *grown = reallocarray(found->files, found->count + 1, sizeof *grown);

	if (!grown)
		return -ENOMEM;
	found->files = grown;
	found->files[found->count] = (struct found_file){strdup(name), directory};
	return found->files[found->count].name ? (found->count++, 0) : -ENOMEM;
}

static int find_files(const char *directory, struct found_files *found)
{
	DIR *dir = opendir(directory);
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	for (const struct dirent *entry; r == 0 && (entry = readdir(dir));) {
		if (fnmatch("*.conf", entry->d_name, FNM_PERIOD) == 0 && !found_already(found, entry->d_name))
			r = found_add(found, directory, entry->d_name);
	}
	closedir(dir);
	return r;
}

static int by_name(const void *a, const void *b)
{
	const struct found_file *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int read_file(struct policy *policy, const struct found_file *file, struct policy_error *error)
{
	char path[512];
	char *text;
	int r;

	snprintf(path, sizeof path, "%s/%s", file->directory, file->name);
	text = file_text(path);
	if (!text) {
		r = -errno;
		snprintf(error->text, sizeof error->text, "%.200s: %s", path, strerror(-r));
		return r;
	}
	r = policy_read(policy, path, text, error);
	free(text);
	return r;
}

int policy_load(const char *const *directories, struct policy **ret_policy, struct policy_error *ret_error)
{
	struct policy *policy = calloc(1, sizeof *policy);
	struct found_files found = {0};
	int r = policy ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && directories[i]; i++) {
		r = find_files(directories[i], &found);
		if (r < 0)
			snprintf(ret_error->text, sizeof ret_error->text, "%s: %s", directories[i], strerror(-r));
	}
	if (found.count > 0)
		qsort(found.files, found.count, sizeof *found.files, by_name);
	for (size_t i = 0; r == 0 && i < found.count; i++)
		r = read_file(policy, &found.files[i], ret_error);
	for (size_t i = 0; i < found.count; i++)
		free(found.files[i].name);
	free(found.files);
	if (r < 0) {
		policy_free(policy);
		return r;
	}
	*ret_policy = policy;
	return 0;
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	for (size_t i = 0; i < policy->count; i++) {
		struct policy_rule *rule = &policy->rules[i];

		free(rule->name);
		free(rule->file);
		words_clear(&rule->addresses);
		words_clear(&rule->device_ids);
		words_clear(&rule->classes);
		words_clear(&rule->units);
		free(rule->users.ids);
		free(rule->groups.ids);
	}
	free(policy->rules);
	free(policy);
}

/* ---- deciding ---- */

static bool device_id_fits(const char *pattern, const struct host_device *device)
{
	const char *colon = strchr(pattern, ':');

	return (*pattern == '*' || strtoul(pattern, NULL, 16) == device->vendor) &&
		(colon[1] == '*' || strtoul(colon + 1, NULL, 16) == device->device);
}

static bool device_fits(const struct policy_rule *rule, const struct host_device *device)
{
	char class[16];

	for (size_t i = 0; i < rule->addresses.count; i++) {
		if (strcmp(rule->addresses.words[i], "*") == 0 || strcmp(rule->addresses.words[i], device->name) == 0)
			return true;
	}
	for (size_t i = 0; i < rule->device_ids.count; i++) {
		if (device_id_fits(rule->device_ids.words[i], device))
			return true;
	}
	snprintf(class, sizeof class, "%06x", device->class);
	for (size_t i = 0; i < rule->classes.count; i++) {
		const char *word = rule->classes.words[i];

		if (*word == '*' || strncasecmp(class, word, strlen(word)) == 0)
			return true;
	}
	return false;
}

static bool group_fits(const struct policy_rule *rule, const struct peer *peer)
{
	for (size_t i = 0; i < peer->groups_count; i++) {
		if (ids_fit(&rule->groups, peer->groups[i]))
			return true;
	}
	return ids_fit(&rule->groups, peer->gid);
}

/* An unknown unit (peer.c) may be any: it cannot be what allows something, nor a way around what denies it. */
static bool unit_fits(const struct policy_rule *rule, const struct peer *peer)
{
	if (!peer->unit)
		return rule->verdict == POLICY_DENY;
	for (size_t i = 0; i < rule->units.count; i++) {
		if (fnmatch(rule->units.words[i], peer->unit, 0) == 0)
			return true;
	}
	return false;
}

static bool peer_fits(const struct policy_rule *rule, const struct peer *peer)
{
	if (rule->users.given && !ids_fit(&rule->users, peer->uid))
		return false;
	if (rule->groups.given && !group_fits(rule, peer))
		return false;
	return rule->units.count == 0 || unit_fits(rule, peer);
}

const struct policy_rule *policy_decide(
	const struct policy *policy, const struct host_device *device, const struct peer *peer)
{
	for (size_t i = 0; i < policy->count; i++) {
		if (device_fits(&policy->rules[i], device) && peer_fits(&policy->rules[i], peer))
			return &policy->rules[i];
	}
	return NULL;
}
