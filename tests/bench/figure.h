/* SPDX-License-Identifier: MIT */
#ifndef BENCH_FIGURE_H
#define BENCH_FIGURE_H

#include "samples.h"

#include <stdbool.h>
#include <stddef.h>

/* What one figure came to. Where a value is not measured, it is negative. */
struct spread {
	double p50, p99;
};

struct figure {
	const char *name;
	const char *unit;
	int decimals;
	struct spread value, floor; /* client and server are on one processor */
	double ratio;		    /* what the target is about, if it is a ratio */
	double target;		    /* what must not be exceeded; negative: none */
	bool target_is_ratio;	    /* the target is for the ratio, not for value.p50 */
	bool at_least;		    /* the target is what must be reached: a rate */
	char remark[96];	    /* for people */
};

#define NOT_MEASURED ((struct spread){-1, -1})

/* A figure that is one number: memory. */
struct figure figure_number(const char *name, const char *unit, double value, double target);

/* A figure of durations, in microseconds, and its floor, which may be NULL. */
struct figure figure_durations(const char *name, struct samples *samples, struct samples *floor, double target);

/* A figure of COUNT rounds, each a value and its floor, which is the neighbour in time: medians, and the median of the
 * rounds' own ratios. The target is for the ratio. */
struct figure figure_rounds(
	const char *name, const char *unit, const double *values, const double *floors, size_t count, double target);

/* Keeps a copy, for the two below. */
void figure_add(const struct figure *figure);

/* All figures as a table on stdout. Returns how many targets were missed. */
size_t figure_table(void);

/* All figures as an array of {name, value, unit, floor, ratio}: 0 or -1 with errno. */
int figure_json(const char *path);

/* Says what went wrong, with the errno if there is one, and exits with 1: a benchmark has nothing to fall back to. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
