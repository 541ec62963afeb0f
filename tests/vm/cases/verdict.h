/* SPDX-License-Identifier: MIT */
#ifndef VERDICT_H
#define VERDICT_H

#include <stdbool.h>

/*
 * What a program of the cases has found out, as lines on its standard output: "ok - NAME", "not ok - NAME" and "# why",
 * or "skipped - NAME: why". Only the program's first process prints.
 */

extern int verdict_failures;

/* Returns @good. */
bool verdict(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The verdict is that @got is @expected; numbers below 0 are negative errno. */
bool verdict_is(const char *name, long got, long expected);

/* The verdict is that @got is some negative errno: which one, kernels do not agree about. */
bool verdict_refused(const char *name, long got);

void verdict_skip(const char *name, const char *why);

/* What cannot go wrong but did, with errno: a failure, and the end of the program. */
void verdict_die(const char *what) __attribute__((noreturn));

/* The result of a system call as it came, or a negative errno. */
long verdict_result(long result);

#endif
