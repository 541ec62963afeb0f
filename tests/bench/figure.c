/* SPDX-License-Identifier: MIT */
#include "figure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIGURES_MAX 48

static struct figure figures[FIGURES_MAX];
static size_t figures_count;

void die(const char *format, ...)
{
	int error = errno;
	va_list arguments;

	fputs("bench: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "%s%s\n", error ? ": " : "", error ? strerror(error) : "");
	exit(EXIT_FAILURE);
}

struct figure figure_number(const char *name, const char *unit, double value, double target)
{
	return (struct figure){
		.name = name,
		.unit = unit,
		.value = {value, -1},
		.floor = NOT_MEASURED,
		.ratio = -1,
		.target = target,
	};
}

static struct spread spread_of(struct samples *samples)
{
	if (!samples || samples->count == 0)
		return NOT_MEASURED;
	return (struct spread){samples_quantile(samples, 0.5), samples_quantile(samples, 0.99)};
}

struct figure figure_durations(const char *name, struct samples *samples, struct samples *floor, double target)
{
	struct figure figure = {
		.name = name,
		.unit = "us",
		.decimals = 2,
		.value = spread_of(samples),
		.floor = spread_of(floor),
		.target = target,
		.target_is_ratio = true,
	};

	figure.ratio = floor ? figure.value.p50 / figure.floor.p50 : -1;
	return figure;
}

#define ROUNDS_MAX 128

struct figure figure_rounds(
	const char *name, const char *unit, const double *values, const double *floors, size_t count, double target)
{
	struct figure figure = figure_number(name, unit, median(values, count), target);
	double ratios[ROUNDS_MAX];

	if (count > ROUNDS_MAX)
		die("%s: more than %d rounds", name, ROUNDS_MAX);
	for (size_t i = 0; i < count; i++)
		ratios[i] = values[i] / floors[i];
	figure.floor = (struct spread){median(floors, count), -1};
	figure.ratio = median(ratios, count);
	figure.target_is_ratio = true;
	return figure;
}

void figure_add(const struct figure *figure)
{
	if (figures_count == FIGURES_MAX)
		die("more than %d figures", FIGURES_MAX);
	figures[figures_count++] = *figure;
}

/* ---- for people ---- */

static void print_value(double value, int decimals)
{
	if (value < 0)
		printf(" %8s", "-");
	else
		printf(" %8.*f", decimals, value);
}

static void print_spreads(const struct figure *figure)
{
	print_value(figure->value.p50, figure->decimals);
	print_value(figure->value.p99, figure->decimals);
	print_value(figure->floor.p50, 2);
	print_value(figure->floor.p99, 2);
	printf("  ");
}

/* Returns true if the target is met, or there is none. */
static bool print_target(const struct figure *figure)
{
	double reached = figure->target_is_ratio ? figure->ratio : figure->value.p50;
	bool met = figure->target < 0 || (figure->at_least ? reached >= figure->target : reached <= figure->target);

	if (figure->target >= 0)
		printf("  %s%-7g %s", figure->target_is_ratio ? "x" : " ", figure->target, met ? "met" : "MISSED");
	putchar('\n');
	if (figure->remark[0])
		printf("  # %s\n", figure->remark);
	return met;
}

size_t figure_table(void)
{
	size_t missed = 0;

	printf("%-28s %-6s ", "figure", "unit");
	printf(" %8s %8s %8s %8s  ", "p50", "p99", "floor50", "floor99");
	printf("%8s  %s\n", "ratio", "target");
	for (size_t i = 0; i < figures_count; i++) {
		const struct figure *figure = &figures[i];

		printf("%-28s %-6s ", figure->name, figure->unit);
		print_spreads(figure);
		print_value(figure->ratio, 3);
		missed += !print_target(figure);
	}
	return missed;
}

/* ---- for programs ---- */

static void json_value(FILE *file, const char *name, double value)
{
	if (value < 0)
		fprintf(file, ", \"%s\": null", name);
	else
		fprintf(file, ", \"%s\": %.4f", name, value);
}

int figure_json(const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return -1;
	fputs("[", file);
	for (size_t i = 0; i < figures_count; i++) {
		const struct figure *figure = &figures[i];

		fprintf(file, "%s\n  {\"name\": \"%s\"", i > 0 ? "," : "", figure->name);
		json_value(file, "value", figure->value.p50);
		fprintf(file, ", \"unit\": \"%s\"", figure->unit);
		json_value(file, "floor", figure->floor.p50);
		json_value(file, "ratio", figure->ratio);
		fputs("}", file);
	}
	fputs("\n]\n", file);
	return fclose(file) == 0 ? 0 : -1;
}
