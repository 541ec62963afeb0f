/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_CHECK_H
#define BROKER_POLICY_CHECK_H

#include <stdbool.h>

/*
 * vfio-brokerd --check-policy: reads DIRECTORIES as the service would, and then each of FILES by itself (both ended by
 * NULL), and says on stdout and stderr what was found in which file. False: something is wrong.
 */
bool policy_check(const char *const *directories, const char *const *files);

#endif
