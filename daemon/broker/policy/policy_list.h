/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_LIST_H
#define BROKER_POLICY_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* The lists in rules. Each function that adds returns 0 or -ENOMEM; an empty list is all zeroes. */

/* A list of owned strings. */
struct words {
	char **words;
	size_t count;
};

int words_add(struct words *list, const char *word);
void words_clear(struct words *list);

/* A uid or gid, and the name looked up (owned; NULL: the policy gives a number). */
struct id {
	unsigned int id;
	char *name;
};

/* A list of uids or gids; "any" stands for "*". */
struct ids {
	struct id *ids;
	size_t count;
	bool any;
	bool given;	      /* the rule has the key, be it only with "*" */
	struct words unknown; /* names that stand for nobody, and fit nobody */
};

int ids_add(struct ids *list, unsigned int id, const char *name);
bool ids_fit(const struct ids *list, unsigned int id);
void ids_clear(struct ids *list);

#endif
