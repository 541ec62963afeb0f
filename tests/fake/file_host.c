/* SPDX-License-Identifier: MIT */
#include "fdset.h"
#include "host/host.h"
#include "host/host_choice.h"
#include "table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/*
 * A host made of a directory ($FAKE_HOST), so that its state outlives a killed broker as the kernel's does:
 *
 * 	devices/NAME/ids	"1234 11e8 00ff00 5": vendor, device, class, IOMMU group ("-": none)
 * 	devices/NAME/driver	name of the driver that has it; missing or empty: none
 * 	devices/NAME/override	driver_override; missing or empty: none
 * 	devices/NAME/answers	if it says "no", the configuration space reads all ones
 * 	devices/NAME/resets	if it says "no", there is no way to reset the device
 * 	drivers/NAME		there is such a driver
 * 	groups/N		the VFIO group node; its content is the fake kernel's
 * 	window			the control node of vfio_window; missing: the module is not loaded
 *
 * The rules are the kernel's: bind fails for an unknown driver, for a device that has one (EBUSY), and against
 * another driver_override (ENODEV); unbind fails for a driver that has not got the device (ENODEV); a group can be
 * open once (EBUSY).
 */

static const char *root(void)
{
	const char *directory = getenv("FAKE_HOST");

	return directory ? directory : "/nonexistent";
}

static void path_of(char *path, size_t size, const char *name, const char *file)
{
	snprintf(path, size, "%s/devices/%s/%s", root(), name, file);
}

static int text_read(const char *name, const char *file, char *text, size_t size)
{
	char path[512];
	OWNED_FD fd = -1;
	ssize_t length;

	path_of(path, sizeof path, name, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, size - 1);
	text[length < 0 ? 0 : length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return length < 0 ? -ENODEV : 0;
}

static int text_write(const char *name, const char *file, const char *text)
{
	char path[512];
	OWNED_FD fd = -1;

	path_of(path, sizeof path, name, file);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -ENODEV;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int fake_look(const char *name, struct host_device *ret_device)
{
	struct host_device d = {0};
	unsigned int vendor, device, class;
	char text[128], group[16];
	int r = text_read(name, "ids", text, sizeof text);

	if (r < 0)
		return r;
	if (sscanf(text, "%x %x %x %15s", &vendor, &device, &class, group) != 4)
		return -EINVAL;
	snprintf(d.name, sizeof d.name, "%s", name);
	d.vendor = (uint16_t)vendor;
	d.device = (uint16_t)device;
	d.class = class;
	d.group = *group == '-' ? GROUP_NONE : (uint32_t)strtoul(group, NULL, 10);
	text_read(name, "driver", d.driver, sizeof d.driver);
	*ret_device = d;
	return 0;
}

static int fake_enumerate(host_found found, void *context)
{
	char path[512];
	DIR *dir;

	snprintf(path, sizeof path, "%s/devices", root());
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
	snprintf(path, sizeof path, "%s/devices", root());
	return sd_event_add_inotify(event, NULL, path, IN_MOVED_TO | IN_MOVED_FROM, on_inotify, NULL) < 0 ? -EIO : 0;
}

static int fake_probe(const char *name, uint32_t *ret_ids)
{
	struct host_device device;
	char text[16];
	int r = fake_look(name, &device);

	if (r < 0)
		return r;
	text_read(name, "answers", text, sizeof text);
	*ret_ids = strcmp(text, "no") == 0 ? UINT32_MAX : device.vendor | (uint32_t)device.device << 16;
	return 0;
}

static int fake_resettable(const char *name)
{
	char text[16];

	text_read(name, "resets", text, sizeof text);
	return strcmp(text, "no") != 0;
}

static int fake_override_get(const char *name, char ret_driver[DRIVER_NAME_SIZE])
{
	text_read(name, "override", ret_driver, DRIVER_NAME_SIZE);
	return 0;
}

static int fake_override_set(const char *name, const char *driver)
{
	return text_write(name, "override", driver);
}

static int fake_driver_unbind(const char *name, const char *driver)
{
	struct host_device device;
	int r = fake_look(name, &device);

	if (r < 0 || strcmp(device.driver, driver) != 0)
		return -ENODEV;
	return text_write(name, "driver", "");
}

static int fake_driver_bind(const char *name, const char *driver)
{
	char path[512], override[DRIVER_NAME_SIZE];
	struct host_device device;

	snprintf(path, sizeof path, "%s/drivers/%s", root(), driver);
	if (access(path, F_OK) < 0)
		return -ENOENT;
	if (fake_look(name, &device) < 0)
		return -ENODEV;
	if (device.driver[0])
		return -EBUSY;
	text_read(name, "override", override, sizeof override);
	if (override[0] && strcmp(override, driver) != 0)
		return -ENODEV;
	return text_write(name, "driver", driver);
}

static int fake_group_open(uint32_t group)
{
	/* The lock belongs to the open file and goes with its fd to the keeper, as a group's exclusiveness does. */
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[512];
	OWNED_FD fd = -1;

	snprintf(path, sizeof path, "%s/groups/%u", root(), group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return -EBUSY;
	return fd_take(&fd);
}

static int fake_window_open(void)
{
	char path[512];
	int fd;

	snprintf(path, sizeof path, "%s/window", root());
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static const struct host host_fake = {
	.enumerate = fake_enumerate,
	.subscribe = fake_watch,
	.read = fake_look,
	.read_ids = fake_probe,
	.resettable = fake_resettable,
	.override_get = fake_override_get,
	.override_set = fake_override_set,
	.driver_unbind = fake_driver_unbind,
	.driver_bind = fake_driver_bind,
	.group_open = fake_group_open,
	.window_open = fake_window_open,
};

const struct host *host_choice(void)
{
	return &host_fake;
}
