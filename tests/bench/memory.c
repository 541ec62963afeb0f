/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include "figure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The mappings of one file, or of one kind of anonymous memory. */
struct mapping {
	char name[64];
	unsigned long pss, anonymous, rss;
};

#define MAPPINGS_MAX 128

struct mappings {
	struct mapping all[MAPPINGS_MAX];
	size_t count;
};

static struct mapping *mapping_get(struct mappings *mappings, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct mapping *mapping;

	for (size_t i = 0; i < mappings->count; i++) {
		if (strcmp(mappings->all[i].name, name) == 0)
			return &mappings->all[i];
	}
	if (mappings->count == MAPPINGS_MAX)
		die("more than %d mapped files", MAPPINGS_MAX);
	mapping = &mappings->all[mappings->count++];
	snprintf(mapping->name, sizeof mapping->name, "%s", name);
	return mapping;
}

static void mappings_read(struct mappings *mappings, pid_t pid)
{
	char path[64], line[512];
	struct mapping *mapping = NULL;
	FILE *file;

	mappings->count = 0;
	snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
	file = fopen(path, "re");
	if (!file)
		die("%s", path);
	while (fgets(line, sizeof line, file)) {
		char name[256] = "";
		unsigned long start, end, value;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %255s", &start, &end, name) >= 2)
			mapping = mapping_get(mappings, *name ? name : "(no file)");
		else if (!mapping)
			continue;
		else if (sscanf(line, "Rss: %lu", &value) == 1)
			mapping->rss += value;
		else if (sscanf(line, "Pss: %lu", &value) == 1)
			mapping->pss += value;
		else if (sscanf(line, "Anonymous: %lu", &value) == 1)
			mapping->anonymous += value;
	}
	fclose(file);
}

static int is_libc(const struct mapping *mapping)
{
	return strncmp(mapping->name, "libc.so.", 8) == 0 || strncmp(mapping->name, "ld-linux", 8) == 0 ||
		strcmp(mapping->name, "[vdso]") == 0;
}

static struct memory sum(const struct mappings *mappings)
{
	struct memory memory = {0};

	for (size_t i = 0; i < mappings->count; i++) {
		const struct mapping *mapping = &mappings->all[i];

		memory.pss += mapping->pss;
		memory.rss += mapping->rss;
		memory.anonymous += mapping->anonymous;
		memory.alone += is_libc(mapping) ? mapping->pss : mapping->rss;
	}
	return memory;
}

struct memory memory_read(pid_t pid)
{
	struct mappings mappings;

	mappings_read(&mappings, pid);
	return sum(&mappings);
}

static int by_rss(const void *a, const void *b)
{
	const struct mapping *x = a, *y = b;

	return (x->rss < y->rss) - (x->rss > y->rss);
}

void memory_print(const char *name, pid_t pid)
{
	struct mappings mappings;
	struct memory memory;

	mappings_read(&mappings, pid);
	memory = sum(&mappings);
	printf("# %s: PSS %lu KiB (/proc/PID/smaps, idle), of which %lu are in no file; RSS %lu;\n", name, memory.pss,
		memory.anonymous, memory.rss);
	printf("#   %lu if no other process had any of its files but libc mapped. Resident KiB (of them in no file):\n",
		memory.alone);
	qsort(mappings.all, mappings.count, sizeof mappings.all[0], by_rss);
	printf("#  ");
	for (size_t i = 0; i < mappings.count && mappings.all[i].rss > 0; i++)
		printf(" %s %lu (%lu)%s", mappings.all[i].name, mappings.all[i].rss, mappings.all[i].anonymous,
			i % 5 == 4 ? "\n#  " : "");
	putchar('\n');
}
