/* SPDX-License-Identifier: MIT */
#ifndef LIB_TEXT_H
#define LIB_TEXT_H

#include <stddef.h>

/*
 * Copies at most LENGTH bytes of a server's TEXT, up to its NUL, and ends them with a NUL; cuts what does not fit SIZE.
 * What is not printable ASCII becomes '?', because it will reach a terminal.
 */
static inline void text_copy(char *to, size_t size, const char *text, size_t length)
{
	size_t n = 0;

	for (; n < length && n + 1 < size && text[n] != '\0'; n++)
		to[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
	to[n] = '\0';
}

#endif
