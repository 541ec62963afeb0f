/* SPDX-License-Identifier: MIT */
#include "fdset.h"
#include "hardware.h"
#include "packet.h"
#include "sandbox.h"
#include "table.h"
#include "vfio_window.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
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

/* 64 KiB, touched by inspections alone. */
static struct packet packet;

/*
 * Safe for a hostile caller: the broker has asked the policy first, and has connected. The inspector reads, and changes
 * nothing (daemon/inspector).
 */
static int linux_inspect(const char *name, int inspector, char ret_use[USE_TEXT_SIZE])
{
	struct pollfd p = {inspector, POLLIN, 0};
	struct inspector_request *request;
	const struct inspector_reply *reply;
	int r;

	if (inspector < 0)
		return -ENOTCONN;
	packet_request(&packet, INSPECTOR_LOOK, 1);
	request = packet_append(&packet, sizeof *request);
	snprintf(request->name, sizeof request->name, "%s", name);
	r = packet_send(inspector, 0, &packet);
	/* The broker has made the socket, and its sockets never wait. */
	if (r == 0 && poll(&p, 1, -1) < 0)
		r = -errno;
	if (r == 0)
		r = packet_receive(inspector, 0, 0, &packet);
	if (r <= 0)
		return r == PACKET_END ? -EPIPE : r;
	reply = packet_body(&packet, sizeof *reply);
	if (packet.header.type != INSPECTOR_LOOK || !reply || !memchr(reply->use, '\0', sizeof reply->use))
		return -EPROTO;
	memcpy(ret_use, reply->use, sizeof reply->use);
	return -(int)reply->error;
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

static bool has_driver(const char *name)
{
	char path[256];
	OWNED_FD fd = -1;

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/driver", name);
	/* Without O_DIRECTORY, which the process's filter takes for O_TMPFILE. */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0;
}

static int linux_driver_unbind(const char *name, const char *driver)
{
	int r = driver_file_write(name, driver, "unbind");

	/* The module has been unloaded meanwhile. */
	return r == -ENOENT && !has_driver(name) ? -ENODEV : r;
}

static int linux_driver_bind(const char *name, const char *driver)
{
	return driver_file_write(name, driver, "bind");
}

/* Safe for a hostile caller: the device has its own driver_override again, and nobody has the device. */
static int linux_driver_probe(const char *name)
{
	return file_write("/sys/bus/pci/drivers_probe", name);
}

static int command_read(int config, uint16_t *ret_command)
{
	uint16_t bytes;
	ssize_t size = pread(config, &bytes, sizeof bytes, PCI_COMMAND);

	if (size < 0)
		return -errno;
	/* All ones: the device does not answer. */
	if (size != sizeof bytes || bytes == UINT16_MAX)
		return -EIO;
	*ret_command = le16toh(bytes);
	return 0;
}

/*
 * Safe for a hostile caller: the two bits end work, and begin none. Decoding of memory and ports stays as it is,
 * because on some machines an access to a BAR that is switched off stops the machine. Neither VFIO nor a client can
 * hold this up as they can a write through VFIO: sysfs takes no lock of VFIO's, and waits for a reset at most. Kernels
 * locked down refuse (EPERM).
 */
static int linux_quiet(const char *name, uint16_t *ret_command)
{
	char path[256];
	uint16_t command, after, bytes;
	OWNED_FD fd = -1;
	int r;

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/config", name);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	r = command_read(fd, &command);
	if (r < 0)
		return r;
	bytes = htole16((uint16_t)((command & ~PCI_COMMAND_MASTER) | PCI_COMMAND_INTX_DISABLE));
	if (pwrite(fd, &bytes, sizeof bytes, PCI_COMMAND) < 0)
		return -errno;
	/* The kernel does not say whether a write has reached the device. */
	r = command_read(fd, &after);
	if (r < 0)
		return r;
	if (after & PCI_COMMAND_MASTER)
		return -EIO;
	*ret_command = command;
	return 0;
}

/*
 * Safe for a hostile caller: the broker gives the order for a device that nobody has. pci_reset_function() takes the
 * lock of the device and waits for the lock, whereas VFIO, at a close, only tries. Bus mastering stays as it was:
 * the kernel saves the configuration space before, and writes it back after.
 */
static int linux_reset(const char *name)
{
	char path[256];
	int r;

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/reset", name);
	r = file_write(path, "1");
	/* Either of the two is missing: the device, or its methods. */
	return r == -ENOENT ? -ENOTTY : r;
}

static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}

static int hot_reset(int device, int group)
{
	union {
		struct vfio_pci_hot_reset reset;
		int32_t words[4];
	} u = {.reset = {.argsz = sizeof u, .count = 1}};
	int r;

	static_assert(sizeof u == sizeof u.reset + sizeof u.words[0], "one group follows the struct");
	u.words[3] = group;
	r = result(ioctl(device, VFIO_DEVICE_PCI_HOT_RESET, &u));
	/* A device on the bus is of another group, or not with VFIO; also EINVAL: there is nothing to reset. */
	return r == -EINVAL ? -EBUSY : r;
}

/*
 * Safe for a hostile caller: the broker gives the order for a group that nobody has, and VFIO resets no other group's
 * devices, and none that a driver of the host has. The domain has no mapping, so that no device on the bus reaches any
 * memory.
 */
static int linux_reset_bus(int group, const char *name)
{
	OWNED_FD domain = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	OWNED_FD device = -1;
	int r = result(domain);

	if (r >= 0)
		r = result(ioctl(group, VFIO_GROUP_SET_CONTAINER, &domain));
	if (r == 0)
		r = result(ioctl(domain, VFIO_SET_IOMMU, (unsigned long)VFIO_TYPE1v2_IOMMU));
	if (r == 0)
		r = device = result(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name));
	if (r >= 0)
		r = hot_reset(device, group);
	/* The group is out of the domain before the next try. */
	fd_cleanup(&device);
	if (domain >= 0)
		ioctl(group, VFIO_GROUP_UNSET_CONTAINER);
	return r;
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
	{SCMP_SYS(pread64), 0, 0, 0},
	{SCMP_SYS(pwrite64), 0, 0, 0},
	{SANDBOX_IOCTL, VFIO_GROUP_SET_CONTAINER},
	{SANDBOX_IOCTL, VFIO_GROUP_UNSET_CONTAINER},
	{SANDBOX_IOCTL, VFIO_SET_IOMMU},
	{SANDBOX_IOCTL, VFIO_GROUP_GET_DEVICE_FD},
	{SANDBOX_IOCTL, VFIO_DEVICE_PCI_HOT_RESET},
};

static const struct hardware hardware_linux = {
	.rules = rules,
	.rule_count = sizeof rules / sizeof rules[0],
	.read_ids = linux_read_ids,
	.inspect = linux_inspect,
	.override_get = linux_override_get,
	.override_set = linux_override_set,
	.driver_unbind = linux_driver_unbind,
	.driver_bind = linux_driver_bind,
	.driver_probe = linux_driver_probe,
	.quiet = linux_quiet,
	.reset = linux_reset,
	.reset_bus = linux_reset_bus,
	.group_open = linux_group_open,
	.window_open = linux_window_open,
};

const struct hardware *helper_hardware(void)
{
	return &hardware_linux;
}
