/* SPDX-License-Identifier: MIT */
#include "opener.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *last_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The file was opened to be written to. */
static bool is_written(const struct view *view, const char *pid, const char *fd)
{
	char path[VIEW_PATH_SIZE], line[128];
	FILE *file = fopen(view_path(view, path, "/proc/%.16s/fdinfo/%.16s", pid, fd), "re");
	bool written = false;

	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, "flags:", 6) == 0)
			written = (strtoul(line + 6, NULL, 8) & O_ACCMODE) != O_RDONLY;
	}
	if (file)
		fclose(file);
	return written;
}

/*
 * The part that the descriptor is open on, or NULL. The link names the file without asking the file's file system;
 * only a file with the name of a part is looked at.
 */
static const struct part *open_part(const struct view *view, const struct parts *parts, const char *pid, const char *fd)
{
	char path[VIEW_PATH_SIZE], name[PART_NAME_SIZE];

	if (!view_link(view_path(view, path, "/proc/%.16s/fd/%.16s", pid, fd), name, sizeof name))
		return NULL;
	for (size_t i = 0; i < parts->count; i++) {
		const struct part *part = &parts->parts[i];
		bool block = part->kind != PART_CHARACTER;

		if (part->kind != PART_INTERFACE && strcmp(last_of(part->name), name) == 0 &&
			view->is_device(path, block ? S_IFBLK : S_IFCHR, part->number) &&
			(!block || is_written(view, pid, fd)))
			return part;
	}
	return NULL;
}

static void inspect_process(const struct view *view, const struct parts *parts, const char *pid, struct facts *facts)
{
	char path[VIEW_PATH_SIZE], name[32];
	DIR *folder = opendir(view_path(view, path, "/proc/%.16s/fd", pid));
	const struct part *part = NULL;
	struct dirent *entry;

	while (folder && !part && (entry = readdir(folder))) {
		if (isdigit((unsigned char)entry->d_name[0]))
			part = open_part(view, parts, pid, entry->d_name);
	}
	if (folder)
		closedir(folder);
	if (!part)
		return;
	view_line(view_path(view, path, "/proc/%.16s/comm", pid), name, sizeof name);
	facts_add(facts, "/dev/%.32s is open in %s (pid %s)", part->name, name, pid);
}

void opener_inspect(const struct view *view, const struct parts *parts, struct facts *facts)
{
	char path[VIEW_PATH_SIZE];
	struct dirent *entry;
	DIR *folder;

	if (parts->count == 0)
		return;
	folder = opendir(view_path(view, path, "/proc"));
	while (folder && (entry = readdir(folder))) {
		if (isdigit((unsigned char)entry->d_name[0]))
			inspect_process(view, parts, entry->d_name, facts);
	}
	if (folder)
		closedir(folder);
}
