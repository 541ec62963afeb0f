/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_KEPT_H
#define KEEPER_KEPT_H

#include <stdbool.h>

struct kept;
struct vfio_kernel;

/*
 * Descriptors of clients that the running keeper does not close. The last close may wait for the client (foreign_fd.h),
 * with a device at work: even the close of an eventfd, which waits for the reader of an epoll that watches the eventfd.
 * So what is harmless in all likelihood is closed when no device is open, and the rest by the end of the process.
 */

void kept_init(struct kept *kept);

/*
 * Judges what the handler of a request left of the packet's descriptors (foreign_fd_leave()). WANTED: the request may
 * carry descriptors. A domain or an eventfd is kept then, each open file once. Anything else taints.
 */
void kept_judge(struct kept *kept, const struct vfio_kernel *kernel, bool wanted);

/*
 * Closes what is harmless. No device of the process is open, and everybody has been told what there is to tell: this
 * may wait as leaving the domain may (group.h).
 */
void kept_forget(struct kept *kept);

/* Keeps FD, whose close may wait. From now on the keeper is tainted: it has to close its devices and to end. */
void kept_taint(struct kept *kept, int fd);

/*
 * Moves FD, a device or a group, above all descriptors of clients. Returns the new number, or FD if there is no room.
 * The kernel releases the files of a process that ends from the highest number down: close_files() in fs/file.c goes up
 * and leaves the releases to exit_task_work(), which begins with the last. So a killed keeper closes its devices before
 * anything of a client.
 */
int kept_surpass(int fd);

/* Closes all that is kept, which may wait. For keepers inside another process; a process of a keeper just ends. */
void kept_release(struct kept *kept);

#endif
