/* SPDX-License-Identifier: MIT */
#ifndef BROKER_NOTIFY_H
#define BROKER_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

/*
 * Messages to PID 1 (sd_notify(3)), sent without waiting for PID 1. Not sd_notify(): its socket waits when PID 1 does
 * not read, and then all clients would wait for PID 1. Here a message without room in PID 1's socket is kept, with
 * copies of its descriptors, and a timer tries again. PID 1 gets all messages in the order in which they were sent.
 *
 * A process has a single PID 1, so this file has the only state. Without $NOTIFY_SOCKET nobody is told anything.
 */

/*
 * Has EVENT try again with messages that had no room; EVENT is borrowed until notify_end(). Also tells PID 1 regularly
 * that the loop turns, if the unit asks for that (WatchdogSec=). Before notify_begin() a kept message waits for the
 * next call of notify_send(). Returns 0 or a negative errno.
 */
int notify_begin(sd_event *event);

/* Tries a last time, and forgets what PID 1 has no room for. */
void notify_end(void);

/*
 * Sends STATE, lines of KEY=VALUE, with COUNT descriptors FDS, which stay the caller's. A message that begins with
 * FDSTOREREMOVE=1 also takes back the messages with the same FDNAME that PID 1 has not got. False: PID 1 will not get
 * the message.
 */
bool notify_send(const char *state, const int *fds, size_t count);

/* Messages that wait for room. */
size_t notify_kept(void);

#endif
