/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_CHECK_H
#define BROKER_POLICY_CHECK_H

#include <stdbool.h>

/*
 * vfio-brokerd --check-policy: reads DIRECTORIES as the service would, and then each of FILES by itself (both ended by
 * NULL), and says on stdout and stderr what was found in which file. False: something is wrong.
 */
bool policy_check(const char *const *directories, const char *const *files);

/* The same for DIRECTORIES of the service itself: the place and the owner of each file count as well. */
bool policy_check_own(const char *const *directories);

/* Whether the service could open the file at PATH, as far as this user can see; says on stderr why not. */
bool policy_check_place(const char *path);

#endif
