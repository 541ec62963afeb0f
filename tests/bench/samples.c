/* SPDX-License-Identifier: MIT */
#include "samples.h"

#include "figure.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void samples_add(struct samples *samples, uint64_t ns)
{
	if (samples->count == samples->room) {
		samples->room = samples->room ? 2 * samples->room : 4096;
		samples->ns = reallocarray(samples->ns, samples->room, sizeof *samples->ns);
		if (!samples->ns)
			die("out of memory");
	}
	samples->ns[samples->count++] = ns;
}

void samples_clear(struct samples *samples)
{
	free(samples->ns);
	*samples = (struct samples){0};
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

double samples_quantile(struct samples *samples, double fraction)
{
	if (samples->count == 0)
		return 0;
	qsort(samples->ns, samples->count, sizeof *samples->ns, compare);
	return (double)samples->ns[(size_t)(fraction * (double)(samples->count - 1))] / 1000;
}

static int compare_numbers(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(const double *values, size_t count)
{
	double *sorted = calloc(count, sizeof *sorted), middle;

	if (!sorted)
		die("out of memory");
	memcpy(sorted, values, count * sizeof *sorted);
	qsort(sorted, count, sizeof *sorted, compare_numbers);
	middle = sorted[count / 2];
	free(sorted);
	return middle;
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void run_chunk(const struct runner *runner, size_t chunk, struct samples *samples)
{
	for (size_t i = 0; i < chunk; i++) {
		uint64_t start = now_ns();

		runner->run(runner->context);
		if (samples)
			samples_add(samples, now_ns() - start);
		if (runner->settle)
			runner->settle(runner->context);
	}
}

void race(const struct runner *a, const struct runner *b, size_t rounds, size_t chunk, struct samples *a_samples,
	struct samples *b_samples)
{
	for (size_t round = 0; round <= rounds; round++) {
		run_chunk(a, chunk, round > 0 ? a_samples : NULL);
		run_chunk(b, chunk, round > 0 ? b_samples : NULL);
	}
}

void race_all(const struct runner *const *runners, struct samples *samples, size_t count, size_t rounds, size_t chunk)
{
	for (size_t round = 0; round <= rounds; round++) {
		for (size_t i = 0; i < count; i++)
			run_chunk(runners[i], chunk, round > 0 ? &samples[i] : NULL);
	}
}
