/* SPDX-License-Identifier: MIT */
#ifndef PROTO_FOREIGN_FD_H
#define PROTO_FOREIGN_FD_H

#include <stdbool.h>

/*
 * File descriptors sent by a client, of unknown kind so far. None of the functions asks a file
 * system of the client: a FUSE server could stall the answer for ever (AT_STATX_DONT_SYNC).
 */

/*
 * Closes an unused descriptor, unless the close could block: the close of a file waits for its file system (FUSE: for
 * the client's own server), the close of a TCP socket for its peer, the close of a terminal for its line. By such a
 * close a client could stop this process, unkillably, with the device still running. So the descriptor stays open until
 * the process ends, after the close of its devices. foreign_fd_kept() counts such descriptors: the kernel would hold
 * up a process killed with one before it closes the devices, so a keeper ends with the first.
 */
void foreign_fd_close(int fd);

/* Descriptors accepted by IS_HARMLESS are closed all the same: IOMMU domains, because their close is short. */
void foreign_fd_trust(bool (*is_harmless)(int fd));

/* The number of descriptors of this thread kept open so far. */
unsigned int foreign_fd_kept(void);

/* The kind of FD in words for a refusal: "a regular file", "a socket (a device channel?)". Constant strings. */
const char *foreign_fd_name(int fd);

/* True if FD can be an eventfd: FD has an anonymous inode. The kind of inode only the kernel knows. */
bool foreign_fd_is_eventfd(int fd);

/* True if FD is the character device MAJOR:MINOR, opened for use (not O_PATH). */
bool foreign_fd_is_device(int fd, unsigned int major, unsigned int minor);

#endif
