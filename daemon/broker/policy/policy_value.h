/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_VALUE_H
#define BROKER_POLICY_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* Numbers as in policy files. False: WORD is no such number, and *RET_... is untouched. */

/* Decimal, below 2^32 - 1: to the kernel, 2^32 - 1 is the uid of nobody in particular. */
bool value_number(const char *word, unsigned int *ret_number);

/* Bytes: decimal, or hexadecimal after 0x; SUFFIXES: which of K, M and G may follow. *RET_END: the text behind the
 * number. */
bool value_bytes(const char *word, const char *suffixes, const char **ret_end, uint64_t *ret_bytes);

/* A time: decimal digits and ms, s, min, h or d. */
bool value_time(const char *word, uint64_t *ret_us);

/* The other way round, in the largest unit that divides the number. Return BUFFER. */
#define VALUE_TEXT_SIZE 32
const char *value_time_text(uint64_t microseconds, char buffer[VALUE_TEXT_SIZE]);
const char *value_bytes_text(uint64_t bytes, char buffer[VALUE_TEXT_SIZE]);

#endif
