/* SPDX-License-Identifier: MIT */
#ifndef TYPED_H
#define TYPED_H

#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>

/* What people type as values of options. */

/* "500ms", "5s", "2min" or "2m", "3h", "1d", "1w"; a bare number is seconds. At most LONGEST_MS. */
bool typed_duration(const char *text, uint64_t longest_ms, uint64_t *ret_ms);

/* A user's name or number. The entry of the user's in RET_ENTRY may be NULL: a number need not have one. It is valid until the next
 * getpw...(). */
bool typed_user(const char *text, uint32_t *ret_uid, const struct passwd **ret_entry);

#endif
