/* SPDX-License-Identifier: MIT */
#include "host/uevent.h"

#include "device_name.h"
#include "fdset.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Multicast group 1 is the kernel's; 2 is udev's. */
#define KERNEL_GROUP 1

int uevent_open(void)
{
	const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
	OWNED_FD fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		return -errno;
	return fd_take(&fd);
}

/* The value of KEY in a list of strings "KEY=VALUE", each with its NUL, or NULL. */
static const char *value_of(const char *message, size_t length, const char *key)
{
	const size_t size = strlen(key);

	for (size_t i = 0; i < length; i += strlen(message + i) + 1) {
		if (strncmp(message + i, key, size) == 0 && message[i + size] == '=')
			return message + i + size + 1;
	}
	return NULL;
}

/* The device is there, and should be looked at. */
static bool is_look(const char *action)
{
	return strcmp(action, "add") == 0 || strcmp(action, "change") == 0 || strcmp(action, "unbind") == 0;
}

/* A driver of PCI devices has appeared (bus_add_driver() in drivers/base/bus.c). */
static bool is_new_driver(const char *action, const char *subsystem, const char *path)
{
	static const char drivers[] = "/bus/pci/drivers/";

	return strcmp(action, "add") == 0 && strcmp(subsystem, "drivers") == 0 && path &&
		strncmp(path, drivers, sizeof drivers - 1) == 0;
}

bool uevent_parse(const char *message, size_t length, enum host_change *ret_change, char ret_name[DEVICE_NAME_SIZE])
{
	char name[DEVICE_NAME_SIZE] = {0};
	const char *action, *subsystem, *slot;
	bool removed, bound;

	/* "ACTION@/devices/…" comes first: a string of the list, but no KEY=VALUE. */
	if (length == 0 || message[length - 1] != '\0')
		return false;
	action = value_of(message, length, "ACTION");
	subsystem = value_of(message, length, "SUBSYSTEM");
	slot = value_of(message, length, "PCI_SLOT_NAME");
	if (action && subsystem && is_new_driver(action, subsystem, value_of(message, length, "DEVPATH"))) {
		*ret_change = HOST_DRIVER;
		memset(ret_name, 0, DEVICE_NAME_SIZE);
		return true;
	}
	if (!action || !subsystem || !slot || strcmp(subsystem, "pci") != 0 || strlen(slot) >= sizeof name)
		return false;
	removed = strcmp(action, "remove") == 0;
	bound = strcmp(action, "bind") == 0;
	if (!removed && !bound && !is_look(action))
		return false;
	/* Written to the device's file uevent, as udevadm trigger does (sysfs-uevent in the kernel's ABI documents). */
	if (removed && value_of(message, length, "SYNTH_UUID"))
		return false;
	memcpy(name, slot, strlen(slot));
	if (!device_name_valid(name))
		return false;
	*ret_change = removed ? HOST_REMOVED : bound ? HOST_BOUND : HOST_ADDED;
	memcpy(ret_name, name, sizeof name);
	return true;
}

int uevent_read(int socket, enum host_change *ret_change, char ret_name[DEVICE_NAME_SIZE])
{
	char message[UEVENT_SIZE];
	/* The sender need not be looked at: only the kernel, or an administrator of the network namespace, can send. */
	ssize_t length = read(socket, message, sizeof message);

	if (length < 0 && errno == ENOBUFS) {
		/* Until the socket is empty the kernel drops messages without saying so again (netlink_overrun()).
		 * Messages still in the socket need not be read; messages after them do arrive. */
		while (read(socket, message, sizeof message) >= 0 || errno == ENOBUFS)
			continue;
		*ret_change = HOST_MISSED;
		memset(ret_name, 0, DEVICE_NAME_SIZE);
		return 1;
	}
	if (length < 0)
		return -errno;
	return uevent_parse(message, (size_t)length, ret_change, ret_name) ? 1 : 0;
}
