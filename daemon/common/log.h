/* SPDX-License-Identifier: MIT */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <syslog.h>

/*
 * The daemons' log: one line per event on stderr with a <N> prefix, turned into a journal priority by systemd
 * (sd-daemon(3)). LEVEL is LOG_ERR ... LOG_DEBUG of syslog.h. Only the top layers of a daemon log. Callers quote a
 * client's text with refusal_quote() first.
 */
void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops lines above LEVEL. The default is LOG_INFO. */
void log_set_level(int level);

/*
 * Makes log_line() lose lines instead of waiting. Without this call, a journal that does not read (journald is stopped,
 * or waits for a disk) would block the daemon as soon as the socket's buffer is full; so would a pipe or a terminal.
 * systemd makes a socket for each service alone, and a pipe or terminal is opened again, so no other program is
 * affected. (Only a pipe or terminal that the daemon may not open shares the change with its other writers.)
 */
void log_never_wait(void);

#endif
