/* SPDX-License-Identifier: MIT */
#ifndef BROKER_UEVENT_H
#define BROKER_UEVENT_H

#include "host/host.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The kernel's own messages about devices that come and go (NETLINK_KOBJECT_UEVENT). Not udev's messages: udev sends in
 * the first network namespace alone, and the broker has a namespace without any network to itself. The kernel sends
 * into every namespace.
 */

/* Larger than one message of the kernel (UEVENT_BUFFER_SIZE, and what udevadm trigger adds). */
#define UEVENT_SIZE 8192

/* Returns a socket that is the caller's, not blocking, or a negative errno. */
int uevent_open(void);

/*
 * Takes the next message off SOCKET. Returns 1, the change and the name if a PCI device came, changed or went; 1 and
 * HOST_MISSED, without a name, if the kernel had more messages than the socket holds; 0 for a message about anything
 * else. -EAGAIN: there is no message.
 */
int uevent_read(int socket, enum host_change *ret_change, char ret_name[DEVICE_NAME_SIZE]);

/*
 * Reads MESSAGE: true for a PCI device that came, changed or went. One has gone only if the kernel itself says so: root
 * may write "remove" to the uevent file of a device that stays.
 */
bool uevent_parse(const char *message, size_t length, enum host_change *ret_change, char ret_name[DEVICE_NAME_SIZE]);

#endif
