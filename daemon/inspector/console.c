/* SPDX-License-Identifier: MIT */
#include "console.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* Consoles are bound to a driver whose name has WORDS. */
static bool is_bound(const struct view *view, const char *words)
{
	char path[VIEW_PATH_SIZE], name[64], bound[8];
	DIR *folder = opendir(view_path(view, path, "/sys/class/vtconsole"));
	struct dirent *entry;
	bool found = false;

	while (folder && !found && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		view_line(view_path(view, path, "/sys/class/vtconsole/%.32s/name", entry->d_name), name, sizeof name);
		view_line(view_path(view, path, "/sys/class/vtconsole/%.32s/bind", entry->d_name), bound, sizeof bound);
		found = strcmp(bound, "1") == 0 && strstr(name, words);
	}
	if (folder)
		closedir(folder);
	return found;
}

/* Which of several frame buffers has the console, the kernel does not say: each counts. */
static const struct part *frame_buffer(const struct parts *parts)
{
	unsigned int number;

	for (size_t i = 0; i < parts->count; i++) {
		if (parts->parts[i].kind == PART_CHARACTER && sscanf(parts->parts[i].name, "fb%u", &number) == 1)
			return &parts->parts[i];
	}
	return NULL;
}

void console_inspect(const struct view *view, const char *name, const struct parts *parts, struct facts *facts)
{
	const struct part *buffer = frame_buffer(parts);
	char path[VIEW_PATH_SIZE], boot[8];

	view_line(view_path(view, path, "/sys/bus/pci/devices/%s/boot_vga", name), boot, sizeof boot);
	if (buffer && is_bound(view, "frame buffer"))
		facts_add(facts, "%.16s shows the console", buffer->name);
	else if (strcmp(boot, "1") == 0 && is_bound(view, "VGA"))
		facts_add(facts, "it shows the console");
}
