/* SPDX-License-Identifier: MIT */
#include "policy/policy_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int words_add(struct words *list, const char *word)
{
	char **grown = reallocarray(list->words, list->count + 1, sizeof *grown);

	if (!grown)
		return -ENOMEM;
	list->words = grown;
	list->words[list->count] = strdup(word);
	return list->words[list->count] ? (list->count++, 0) : -ENOMEM;
}

void words_clear(struct words *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->words[i]);
	free(list->words);
	*list = (struct words){0};
}

int ids_add(struct ids *list, unsigned int id, const char *name)
{
	struct id *grown = reallocarray(list->ids, list->count + 1, sizeof *grown);
	char *copy = name ? strdup(name) : NULL;

	if (grown)
		list->ids = grown;
	if (!grown || (name && !copy)) {
		free(copy);
		return -ENOMEM;
	}
	list->ids[list->count++] = (struct id){id, copy};
	return 0;
}

bool ids_fit(const struct ids *list, unsigned int id)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->ids[i].id == id)
			return true;
	}
	return list->any;
}

void ids_clear(struct ids *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->ids[i].name);
	free(list->ids);
	words_clear(&list->unknown);
	*list = (struct ids){0};
}
