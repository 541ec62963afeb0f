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

#endif
