/* SPDX-License-Identifier: MIT */
#ifndef BROKER_UEVENT_H
#define BROKER_UEVENT_H

#include "host/host.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The kernel's own messages about devices that come and go (NETLINK_KOBJECT_UEVENT). Not udev's, which it sends in the
 * first network namespace alone: the broker has a namespace without any network to itself. The kernel sends its
 * messages into every one.
 */

/* Larger than what the kernel puts into one message (UEVENT_BUFFER_SIZE, and what udevadm trigger adds). */
#define UEVENT_SIZE 8192

/* Returns a socket that is the caller's, not blocking, or a negative errno. */
int uevent_open(void);

/*
 * Takes the next message off SOCKET. Returns 1 and what came or went if it tells of a PCI device that did; 0 if it tells of
 * anything else; HOST_MISSED, without a name, if the kernel had more to say than the socket holds. -EAGAIN: there is none.
 */
int uevent_read(int socket, enum host_change *ret_change, char ret_name[DEVICE_NAME_SIZE]);

/* What MESSAGE tells: true for a PCI device that came or went. */
bool uevent_parse(const char *message, size_t length, enum host_change *ret_change, char ret_name[DEVICE_NAME_SIZE]);

#endif
