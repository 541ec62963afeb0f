/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_FILES_H
#define BROKER_POLICY_FILES_H

#include "policy_text.h"

/*
 * Reads all *.conf files of DIRECTORIES (ended by NULL, most important first): a file hides files of the same name in
 * later directories, an empty one or a link to /dev/null switches it off (as systemd's drop-ins do). Directories
 * may be missing. Returns 0 and the policy (policy_free()), or a negative errno with RET_ERROR filled in.
 */
int policy_load(const char *const *directories, struct policy **ret_policy, struct policy_error *ret_error);

#endif
