/* SPDX-License-Identifier: MIT */
#include "policy/policy_check.h"

#include "policy/policy.h"
#include "policy/policy_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Whether the service may read a file of ST: root without capabilities is a user like any other. */
static bool is_readable(const struct stat *st)
{
	if (st->st_uid == 0)
		return st->st_mode & S_IRUSR;
	return st->st_mode & (st->st_gid == 0 ? S_IRGRP : S_IROTH);
}

/* What the service reads has to be below its own root (RootDirectory= of vfio-policy@.service). */
static bool is_visible(const char *path)
{
	static const char *const folders[] = {"/usr/", SYSCONFDIR "/vfio-broker/", RUNDIR "/policy.d/"};

	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		if (strncmp(path, folders[i], strlen(folders[i])) == 0)
			return true;
	}
	return strcmp(path, "/dev/null") == 0;
}

bool policy_check_place(const char *path)
{
	char *target = realpath(path, NULL);
	struct stat st;
	bool good = true;

	/* A file that this user cannot find, or look at, is a mistake of its own. */
	if (!target || stat(target, &st) < 0)
		return true;
	if (!is_visible(target)) {
		fprintf(stderr,
			"%s: a link to %s, where the service sees nothing: its root has " SYSCONFDIR
			"/vfio-broker, " RUNDIR "/policy.d and /usr\n",
			path, target);
		good = false;
	} else if (S_ISREG(st.st_mode) && !is_readable(&st)) {
		fprintf(stderr,
			"%s: the service may not read the file: it is root without capabilities, so root has "
			"to own the file, or everybody may read it\n",
			path);
		good = false;
	}
	free(target);
	return good;
}

static bool check_file(const char *path)
{
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error = {0};
	bool good = policy && policy_read_file(policy, path, &error) == 0;

	for (size_t i = 0; good && i < policy->warnings.count; i++)
		fprintf(stderr, "%s\n", policy->warnings.words[i]);
	if (good)
		printf("%s: %zu rules\n", path, policy->count);
	else
		fprintf(stderr, "%s\n", policy ? error.text : "out of memory");
	policy_free(policy);
	return good;
}

/* Goes on after a mistake: the administrator wants to know all mistakes, at least one of each file. */
static int on_file(void *context, const char *path, struct policy_error *error)
{
	bool *good = context;

	(void)error;
	*good &= check_file(path);
	return 0;
}

static int on_own_file(void *context, const char *path, struct policy_error *error)
{
	bool *good = context;

	*good &= policy_check_place(path);
	return on_file(context, path, error);
}

bool policy_check_own(const char *const *directories)
{
	struct policy_error error = {0};
	bool good = true;

	if (policy_each(directories, on_own_file, &good, &error) == 0)
		return good;
	fprintf(stderr, "%s\n", error.text);
	return false;
}

bool policy_check(const char *const *directories, const char *const *files)
{
	struct policy_error error = {0};
	bool good = true;

	if (policy_each(directories, on_file, &good, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		good = false;
	}
	for (size_t i = 0; files[i]; i++)
		good &= check_file(files[i]);
	return good;
}
