/* SPDX-License-Identifier: MIT */
#ifndef TRAP_FILE_H
#define TRAP_FILE_H

#include <sys/types.h>

/*
 * Files of a FUSE file system whose server, a child of this process, answers whatever makes a file and opens a file,
 * and never a READ, a WRITE, or a SETATTR. So a page that is read is read for ever, and a file with a dirty page is
 * closed for ever, by whoever has the last reference. The file system ends with this process.
 */

/*
 * Mounts the file system, in a mount namespace of this process. With USER: as a set-uid program would mount it for
 * USER, which needs root; this process is USER afterwards. Without (-1): as any user may, in a user namespace; or, for
 * root, just so.
 */
void trap_file_mount(uid_t user);
/* File NUMBER of many. */
int trap_file_open(unsigned number);
/* Leaves a dirty page in file NUMBER, whose other openings are not closed by this process from then on. */
void trap_file_dirty(unsigned number);
/* Until the server has been asked to read, and somebody is waiting. */
void trap_file_await_read(void);

#endif
