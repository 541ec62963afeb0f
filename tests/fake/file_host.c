/* SPDX-License-Identifier: MIT */
#include "file_tree.h"
#include "host/host.h"
#include "host/host_choice.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* The broker's half of the host made of a directory (file_tree.h). */

static int fake_look(const char *name, struct host_device *ret_device)
{
	struct host_device d = {0};
	unsigned int vendor, device, class;
	char text[128], group[16];
	int r = tree_read(name, "ids", text, sizeof text);

	if (r < 0)
		return r;
	if (sscanf(text, "%x %x %x %15s", &vendor, &device, &class, group) != 4)
		return -EINVAL;
	snprintf(d.name, sizeof d.name, "%s", name);
	d.vendor = (uint16_t)vendor;
	d.device = (uint16_t)device;
	d.class = class;
	d.group = *group == '-' ? GROUP_NONE : (uint32_t)strtoul(group, NULL, 10);
	tree_read(name, "driver", d.driver, sizeof d.driver);
	tree_read(name, "physfn", d.physfn, sizeof d.physfn);
	d.vfio = strstr(d.driver, "vfio");
	*ret_device = d;
	return 0;
}

static int fake_enumerate(host_found found, void *context)
{
	char path[512];
	DIR *dir;

	snprintf(path, sizeof path, "%s/devices", tree_root());
	dir = opendir(path);
	if (!dir)
		return -errno;
	for (const struct dirent *entry; (entry = readdir(dir));) {
		struct host_device device;

		if (entry->d_name[0] != '.' && fake_look(entry->d_name, &device) == 0)
			found(context, &device);
	}
	closedir(dir);
	return 0;
}

static struct watch {
	host_changed changed;
	void *context;
} watch;

static int on_inotify(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	(void)source;
	(void)userdata;
	if (event->len > 0)
		watch.changed(watch.context, event->mask & (IN_CREATE | IN_MOVED_TO) ? HOST_ADDED : HOST_REMOVED,
			event->name);
	return 0;
}

/* A device is plugged in by moving its complete directory in, and unplugged by moving it out. */
static int fake_watch(sd_event *event, host_changed changed, void *context)
{
	char path[512];

	watch = (struct watch){changed, context};
	snprintf(path, sizeof path, "%s/devices", tree_root());
	return sd_event_add_inotify(event, NULL, path, IN_MOVED_TO | IN_MOVED_FROM, on_inotify, NULL) < 0 ? -EIO : 0;
}

static int fake_resettable(const char *name)
{
	char text[16];

	tree_read(name, "resets", text, sizeof text);
	if (strcmp(text, "bus") == 0)
		return RESET_METHOD_SHARED_BUS;
	return strcmp(text, "no") == 0 ? RESET_METHOD_NONE : RESET_METHOD_FUNCTION;
}

static bool fake_has_driver(const char *driver)
{
	char path[512];

	snprintf(path, sizeof path, "%s/drivers/%s", tree_root(), driver);
	return access(path, F_OK) == 0;
}

static const struct host host_fake = {
	.enumerate = fake_enumerate,
	.subscribe = fake_watch,
	.read = fake_look,
	.resettable = fake_resettable,
	.has_driver = fake_has_driver,
};

const struct host *host_choice(void)
{
	return &host_fake;
}
