/* SPDX-License-Identifier: MIT */
#include "columns.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct columns {
	size_t count; /* per row */
	size_t used;
	size_t size;
	char **cells; /* each owned; cells[i] is in column i % count */
	bool incomplete;
};

static void add(struct columns *columns, char *cell)
{
	if (columns->used == columns->size) {
		size_t size = columns->size ? columns->size * 2 : 64;
		char **cells = reallocarray(columns->cells, size, sizeof *cells);

		if (!cells) {
			columns->incomplete = true;
			free(cell);
			return;
		}
		columns->cells = cells;
		columns->size = size;
	}
	columns->cells[columns->used++] = cell;
}

struct columns *columns_new(size_t count, const char *const *heads)
{
	struct columns *columns = calloc(1, sizeof *columns);

	if (!columns)
		return NULL;
	columns->count = count;
	for (size_t i = 0; i < count; i++)
		columns_cell(columns, "%s", heads[i]);
	return columns;
}

void columns_free(struct columns *columns)
{
	if (!columns)
		return;
	for (size_t i = 0; i < columns->used; i++)
		free(columns->cells[i]);
	free(columns->cells);
	free(columns);
}

void columns_cell(struct columns *columns, const char *format, ...)
{
	va_list arguments;
	char *cell;
	int length;

	if (!columns)
		return;
	va_start(arguments, format);
	length = vasprintf(&cell, format, arguments);
	va_end(arguments);
	if (length < 0) {
		columns->incomplete = true;
		return;
	}
	for (char *c = cell; *c; c++) {
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	}
	add(columns, cell);
}

static const char *shown(const char *cell)
{
	return *cell ? cell : "-";
}

static size_t width(const struct columns *columns, size_t column)
{
	size_t widest = 0;

	for (size_t i = column; i < columns->used; i += columns->count) {
		size_t length = strlen(shown(columns->cells[i]));

		if (length > widest)
			widest = length;
	}
	return widest;
}

int columns_print(const struct columns *columns)
{
	size_t *widths;

	if (!columns || columns->incomplete)
		return -ENOMEM;
	widths = calloc(columns->count, sizeof *widths);
	if (!widths)
		return -ENOMEM;
	for (size_t column = 0; column < columns->count; column++)
		widths[column] = width(columns, column);
	for (size_t i = 0; i < columns->used; i++) {
		size_t column = i % columns->count;

		/* No blanks after the last one. */
		if (column == columns->count - 1)
			printf("%s\n", shown(columns->cells[i]));
		else
			printf("%-*s  ", (int)widths[column], shown(columns->cells[i]));
	}
	free(widths);
	return 0;
}
