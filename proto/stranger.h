/* SPDX-License-Identifier: MIT */
#ifndef PROTO_STRANGER_H
#define PROTO_STRANGER_H

#include <stdbool.h>

/*
 * File descriptors that a client sent, before anybody knows what they are. None of these functions asks a file
 * system of the client: a FUSE server could stall the answer for ever (AT_STATX_DONT_SYNC).
 */

/*
 * Closes a descriptor that nobody has a use for, unless that could block: the close of a file waits for its file system
 * (FUSE: for the client's own server), that of a TCP socket for its peer, that of a terminal for its line. A client
 * could stop this process by it, unkillably, with the device still running. Such a descriptor stays open until the
 * process ends, which is after its devices were closed; stranger_kept() counts them: a process that is
 * killed with such a descriptor is held up before the kernel closes its devices, so a keeper ends with the first one.
 */
void stranger_close(int fd);

/* Descriptors that IS_HARMLESS knows are closed all the same: IOMMU domains, whose close is short. */
void stranger_trust(bool (*is_harmless)(int fd));

unsigned int stranger_kept(void);

/* What it is, in words for a refusal: "a regular file", "a socket (a device channel?)". Constant strings. */
const char *stranger_name(int fd);

/* True if it can be an eventfd: it has an anonymous inode. Which one, only the kernel knows. */
bool stranger_is_eventfd(int fd);

/* True if it is the character device MAJOR:MINOR, opened for use (not O_PATH). */
bool stranger_is_device(int fd, unsigned int major, unsigned int minor);

#endif
