/* SPDX-License-Identifier: MIT */
#ifndef INSPECTOR_FACTS_H
#define INSPECTOR_FACTS_H

#include "inspector_message.h"

#include <stdbool.h>

/* What the host does with a device: facts in words, the most important first. */
struct facts {
	char text[USE_TEXT_SIZE]; /* printable; empty: none */
};

/* Adds a fact, if there is room for all of it; the first is cut. Bytes that are not printable are shown as \xNN. */
void facts_add(struct facts *facts, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
