/* SPDX-License-Identifier: MIT */
#ifndef LIB_DETAIL_H
#define LIB_DETAIL_H

#include "refusal.h"

/*
 * The particulars of the last failure in this thread, for vbroker_detail(). Every public function with a failure to
 * report begins with detail_clear(), so that the text of an older failure never stands beside a newer result.
 */

/* Empties the thread's detail and returns the buffer, for refuse() and packet_refusal() to write to. Never NULL. */
struct detail *detail_clear(void);

/* The present detail of the thread. */
const struct detail *detail_get(void);

/* Writes the thread's detail and returns RESULT, a refusal or a negative errno. */
int detail_set(int result, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
