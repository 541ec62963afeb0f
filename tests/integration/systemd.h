/* SPDX-License-Identifier: MIT */
#ifndef INTEGRATION_SYSTEMD_H
#define INTEGRATION_SYSTEMD_H

#include <stddef.h>
#include <sys/types.h>

/*
 * The part of systemd that keeps a service's sockets while the service is dead: it listens at $NOTIFY_SOCKET, in a
 * thread of its own, keeps what FDSTORE=1 brings, drops what hangs up (unless FDPOLL=0 came with it) and what
 * FDSTOREREMOVE=1 names, and passes the rest to the next process.
 */

/* One at a time. PATH: of the socket. */
void systemd_start(const char *path);
void systemd_end(void);

/* How many are kept whose names begin so. */
size_t systemd_kept(const char *name);

/* Keeps FD as NAME, as if the last service had stored both. FD is taken. */
void systemd_keep(const char *name, int fd);

/* From now on nobody reads $NOTIFY_SOCKET, which is full; and then the messages are read again. */
void systemd_stop_reading(void);
void systemd_read_on(void);

/* The service has stopped for good: closes all. */
void systemd_drop(void);

/*
 * fork() for a new service, after everything that the last one has sent. In the child, before exec: systemd_pass() puts
 * PASSED_LISTENER and what is kept from descriptor 3 on, and fills in the variables that say so, ended by NULL.
 */
#define SYSTEMD_VARIABLES_MAX 5
pid_t systemd_fork(void);
void systemd_pass(int passed_listener, char *variables[SYSTEMD_VARIABLES_MAX]);

#endif
