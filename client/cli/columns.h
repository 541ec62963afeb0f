/* SPDX-License-Identifier: MIT */
#ifndef COLUMNS_H
#define COLUMNS_H

#include <stddef.h>

/* A table for people: cells are collected row by row, then printed with each column as wide as its widest cell. */
struct columns;

/* HEADS: the first row, COUNT constant strings. NULL without memory; all functions take NULL. For columns_free(). */
struct columns *columns_new(size_t count, const char *const *heads);
void columns_free(struct columns *columns);

/* Adds the next cell of the current row, or the first of the next row. An empty cell is printed as "-". */
void columns_cell(struct columns *columns, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints all rows on stdout, whatever is not printable ASCII as '?'. Returns 0 or -ENOMEM: a cell was lost before. */
int columns_print(const struct columns *columns);

#endif
