/* SPDX-License-Identifier: MIT */
#ifndef COMMON_PASSED_H
#define COMMON_PASSED_H

/*
 * The connection that systemd passes to a program started from a socket with Accept=yes. The convention of
 * sd_listen_fds(3) is followed by hand, because libsystemd would cost each of many small processes more memory than the
 * whole process without it. Returns a SOCK_SEQPACKET socket, owned by the caller, or -1: nothing was passed.
 */
int passed_channel(void);

#endif
