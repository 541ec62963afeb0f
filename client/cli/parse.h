/* SPDX-License-Identifier: MIT */
#ifndef PARSE_H
#define PARSE_H

#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>

/* Values of options, as people type values. */

/* "500ms", "5s", "2min" or "2m", "3h", "1d", "1w"; a bare number is seconds. At most LONGEST_MS. */
bool parse_duration(const char *text, uint64_t longest_ms, uint64_t *ret_ms);

/* A user's name or number. The user's entry in RET_ENTRY may be NULL, because a number need not have an entry. The
 * entry is valid until the next getpw...(). */
bool parse_user(const char *text, uint32_t *ret_uid, const struct passwd **ret_entry);

#endif
