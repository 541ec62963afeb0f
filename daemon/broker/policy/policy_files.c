/* SPDX-License-Identifier: MIT */
#include "policy/policy_files.h"

#include "policy/policy.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum file_kind {
	FILE_TEXT,
	FILE_MASK, /* /dev/null: no rules, and hides files of the same name */
	FILE_OTHER,
};

static enum file_kind kind_of(const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return FILE_TEXT;
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3) ? FILE_MASK : FILE_OTHER;
}

/* The whole of STREAM as a string, for the caller to free. NULL and errno on failure. */
static char *stream_text(FILE *stream)
{
	char *text = NULL;
	size_t size = 0;
	ssize_t length = getdelim(&text, &size, '\0', stream);
	int error = EBADMSG;

	if (length < 0 && !ferror(stream)) {
		free(text);
		return strdup("");
	}
	/* The text after a NUL could be the rule that denies. */
	if (length >= 0 && strlen(text) == (size_t)length)
		return text;
	if (length < 0)
		error = errno;
	free(text);
	errno = error;
	return NULL;
}

/*
 * The whole of a file as a string, for the caller to free. NULL and errno on failure: ENOTSUP for a FIFO, a socket, a
 * device or a directory. To open a FIFO would wait for a writer, and to open a device may do anything.
 */
static char *file_text(const char *path)
{
	struct stat st;
	char *text = NULL;
	FILE *stream;

	if (stat(path, &st) < 0)
		return NULL;
	if (kind_of(&st) == FILE_MASK)
		return strdup("");
	if (kind_of(&st) == FILE_OTHER) {
		errno = ENOTSUP;
		return NULL;
	}
	stream = fopen(path, "re");
	if (!stream)
		return NULL;
	/* The name may stand for something else by now. */
	if (fstat(fileno(stream), &st) == 0 && kind_of(&st) == FILE_TEXT)
		text = stream_text(stream);
	else
		errno = ENOTSUP;
	fclose(stream);
	return text;
}

bool policy_file_name(const char *name)
{
	return fnmatch("*.conf", name, FNM_PERIOD) == 0;
}

/* One policy file: the name, and the directory of the file. */
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
		if (policy_file_name(entry->d_name) && !found_already(found, entry->d_name))
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

/* PATH is named like a policy file, and is none. */
static int warn_of_kind(struct policy *policy, const char *path)
{
	const char *kind = "this";
	char text[512];
	struct stat st;

	if (stat(path, &st) == 0)
		kind = S_ISFIFO(st.st_mode)    ? "a FIFO"
			: S_ISSOCK(st.st_mode) ? "a socket"
			: S_ISDIR(st.st_mode)  ? "a directory"
					       : "a device";
	snprintf(text, sizeof text, "%s: skipped, because %s is no policy file, which is a regular file", path, kind);
	return words_add(&policy->warnings, text);
}

#define HINT_SIZE 320

/* Why the service fails to open PATH although an administrator can. Returns WHERE. */
static const char *hint(const char *path, int error, char where[HINT_SIZE])
{
	char target[200];
	ssize_t length = error == -ENOENT || error == -EACCES ? readlink(path, target, sizeof target) : -1;

	where[0] = '\0';
	if (length > 0)
		snprintf(where, HINT_SIZE,
			" where the link points to, %.*s; the service sees files below " SYSCONFDIR
			"/vfio-broker, " RUNDIR "/policy.d and /usr alone",
			(int)length, target);
	else if (error == -EACCES && geteuid() == 0)
		snprintf(where, HINT_SIZE,
			"; the service is root without capabilities, so root has to own the file, "
			"or everybody may read it");
	return where;
}

int policy_read_file(struct policy *policy, const char *path, struct policy_error *ret_error)
{
	char *text = file_text(path), where[HINT_SIZE];
	int r;

	if (!text && errno == ENOTSUP)
		return warn_of_kind(policy, path);
	if (!text) {
		r = -errno;
		*ret_error = (struct policy_error){0};
		snprintf(ret_error->text, sizeof ret_error->text, "%s: %s%s", path,
			r == -EBADMSG ? "not a text: it holds a NUL" : strerror(-r), hint(path, r, where));
		return r;
	}
	r = policy_read(policy, path, text, ret_error);
	free(text);
	return r;
}

int policy_each(const char *const *directories, policy_visitor visit, void *context, struct policy_error *ret_error)
{
	struct found_files found = {0};
	char path[400];
	int r = 0;

	for (size_t i = 0; r == 0 && directories[i]; i++) {
		r = find_files(directories[i], &found);
		if (r < 0)
			snprintf(ret_error->text, sizeof ret_error->text, "%s: %s", directories[i], strerror(-r));
	}
	if (found.count > 0)
		qsort(found.files, found.count, sizeof *found.files, by_name);
	for (size_t i = 0; r == 0 && i < found.count; i++) {
		snprintf(path, sizeof path, "%s/%s", found.files[i].directory, found.files[i].name);
		r = visit(context, path, ret_error);
	}
	for (size_t i = 0; i < found.count; i++)
		free(found.files[i].name);
	free(found.files);
	return r;
}

static int on_file(void *context, const char *path, struct policy_error *error)
{
	return policy_read_file(context, path, error);
}

int policy_load(const char *const *directories, struct policy **ret_policy, struct policy_error *ret_error)
{
	struct policy *policy = calloc(1, sizeof *policy);
	int r;

	if (!policy) {
		snprintf(ret_error->text, sizeof ret_error->text, "out of memory");
		return -ENOMEM;
	}
	r = policy_each(directories, on_file, policy, ret_error);
	if (r == 0 && (r = owners_read(&policy->owners, SUBUID_FILE)) < 0)
		snprintf(ret_error->text, sizeof ret_error->text, "%s: %s", SUBUID_FILE, strerror(-r));
	if (r < 0) {
		policy_free(policy);
		return r;
	}
	*ret_policy = policy;
	return 0;
}
