/* SPDX-License-Identifier: MIT */
#include "parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* Of a USB controller, disk behind hub behind hub; and a backstop against a circle. */
#define DEPTH_MAX   24
#define FOLDERS_MAX 16384

static int walk(const struct view *view, const char *path, unsigned int depth, struct parts *parts);

static int add(struct parts *parts, enum part_kind kind, const char *name, dev_t number)
{
	struct part *part;

	if (parts->count == PARTS_MAX)
		return -E2BIG;
	part = &parts->parts[parts->count];
	*part = (struct part){.kind = kind, .number = number};
	if ((size_t)snprintf(part->name, sizeof part->name, "%s", name) >= sizeof part->name)
		return -E2BIG;
	parts->count++;
	/* A slash in the name of a node is an exclamation mark in sysfs. */
	for (char *c = part->name; kind != PART_INTERFACE && (c = strchr(c, '!'));)
		*c = '/';
	return 0;
}

/* The folder at PATH has a node if it has a file "dev". */
static int add_node(const char *path, const char *name, struct parts *parts)
{
	char file[VIEW_PATH_SIZE + 16], text[32], subsystem[32];
	unsigned int major, minor;
	enum part_kind kind = PART_CHARACTER;

	snprintf(file, sizeof file, "%s/dev", path);
	if (!view_line(file, text, sizeof text) || sscanf(text, "%u:%u", &major, &minor) != 2)
		return 0;
	snprintf(file, sizeof file, "%s/subsystem", path);
	view_link(file, subsystem, sizeof subsystem);
	if (strcmp(subsystem, "block") == 0) {
		snprintf(file, sizeof file, "%s/partition", path);
		kind = view_line(file, text, sizeof text) ? PART_PARTITION : PART_DISK;
	}
	return add(parts, kind, name, makedev(major, minor));
}

/* Of several paths to a disk, each is a hidden disk nvme0c1n1 without a node, and the disk itself, nvme0n1, is below
 * /sys/devices/virtual. */
static int walk_head(const struct view *view, const char *name, unsigned int depth, struct parts *parts)
{
	char path[VIEW_PATH_SIZE];
	unsigned int subsystem, controller, space;
	int length = 0;

	if (sscanf(name, "nvme%uc%un%u%n", &subsystem, &controller, &space, &length) != 3 || name[length] != '\0')
		return 0;
	return walk(view, view_path(view, path, "/sys/class/block/nvme%un%u", subsystem, space), depth, parts);
}

/* The folder "net" is there as long as there is an interface, in whatever namespace, and shows those of the first. */
static int add_interfaces(const char *path, struct parts *parts)
{
	size_t before = parts->count;
	DIR *folder = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!folder)
		return 0;
	while (r == 0 && (entry = readdir(folder))) {
		if (entry->d_name[0] != '.')
			r = add(parts, PART_INTERFACE, entry->d_name, 0);
	}
	closedir(folder);
	parts->hidden_interfaces += r == 0 && parts->count == before;
	return r;
}

static int walk_below(
	const struct view *view, const char *path, const char *name, unsigned int depth, struct parts *parts)
{
	char below[VIEW_PATH_SIZE];
	int r;

	if ((size_t)snprintf(below, sizeof below, "%s/%s", path, name) >= sizeof below || depth == DEPTH_MAX)
		return -E2BIG;
	if (strcmp(name, "net") == 0)
		return add_interfaces(below, parts);
	r = walk_head(view, name, depth + 1, parts);
	return r < 0 ? r : walk(view, below, depth + 1, parts);
}

/* Looks into the folder at PATH, and into those below; links lead elsewhere, and are left alone. */
static int walk(const struct view *view, const char *path, unsigned int depth, struct parts *parts)
{
	const char *slash = strrchr(path, '/');
	DIR *folder = opendir(path);
	struct dirent *entry;
	int r;

	if (!folder)
		return 0;
	r = ++parts->folders > FOLDERS_MAX ? -E2BIG : add_node(path, slash + 1, parts);
	while (r == 0 && (entry = readdir(folder))) {
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			r = walk_below(view, path, entry->d_name, depth, parts);
	}
	closedir(folder);
	return r;
}

int parts_find(const struct view *view, const char *name, struct parts *parts)
{
	char path[VIEW_PATH_SIZE], driver[PART_NAME_SIZE];

	*parts = (struct parts){.count = 0};
	if (!view_line(view_path(view, path, "/sys/bus/pci/devices/%s/vendor", name), driver, sizeof driver))
		return -ENODEV;
	return walk(view, view_path(view, path, "/sys/bus/pci/devices/%s", name), 0, parts);
}
