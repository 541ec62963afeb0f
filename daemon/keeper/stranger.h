/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_STRANGER_H
#define KEEPER_STRANGER_H

#include <stdbool.h>

/*
 * File descriptors that a client sent, before anybody knows what they are. None of these functions asks a file
 * system of the client: a FUSE server could stall the answer for ever (AT_STATX_DONT_SYNC).
 */

/* What it is, in words for a refusal: "a regular file", "a socket (a device channel?)". Constant strings. */
const char *stranger_name(int fd);

/* True if it can be an eventfd: it has an anonymous inode. Which one, only the kernel knows. */
bool stranger_is_eventfd(int fd);

/* True if it is the character device MAJOR:MINOR, opened for use (not O_PATH). */
bool stranger_is_device(int fd, unsigned int major, unsigned int minor);

#endif
