/* SPDX-License-Identifier: MIT */
#ifndef LIB_DETAIL_H
#define LIB_DETAIL_H

#include "refusal.h"

/*
 * The particulars of the last failure in this thread, for vbroker_detail(). Every public function that can fail begins
 * with detail_clear(), so that the words of an older failure never stand beside a newer one.
 */

/* Empties the thread's detail and returns it, for refuse() and packet_refusal() to write to. Never NULL. */
struct detail *detail_clear(void);

/* The thread's detail as it is. */
const struct detail *detail_get(void);

/* Writes the thread's detail and returns RESULT, a refusal or a negative errno. */
int detail_set(int result, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
