/* SPDX-License-Identifier: MIT */
#ifndef COMMON_CONNECTION_H
#define COMMON_CONNECTION_H

#include <sys/socket.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16, include/uapi/asm-generic/socket.h */
#endif

/*
 * Connects to the socket at PATH, of TYPE (SOCK_SEQPACKET, SOCK_DGRAM), without waiting: a full queue is -EAGAIN.
 * Returns a non-blocking fd, owned by the caller, or a negative errno.
 */
int connection_open(const char *path, int type);

/* Has the kernel refuse descriptors to whoever sends to FD, or, if FD listens, to its later connections. Kernels before
 * 6.16 cannot, and nothing happens. */
void connection_refuse_fds(int fd);

/*
 * Has the kernel keep CONNECTION_QUEUE bytes, and a packet, at most of what is sent by FD and not read, whatever
 * net.core.wmem_default says. The sender's MemoryMax= pays for that. The kernel doubles the number itself.
 */
#define CONNECTION_QUEUE (200 * 1024)
void connection_limit_queue(int fd);

#endif
