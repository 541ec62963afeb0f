/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_LIST_H
#define BROKER_POLICY_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* The lists that rules are made of. Each function that adds returns 0 or -ENOMEM; an empty list is all zeroes. */

/* A list of owned strings. */
struct words {
	char **words;
	size_t count;
};

int words_add(struct words *list, const char *word);
void words_clear(struct words *list);

/* A uid or gid, and the name that it was looked up by (owned; NULL: it was given as a number). */
struct id {
	unsigned int id;
	char *name;
};

/* A list of them; "any" stands for "*". */
struct ids {
	struct id *ids;
	size_t count;
	bool any;
	bool given; /* something was said about it, be it only "*" */
};

int ids_add(struct ids *list, unsigned int id, const char *name);
bool ids_fit(const struct ids *list, unsigned int id);
void ids_clear(struct ids *list);

#endif
