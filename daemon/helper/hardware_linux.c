/* SPDX-License-Identifier: MIT */
#include "fdset.h"
#include "hardware.h"
#include "sandbox.h"
#include "table.h"
#include "vfio_window.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * Device names and driver names have passed device_name_valid() and driver_name_valid() in the request table, and
 * driver_name_valid() again below. So no path below can leave the directory.
 */

/* Reads the start of a file below /sys/bus/pci/devices/NAME. Returns the length. */
static ssize_t attribute_read(const char *name, const char *attribute, void *buffer, size_t size)
{
	char path[256];
	OWNED_FD fd = -1;
	ssize_t length;

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/%s", name, attribute);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	length = read(fd, buffer, size);
	return length < 0 ? -errno : length;
}

static int file_write(const char *path, const char *text)
{
	OWNED_FD fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int linux_read_ids(const char *name, uint32_t ret_words[2])
{
	uint32_t words[2];
	ssize_t length = attribute_read(name, "config", words, sizeof words);

	if (length < 0)
		return (int)length;
	if (length < (ssize_t)sizeof words)
		return -EIO;
	memcpy(ret_words, words, sizeof words);
	return 0;
}

static int linux_override_get(const char *name, char ret_driver[DEVICE_NAME_SIZE])
{
	char text[DEVICE_NAME_SIZE];
	ssize_t length = attribute_read(name, "driver_override", text, sizeof text - 1);

	if (length < 0)
		return (int)length;
	text[length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	/* drivers/pci/pci-sysfs.c prints an unset override as "(null)". */
	snprintf(ret_driver, DEVICE_NAME_SIZE, "%s", strcmp(text, "(null)") == 0 ? "" : text);
	return 0;
}

static int linux_override_set(const char *name, const char *driver)
{
	char path[256], text[DEVICE_NAME_SIZE + 1];

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/driver_override", name);
	/* An empty line clears the override. */
	snprintf(text, sizeof text, "%s\n", driver);
	return file_write(path, text);
}

static int driver_file_write(const char *name, const char *driver, const char *file)
{
	char path[256];

	if (!driver_name_valid(driver))
		return -EINVAL;
	snprintf(path, sizeof path, "/sys/bus/pci/drivers/%s/%s", driver, file);
	return file_write(path, name);
}

static int linux_driver_unbind(const char *name, const char *driver)
{
	return driver_file_write(name, driver, "unbind");
}

static int linux_driver_bind(const char *name, const char *driver)
{
	return driver_file_write(name, driver, "bind");
}

static int linux_group_open(uint32_t group)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "/dev/vfio/%u", group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int linux_window_open(void)
{
	int fd = open(VFIO_WINDOW_NODE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Files are opened, never made. No filter can tell paths apart: the unit's root decides which files may be opened. */
static const struct sandbox_rule rules[] = {
	{SCMP_SYS(openat), 2, O_CREAT | O_TMPFILE | O_TRUNC | O_APPEND, 0},
	{SCMP_SYS(read), 0, 0, 0},
	{SCMP_SYS(write), 0, 0, 0},
};

static const struct hardware hardware_linux = {
	.rules = rules,
	.rule_count = sizeof rules / sizeof rules[0],
	.read_ids = linux_read_ids,
	.override_get = linux_override_get,
	.override_set = linux_override_set,
	.driver_unbind = linux_driver_unbind,
	.driver_bind = linux_driver_bind,
	.group_open = linux_group_open,
	.window_open = linux_window_open,
};

const struct hardware *helper_hardware(void)
{
	return &hardware_linux;
}
