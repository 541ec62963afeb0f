/* SPDX-License-Identifier: MIT */
#ifndef COMMON_CONNECTION_H
#define COMMON_CONNECTION_H

/*
 * Connects to the socket at PATH, of TYPE (SOCK_SEQPACKET, SOCK_DGRAM), without waiting: a full queue is -EAGAIN.
 * Returns a non-blocking fd, owned by the caller, or a negative errno.
 */
int connection_open(const char *path, int type);

#endif
