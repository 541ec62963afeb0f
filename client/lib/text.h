/* SPDX-License-Identifier: MIT */
#ifndef LIB_TEXT_H
#define LIB_TEXT_H

#include "refusal.h"

#include <stddef.h>
#include <string.h>

/* refusal_printable() for a field that ends with a NUL or is full. */
static inline void text_copy(char *to, size_t size, const char *text, size_t length)
{
	refusal_printable(to, size, text, strnlen(text, length));
}

#endif
