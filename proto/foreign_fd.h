/* SPDX-License-Identifier: MIT */
#ifndef PROTO_FOREIGN_FD_H
#define PROTO_FOREIGN_FD_H

#include "fdset.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * File descriptors sent by a client, of unknown kind so far. None of the functions asks a file system of the client: a
 * FUSE server could stall the answer for ever (AT_STATX_DONT_SYNC).
 *
 * The last close of a client's descriptor may wait for the client, for ever: for the server of a FUSE file, for the
 * peer of a TCP socket, for the owner of a userfaultfd, for the reader of an epoll that watches an eventfd. By such a
 * close a client could stop this process, unkillably, with the device still running. So a descriptor of a client is
 * closed only if another copy stays open, or if its kind is known and its close is short.
 */

/*
 * Opens /proc/self/fd, for foreign_fd_is_eventfd(). To be called before a system call filter forbids opening files, and
 * again in the child after fork(). Returns 0 or a negative errno.
 */
int foreign_fd_open_links(void);

/* For fdset.dispose: leaves FD open, for foreign_fd_left(). Per thread, like the packets that bring descriptors. */
void foreign_fd_leave(int fd);

/* Moves the descriptors left open since the last call to RET_FDS, and to the caller. Returns the number. */
size_t foreign_fd_left(int ret_fds[FDSET_MAX]);

/* Counts FD, which stays open until the process ends. */
void foreign_fd_keep(int fd);

/* The number of descriptors of this thread kept open so far. */
unsigned int foreign_fd_kept(void);

/* The kind of FD in words for a refusal: "a regular file", "a socket (a device channel?)". Constant strings. */
const char *foreign_fd_name(int fd);

/* True if FD is an eventfd, by the text of its link in /proc/self/fd. The kernel makes the text of an anonymous inode
 * from a constant; the path of a file begins with a slash. False without foreign_fd_open_links(). */
bool foreign_fd_is_eventfd(int fd);

/* True if FD is the character device MAJOR:MINOR, opened for use (not O_PATH). */
bool foreign_fd_is_device(int fd, unsigned int major, unsigned int minor);

#endif
