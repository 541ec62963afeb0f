/* SPDX-License-Identifier: MIT */
#include "interface.h"

#include <dirent.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_up(const struct view *view, const char *name)
{
	char path[VIEW_PATH_SIZE], text[32];

	view_line(view_path(view, path, "/sys/class/net/%s/flags", name), text, sizeof text);
	return strtoul(text, NULL, 16) & IFF_UP;
}

/* "Iface Destination Gateway Flags RefCnt Use Metric Mask ..." */
static bool is_default_route(const char *line, const char *name)
{
	char interface[IF_NAMESIZE], destination[16], mask[16];

	return sscanf(line, "%15s %15s %*s %*s %*s %*s %*s %15s", interface, destination, mask) == 3 &&
		strcmp(interface, name) == 0 && strcmp(destination, "00000000") == 0 && strcmp(mask, "00000000") == 0;
}

/* "destination length source length gateway metric references use flags interface"; the routes of lo are none. */
static bool is_default_route6(const char *line, const char *name)
{
	char interface[IF_NAMESIZE], length[8];

	return sscanf(line, "%*s %7s %*s %*s %*s %*s %*s %*s %*s %15s", length, interface) == 2 &&
		strcmp(interface, name) == 0 && strcmp(length, "00") == 0;
}

static bool has_route(
	const struct view *view, const char *table, bool (*fits)(const char *, const char *), const char *name)
{
	char path[VIEW_PATH_SIZE], line[512];
	FILE *file = fopen(view_path(view, path, "/proc/net/%s", table), "re");
	bool found = false;

	while (file && !found && fgets(line, sizeof line, file))
		found = fits(line, name);
	if (file)
		fclose(file);
	return found;
}

/* The interface above: "master" is the bridge or bond, "upper_NAME" is a VLAN, too. */
static bool find_upper(const struct view *view, const char *name, char upper[IF_NAMESIZE])
{
	char path[VIEW_PATH_SIZE];
	DIR *folder;
	struct dirent *entry;
	bool found = view_link(view_path(view, path, "/sys/class/net/%s/master", name), upper, IF_NAMESIZE);

	if (found)
		return true;
	folder = opendir(view_path(view, path, "/sys/class/net/%s", name));
	while (folder && !found && (entry = readdir(folder))) {
		found = strncmp(entry->d_name, "upper_", 6) == 0;
		if (found)
			snprintf(upper, IF_NAMESIZE, "%.15s", entry->d_name + 6);
	}
	if (folder)
		closedir(folder);
	return found;
}

static int inspect(const struct view *view, const char *name, struct facts *facts)
{
	char addresses[80], upper[IF_NAMESIZE] = "";
	bool up = is_up(view, name), above = find_upper(view, name, upper), routes;
	int r = view->addresses(name, addresses, sizeof addresses);

	if (r < 0)
		return r;
	routes = has_route(view, "route", is_default_route, name) ||
		has_route(view, "ipv6_route", is_default_route6, name);
	if (up || above || routes || addresses[0])
		facts_add(facts, "%s is %s%s%s%s%s", name, up ? "up" : "down", above ? ", below " : "", upper,
			addresses, routes ? ", default route" : "");
	return 0;
}

int interface_inspect(const struct view *view, const struct parts *parts, struct facts *facts)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < parts->count; i++) {
		if (parts->parts[i].kind == PART_INTERFACE)
			r = inspect(view, parts->parts[i].name, facts);
	}
	if (parts->hidden_interfaces > 0)
		facts_add(facts, "its network interface is in another network namespace");
	return r;
}
