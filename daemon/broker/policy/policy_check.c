/* SPDX-License-Identifier: MIT */
#include "policy/policy_check.h"

#include "policy/policy.h"
#include "policy/policy_files.h"

#include <stdio.h>
#include <stdlib.h>

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
