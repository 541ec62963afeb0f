/* SPDX-License-Identifier: MIT */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <syslog.h>

/*
 * The daemons' log: one line per event on stderr with the <N> prefix that systemd turns into a journal priority
 * (sd-daemon(3)). LEVEL is LOG_ERR ... LOG_DEBUG of syslog.h. Only the top layers of a daemon call this. What a client
 * sent is quoted (refusal_quote()) before it gets here.
 */
void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops lines above LEVEL. The default is LOG_INFO. */
void log_set_level(int level);

/*
 * A journal that does not read (journald is stopped, or waits for a disk) holds up whoever writes to it once the socket's
 * buffer is full. After this, lines that do not fit are lost instead; it concerns stderr only if it is a socket, which systemd
 * makes for each service alone.
 */
void log_never_wait(void);

#endif
