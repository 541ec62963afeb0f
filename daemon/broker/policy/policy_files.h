/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_FILES_H
#define BROKER_POLICY_FILES_H

#include "policy/policy_text.h"

#include <stdbool.h>

/* Whether a file of the name is a policy file: "*.conf", and not hidden. */
bool policy_file_name(const char *name);

/*
 * Calls VISIT for each policy file of DIRECTORIES (ended by NULL, most important first), in the order of the files'
 * names: a file hides files of the same name in later directories (as systemd's drop-ins do). Directories may be
 * missing. Returns 0, the result of VISIT if not 0, or a negative errno with RET_ERROR filled in.
 */
typedef int (*policy_visitor)(void *context, const char *path, struct policy_error *error);
int policy_each(const char *const *directories, policy_visitor visit, void *context, struct policy_error *ret_error);

/*
 * Adds the rules of one file to POLICY, as policy_read() does. An empty file, or a link to /dev/null, has no rules. A
 * FIFO, a socket, a device or a directory is not opened, and named in POLICY->warnings.
 */
int policy_read_file(struct policy *policy, const char *path, struct policy_error *ret_error);

/* Reads all files of DIRECTORIES. Returns 0 and the policy (policy_free()), or a negative errno with RET_ERROR filled
 * in. */
int policy_load(const char *const *directories, struct policy **ret_policy, struct policy_error *ret_error);

#endif
