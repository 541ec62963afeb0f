/* SPDX-License-Identifier: MIT */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

/* A file system on LVM on dm-crypt on md on a partition: layers above a partition, and a backstop. */
#define LAYERS_MAX 8

/* Of a mount point, cut. */
#define TARGET_SIZE 72

/* A block device in words: "/dev/dm-0 (vg-srv)". */
#define LABEL_SIZE 96

static const char *label(const struct view *view, const char *name, char text[LABEL_SIZE])
{
	char path[VIEW_PATH_SIZE], known[48];

	if (view_line(view_path(view, path, "/sys/class/block/%s/dm/name", name), known, sizeof known))
		snprintf(text, LABEL_SIZE, "/dev/%.32s (%s)", name, known);
	else
		snprintf(text, LABEL_SIZE, "/dev/%.64s", name);
	return text;
}

/* A line of mountinfo ends with "- ext4 /dev/nvme0n1p1 rw". */
static bool is_source(const char *line, const char *name)
{
	const char *end = strstr(line, " - ");
	char source[PART_NAME_SIZE + 8];

	return end && sscanf(end, " - %*s %71s", source) == 1 && strncmp(source, "/dev/", 5) == 0 &&
		strcmp(source + 5, name) == 0;
}

/* A line of mountinfo is about the block device: by number; or by name, where a file system has a number of its own
 * (btrfs). Writes where it is mounted. */
static bool is_mount_of(const char *line, const char *name, dev_t number, char target[TARGET_SIZE])
{
	unsigned int major, minor;

	return sscanf(line, "%*u %*u %u:%u %*s %71s", &major, &minor, target) == 3 &&
		(makedev(major, minor) == number || is_source(line, name));
}

/* A file system is mounted in the namespace of process 1. */
static bool is_mounted(const struct view *view, const char *name, dev_t number, char target[TARGET_SIZE])
{
	char path[VIEW_PATH_SIZE], *line = NULL;
	FILE *file = fopen(view_path(view, path, "/proc/1/mountinfo"), "re");
	bool found = false;
	size_t room = 0;

	while (file && !found && getline(&line, &room, file) > 0)
		found = is_mount_of(line, name, number, target);
	free(line);
	if (file)
		fclose(file);
	return found;
}

static bool is_swap(const struct view *view, const char *name)
{
	char path[VIEW_PATH_SIZE], line[256], device[PART_NAME_SIZE + 8];
	FILE *file = fopen(view_path(view, path, "/proc/swaps"), "re");
	bool found = false;

	snprintf(device, sizeof device, "/dev/%s", name);
	while (file && !found && fgets(line, sizeof line, file)) {
		line[strcspn(line, " \t\n")] = '\0';
		found = strcmp(line, device) == 0;
	}
	if (file)
		fclose(file);
	return found;
}

static dev_t number_of(const struct view *view, const char *name)
{
	char path[VIEW_PATH_SIZE], text[32];
	unsigned int major, minor;

	view_line(view_path(view, path, "/sys/class/block/%s/dev", name), text, sizeof text);
	return sscanf(text, "%u:%u", &major, &minor) == 2 ? makedev(major, minor) : 0;
}

#define USE_SIZE 192

static bool find_use(const struct view *view, const char *name, dev_t number, unsigned int layer, char use[USE_SIZE]);

/* Another block device is made of this one: dm, md, bcache. */
static bool is_held(const struct view *view, const char *name, unsigned int layer, char use[USE_SIZE])
{
	char path[VIEW_PATH_SIZE], above[LABEL_SIZE];
	DIR *folder = opendir(view_path(view, path, "/sys/class/block/%s/holders", name));
	struct dirent *entry;
	bool found = false;

	while (folder && !found && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		found = true;
		/* What becomes of it says more. */
		if (layer == LAYERS_MAX ||
			!find_use(view, entry->d_name, number_of(view, entry->d_name), layer + 1, use))
			snprintf(use, USE_SIZE, "part of %s", label(view, entry->d_name, above));
	}
	if (folder)
		closedir(folder);
	return found;
}

static bool find_use(const struct view *view, const char *name, dev_t number, unsigned int layer, char use[USE_SIZE])
{
	char text[LABEL_SIZE], target[TARGET_SIZE];

	if (is_mounted(view, name, number, target))
		snprintf(use, USE_SIZE, "mounted on %s by %s", target, label(view, name, text));
	else if (is_swap(view, name))
		snprintf(use, USE_SIZE, "swap on %s", label(view, name, text));
	else
		return is_held(view, name, layer, use);
	return true;
}

/* What has no name above: a file system that is mounted in another namespace, a member of a pool. */
static int check_claim(const struct view *view, const struct part *disk, struct facts *facts)
{
	char path[VIEW_PATH_SIZE];
	int r = view->is_claimed(view_path(view, path, "/dev/%s", disk->name));

	if (r > 0)
		facts_add(facts, "somebody has /dev/%.32s exclusively: a pool, or a mount in another namespace",
			disk->name);
	return r < 0 ? r : 0;
}

int disk_inspect(const struct view *view, const struct parts *parts, struct facts *facts)
{
	char use[USE_SIZE];
	bool found = false;
	int r = 0;

	for (size_t i = 0; i < parts->count; i++) {
		const struct part *part = &parts->parts[i];

		if (part->kind != PART_DISK && part->kind != PART_PARTITION)
			continue;
		if (!find_use(view, part->name, part->number, 0, use))
			continue;
		found = true;
		/* "part of" is said of something. */
		if (strncmp(use, "part of", 7) == 0)
			facts_add(facts, "/dev/%.32s is %s", part->name, use);
		else
			facts_add(facts, "%s", use);
	}
	for (size_t i = 0; r == 0 && !found && i < parts->count; i++) {
		if (parts->parts[i].kind == PART_DISK)
			r = check_claim(view, &parts->parts[i], facts);
	}
	return r;
}
