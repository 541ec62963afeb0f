/* SPDX-License-Identifier: MIT */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

/* Durations in nanoseconds. Starts as {0}; owns its memory, samples_clear() frees it. */
struct samples {
	uint64_t *ns;
	size_t count, room;
};

void samples_add(struct samples *samples, uint64_t ns);
void samples_clear(struct samples *samples);

/* In microseconds; FRACTION 0.5 is the median. Sorts. 0 if there are none. */
double samples_quantile(struct samples *samples, double fraction);

/* Of COUNT numbers, which stay as they are. */
double median(const double *values, size_t count);

/* CLOCK_MONOTONIC */
uint64_t now_ns(void);

/* ---- two things measured against each other ---- */

/* What is timed, and what must happen after it without being timed (may be NULL). */
struct runner {
	void (*run)(void *context);
	void (*settle)(void *context);
	void *context;
};

/*
 * Runs A and B alternately, ROUNDS times CHUNK calls of each, so that whatever else the machine does meets both.
 * Their durations are added to the samples. The first round is for warming up and is not counted.
 */
void race(const struct runner *a, const struct runner *b, size_t rounds, size_t chunk, struct samples *a_samples,
	struct samples *b_samples);

/* The same with any number of them; SAMPLES has one for each of the COUNT runners. */
void race_all(const struct runner *const *runners, struct samples *samples, size_t count, size_t rounds, size_t chunk);

#endif
